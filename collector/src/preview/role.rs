//! What a machine is for others, judged from what it was seen to be: what it listens on, whether it
//! passes packets on, which devices it has.
//!
//! Pure. Everything here is the endpoint's own word: who rules it can give it a role by listening on
//! a port, or take one away. So a role asks for a second person only when it has been one for a
//! while, and what is wrong costs a signature, never a containment.

use std::net::IpAddr;

use cordon_proto::Text;
use serde::Serialize;

use super::stand::Items;
use crate::time::Time;

/// What others need it for.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// It runs containers or virtual machines behind it.
    Hypervisor,
    /// It passes packets on between networks.
    Router,
    /// Others enter a network through it.
    VpnGateway,
    /// Others ask it for names.
    DnsServer,
    /// Others get their addresses from it.
    DhcpServer,
    /// Others reach the network through it.
    Proxy,
    /// Others log in by it.
    Directory,
}

impl Role {
    /// For people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Hypervisor => "host of containers or virtual machines",
            Self::Router => "router",
            Self::VpnGateway => "VPN gateway",
            Self::DnsServer => "DNS server",
            Self::DhcpServer => "DHCP server",
            Self::Proxy => "proxy",
            Self::Directory => "directory server",
        }
    }
}

/// A role, and what it was judged by.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Judged {
    /// Which.
    pub role: Role,
    /// By what, for people; endpoints' words are in it.
    pub because: Vec<String>,
    /// Since when, by the collector's clock.
    pub since: Time,
    /// Whether that is long enough for a second person to be asked.
    pub settled: bool,
}

/// Devices behind which others live, by the beginnings of their names.
const INSIDE: [&str; 10] =
    ["docker", "br-", "virbr", "vmbr", "lxcbr", "lxdbr", "incusbr", "cni", "podman", "cali"];

/// Devices of tunnels, by the beginnings of their names.
const TUNNELS: [&str; 6] = ["wg", "tun", "tap", "ipsec", "ppp", "zt"];

/// Ports by which a role is known, wherever a program waits that is not on loopback.
const PORTS: [(Role, &str, &[u16]); 9] = [
    (Role::VpnGateway, "udp", &[500, 1194, 1701, 4500, 51_820]),
    (Role::VpnGateway, "tcp", &[1194, 1723]),
    (Role::DnsServer, "udp", &[53]),
    (Role::DnsServer, "tcp", &[53, 853]),
    (Role::DhcpServer, "udp", &[67, 547]),
    (Role::Proxy, "tcp", &[1080, 3128, 8118]),
    (Role::Directory, "tcp", &[88]),
    (Role::Directory, "udp", &[88]),
    (Role::Directory, "tcp", &[389, 636]),
];

/// Programs by which a role is known, whatever port they wait on.
const PROGRAMS: [(Role, &[&str]); 2] = [
    (Role::VpnGateway, &["openvpn", "charon", "ocserv", "pluto"]),
    (Role::Proxy, &["squid", "tinyproxy", "privoxy", "sockd", "danted", "3proxy", "haproxy"]),
];

/// What a machine is for others; `settled_by` is when a role must have been known to count.
#[must_use]
pub fn judge(listeners: Option<&Items>, machine: Option<&Items>, settled_by: Time) -> Vec<Judged> {
    let mut found: Vec<(Role, String, Time)> = Vec::new();
    for (_, item) in listeners.into_iter().flat_map(Items::iter) {
        let word = |name| item.field(name).map(Text::to_lossy).unwrap_or_default();
        let address = word("address");
        let local = address.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback());
        let Some(port) = item.number::<u16>("port").filter(|_| !local) else { continue };
        let (protocol, path) = (word("protocol"), word("program"));
        let program = path.rsplit('/').next().unwrap_or_default();
        let by = if program.is_empty() { "an unknown program" } else { program };
        let says = format!("{protocol} port {port} at {address}, by {by}");
        let known = PORTS.iter().filter(|(_, of, ports)| *of == protocol && ports.contains(&port));
        let named = PROGRAMS.iter().filter(|(_, names)| names.contains(&program));
        let roles = known.map(|(role, ..)| *role).chain(named.map(|(role, _)| *role));
        found.extend(roles.map(|role| (role, says.clone(), item.since)));
    }
    found.extend(machine.into_iter().flat_map(passes_on));
    let mut roles: Vec<Role> = found.iter().map(|(role, ..)| *role).collect();
    roles.sort_unstable();
    roles.dedup();
    let judged = |role: Role| {
        let own = found.iter().filter(|(of, ..)| *of == role);
        let since = own.clone().map(|(.., since)| *since).min()?;
        let mut because: Vec<String> = own.map(|(_, says, _)| says.clone()).collect();
        because.sort_unstable();
        because.dedup();
        because.truncate(BECAUSE_MAX);
        Some(Judged { role, because, since, settled: since <= settled_by })
    };
    roles.into_iter().filter_map(judged).collect()
}

/// Reasons told for one role.
const BECAUSE_MAX: usize = 8;

/// What follows from forwarding: a router, or a machine that others live on.
fn passes_on(machine: &Items) -> Vec<(Role, String, Time)> {
    let Some(forwarding) = machine.get("forwarding") else { return Vec::new() };
    let families: Vec<&str> =
        ["ipv4", "ipv6"].into_iter().filter(|family| forwarding.field(family).is_some()).collect();
    if families.is_empty() {
        return Vec::new();
    }
    let says = format!("it forwards {}", families.join(" and "));
    let mut found = Vec::new();
    let mut outside = 0_usize;
    for (key, item) in machine.iter() {
        let key = key.to_lossy();
        let Some(name) = key.strip_prefix("nic ") else { continue };
        let since = item.since.max(forwarding.since);
        let begins = |names: &[&str]| names.iter().any(|prefix| name.starts_with(prefix));
        if begins(&INSIDE) {
            found.push((Role::Hypervisor, format!("{says}, and has {name}"), since));
        } else if begins(&TUNNELS) {
            found.push((Role::VpnGateway, format!("{says}, and has {name}"), since));
        } else if item.field("addresses").is_some() {
            outside += 1;
        }
    }
    if outside > 1 {
        let says = format!("{says} between {outside} devices with addresses");
        found.push((Role::Router, says, forwarding.since));
    }
    found
}

#[cfg(test)]
mod tests {
    use cordon_proto::event::inventory::Subject;

    use super::super::stand::Standing;
    use super::super::stand::tests::told;
    use super::*;

    fn items(subject: Subject, lines: &str) -> Option<Items> {
        let mut standing = Standing::of(&[subject], Time(0));
        for (part, at) in told(subject, lines).into_iter().rev() {
            standing.handle(part, at);
        }
        standing.items(subject)
    }

    /// Listeners and machine as `told` writes them, all at second 10 unless a line says otherwise.
    #[track_caller]
    fn check(listeners: &str, machine: &str, says: &[&str]) {
        let line = |words: &str| match words.starts_with(char::is_numeric) {
            true => words.to_owned(),
            false => format!("10 base {words}"),
        };
        let listeners = items(Subject::Listeners, &line(listeners));
        let machine = items(Subject::Machine, &line(machine));
        let judged = judge(listeners.as_ref(), machine.as_ref(), Time(0).plus_secs(20));
        let show = |one: &Judged| {
            let young = if one.settled { "" } else { " (young)" };
            format!("{}{young}: {}", one.role.name(), one.because.join("; "))
        };
        assert_eq!(judged.iter().map(show).collect::<Vec<_>>(), says);
    }

    #[test]
    fn what_waits_on_a_known_port_for_others_has_its_role() {
        check(
            "+a:protocol=udp,address=0.0.0.0,port=53,program=/usr/sbin/named \
             +b:protocol=udp,address=127.0.0.53,port=53,program=/resolved \
             +c:protocol=udp,address=::,port=67 +d:protocol=tcp,address=::,port=22",
            "",
            &[
                "DNS server: udp port 53 at 0.0.0.0, by named",
                "DHCP server: udp port 67 at ::, by an unknown program",
            ],
        );
        check("+a:protocol=tcp,address=127.0.0.1,port=3128,program=/usr/bin/squid", "", &[]);
        check("+a:protocol=tcp,address=::ffff:127.0.0.1,port=53", "", &[]);
        check(
            "+a:protocol=tcp,address=::,port=8443,program=/usr/sbin/openvpn",
            "",
            &["VPN gateway: tcp port 8443 at ::, by openvpn"],
        );
    }

    #[test]
    fn who_forwards_is_judged_by_the_devices_it_forwards_between() {
        let nics = "+nic_eth0:addresses=192.0.2.5/24 +nic_eth1:addresses=198.51.100.1/24";
        check("", nics, &[]);
        check(
            "",
            &format!("{nics} +forwarding:ipv4=true"),
            &["router: it forwards ipv4 between 2 devices with addresses"],
        );
        check(
            "",
            "+nic_eth0:addresses=192.0.2.5/24 +nic_docker0:mac=2 +forwarding:ipv4=true,ipv6=true",
            &["host of containers or virtual machines: it forwards ipv4 and ipv6, and has docker0"],
        );
        check(
            "",
            "+nic_eth0:addresses=192.0.2.5/24 +nic_wg0:addresses=10.0.0.1/24 +forwarding:ipv4=true",
            &["VPN gateway: it forwards ipv4, and has wg0"],
        );
    }

    #[test]
    fn what_was_taken_up_a_moment_ago_is_told_as_young() {
        check(
            "10 base\n30 diff +a:protocol=udp,address=0.0.0.0,port=53,program=/tmp/x",
            "",
            &["DNS server (young): udp port 53 at 0.0.0.0, by x"],
        );
    }
}
