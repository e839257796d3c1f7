//! Control groups that are held still whole: nothing in a frozen group runs or forks, and SIGKILL
//! still ends it.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use minicbor::{Decode, Encode};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::clock::Clock;
use crate::platform::linux::cgroup_scope::mounted;

/// How long the kernel is waited for until all in a group stand still.
const FREEZE_MAX: Duration = Duration::from_secs(2);

/// Groups below one that are looked into.
const GROUPS_MAX: usize = 1024;

/// A control group of the second version, by its folder.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub(super) struct Group {
    #[cbor(n(0), with = "minicbor::bytes")]
    path: Vec<u8>,
    /// Whether it was frozen before anything was done.
    #[n(1)]
    was_frozen: bool,
}

impl Group {
    /// The group of a process; none for the root, and where the second version is not mounted.
    pub(super) fn of(pid: u32) -> Option<Self> {
        let path = folder_of(pid)?;
        let was_frozen = is_one(&path.join("cgroup.freeze"))?;
        Some(Self { path: path.into_os_string().into_vec(), was_frozen })
    }

    pub(super) fn path(&self) -> &Path {
        Path::new(std::ffi::OsStr::from_bytes(&self.path))
    }

    pub(super) fn was_frozen(&self) -> bool {
        self.was_frozen
    }

    /// Those in it and in the groups below it.
    pub(super) fn pids(&self) -> io::Result<Vec<u32>> {
        let (mut pids, mut folders) = (Vec::new(), vec![self.path().to_owned()]);
        let mut looked = 0;
        while let Some(folder) = folders.pop() {
            looked += 1;
            if looked > GROUPS_MAX {
                return Err(io::Error::other(format!("it has more than {GROUPS_MAX} groups")));
            }
            let text = std::fs::read_to_string(folder.join("cgroup.procs"))?;
            pids.extend(text.lines().filter_map(|line| line.parse::<u32>().ok()));
            for entry in std::fs::read_dir(&folder)? {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    folders.push(entry.path());
                }
            }
        }
        Ok(pids)
    }

    /// Holds it still; false if it does not stand still in time.
    pub(super) fn freeze(&self) -> io::Result<bool> {
        let events = self.path().join("cgroup.events");
        std::fs::write(self.path().join("cgroup.freeze"), "1")?;
        let clock = Clock::start();
        loop {
            let file = File::open(&events)?;
            if says_frozen(&io::read_to_string(&file)?) {
                return Ok(true);
            }
            let left = FREEZE_MAX.saturating_sub(clock.now());
            if left.is_zero() {
                return Ok(false);
            }
            // The kernel marks the file when it changes after it was read through this descriptor.
            let left = Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            };
            match poll(&mut [PollFd::from_borrowed_fd(file.as_fd(), PollFlags::PRI)], Some(&left)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// As it was before. A group that is gone has nobody to be let go.
    pub(super) fn put_back(&self) -> io::Result<()> {
        if self.was_frozen {
            return Ok(());
        }
        match std::fs::write(self.path().join("cgroup.freeze"), "0") {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    /// Whether all in it stand still.
    pub(super) fn is_frozen(&self) -> bool {
        let events = std::fs::read_to_string(self.path().join("cgroup.events"));
        events.is_ok_and(|events| says_frozen(&events))
    }

    /// Whether a process is in it or below it.
    pub(super) fn has(&self, pid: u32) -> bool {
        folder_of(pid).is_some_and(|folder| folder.starts_with(self.path()))
    }
}

/// The folder of a process's group; none for the root.
pub(super) fn folder_of(pid: u32) -> Option<PathBuf> {
    let mounts = std::fs::read("/proc/self/mountinfo").ok()?;
    let groups = std::fs::read(format!("/proc/{pid}/cgroup")).ok()?;
    mounted(&mounts, &groups)
}

fn is_one(path: &Path) -> Option<bool> {
    Some(std::fs::read_to_string(path).ok()?.trim() == "1")
}

fn says_frozen(events: &str) -> bool {
    events.lines().any(|line| line == "frozen 1")
}
