//! fanotify as the kernel's question before a program is started: may this file be executed?
//!
//! Whoever starts a program waits for the answer, so this is used only by a process that does
//! nothing else. When the descriptor is closed the kernel lets everything through.
#![allow(unsafe_code, reason = "rustix has no calls for fanotify")]

use std::ffi::CString;
use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Questions taken at once: each is an open file, and one that cannot be opened is answered no by
/// the kernel.
const TAKEN_MAX: usize = 8;

const EVENT_BYTES: usize = size_of::<libc::fanotify_event_metadata>();

/// Which starts are asked about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Extent {
    /// Those of all files of the file system, wherever it is mounted.
    FileSystem,
    /// Those through this mount only.
    Mount,
}

/// Who asks the kernel to be asked.
#[derive(Debug)]
pub struct Asked(OwnedFd);

/// A start that waits for an answer.
#[derive(Debug)]
pub struct Attempt {
    /// The program, open for reading; what is read from it asks nothing.
    pub file: OwnedFd,
    /// Who starts it.
    pub pid: u32,
}

impl Asked {
    /// Needs CAP_SYS_ADMIN and Linux 5.0.
    pub fn open() -> io::Result<Self> {
        let flags = libc::FAN_CLASS_CONTENT
            | libc::FAN_CLOEXEC
            | libc::FAN_NONBLOCK
            | libc::FAN_UNLIMITED_QUEUE;
        let files = libc::O_RDONLY | libc::O_LARGEFILE | libc::O_CLOEXEC;
        // SAFETY: takes two numbers and gives a descriptor or -1.
        let fd = unsafe { libc::fanotify_init(flags, files.cast_unsigned()) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: it is open, and nobody else's.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Is asked from now on; twice is as good as once.
    pub fn mark(&self, path: &Path, extent: Extent) -> io::Result<()> {
        let path = CString::new(path.as_os_str().as_bytes())?;
        let kind = match extent {
            Extent::FileSystem => libc::FAN_MARK_FILESYSTEM,
            Extent::Mount => libc::FAN_MARK_MOUNT,
        };
        let (flags, mask) = (libc::FAN_MARK_ADD | kind, libc::FAN_OPEN_EXEC_PERM);
        // SAFETY: the path ends with NUL and lives for the length of the call.
        let done = unsafe {
            libc::fanotify_mark(self.0.as_raw_fd(), flags, mask, libc::AT_FDCWD, path.as_ptr())
        };
        if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// The starts that wait now, a few at once.
    pub fn take(&self) -> io::Result<Vec<Attempt>> {
        let mut buffer = [0_u8; EVENT_BYTES * TAKEN_MAX];
        let read = match rustix::io::read(&self.0, &mut buffer) {
            Ok(read) => read,
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let mut attempts = Vec::new();
        let mut rest = buffer.get(..read).unwrap_or_default();
        while let Some(bytes) = rest.get(..EVENT_BYTES) {
            // SAFETY: as many bytes as the structure has are there, any bytes are one, and it is
            // read from wherever it stands.
            let event: libc::fanotify_event_metadata =
                unsafe { std::ptr::read_unaligned(bytes.as_ptr().cast()) };
            let length = usize::try_from(event.event_len).unwrap_or_default();
            if event.fd >= 0 {
                // SAFETY: the kernel has opened it for us, once for each event.
                let file = unsafe { OwnedFd::from_raw_fd(event.fd) };
                let pid = u32::try_from(event.pid).unwrap_or_default();
                attempts.push(Attempt { file, pid });
            }
            rest = rest.get(length.max(EVENT_BYTES)..).unwrap_or_default();
        }
        Ok(attempts)
    }

    /// Answers one that waits, named by its file's number; the file must not be closed before. One
    /// whose starter has gone meanwhile needs no answer.
    pub fn answer(&self, file: BorrowedFd<'_>, may_start: bool) -> io::Result<()> {
        let response = if may_start { libc::FAN_ALLOW } else { libc::FAN_DENY };
        let [fd, response] = [file.as_raw_fd().to_ne_bytes(), response.to_ne_bytes()];
        let answer = [fd, response].concat();
        match rustix::io::write(&self.0, &answer) {
            Ok(_) | Err(rustix::io::Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for Asked {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
