//! A control group of the second version for what runs in the lab, below the one we run in.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::PollFlags;

use super::error::{LabError, doing};
use crate::clock::Stopwatch;
use crate::process::wait_for;
use crate::undo::{self, Undo};

/// How long the kernel may take to end what is in a group.
const EMPTY_MAX: Duration = Duration::from_secs(5);

/// Dropping it kills what is still in it and removes it.
#[derive(Debug)]
pub struct Cgroup {
    path: PathBuf,
    _undo: Undo,
}

impl Cgroup {
    pub(super) fn make(name: &str) -> Result<Option<Self>, LabError> {
        let Some(parent) = own_group().map_err(doing(|| "finding our control group".into()))?
        else {
            return Ok(None);
        };
        let path = parent.join(name);
        let doomed = path.clone();
        let making = format!("the control group {}", path.display());
        let ((), undo) = undo::make(
            &making,
            move || remove(&doomed).map_err(|error| error.to_string()),
            || fs::create_dir(&path).map_err(doing(|| format!("making {making}"))),
        )?;
        Ok(Some(Self { path, _undo: undo }))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The processes in it now.
    pub fn pids(&self) -> Result<Vec<u32>, LabError> {
        let file = self.path.join("cgroup.procs");
        let text =
            fs::read_to_string(&file).map_err(doing(|| format!("reading {}", file.display())))?;
        Ok(text.lines().filter_map(|line| line.parse().ok()).collect())
    }
}

/// Our own group's folder, if the second version is mounted.
pub(super) fn own_group() -> io::Result<Option<PathBuf>> {
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let groups = fs::read_to_string("/proc/self/cgroup")?;
    Ok(group_folder(&mounts, &groups).filter(|folder| folder.is_dir()))
}

fn group_folder(mounts: &str, groups: &str) -> Option<PathBuf> {
    let mut fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let mount = fields.find(|fields| fields.get(2) == Some(&"cgroup2"))?;
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    // A group above what this mount shows is written with dots: then the mount's top must do.
    let own = if own.starts_with("..") { "" } else { own };
    Some(Path::new(mount.get(1)?).join(own))
}

/// Kills what is in the group and below it, waits until it is empty, removes it from below.
pub(super) fn remove(group: &Path) -> io::Result<()> {
    if !group.exists() {
        return Ok(());
    }
    fs::write(group.join("cgroup.kill"), "1")?;
    wait_until_empty(group)?;
    remove_folders(group)
}

fn wait_until_empty(group: &Path) -> io::Result<()> {
    let watch = Stopwatch::start();
    let path = group.join("cgroup.events");
    loop {
        let events = File::open(&path)?;
        if io::read_to_string(&events)?.lines().any(|line| line == "populated 0") {
            return Ok(());
        }
        let left = watch.left_of(EMPTY_MAX);
        // The kernel marks the file when its content changed since it was read through this very
        // descriptor.
        if left.is_zero() || !wait_for(&events, PollFlags::PRI, Some(left))? {
            let message = format!("{} still has processes after SIGKILL", group.display());
            return Err(io::Error::new(io::ErrorKind::TimedOut, message));
        }
    }
}

fn remove_folders(group: &Path) -> io::Result<()> {
    for entry in fs::read_dir(group)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_folders(&entry.path())?;
        }
    }
    fs::remove_dir(group)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(mounts: &str, groups: &str, expected: Option<&str>) {
        assert_eq!(group_folder(mounts, groups), expected.map(PathBuf::from));
    }

    const UNIFIED: &str = "sysfs /sys sysfs rw 0 0\ncgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n";
    const HYBRID: &str = "cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\ncgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";

    #[test]
    fn the_group_lies_below_our_own() {
        let own = "0::/user.slice/session-3.scope\n";
        check(UNIFIED, own, Some("/sys/fs/cgroup/user.slice/session-3.scope"));
    }

    #[test]
    fn a_machine_with_both_versions_has_the_second_beside_the_first() {
        check(HYBRID, "4:memory:/\n0::/\n", Some("/sys/fs/cgroup/unified/"));
    }

    #[test]
    fn a_group_out_of_sight_gives_the_top_of_the_mount() {
        check(UNIFIED, "0::/../other\n", Some("/sys/fs/cgroup/"));
    }

    #[test]
    fn a_machine_without_the_second_version_has_none() {
        check("cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n", "4:memory:/\n", None);
    }
}
