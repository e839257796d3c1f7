//! A mount namespace in which nothing of the machine can be written: whatever a test does wrong, it
//! does to file systems that end with it.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, StatxFlags};
use rustix::mount::{MountFlags, MountPropagationFlags};

/// What the kernel makes up stays as it is: nothing is stored there.
const OF_KERNEL: [&str; 6] = ["proc", "sysfs", "cgroup", "cgroup2", "nsfs", "devpts"];

/// Where a file must not be made; those that are there.
const PROBED: [&str; 8] = ["/", "/etc", "/usr", "/var", "/home", "/root", "/tmp", "/boot"];

/// A mount, as `/proc/self/mountinfo` tells it.
struct Mount {
    id: u64,
    path: PathBuf,
    writable: bool,
    file_system: String,
}

/// Gives this thread, and what it starts, a mount namespace of its own where all mounts that were
/// there are read-only. Panics where that is not so afterwards.
pub(crate) fn enter() {
    crate::platform::leave_mounts();
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", private).unwrap();
    for mount in writable() {
        let flags = MountFlags::BIND | MountFlags::RDONLY;
        // What is hidden below another mount cannot be reached; the rest is found out below.
        rustix::mount::mount_remount(&mount.path, flags, c"").ok();
    }
    for mount in writable() {
        assert!(!mount.is_reachable(), "{} can still be written", mount.path.display());
    }
    for directory in PROBED {
        assert!(is_read_only(Path::new(directory)), "{directory} can still be written");
    }
}

/// Whether the machine is closed to this process, as [`enter`] leaves it.
pub(crate) fn are_entered() -> bool {
    PROBED.into_iter().all(|directory| is_read_only(Path::new(directory)))
}

/// What could be written.
fn writable() -> Vec<Mount> {
    let text = std::fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
    let mounts = text.lines().map(|line| Mount::read(line).unwrap());
    let stored = |mount: &Mount| !OF_KERNEL.contains(&mount.file_system.as_str());
    mounts.filter(|mount| mount.writable && stored(mount)).collect()
}

/// Tries it: a file system says so before it looks at anything else.
fn is_read_only(directory: &Path) -> bool {
    if !directory.is_dir() {
        return true;
    }
    let probe = directory.join(format!(".cordon-probe-{}", std::process::id()));
    match OpenOptions::new().write(true).create_new(true).open(&probe) {
        Ok(_made) => {
            std::fs::remove_file(&probe).unwrap();
            false
        }
        Err(error) => error.kind() == ErrorKind::ReadOnlyFilesystem,
    }
}

impl Mount {
    fn read(line: &str) -> Option<Self> {
        let (before, after) = line.split_once(" - ")?;
        let mut fields = before.split(' ');
        let (id, path, options) = (fields.next()?, fields.nth(3)?, fields.next()?);
        Some(Self {
            id: id.parse().ok()?,
            path: unescaped(path),
            writable: options.split(',').any(|option| option == "rw"),
            file_system: after.split(' ').next()?.to_owned(),
        })
    }

    /// Whether its path leads to it, and not to another that is mounted over it.
    fn is_reachable(&self) -> bool {
        let found = rustix::fs::statx(CWD, &self.path, AtFlags::NO_AUTOMOUNT, StatxFlags::MNT_ID);
        found.is_ok_and(|found| found.stx_mnt_id == self.id)
    }
}

/// Spaces and their like stand as a backslash and three octal digits.
fn unescaped(path: &str) -> PathBuf {
    let mut bytes = Vec::new();
    let mut rest = path.as_bytes();
    while let [first, after @ ..] = rest {
        let digits = after.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        let octal = digits.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match (first, octal) {
            (b'\\', Some(byte)) => {
                bytes.push(byte);
                rest = &after[3..];
            }
            (other, _) => {
                bytes.push(*other);
                rest = after;
            }
        }
    }
    std::ffi::OsString::from_vec(bytes).into()
}
