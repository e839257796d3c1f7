//! Which changes deserve to be looked at, how soon, and why.
//!
//! Pure. This is what can be told from one change alone; rules that look at more come after it.

use cordon_proto::event::Severity;
use cordon_proto::event::inventory::{Change, Doing, Field, Subject};

/// How grave a change is and, in words, why; none for one that is a matter of course.
type Warning = Option<(Severity, Option<&'static str>)>;

/// Groups whose members have all rights, at once or by a detour.
const MIGHTY_GROUPS: [&[u8]; 9] =
    [b"root", b"sudo", b"wheel", b"admin", b"adm", b"docker", b"lxd", b"disk", b"shadow"];

pub(super) fn of(subject: Subject, change: &Change) -> Warning {
    match subject {
        Subject::Users => user(change),
        Subject::Groups => group(change),
        Subject::SshKeys => ssh_key(change),
        Subject::Sudoers => sudoers(change),
        Subject::Autoruns => autorun(change),
        Subject::Services => {
            let failed = is(change, "active", b"failed") && differs(change, "active");
            failed.then_some((Severity::Low, Some("a service failed")))
        }
        Subject::Listeners => (change.doing() == Doing::Added && !is_loopback(change))
            .then_some((Severity::Low, None)),
        Subject::Machine => {
            let lost =
                is(change, "is_synchronised", b"false") && differs(change, "is_synchronised");
            lost.then_some((Severity::Low, Some("nothing keeps the clock any more")))
        }
        Subject::Packages | Subject::Mounts => None,
    }
}

fn user(change: &Change) -> Warning {
    let becomes = |name, value: &[u8]| is(change, name, value) && differs(change, name);
    if becomes("uid", b"0") {
        Some((Severity::High, Some("an account with all rights")))
    } else if becomes("password", b"none") {
        Some((Severity::High, Some("an account that asks for no password")))
    } else if change.doing() == Doing::Changed && was_closed(change) {
        Some((Severity::Medium, Some("an account that could not log in can now")))
    } else if change.doing() == Doing::Added {
        Some((Severity::Low, Some("a new account")))
    } else {
        None
    }
}

/// Whether the shell was one that ends at once, and is another now.
fn was_closed(change: &Change) -> bool {
    let is_closed = |shell: &[u8]| shell.ends_with(b"/nologin") || shell.ends_with(b"/false");
    let before = value(change.before.as_deref(), "shell").is_some_and(is_closed);
    before && value(change.after.as_deref(), "shell").is_some_and(|shell| !is_closed(shell))
}

fn group(change: &Change) -> Warning {
    let is_mighty = MIGHTY_GROUPS.contains(&change.key.as_bytes());
    let members = value(change.after.as_deref(), "members").unwrap_or_default();
    let before = value(change.before.as_deref(), "members").unwrap_or_default();
    let split = |members: &'_ [u8]| -> Vec<Vec<u8>> {
        members.split(|byte| *byte == b',').map(<[u8]>::to_vec).collect()
    };
    let known = split(before);
    let has_new = differs(change, "members")
        && split(members).iter().any(|member| !member.is_empty() && !known.contains(member));
    match (is_mighty, has_new) {
        (true, true) => Some((Severity::High, Some("somebody new in a group with all rights"))),
        (_, true) => Some((Severity::Low, None)),
        (_, false) => None,
    }
}

fn ssh_key(change: &Change) -> Warning {
    let is_root = is(change, "uid", b"0");
    match (change.doing(), is_root) {
        (Doing::Added, true) => Some((Severity::High, Some("a new key logs in as root"))),
        (Doing::Added, false) => Some((Severity::Medium, Some("a new key logs in"))),
        (Doing::Changed, _) => Some((Severity::Medium, Some("what a key may do is another"))),
        (Doing::Removed, _) => None,
    }
}

fn sudoers(change: &Change) -> Warning {
    let rule = value(change.after.as_deref(), "rule").unwrap_or_default();
    match change.doing() {
        Doing::Removed => Some((Severity::Medium, Some("a rule of sudo is gone"))),
        Doing::Added | Doing::Changed if rule.starts_with(b"Defaults") => {
            Some((Severity::Medium, Some("a setting of sudo is another")))
        }
        Doing::Added | Doing::Changed => {
            Some((Severity::High, Some("a new rule of sudo lets somebody act as another")))
        }
    }
}

fn autorun(change: &Change) -> Warning {
    if change.doing() == Doing::Removed {
        return None;
    }
    // Only when it was written is another: nothing else runs than before.
    let before = change.before.as_deref().unwrap_or_default();
    if change.doing() == Doing::Changed && before.iter().all(|field| field.name == "changed_secs") {
        return None;
    }
    let user = value(change.after.as_deref(), "user").unwrap_or_default();
    let is_root = user.is_empty() || user == b"root";
    match value(change.after.as_deref(), "kind").unwrap_or_default() {
        b"ld_preload" => {
            Some((Severity::High, Some("a library is put into every program that starts")))
        }
        b"cron" | b"anacron" | b"cron_script" | b"at" if is_root => {
            Some((Severity::Medium, Some("root runs something at a time")))
        }
        b"systemd" | b"systemd_generator" | b"init" | b"rc_local" if is_root => {
            Some((Severity::Medium, Some("root runs something with the machine")))
        }
        b"udev" | b"modprobe" => {
            Some((Severity::Medium, Some("root runs something with a device or module")))
        }
        b"profile" if is_root => Some((Severity::Medium, Some("what runs at a login is another"))),
        b"module_loaded" => Some((Severity::Low, None)),
        _ => Some((Severity::Low, Some("something new is started by itself"))),
    }
}

fn is_loopback(change: &Change) -> bool {
    let address = value(change.after.as_deref(), "address").unwrap_or_default();
    let address = std::str::from_utf8(address).ok().and_then(|text| text.parse().ok());
    address.is_some_and(|address: std::net::IpAddr| address.to_canonical().is_loopback())
}

fn value<'a>(fields: Option<&'a [Field]>, name: &str) -> Option<&'a [u8]> {
    let field = fields?.iter().find(|field| field.name == name)?;
    Some(field.value.as_bytes())
}

/// Whether the item has this value now.
fn is(change: &Change, name: &str, expected: &[u8]) -> bool {
    value(change.after.as_deref(), name) == Some(expected)
}

/// Whether a field is new or another. Of a changed item `before` holds what differs; what was
/// not there at all is not among it.
fn differs(change: &Change, name: &str) -> bool {
    let had = value(change.before.as_deref(), name);
    change.doing() == Doing::Added
        || had.is_some()
        || (name == "members" && value(change.after.as_deref(), name).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(text: &str) -> Option<Vec<Field>> {
        let field = |word: &str| {
            let (name, value) = word.split_once('=').unwrap();
            Field { name: name.to_owned(), value: value.into() }
        };
        (text != "-").then(|| text.split_whitespace().map(field).collect())
    }

    /// A key, the fields before and after (`-` for none), and how grave that is.
    #[track_caller]
    fn check(subject: Subject, key: &str, before: &str, after: &str, expected: &str) {
        let (before, after) = (fields(before), fields(after));
        let change = Change { key: key.into(), before, after, warning: None };
        let warned = of(subject, &change);
        let shown = warned.map_or("nothing".to_owned(), |(severity, _)| format!("{severity:?}"));
        assert_eq!(shown, expected, "{change:?}");
    }

    #[test]
    fn an_account_with_all_rights_or_without_a_password_is_grave() {
        check(Subject::Users, "eve", "-", "uid=0 password=set", "High");
        check(Subject::Users, "eve", "uid=1000", "uid=0", "High");
        check(Subject::Users, "eve", "-", "uid=7 password=none", "High");
        check(Subject::Users, "eve", "password=set", "uid=7 password=none", "High");
        check(Subject::Users, "eve", "-", "uid=7 password=set", "Low");
        check(Subject::Users, "www", "shell=/usr/sbin/nologin", "uid=7 shell=/bin/sh", "Medium");
        check(Subject::Users, "root", "password=set", "uid=0 password=locked", "nothing");
        check(Subject::Users, "eve", "uid=7", "-", "nothing");
    }

    #[test]
    fn somebody_new_in_a_mighty_group_is_grave_and_somebody_who_left_is_not() {
        check(Subject::Groups, "sudo", "members=ann", "gid=27 members=ann,eve", "High");
        check(Subject::Groups, "sudo", "", "gid=27 members=eve", "High");
        check(Subject::Groups, "sudo", "members=ann,eve", "gid=27 members=ann", "nothing");
        check(Subject::Groups, "audio", "members=ann", "gid=29 members=ann,eve", "Low");
        check(Subject::Groups, "new", "-", "gid=1001", "nothing");
    }

    #[test]
    fn a_new_key_for_root_is_graver_than_one_for_another() {
        check(Subject::SshKeys, "k", "-", "uid=0", "High");
        check(Subject::SshKeys, "k", "-", "uid=1000", "Medium");
        check(Subject::SshKeys, "k", "options=a", "uid=1000 options=b", "Medium");
        check(Subject::SshKeys, "k", "uid=0", "-", "nothing");
    }

    #[test]
    fn a_rule_of_sudo_is_grave_and_a_setting_less() {
        check(Subject::Sudoers, "k", "-", "rule=eve", "High");
        check(Subject::Sudoers, "k", "-", "rule=Defaults", "Medium");
        check(Subject::Sudoers, "k", "rule=eve", "-", "Medium");
    }

    #[test]
    fn what_is_started_is_graver_the_more_it_reaches() {
        check(Subject::Autoruns, "k", "-", "kind=ld_preload", "High");
        check(Subject::Autoruns, "k", "-", "kind=cron user=root", "Medium");
        check(Subject::Autoruns, "k", "-", "kind=cron user=ann", "Low");
        check(Subject::Autoruns, "k", "sha256=a", "kind=systemd sha256=b", "Medium");
        check(Subject::Autoruns, "k", "changed_secs=1", "kind=systemd changed_secs=2", "nothing");
        check(Subject::Autoruns, "k", "kind=cron", "-", "nothing");
    }

    #[test]
    fn a_port_that_only_this_machine_reaches_is_a_matter_of_course() {
        check(Subject::Listeners, "k", "-", "address=0.0.0.0", "Low");
        check(Subject::Listeners, "k", "-", "address=::1", "nothing");
        check(Subject::Listeners, "k", "address=::", "-", "nothing");
    }

    #[test]
    fn a_service_that_failed_and_a_clock_that_nobody_keeps_are_told() {
        check(Subject::Services, "k", "active=active", "active=failed", "Low");
        check(Subject::Services, "k", "path=/a", "active=failed path=/b", "nothing");
        check(Subject::Machine, "clock", "is_synchronised=true", "is_synchronised=false", "Low");
        check(Subject::Packages, "k", "-", "version=1", "nothing");
    }
}
