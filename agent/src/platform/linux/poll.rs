//! Waits for one of several descriptors on a thread of its own, outside the event loop.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// Waits until one of them has something to be read, or is closed at its other end, or the time is
/// up; which of them.
pub fn readable(descriptors: &[BorrowedFd<'_>], limit: Duration) -> io::Result<Vec<bool>> {
    let limit = Timespec::try_from(limit).map_err(io::Error::other)?;
    let mut watched: Vec<_> =
        descriptors.iter().map(|descriptor| PollFd::new(descriptor, PollFlags::IN)).collect();
    match poll(&mut watched, Some(&limit)) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(watched.iter().map(|watched| !watched.revents().is_empty()).collect())
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn the_one_that_has_something_is_named_and_a_closed_end_counts() {
        let (one, mut written) = UnixStream::pair().unwrap();
        let (other, closed) = UnixStream::pair().unwrap();
        let both = [one.as_fd(), other.as_fd()];
        assert_eq!(readable(&both, Duration::ZERO).unwrap(), [false, false]);
        written.write_all(b"!").unwrap();
        assert_eq!(readable(&both, Duration::from_secs(9)).unwrap(), [true, false]);
        drop(closed);
        assert_eq!(readable(&both, Duration::from_secs(9)).unwrap(), [true, true]);
    }
}
