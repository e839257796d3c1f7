//! Who may not be touched: what the machine lives by, the agent and those around it, what policy
//! protects; and of an agent that is only tried out, everybody outside of its own control group.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::freeze::folder_of;
use super::stat::Stat;
use crate::action::deed::Hand;
use crate::ledger::NotDone;
use crate::platform::linux::cgroup_scope::{self, Scope};
use crate::platform::linux::netns::Netns;

/// Without these a machine with systemd cannot be logged into, or not be trusted with what it
/// tells.
const ESSENTIALS: [&str; 8] = [
    "/usr/lib/systemd/systemd",
    "/usr/lib/systemd/systemd-journald",
    "/usr/lib/systemd/systemd-logind",
    "/usr/lib/systemd/systemd-udevd",
    "/usr/bin/udevadm",
    "/usr/bin/dbus-daemon",
    "/usr/bin/dbus-broker",
    "/usr/bin/dbus-broker-launch",
];

/// Makers that are followed from the agent up.
const MAKERS_MAX: usize = 64;

/// Who is protected.
#[derive(Debug)]
pub(super) struct Protection {
    own: u32,
    makers: BTreeSet<u32>,
    /// Device and inode of programs, with their places.
    programs: Vec<((u64, u64), PathBuf)>,
    /// The folder of the only group that may be touched.
    only: Option<PathBuf>,
}

impl Protection {
    pub(super) fn of(hand: &Hand) -> Result<Self, NotDone> {
        let own = std::process::id();
        let policy = hand.policy.as_ref().and_then(|policy| policy.protected.as_ref());
        let policy = policy.into_iter().flatten();
        let policy = policy.map(|path| PathBuf::from(std::ffi::OsStr::from_bytes(path.as_bytes())));
        let paths = ESSENTIALS.iter().map(PathBuf::from).chain(policy);
        let programs = paths.filter_map(|path| Some((file(&path)?, path))).collect();
        let only = only(hand.tools.lab).map_err(NotDone::Refused)?;
        Ok(Self { own, makers: makers(own), programs, only })
    }

    /// Why a process may not be touched, if so.
    pub(super) fn refuses(&self, stat: &Stat) -> Option<String> {
        let title = stat.title();
        if stat.pid == 1 {
            return Some(format!("process {title} is the first of the machine"));
        }
        if stat.is_kernel {
            return Some(format!("process {title} is a thread of the kernel"));
        }
        if stat.pid == self.own || makers(stat.pid).contains(&self.own) {
            return Some(format!("process {title} is the agent, or works for it"));
        }
        if self.makers.contains(&stat.pid) {
            return Some(format!("process {title} has started the agent"));
        }
        let program = file(Path::new(&format!("/proc/{}/exe", stat.pid)));
        let known = self.programs.iter().find(|(file, _)| Some(*file) == program);
        if let Some((_, path)) = known {
            return Some(format!("process {title} is protected: it runs {}", path.display()));
        }
        self.is_outside(stat.pid).then(|| {
            format!(
                "process {title} is outside of the agent's own control group, and this agent is \
                 only tried out"
            )
        })
    }

    fn is_outside(&self, pid: u32) -> bool {
        let Some(only) = &self.only else { return false };
        !folder_of(pid).is_some_and(|folder| folder.starts_with(only))
    }
}

/// A file that is not there protects nobody.
fn file(path: &Path) -> Option<(u64, u64)> {
    let found = fs::metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}

/// Who started a process, and who those, as far as they are alive.
fn makers(pid: u32) -> BTreeSet<u32> {
    let mut makers = BTreeSet::new();
    let mut next = Stat::read(pid).map(|stat| stat.parent);
    while let Some(maker) = next.filter(|maker| *maker != 0 && makers.len() < MAKERS_MAX) {
        if !makers.insert(maker) {
            break;
        }
        next = Stat::read(maker).map(|stat| stat.parent);
    }
    makers
}

/// The only group that an agent may touch which is not the machine's own; none for everything.
fn only(lab: bool) -> Result<Option<PathBuf>, String> {
    let is_initial = Netns::own().and_then(Netns::is_initial).ok();
    if is_initial == Some(true) && !lab {
        return Ok(None);
    }
    let group = cgroup_scope::group(is_initial, lab).map_err(|error| {
        format!("this agent may touch its own control group only, and it has none: {error}")
    })?;
    match group.scope {
        Scope::Machine => Ok(None),
        Scope::Own => Ok(Some(group.path)),
    }
}
