//! Reads what a program prints line by line, each within a limit of time.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::PollFlags;

use crate::clock::Stopwatch;
use crate::process::wait_for;

/// A line longer than this is given out in pieces: no program of ours prints one.
const LINE_BYTES_MAX: usize = 1 << 20;

#[derive(Debug)]
pub struct Lines {
    from: File,
    unread: Vec<u8>,
    ended: bool,
}

impl Lines {
    /// From a pipe's reading end, such as a child's standard output.
    pub fn new(from: impl Into<OwnedFd>) -> Self {
        Self { from: File::from(from.into()), unread: Vec::new(), ended: false }
    }

    /// The next line without its end; `None` once there are no more. Not within the limit is an
    /// error of the kind `TimedOut`.
    pub fn next_within(&mut self, limit: Duration) -> io::Result<Option<String>> {
        let watch = Stopwatch::start();
        loop {
            if let Some(line) = self.take_line() {
                return Ok(Some(line));
            }
            if self.ended {
                return Ok(None);
            }
            if !wait_for(&self.from, PollFlags::IN, Some(watch.left_of(limit)))? {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.read_some()?;
        }
    }

    /// The first line that the closure makes something of, all others passed over.
    pub fn find_within<T>(
        &mut self,
        limit: Duration,
        mut wanted: impl FnMut(&str) -> Option<T>,
    ) -> io::Result<Option<T>> {
        let watch = Stopwatch::start();
        while let Some(line) = self.next_within(watch.left_of(limit))? {
            if let Some(found) = wanted(&line) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn take_line(&mut self) -> Option<String> {
        let end = self.unread.iter().position(|&byte| byte == b'\n');
        let taken = match end {
            Some(end) => end + 1,
            None if self.ended || self.unread.len() >= LINE_BYTES_MAX => self.unread.len(),
            None => 0,
        };
        if taken == 0 {
            return None;
        }
        let line: Vec<u8> = self.unread.drain(..taken).collect();
        let line = line.strip_suffix(b"\n").unwrap_or(&line);
        Some(String::from_utf8_lossy(line).into_owned())
    }

    fn read_some(&mut self) -> io::Result<()> {
        let mut piece = [0; 8192];
        match self.from.read(&mut piece) {
            Ok(0) => self.ended = true,
            Ok(count) => self.unread.extend_from_slice(&piece[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{PipeWriter, Write, pipe};

    const LONG: Duration = Duration::from_secs(10);

    fn lines() -> (Lines, PipeWriter) {
        let (from, to) = pipe().unwrap();
        (Lines::new(from), to)
    }

    #[test]
    fn lines_come_one_by_one_and_the_last_may_lack_its_end() {
        let (mut lines, mut to) = lines();
        to.write_all(b"one\n\ntwo\nthr").unwrap();
        to.write_all(b"ee").unwrap();
        drop(to);
        let mut seen = Vec::new();
        while let Some(line) = lines.next_within(LONG).unwrap() {
            seen.push(line);
        }
        assert_eq!(seen, ["one", "", "two", "three"]);
    }

    #[test]
    fn a_line_that_does_not_come_in_time_is_an_error_and_loses_nothing() {
        let (mut lines, mut to) = lines();
        to.write_all(b"ha").unwrap();
        let error = lines.next_within(Duration::from_millis(5)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        to.write_all(b"lf\n").unwrap();
        assert_eq!(lines.next_within(LONG).unwrap().as_deref(), Some("half"));
    }

    #[test]
    fn the_wanted_line_is_found_among_others() {
        let (mut lines, mut to) = lines();
        to.write_all(b"starting\nport 7443\nready\n").unwrap();
        let port = lines.find_within(LONG, |line| line.strip_prefix("port ")?.parse::<u16>().ok());
        assert_eq!(port.unwrap(), Some(7443));
        assert_eq!(lines.next_within(LONG).unwrap().as_deref(), Some("ready"));
    }
}
