//! Waits in the event loop until something is written, made, moved or deleted.
//!
//! Reading and opening do not wake: `/etc` alone is read many times a second.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;
use tokio::io::unix::AsyncFd;

use super::wait;

/// Watches files and directories.
#[derive(Debug)]
pub struct Inotify {
    fd: AsyncFd<OwnedFd>,
}

/// What was seen at a watch.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Seen {
    /// The number that [`Inotify::watch`] answered; none if some of what happened was lost.
    pub watch: Option<i32>,
    /// The name in the watched directory; none if it is the watched thing itself.
    pub name: Option<Vec<u8>>,
    /// Whether the watched thing itself is gone, and the watch with it.
    pub is_gone: bool,
}

/// Enough for a burst: some hundred events.
const BUFFER_BYTES: usize = 8 << 10;

/// What is told apart; more is told as lost.
const SEEN_MAX: usize = 256;

impl Inotify {
    /// Begins with nothing watched. Must be called within the event loop.
    pub fn new() -> io::Result<Self> {
        let fd = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        Ok(Self { fd: wait::readable(fd)? })
    }

    /// Watches a file, or the names in a directory and what is written to them. Of writing the end
    /// is seen (the file is closed), so that one that is written all the time does not wake.
    pub fn watch(&self, path: &Path) -> io::Result<i32> {
        let flags = WatchFlags::CLOSE_WRITE
            | WatchFlags::ATTRIB
            | WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE
            | WatchFlags::MOVE_SELF
            | WatchFlags::EXCL_UNLINK;
        Ok(inotify::add_watch(self.fd.get_ref(), path, flags)?)
    }

    /// Waits for something to happen and answers all that has, the same once.
    pub async fn seen(&self) -> io::Result<Vec<Seen>> {
        loop {
            let mut ready = self.fd.readable().await?;
            let seen = self.read()?;
            ready.clear_ready();
            if !seen.is_empty() {
                return Ok(seen);
            }
        }
    }

    fn read(&self) -> io::Result<Vec<Seen>> {
        let mut buffer = [MaybeUninit::uninit(); BUFFER_BYTES];
        let mut reader = Reader::new(self.fd.get_ref(), &mut buffer);
        let mut all: Vec<Seen> = Vec::new();
        loop {
            let seen = match reader.next() {
                Ok(event) => {
                    let events = event.events();
                    let is_lost = events.contains(ReadFlags::QUEUE_OVERFLOW);
                    let gone = ReadFlags::IGNORED | ReadFlags::DELETE_SELF | ReadFlags::MOVE_SELF;
                    let watch = Some(event.wd()).filter(|_number| !is_lost);
                    let name = event.file_name().map(|name| name.to_bytes().to_vec());
                    Seen { watch, name, is_gone: events.intersects(gone) }
                }
                Err(Errno::AGAIN) => return Ok(all),
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            if !all.contains(&seen) && all.len() < SEEN_MAX {
                all.push(seen);
            } else if all.len() >= SEEN_MAX {
                // So much that nobody needs to know what.
                all = vec![Seen { watch: None, name: None, is_gone: false }];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn what_is_written_made_or_deleted_is_seen_and_what_is_read_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let (here, there) = (directory.path().join("here"), directory.path().join("there"));
        for path in [&here, &there] {
            std::fs::create_dir(path).unwrap();
            std::fs::write(path.join("file"), "").unwrap();
        }
        let inotify = Inotify::new().unwrap();
        let (at_here, at_there) = (inotify.watch(&here).unwrap(), inotify.watch(&there).unwrap());
        std::fs::read(here.join("file")).unwrap();
        std::fs::write(there.join("file"), "x").unwrap();
        let named = |watch| Seen { watch: Some(watch), name: Some(b"file".into()), is_gone: false };
        assert_eq!(inotify.seen().await.unwrap(), [named(at_there)]);
        std::fs::rename(there.join("file"), here.join("file")).unwrap();
        assert_eq!(inotify.seen().await.unwrap(), [named(at_there), named(at_here)]);
        std::fs::remove_dir_all(&there).unwrap();
        let gone = Seen { watch: Some(at_there), name: None, is_gone: true };
        assert!(inotify.seen().await.unwrap().contains(&gone));
    }
}
