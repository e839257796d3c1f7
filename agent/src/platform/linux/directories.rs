//! Directories under the kernel's eyes (inotify), read by a thread that waits for nothing else.
//!
//! Whether anything happened is asked without waiting; waiting is for a `Latch` beside it, so that
//! a thread that waits can be told to end.

use std::ffi::OsStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;

/// What is read at once: some hundred events.
const BUFFER_BYTES: usize = 8 << 10;

/// What has happened.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Change<'a> {
    /// A file of a watched directory was written to, or cut.
    Written(Watched, &'a OsStr),
    /// A name came, went or may be read by others than before.
    Names,
    /// The directory itself is gone, or another one now.
    Gone(Watched),
    /// More happened than the kernel remembers.
    Missed,
}

/// A watched directory, as the kernel numbers it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd)]
pub struct Watched(i32);

/// A set of watched directories.
#[derive(Debug)]
pub struct Inotify(OwnedFd);

impl Inotify {
    /// Watches nothing yet.
    pub fn new() -> io::Result<Self> {
        Ok(Self(inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?))
    }

    /// Watches a directory; the same one again has the same number.
    pub fn add(&self, directory: &Path) -> io::Result<Watched> {
        let flags = WatchFlags::MODIFY
            | WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::ATTRIB
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::ONLYDIR;
        Ok(Watched(inotify::add_watch(&self.0, directory, flags)?))
    }

    /// Watches it no longer; one that is gone is not watched anyway.
    pub fn remove(&self, directory: Watched) {
        inotify::remove_watch(&self.0, directory.0).ok();
    }

    /// Everything that has happened since the last call; never waits.
    pub fn drain(&self, each: &mut dyn FnMut(Change<'_>)) -> io::Result<()> {
        let mut buffer = [MaybeUninit::uninit(); BUFFER_BYTES];
        let mut reader = Reader::new(&self.0, &mut buffer);
        loop {
            let event = match reader.next() {
                Ok(event) => event,
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            let (flags, directory) = (event.events(), Watched(event.wd()));
            let gone = ReadFlags::IGNORED
                | ReadFlags::DELETE_SELF
                | ReadFlags::MOVE_SELF
                | ReadFlags::UNMOUNT;
            if flags.contains(ReadFlags::QUEUE_OVERFLOW) {
                each(Change::Missed);
            } else if flags.intersects(gone) {
                each(Change::Gone(directory));
            } else if let (true, Some(name)) = (flags == ReadFlags::MODIFY, event.file_name()) {
                each(Change::Written(directory, OsStr::from_bytes(name.to_bytes())));
            } else {
                each(Change::Names);
            }
        }
    }
}

/// Ends a wait once and for all, from another thread.
#[derive(Debug)]
pub struct Latch(OwnedFd);

impl Latch {
    /// Open.
    pub fn new() -> io::Result<Self> {
        Ok(Self(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?))
    }

    /// Ends every wait, now and later.
    pub fn close(&self) {
        // It fails only where it was closed 2^64 times before.
        rustix::io::write(&self.0, &1_u64.to_ne_bytes()).ok();
    }

    /// Waits until something happened in a directory (if one is given) or `within` is over;
    /// answers whether the latch was closed.
    pub fn wait(&self, changes: Option<&Inotify>, within: Duration) -> io::Result<bool> {
        self.wait_beside(changes.map(|changes| changes.0.as_fd()), within)
    }

    /// Waits until something can be read or `within` is over; answers whether the latch was closed.
    pub fn wait_for(&self, readable: BorrowedFd<'_>, within: Duration) -> io::Result<bool> {
        self.wait_beside(Some(readable), within)
    }

    fn wait_beside(&self, other: Option<BorrowedFd<'_>>, within: Duration) -> io::Result<bool> {
        let within = Timespec {
            tv_sec: i64::try_from(within.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(within.subsec_nanos()),
        };
        let mut fds = vec![PollFd::new(&self.0, PollFlags::IN)];
        fds.extend(other.map(|other| PollFd::from_borrowed_fd(other, PollFlags::IN)));
        match poll(&mut fds, Some(&within)) {
            Ok(_) => Ok(fds.first().is_some_and(|latch| !latch.revents().is_empty())),
            Err(Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, OpenOptions};
    use std::io::Write;

    use super::*;

    fn changes(inotify: &Inotify) -> Vec<String> {
        let mut found = Vec::new();
        inotify
            .drain(&mut |change| {
                found.push(match change {
                    Change::Written(_, name) => format!("written {}", name.display()),
                    Change::Names => "names".to_owned(),
                    Change::Gone(_) => "gone".to_owned(),
                    Change::Missed => "missed".to_owned(),
                });
            })
            .unwrap();
        found
    }

    #[test]
    fn what_happens_in_a_directory_is_told_once() {
        let directory = tempfile::tempdir().unwrap();
        let inner = directory.path().join("inner");
        fs::create_dir(&inner).unwrap();
        let inotify = Inotify::new().unwrap();
        let watched = inotify.add(&inner).unwrap();
        assert_eq!(inotify.add(&inner).unwrap(), watched);
        assert!(changes(&inotify).is_empty());
        let path = inner.join("a");
        let mut file = OpenOptions::new().append(true).create(true).open(&path).unwrap();
        assert_eq!(changes(&inotify), ["names"]);
        for _ in 0..3 {
            file.write_all(b"line\n").unwrap();
        }
        assert_eq!(changes(&inotify), ["written a"], "the kernel puts together what is alike");
        file.set_len(0).unwrap();
        assert_eq!(changes(&inotify), ["written a"]);
        fs::rename(&path, inner.join("b")).unwrap();
        assert_eq!(changes(&inotify), ["names", "names"]);
        fs::remove_file(inner.join("b")).unwrap();
        drop(file);
        assert_eq!(changes(&inotify), ["names"]);
        fs::remove_dir(&inner).unwrap();
        assert_eq!(changes(&inotify), ["gone", "gone"]);
        assert!(inotify.add(&inner).is_err());
    }

    #[test]
    fn a_wait_ends_when_something_happened_and_for_good_when_the_latch_is_closed() {
        let directory = tempfile::tempdir().unwrap();
        let inotify = Inotify::new().unwrap();
        inotify.add(directory.path()).unwrap();
        let latch = Latch::new().unwrap();
        assert!(!latch.wait(Some(&inotify), Duration::ZERO).unwrap());
        fs::write(directory.path().join("a"), "line\n").unwrap();
        assert!(!latch.wait(Some(&inotify), Duration::from_secs(3600)).unwrap());
        latch.close();
        for _ in 0..2 {
            assert!(latch.wait(None, Duration::from_secs(3600)).unwrap());
        }
    }
}
