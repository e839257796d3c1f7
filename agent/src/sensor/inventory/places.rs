//! Where a change of a file means that an inventory is to be taken again.
//!
//! What stands nowhere here is seen in the inventory's period: users' own directories, because
//! there may be thousands; rpm's database, because asking rpm writes to it.

use std::path::{Path, PathBuf};

use cordon_proto::event::inventory::Subject;

/// A directory, of which names a change counts (none: of all), and for what.
struct Place {
    directory: &'static str,
    names: &'static [&'static str],
    subjects: &'static [Subject],
}

const ALL_NAMES: &[&str] = &[];
const AUTORUNS: &[Subject] = &[Subject::Autoruns];
const UNITS: &[Subject] = &[Subject::Autoruns, Subject::Services];
/// New accounts have new homes.
const ACCOUNTS: &[Subject] =
    &[Subject::Users, Subject::Groups, Subject::SshKeys, Subject::Autoruns];
const STARTED_BY_ETC: &[&str] = &[
    "crontab",
    "anacrontab",
    "ld.so.preload",
    "rc.local",
    "modules",
    "profile",
    "bash.bashrc",
    "bashrc",
    "environment",
];

const fn place(
    directory: &'static str,
    names: &'static [&'static str],
    subjects: &'static [Subject],
) -> Place {
    Place { directory, names, subjects }
}

const PLACES: [Place; 28] = [
    place("/etc", &["passwd"], ACCOUNTS),
    place("/etc", &["shadow"], &[Subject::Users]),
    place("/etc", &["group"], &[Subject::Groups]),
    place("/etc", &["sudoers"], &[Subject::Sudoers]),
    place("/etc", &["os-release", "localtime", "timezone"], &[Subject::Machine]),
    place("/etc", STARTED_BY_ETC, AUTORUNS),
    place("/etc/sudoers.d", ALL_NAMES, &[Subject::Sudoers]),
    place("/etc/ssh", &["sshd_config"], &[Subject::SshKeys]),
    place("/etc/ssh/sshd_config.d", ALL_NAMES, &[Subject::SshKeys]),
    place("/root/.ssh", ALL_NAMES, &[Subject::SshKeys, Subject::Autoruns]),
    place("/etc/cron.d", ALL_NAMES, AUTORUNS),
    place("/etc/cron.hourly", ALL_NAMES, AUTORUNS),
    place("/etc/cron.daily", ALL_NAMES, AUTORUNS),
    place("/etc/cron.weekly", ALL_NAMES, AUTORUNS),
    place("/etc/cron.monthly", ALL_NAMES, AUTORUNS),
    place("/etc/crontabs", ALL_NAMES, AUTORUNS),
    place("/var/spool/cron", ALL_NAMES, AUTORUNS),
    place("/var/spool/cron/crontabs", ALL_NAMES, AUTORUNS),
    place("/etc/systemd/system", ALL_NAMES, UNITS),
    place("/etc/systemd/system/multi-user.target.wants", ALL_NAMES, UNITS),
    place("/etc/systemd/system/timers.target.wants", ALL_NAMES, UNITS),
    place("/etc/systemd/user", ALL_NAMES, AUTORUNS),
    place("/etc/profile.d", ALL_NAMES, AUTORUNS),
    place("/etc/udev/rules.d", ALL_NAMES, AUTORUNS),
    place("/etc/modules-load.d", ALL_NAMES, AUTORUNS),
    place("/etc/init.d", ALL_NAMES, AUTORUNS),
    place("/var/lib/dpkg", &["status"], &[Subject::Packages]),
    place("/lib/apk/db", &["installed"], &[Subject::Packages]),
];

/// The directories to watch below a root, each once.
pub(super) fn directories(root: &Path) -> Vec<(&'static str, PathBuf)> {
    let mut names: Vec<&'static str> = PLACES.iter().map(|place| place.directory).collect();
    names.dedup();
    let below = |name: &'static str| (name, root.join(name.trim_start_matches('/')));
    names.into_iter().map(below).collect()
}

/// What is made from a name in one of these directories; from any, where none is known.
pub(super) fn subjects(directory: &str, name: Option<&[u8]>) -> Vec<Subject> {
    let is_it = |place: &&Place| {
        let is_named = |name: &[u8]| place.names.iter().any(|known| known.as_bytes() == name);
        place.directory == directory && (place.names.is_empty() || name.is_none_or(is_named))
    };
    let mut all: Vec<Subject> =
        PLACES.iter().filter(is_it).flat_map(|place| place.subjects).copied().collect();
    all.sort_unstable();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(directory: &str, name: Option<&str>, expected: &str) {
        let found = subjects(directory, name.map(str::as_bytes));
        let names: Vec<_> = found.into_iter().map(Subject::name).collect();
        assert_eq!(names.join(" "), expected);
    }

    #[test]
    fn a_change_concerns_what_is_made_from_that_file() {
        check("/etc", Some("passwd"), "users groups ssh_keys autoruns");
        check("/etc", Some("shadow"), "users");
        check("/etc", Some("resolv.conf"), "");
        check("/etc", None, "users groups ssh_keys sudoers autoruns machine");
        check("/etc/cron.d", Some("anything"), "autoruns");
        check("/var/lib/dpkg", Some("lock"), "");
    }

    #[test]
    fn a_directory_is_watched_once() {
        let all = directories(Path::new("/x"));
        assert_eq!(all.len(), 23);
        assert_eq!(all[0], ("/etc", PathBuf::from("/x/etc")));
    }
}
