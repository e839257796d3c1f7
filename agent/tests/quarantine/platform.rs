//! What the tests need of the kernel, and everything that can be known of a file, read without the
//! code that is tried out here.
#![allow(unsafe_code, reason = "a thread must leave its mount namespace")]

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, FileType, IFlags, Mode, SeekFrom, Timespec, Timestamps, XattrFlags,
};
use rustix::process::Signal;
use rustix::thread::UnshareFlags;

/// Gives this thread, and what it starts, a copy of the mounts.
pub(crate) fn leave_mounts() {
    // SAFETY: only the mount namespace and the working directory are left, no descriptors.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) }.unwrap();
}

/// Ends this process here and now, as a crash would.
pub(crate) fn crash() {
    rustix::process::kill_process(rustix::process::getpid(), Signal::KILL).unwrap();
}

/// Everything that can be known of a file but when it was made and last changed, and when a link
/// was last followed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Snapshot {
    mode: u32,
    owner: (u32, u32),
    accessed: (i64, i64),
    modified: (i64, i64),
    links: u64,
    bytes: u64,
    content: Vec<u8>,
    runs: Vec<(u64, u64)>,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    flags: u32,
}

impl Snapshot {
    /// Of the file, or the link, at a path. The content is that of its runs of data.
    pub(crate) fn of(path: &Path) -> Self {
        let meta = std::fs::symlink_metadata(path).unwrap();
        let mut snapshot = Self {
            mode: meta.mode(),
            owner: (meta.uid(), meta.gid()),
            accessed: (meta.atime(), meta.atime_nsec()),
            modified: (meta.mtime(), meta.mtime_nsec()),
            links: meta.nlink(),
            bytes: meta.size(),
            content: Vec::new(),
            runs: Vec::new(),
            xattrs: xattrs(path),
            flags: 0,
        };
        if FileType::from_raw_mode(meta.mode()).is_symlink() {
            // To read where it leads moves it, and the agent must do so, too.
            snapshot.accessed = (0, 0);
            snapshot.content =
                std::fs::read_link(path).unwrap().into_os_string().into_encoded_bytes();
        } else {
            let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NOATIME;
            let file: File = rustix::fs::openat(CWD, path, flags, Mode::empty()).unwrap().into();
            snapshot.flags = rustix::fs::ioctl_getflags(&file).map_or(0, |flags| flags.bits());
            snapshot.read(&file);
        }
        snapshot
    }

    pub(crate) fn without_access_time(self) -> Self {
        Self { accessed: (0, 0), ..self }
    }

    /// Whether both hold the same.
    pub(crate) fn has_content_of(&self, other: &Self) -> bool {
        (&self.content, &self.runs, self.bytes) == (&other.content, &other.runs, other.bytes)
    }

    fn read(&mut self, file: &File) {
        use std::os::unix::fs::FileExt;
        let mut at = 0;
        while let Ok(start) = rustix::fs::seek(file, SeekFrom::Data(at)) {
            at = rustix::fs::seek(file, SeekFrom::Hole(start)).unwrap();
            let mut data = vec![0; usize::try_from(at - start).unwrap()];
            file.read_exact_at(&mut data, start).unwrap();
            self.runs.push((start, at));
            self.content.extend(data);
        }
    }
}

fn xattrs(path: &Path) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut names = vec![0; 1 << 16];
    let bytes = rustix::fs::llistxattr(path, names.as_mut_slice()).unwrap_or(0);
    let names = names[..bytes].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let mut xattrs: Vec<_> = names
        .map(|name| {
            let mut value = vec![0; 1 << 16];
            let read = rustix::fs::lgetxattr(path, OsStr::from_bytes(name), value.as_mut_slice());
            value.truncate(read.unwrap());
            (name.to_vec(), value)
        })
        .collect();
    xattrs.sort();
    xattrs
}

/// Gives an attribute; whether the file system takes it.
pub(crate) fn set_xattr(path: &Path, name: &str, value: &[u8]) -> bool {
    rustix::fs::lsetxattr(path, name, value, XattrFlags::empty()).is_ok()
}

/// Sets both times of a file or a link.
pub(crate) fn set_times(path: &Path, secs: i64, nanos: i64) {
    let time = |secs| Timespec { tv_sec: secs, tv_nsec: nanos };
    let times = Timestamps { last_access: time(secs), last_modification: time(secs + 1) };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

/// Sets the flags that close a file, and no others; whether the file system has them.
pub(crate) fn set_closed(path: &Path, immutable: bool, append: bool) -> bool {
    let file = File::open(path).unwrap();
    let Ok(now) = rustix::fs::ioctl_getflags(&file) else { return false };
    let mut flags = now - (IFlags::IMMUTABLE | IFlags::APPEND);
    flags.set(IFlags::IMMUTABLE, immutable);
    flags.set(IFlags::APPEND, append);
    flags == now || rustix::fs::ioctl_setflags(&file, flags).is_ok()
}

/// Makes a pipe, a socket or a device; the device is `/dev/null`'s.
pub(crate) fn make_special(path: &Path, kind: FileType) {
    let device = rustix::fs::makedev(1, 3);
    rustix::fs::mknodat(CWD, path, kind, Mode::RUSR, device).unwrap();
}
