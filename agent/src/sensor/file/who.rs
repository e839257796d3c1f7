//! Who changed a file: what /proc says of a process while it lives.
//!
//! A process that has ended by the time its message is read (often a matter of milliseconds) is
//! known by its number alone. Package managers are known by their program, or by that of a process
//! they descend from; root can pretend to be one, which lowers how grave a change is called and
//! hides nothing.

use cordon_proto::Text;
use cordon_proto::event::Actor;

use crate::sensor::process::who::Looked;

/// Programs that install software.
const PACKAGE_MANAGERS: [&[u8]; 13] = [
    b"/usr/bin/dpkg",
    b"/usr/bin/apt",
    b"/usr/bin/apt-get",
    b"/usr/bin/aptitude",
    b"/usr/bin/rpm",
    b"/usr/bin/dnf",
    b"/usr/bin/dnf-3",
    b"/usr/bin/dnf5",
    b"/usr/bin/yum",
    b"/usr/bin/zypper",
    b"/usr/bin/pacman",
    b"/sbin/apk",
    b"/usr/bin/unattended-upgrade",
];

/// How many ancestors are asked whether they are package managers.
const ANCESTORS_MAX: usize = 8;

/// A process, as far as it could be looked at.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Who {
    pub(super) actor: Actor,
    pub(super) by_package_manager: bool,
}

/// What is known of processes during one round of messages; numbers are used again later.
#[derive(Debug, Default)]
pub(super) struct Round {
    known: Vec<(u32, Who)>,
}

impl Round {
    /// Looks a process up, once a round.
    pub(super) fn who(&mut self, pid: u32) -> Who {
        if let Some((_, who)) = self.known.iter().find(|(known, _)| *known == pid) {
            return who.clone();
        }
        let who = look(pid);
        self.known.push((pid, who.clone()));
        who
    }
}

fn look(pid: u32) -> Who {
    let Some(looked) = Looked::at(pid) else {
        return Who { actor: Actor { pid, ..Actor::default() }, by_package_manager: false };
    };
    let by_package_manager = descends(&looked);
    let Looked { start_boot_ns, parent_pid, uid, name, image, .. } = looked;
    let (name, image) = (name.map(Text::from), image.map(Text::from));
    let actor = Actor { pid, start_boot_ns, parent_pid, uid, name, image };
    Who { actor, by_package_manager }
}

/// Whether a process of root, or one of its ancestors, is a package manager.
fn descends(looked: &Looked) -> bool {
    if looked.uid != Some(0) {
        return false;
    }
    let mut parent_pid = looked.parent_pid;
    let mut found = is_package_manager(looked);
    for _ in 0..ANCESTORS_MAX {
        let Some(pid) = parent_pid.filter(|pid| *pid > 1 && !found) else { break };
        let Some(parent) = Looked::at(pid) else { break };
        found = is_package_manager(&parent);
        parent_pid = parent.parent_pid;
    }
    found
}

fn is_package_manager(looked: &Looked) -> bool {
    let is_one = |path: &[u8]| PACKAGE_MANAGERS.contains(&path);
    let Some(image) = &looked.image else { return false };
    if image.starts_with(b"/usr/bin/python3") {
        return looked.script.as_deref().is_some_and(is_one);
    }
    // While it replaces itself its file is gone.
    is_one(image.strip_suffix(b" (deleted)").unwrap_or(image))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(image: &str, script: &str, expected: bool) {
        let looked = Looked {
            image: Some(image.as_bytes().to_vec()),
            script: Some(script.as_bytes().to_vec()),
            ..Looked::default()
        };
        assert_eq!(is_package_manager(&looked), expected, "{image} {script}");
    }

    #[test]
    fn package_managers_are_known_by_their_program() {
        check("/usr/bin/dpkg", "", true);
        check("/usr/bin/dpkg (deleted)", "", true);
        check("/usr/bin/python3.12", "/usr/bin/dnf", true);
        check("/usr/bin/python3.12", "/tmp/dnf", false);
        check("/tmp/dpkg", "", false);
    }

    #[test]
    fn a_living_process_is_known_and_a_dead_one_by_its_number_alone() {
        let mut round = Round::default();
        let own = round.who(std::process::id()).actor;
        assert!(own.start_boot_ns.is_some() && own.uid.is_some() && own.image.is_some());
        assert!(own.name.is_some() && own.parent_pid.is_some());
        let gone = round.who(u32::MAX).actor;
        assert_eq!(gone, Actor { pid: u32::MAX, ..Actor::default() });
    }
}
