//! How much one log may say: so many lines and bytes a second, and a reserve for bursts.
//!
//! Pure. What is over the limit is counted and told as a gap, never silent. The reserve is large,
//! because a log that was not read for an hour is read at once.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::lines::Line;

/// A limit; 0 is none.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Limit {
    pub(super) lines_per_s: u64,
    pub(super) bytes_per_s: u64,
    /// What may come at once: so many seconds' worth.
    pub(super) burst_secs: u64,
}

impl Limit {
    pub(super) fn is_none(self) -> bool {
        self.lines_per_s == 0 && self.bytes_per_s == 0
    }
}

/// What is left, in billionths, so that no time is lost to rounding.
#[derive(Clone, Copy, Debug)]
struct Left {
    lines: u128,
    bytes: u128,
    at_ns: u64,
}

const WHOLE: u128 = 1_000_000_000;

fn full(per_s: u64, burst_secs: u64) -> u128 {
    u128::from(per_s) * u128::from(burst_secs.max(1)) * WHOLE
}

impl Left {
    fn new(limit: Limit, now_ns: u64) -> Self {
        let Limit { lines_per_s, bytes_per_s, burst_secs } = limit;
        let (lines, bytes) = (full(lines_per_s, burst_secs), full(bytes_per_s, burst_secs));
        Self { lines, bytes, at_ns: now_ns }
    }

    fn refill(&mut self, limit: Limit, now_ns: u64) {
        let passed = u128::from(now_ns.saturating_sub(self.at_ns));
        let most = Self::new(limit, now_ns);
        self.lines = most.lines.min(self.lines + passed * u128::from(limit.lines_per_s));
        self.bytes = most.bytes.min(self.bytes + passed * u128::from(limit.bytes_per_s));
        self.at_ns = now_ns;
    }

    fn take(&mut self, limit: Limit, bytes: usize) -> bool {
        let bytes = u128::try_from(bytes).unwrap_or(u128::MAX / WHOLE).saturating_mul(WHOLE);
        // A line longer than a whole reserve still comes through a full one.
        let needed = bytes.min(full(limit.bytes_per_s, limit.burst_secs));
        let fits = (limit.lines_per_s == 0 || self.lines >= WHOLE)
            && (limit.bytes_per_s == 0 || self.bytes >= needed);
        if fits {
            self.lines = self.lines.saturating_sub(WHOLE);
            self.bytes = self.bytes.saturating_sub(bytes);
        }
        fits
    }
}

impl Left {
    /// Takes all lines at once, if there is room for all of them.
    fn take_all(&mut self, limit: Limit, lines: &[Line<'_>]) -> bool {
        let bytes = lines.iter().map(|line| line.bytes.len() as u128).sum::<u128>() * WHOLE;
        let count = lines.len() as u128 * WHOLE;
        let fits = (limit.lines_per_s == 0 || self.lines >= count)
            && (limit.bytes_per_s == 0 || self.bytes >= bytes);
        if fits {
            self.lines = self.lines.saturating_sub(count);
            self.bytes = self.bytes.saturating_sub(bytes);
        }
        fits
    }
}

/// What is left to each log. A log keeps what it has used when it is rotated.
#[derive(Debug, Default)]
pub(super) struct Limits(HashMap<PathBuf, Left>);

impl Limits {
    /// Keeps those lines of a log that are within its limit; answers how many are not.
    pub(super) fn keep(
        &mut self,
        path: &Path,
        limit: Limit,
        lines: &mut Vec<Line<'_>>,
        now_ns: u64,
    ) -> u64 {
        if limit.is_none() || lines.is_empty() {
            return 0;
        }
        let left = match self.0.get_mut(path) {
            Some(left) => left,
            None => self.0.entry(path.to_owned()).or_insert_with(|| Left::new(limit, now_ns)),
        };
        left.refill(limit, now_ns);
        if left.take_all(limit, lines) {
            return 0;
        }
        let before = lines.len();
        lines.retain(|line| left.take(limit, line.bytes.len()));
        (before - lines.len()) as u64
    }

    /// Forgets all logs but these.
    pub(super) fn retain(&mut self, is_followed: impl Fn(&Path) -> bool) {
        self.0.retain(|path, _left| is_followed(path));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines of so many bytes at so many milliseconds, `3x10@500`; what of them is kept.
    #[track_caller]
    fn check(limit: [u64; 3], timeline: &str, expected: &[usize]) {
        let [lines_per_s, bytes_per_s, burst_secs] = limit;
        let limit = Limit { lines_per_s, bytes_per_s, burst_secs };
        let mut limits = Limits::default();
        let kept = timeline.split_whitespace().map(|word| {
            let (count, rest) = word.split_once('x').unwrap();
            let (bytes, at_ms) = rest.split_once('@').unwrap();
            let (count, bytes): (usize, usize) = (count.parse().unwrap(), bytes.parse().unwrap());
            let line =
                Line { offset: 0, bytes: vec![b'x'; bytes].into(), full_bytes: None, lines: 1 };
            let mut lines = vec![line; count];
            let at_ns = at_ms.parse::<u64>().unwrap() * 1_000_000;
            let over = limits.keep(Path::new("/a"), limit, &mut lines, at_ns);
            assert_eq!(lines.len() + usize::try_from(over).unwrap(), count);
            lines.len()
        });
        assert_eq!(kept.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn without_a_limit_everything_is_kept() {
        check([0, 0, 10], "100000x1000@0 100000x1000@0", &[100_000, 100_000]);
    }

    #[test]
    fn a_reserve_is_used_up_and_comes_back_with_time() {
        check(
            [10, 0, 2],
            "15x1@0 10x1@0 10x1@500 10x1@550 10x1@600 99x1@9000",
            &[15, 5, 5, 0, 1, 20],
        );
    }

    #[test]
    fn bytes_are_limited_on_their_own() {
        check([0, 100, 1], "3x40@0 1x20@0 5x20@1000", &[2, 1, 5]);
        check([1000, 100, 1], "3x40@0", &[2]);
    }

    #[test]
    fn a_line_longer_than_the_reserve_comes_through_a_full_one() {
        check([0, 100, 1], "1x1000@0 1x1@0 1x1@1000 1x1000@1005 1x1000@9000", &[1, 0, 1, 0, 1]);
    }

    #[test]
    fn a_log_that_is_followed_no_longer_is_forgotten() {
        let limit = Limit { lines_per_s: 1, bytes_per_s: 0, burst_secs: 1 };
        let line = Line { offset: 0, bytes: b"".into(), full_bytes: None, lines: 1 };
        let mut limits = Limits::default();
        let mut over = || limits.keep(Path::new("/a"), limit, &mut vec![line.clone()], 0);
        assert_eq!((over(), over()), (0, 1));
        limits.retain(|path| path != Path::new("/a"));
        assert_eq!(limits.keep(Path::new("/a"), limit, &mut vec![line], 0), 0);
    }
}
