//! Where control groups of the second version are, and which of them a program may be hung on.
//!
//! A program on the root of the tree runs for every process of the machine, whatever namespace it
//! is in. So the root is taken only by an agent that runs as a service of the machine itself;
//! everybody else gets their own group or nothing.

use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

const MOUNTS: &str = "/proc/self/mountinfo";
const GROUPS: &str = "/proc/thread-self/cgroup";

/// Whose processes a program runs for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Scope {
    /// All of the machine's.
    Machine,
    /// Those of the agent's own group and of the groups below it.
    Own,
}

/// A group that programs may be hung on.
#[derive(Debug)]
pub struct Group {
    /// Whose processes are in it.
    pub scope: Scope,
    /// Its folder.
    pub path: PathBuf,
    /// The folder, open.
    pub folder: File,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// A file that says where groups are could not be read.
    #[error("reading {path}: {source}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The second version is not mounted.
    #[error("control groups of version 2 are not mounted whole")]
    NotMounted,
    /// The process is in no group of the second version.
    #[error("this process is in no control group of version 2")]
    NoGroup,
    /// The process was not put into a group of its own.
    #[error(
        "the agent's own control group is the root, so it was not started as a service; a program \
         there would run for every process of the machine"
    )]
    OwnIsRoot,
    /// The own group is not below what is mounted here.
    #[error("the agent's own control group is outside of what is mounted here")]
    OutOfSight,
}

/// The group to hang programs on. `is_initial` says whether the agent is in the network namespace
/// that the machine started with (none where nobody could tell); `lab` that it must not touch what
/// is not its own.
pub fn group(is_initial: Option<bool>, lab: bool) -> Result<Group, CgroupError> {
    let read = |path: &str| {
        std::fs::read(path).map_err(|source| CgroupError::Read { path: path.into(), source })
    };
    let (scope, path) = choose(&read(MOUNTS)?, &read(GROUPS)?, is_initial, lab)?;
    let folder =
        File::open(&path).map_err(|source| CgroupError::Read { path: path.clone(), source })?;
    Ok(Group { scope, path, folder })
}

/// Is the process in the agent's own group, or in one below it? Never where that is the root.
pub fn is_in_own(pid: u32) -> io::Result<bool> {
    let (own, other) = (std::fs::read(GROUPS)?, std::fs::read(format!("/proc/{pid}/cgroup"))?);
    Ok(is_below(&own, &other))
}

fn is_below(own: &[u8], other: &[u8]) -> bool {
    let path = |groups| lines(groups).find_map(|line| line.strip_prefix(b"0::/"));
    let (Some(own), Some(other)) = (path(own), path(other)) else { return false };
    let inside = other.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest[0] == b'/');
    inside && !own.is_empty() && !own.starts_with(b"..")
}

fn choose(
    mounts: &[u8],
    groups: &[u8],
    is_initial: Option<bool>,
    lab: bool,
) -> Result<(Scope, PathBuf), CgroupError> {
    let mount = mount_point(mounts).ok_or(CgroupError::NotMounted)?;
    let own = place(&mount, groups)?;
    if is_initial == Some(true) && !lab {
        return Ok((Scope::Machine, mount));
    }
    Ok((Scope::Own, own))
}

/// The folder of the group of a process, read from its `cgroup`; none for the root, and where it
/// cannot be seen from the mounts of `mountinfo`.
#[must_use]
pub fn mounted(mounts: &[u8], groups: &[u8]) -> Option<PathBuf> {
    place(&mount_point(mounts)?, groups).ok()
}

fn place(mount: &Path, groups: &[u8]) -> Result<PathBuf, CgroupError> {
    let own =
        lines(groups).find_map(|line| line.strip_prefix(b"0::/")).ok_or(CgroupError::NoGroup)?;
    if own.is_empty() {
        return Err(CgroupError::OwnIsRoot);
    }
    if own.starts_with(b"..") {
        return Err(CgroupError::OutOfSight);
    }
    // A group that was removed under a process keeps its name with this at its end.
    let own = own.strip_suffix(b" (deleted)").unwrap_or(own);
    Ok(mount.join(Path::new(std::ffi::OsStr::from_bytes(own))))
}

/// Where the whole tree is mounted: a mount of a part of it cannot show the rest.
fn mount_point(mounts: &[u8]) -> Option<PathBuf> {
    lines(mounts).find_map(|line| {
        let mut fields = line.split(|byte| *byte == b' ');
        let (root, point) = (fields.nth(3)?, fields.next()?);
        let kind = fields.skip_while(|field| *field != b"-").nth(1)?;
        let whole = kind == b"cgroup2" && root == b"/";
        whole.then(|| Path::new(std::ffi::OsStr::from_bytes(point)).to_owned())
    })
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIFIED: &str = "25 1 0:23 / /proc rw shared:2 - proc proc rw\n\
                           30 25 0:26 / /sys/fs/cgroup rw,relatime shared:4 - cgroup2 cgroup2 rw\n";
    const HYBRID: &str = "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
                          41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
    const SERVICE: &str = "4:memory:/x\n0::/system.slice/cordon-agent.service\n";

    #[track_caller]
    fn check(mounts: &str, groups: &str, is_initial: Option<bool>, lab: bool, expected: &str) {
        let chosen = choose(mounts.as_bytes(), groups.as_bytes(), is_initial, lab);
        let said = match chosen {
            Ok((scope, path)) => format!("{scope:?} {}", path.display()),
            Err(error) => error.to_string(),
        };
        assert!(said.starts_with(expected), "{said}");
    }

    #[test]
    fn a_service_of_the_machine_takes_the_root_wherever_it_is_mounted() {
        check(UNIFIED, SERVICE, Some(true), false, "Machine /sys/fs/cgroup");
        check(HYBRID, SERVICE, Some(true), false, "Machine /sys/fs/cgroup/unified");
    }

    #[test]
    fn outside_the_initial_namespace_or_in_a_lab_the_own_group_is_taken() {
        let own = "Own /sys/fs/cgroup/unified/system.slice/cordon-agent.service";
        check(HYBRID, SERVICE, Some(false), false, own);
        check(HYBRID, SERVICE, None, false, own);
        check(HYBRID, SERVICE, Some(true), true, own);
    }

    #[test]
    fn nobody_takes_the_root_because_it_is_their_own() {
        for is_initial in [Some(true), Some(false), None] {
            for lab in [true, false] {
                check(
                    HYBRID,
                    "0::/\n",
                    is_initial,
                    lab,
                    "the agent's own control group is the root",
                );
            }
        }
    }

    #[test]
    fn only_what_is_below_a_group_that_is_not_the_root_is_the_agents_own() {
        let check = |own: &str, other: &str, expected: bool| {
            assert_eq!(is_below(own.as_bytes(), other.as_bytes()), expected, "{own} {other}");
        };
        check("4:x:/y\n0::/lab/agent\n", "0::/lab/agent\n", true);
        check("0::/lab/agent\n", "0::/lab/agent/below\n", true);
        check("0::/lab/agent\n", "0::/lab/agents\n", false);
        check("0::/lab/agent\n", "0::/lab\n", false);
        check("0::/\n", "0::/\n", false);
        check("0::/\n", "0::/other\n", false);
        check("0::/../other\n", "0::/../other\n", false);
        check("4:x:/y\n", "4:x:/y\n", false);
    }

    #[test]
    fn a_tree_that_is_missing_or_out_of_sight_is_named() {
        check(UNIFIED, "0::/../other\n", Some(true), false, "the agent's own control group is out");
        check(UNIFIED, "4:memory:/\n", Some(true), false, "this process is in no control group");
        let part = "30 25 0:26 /part /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        check(part, SERVICE, Some(true), false, "control groups of version 2 are not mounted");
    }
}
