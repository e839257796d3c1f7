//! fanotify: the kernel tells of changes on whole file systems, and which process made them.
//!
//! Only told of, never asked for permission: a listener that hangs must not hang the machine.
#![allow(unsafe_code, reason = "rustix has no calls for fanotify and for file handles")]

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::CWD;

/// A file was closed that could be written to.
pub const CLOSE_WRITE: u64 = libc::FAN_CLOSE_WRITE;
/// A name came into a directory.
pub const CREATE: u64 = libc::FAN_CREATE;
/// A name went from a directory.
pub const DELETE: u64 = libc::FAN_DELETE;
/// Owner, mode or times changed.
pub const ATTRIB: u64 = libc::FAN_ATTRIB;
/// A name became another one: both in one message (Linux 5.17).
pub const RENAME: u64 = libc::FAN_RENAME;
/// The same in two messages, for older kernels.
pub const MOVED_FROM: u64 = libc::FAN_MOVED_FROM;
/// The second of them.
pub const MOVED_TO: u64 = libc::FAN_MOVED_TO;
/// It happened to a directory.
pub const ONDIR: u64 = libc::FAN_ONDIR;
/// Messages were lost.
pub const OVERFLOW: u64 = libc::FAN_Q_OVERFLOW;

/// The longest handle that the kernel makes.
const HANDLE_BYTES_MAX: usize = 128;

/// Length and type, before a handle's own bytes.
const HANDLE_HEADER_BYTES: usize = 8;

/// A listener.
#[derive(Debug)]
pub struct Group(OwnedFd);

impl Group {
    /// A listener that is told names and directories. Needs CAP_SYS_ADMIN and Linux 5.9.
    pub fn open() -> io::Result<Self> {
        let flags = libc::FAN_CLASS_NOTIF
            | libc::FAN_CLOEXEC
            | libc::FAN_NONBLOCK
            | libc::FAN_REPORT_DFID_NAME;
        // SAFETY: takes two numbers and gives a descriptor or -1.
        let fd = unsafe { libc::fanotify_init(flags, libc::O_RDONLY.cast_unsigned()) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: it is open, and nobody else's.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Asks for messages about everything on the file system that a path is on. Answers whether
    /// the kernel tells both names of a rename in one message.
    pub fn mark_filesystem(&self, path: &Path) -> io::Result<bool> {
        let common = CLOSE_WRITE | CREATE | DELETE | ATTRIB | ONDIR;
        match self.mark(path, common | RENAME) {
            Ok(()) => Ok(true),
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                self.mark(path, common | MOVED_FROM | MOVED_TO).map(|()| false)
            }
            Err(error) => Err(error),
        }
    }

    /// Reads messages; as many whole ones as the buffer takes.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::io::read(&self.0, buffer)?)
    }

    fn mark(&self, path: &Path, mask: u64) -> io::Result<()> {
        let path = CString::new(path.as_os_str().as_bytes())?;
        let flags = libc::FAN_MARK_ADD | libc::FAN_MARK_FILESYSTEM;
        // SAFETY: the path ends with NUL and lives for the length of the call.
        let done = unsafe {
            libc::fanotify_mark(self.0.as_raw_fd(), flags, mask, libc::AT_FDCWD, path.as_ptr())
        };
        if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

impl AsFd for Group {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Where a directory is now that the kernel named by its handle (length, type and bytes, as in its
/// messages); `mount` is any open file or directory of the file system. Needs CAP_DAC_READ_SEARCH.
/// None for a directory that is gone.
pub fn directory_of(mount: BorrowedFd<'_>, handle: &[u8]) -> io::Result<Option<PathBuf>> {
    let mut aligned = [0_u32; (HANDLE_HEADER_BYTES + HANDLE_BYTES_MAX) / 4];
    let room = aligned.len() * 4;
    if handle.len() < HANDLE_HEADER_BYTES || handle.len() > room {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    for (word, bytes) in aligned.iter_mut().zip(handle.chunks(4)) {
        let mut whole = [0; 4];
        whole[..bytes.len()].copy_from_slice(bytes);
        *word = u32::from_ne_bytes(whole);
    }
    let announced = usize::try_from(aligned[0]).unwrap_or(usize::MAX);
    if announced != handle.len() - HANDLE_HEADER_BYTES {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    let flags = libc::O_PATH | libc::O_CLOEXEC;
    // SAFETY: the handle lies in `aligned`, which is aligned for it and holds as many bytes as its
    // length field says; the kernel only reads it.
    let fd =
        unsafe { libc::open_by_handle_at(mount.as_raw_fd(), aligned.as_mut_ptr().cast(), flags) };
    if fd < 0 {
        let error = io::Error::last_os_error();
        return if error.raw_os_error() == Some(libc::ESTALE) { Ok(None) } else { Err(error) };
    }
    // SAFETY: it is open, and nobody else's.
    let directory = unsafe { OwnedFd::from_raw_fd(fd) };
    if rustix::fs::fstat(&directory)?.st_nlink == 0 {
        return Ok(None);
    }
    let link = format!("/proc/thread-self/fd/{}", directory.as_raw_fd());
    let path = rustix::fs::readlinkat(CWD, link, Vec::new())?;
    Ok(Some(PathBuf::from(std::ffi::OsStr::from_bytes(path.as_bytes()))))
}
