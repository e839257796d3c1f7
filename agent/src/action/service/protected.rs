//! Units that are not stopped: what systemd, the endpoint's network and the agent cannot be without.
//!
//! What the way to the collector rests on besides (a tunnel of its own, a proxy on this endpoint) is
//! not known here; whoever stops it is let do so.

use super::unit::Unit;

/// By their names up to the ending, or up to a `*`.
const PROTECTED: [(&str, &str); 26] = [
    ("cordon-*", "it is Cordon's own"),
    ("systemd-journal*", "systemd cannot be without it"),
    ("systemd-logind", "systemd cannot be without it"),
    ("systemd-udev*", "systemd cannot be without it"),
    ("systemd-tmpfiles*", "systemd cannot be without it"),
    ("systemd-sysctl", "systemd cannot be without it"),
    ("systemd-initctl", "systemd cannot be without it"),
    ("systemd-networkd*", "the endpoint's network rests on it"),
    ("systemd-resolved*", "the endpoint's network rests on it"),
    ("dbus*", "systemd cannot be without it"),
    ("user@*", "it is a session; lock the account instead"),
    ("NetworkManager*", "the endpoint's network rests on it"),
    ("networking", "the endpoint's network rests on it"),
    ("network", "the endpoint's network rests on it"),
    ("ifup@*", "the endpoint's network rests on it"),
    ("netplan*", "the endpoint's network rests on it"),
    ("wicked*", "the endpoint's network rests on it"),
    ("connman*", "the endpoint's network rests on it"),
    ("dhcpcd*", "the endpoint's network rests on it"),
    ("dhclient*", "the endpoint's network rests on it"),
    ("wpa_supplicant*", "the endpoint's network rests on it"),
    ("iwd", "the endpoint's network rests on it"),
    ("iscsid*", "the endpoint's disks may rest on it"),
    ("open-iscsi", "the endpoint's disks may rest on it"),
    ("multipathd*", "the endpoint's disks may rest on it"),
    ("lvm2-*", "the endpoint's disks may rest on it"),
];

/// What can be stopped by its kind alone.
pub(super) fn check_kind(name: &str) -> Result<(), String> {
    match name.rsplit('.').next().unwrap_or_default() {
        "service" | "socket" | "timer" | "path" => Ok(()),
        _ => Err(format!("{name} is no service, and no socket, timer or path that starts one")),
    }
}

/// Whether a unit may be stopped; `own` is the agent's.
pub(super) fn check(unit: &Unit, own: Option<&str>) -> Result<(), String> {
    let mut names = unit.names.iter().chain([&unit.id]);
    let found = names.find_map(|name| {
        if Some(name.as_str()) == own {
            return Some((name, "the agent itself runs in it"));
        }
        let stem = name.rsplit_once('.').map_or(name.as_str(), |(stem, _ending)| stem);
        let is_it = |pattern: &str| match pattern.strip_suffix('*') {
            Some(begin) => stem.starts_with(begin),
            None => stem == pattern,
        };
        let why = PROTECTED.iter().find(|(pattern, _)| is_it(pattern)).map(|(_, why)| *why);
        // Targets, mounts, slices and the like: what stands on them is the machine.
        let why = why.or_else(|| check_kind(name).err().map(|_| "the machine stands on it"));
        why.map(|why| (name, why))
    });
    match found {
        Some((name, why)) => Err(format!("{name} is protected: {why}")),
        None => Ok(()),
    }
}

/// The unit that this process runs in.
pub(super) fn own_unit() -> Option<String> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let group = groups.lines().find_map(|line| {
        line.strip_prefix("0::").or_else(|| line.split_once(":name=systemd:").map(|(_, path)| path))
    })?;
    let is_unit = |part: &&str| part.ends_with(".service");
    group.split('/').find(is_unit).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn verdict(names: &[&str], expected: Option<&str>) {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let unit = Unit { id: names[0].clone(), names, ..Unit::default() };
        let said = check(&unit, Some("watch.service")).err();
        match (said.as_deref(), expected) {
            (None, None) => {}
            (Some(said), Some(expected)) if said.contains(expected) => {}
            (said, expected) => panic!("{said:?}, not {expected:?}"),
        }
    }

    #[test]
    fn what_the_machine_and_the_agent_need_is_protected_by_any_of_its_names() {
        verdict(&["systemd-journald.service"], Some("systemd cannot"));
        verdict(&["dbus-broker.service", "dbus.service"], Some("systemd cannot"));
        verdict(&["x.service", "NetworkManager.service"], Some("network"));
        verdict(&["cordon-agent.service"], Some("Cordon's own"));
        verdict(&["watch.service"], Some("agent itself"));
        verdict(&["user@1000.service"], Some("lock the account"));
        verdict(&["graphical.target"], Some("stands on it"));
    }

    #[test]
    fn others_are_not() {
        for name in ["nginx.service", "ssh.service", "cups.socket", "networks.service", "a.timer"] {
            verdict(&[name], None);
        }
    }
}
