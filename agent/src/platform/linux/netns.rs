//! Which network namespace the calling thread is in, and whether it is the machine's own.

use std::path::Path;

use rustix::fs::stat;
use rustix::io::Errno;
use thiserror::Error;

/// The thread's own namespace, not the process's: a thread may have moved alone.
const OWN: &str = "/proc/thread-self/ns/net";
/// Process 1 lives in the namespace that the machine started with; so do kernel threads, where
/// process 1 does not let itself be looked at.
const FIRST_PROCESS: &str = "/proc/1/ns/net";
const KERNEL_THREAD: &str = "/proc/2/ns/net";
const KERNEL_THREAD_STAT: &str = "/proc/2/stat";
const FLAG_KERNEL_THREAD: u32 = 0x0020_0000;
/// The number that the initial network namespace has since Linux 6.18; before, no network
/// namespace could have it.
const INITIAL_INODE: u64 = 0xefff_fff9;

#[derive(Debug, Error)]
pub enum NetnsError {
    #[error("cannot tell which network namespace this is: reading {path}: {source}")]
    Read { path: &'static str, source: Errno },
    #[error(
        "cannot tell whether this is the initial network namespace: neither process 1 nor a kernel thread can be asked: {source}"
    )]
    Unknown { source: Errno },
}

/// A network namespace, as long as it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Netns {
    device: u64,
    inode: u64,
}

impl Netns {
    /// The one that the calling thread is in.
    pub fn own() -> Result<Self, NetnsError> {
        Self::of(OWN)
    }

    /// Is this the one that the machine started with? An error where nobody can be asked: then it
    /// must be taken for it. In a container with process ids of its own, the namespace of the
    /// container's first process counts as initial.
    pub fn is_initial(self) -> Result<bool, NetnsError> {
        if self.inode == INITIAL_INODE {
            return Ok(true);
        }
        let source = match Self::of(FIRST_PROCESS) {
            Ok(initial) => return Ok(self == initial),
            Err(NetnsError::Read { source, .. } | NetnsError::Unknown { source }) => source,
        };
        let stat = std::fs::read_to_string(KERNEL_THREAD_STAT).unwrap_or_default();
        if !is_kernel_thread(&stat) {
            return Err(NetnsError::Unknown { source });
        }
        Ok(self == Self::of(KERNEL_THREAD)?)
    }

    /// Its number, as programs in the kernel and `/proc/PID/ns/net` know it.
    #[must_use]
    pub fn inode(self) -> u64 {
        self.inode
    }

    fn of(path: &'static str) -> Result<Self, NetnsError> {
        let stat = stat(Path::new(path)).map_err(|source| NetnsError::Read { path, source })?;
        Ok(Self { device: stat.st_dev, inode: stat.st_ino })
    }
}

/// Does this line of `/proc/PID/stat` speak of a kernel thread?
fn is_kernel_thread(stat: &str) -> bool {
    // The name is in parentheses and may hold anything, parentheses too.
    let after_name = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let flags = after_name.split(' ').nth(6).and_then(|flags| flags.parse::<u32>().ok());
    flags.is_some_and(|flags| flags & FLAG_KERNEL_THREAD != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_equals_itself() {
        assert_eq!(Netns::own().unwrap(), Netns::of("/proc/self/ns/net").unwrap());
    }

    #[test]
    fn a_missing_proc_entry_is_named() {
        let error = Netns::of("/proc/self/ns/no-such-namespace").unwrap_err();
        assert!(error.to_string().contains("no-such-namespace"), "{error}");
    }

    #[test]
    fn a_process_that_calls_itself_a_kernel_thread_is_none() {
        let kernel = "2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0";
        let impostor = "2 (kthreadd) S 0 0 0 0 -1 2129984) S 0 2 2 0 -1 4194560 0 0 0 0";
        assert!(is_kernel_thread(kernel));
        assert!(!is_kernel_thread(impostor));
        assert!(!is_kernel_thread(""));
    }
}
