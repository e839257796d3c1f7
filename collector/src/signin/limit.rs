//! How often something may be tried: so many times in a window, or ever more slowly the more often
//! it fails.
//!
//! Pure and bounded: when too many are remembered, the one that is oldest is forgotten. Nothing is
//! kept over a restart, which nobody outside can bring about.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

/// Remembered at once.
const REMEMBERED_MAX: usize = 8192;

/// Too fast.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("too many tries; try again in {retry_secs} s")]
pub struct TooMany {
    /// When there is room again.
    pub retry_secs: u64,
}

/// So many tries in a window.
#[derive(Debug)]
pub struct Limit<K> {
    tries_max: u32,
    window: Duration,
    tries: HashMap<K, (Duration, u32)>,
}

impl<K: Copy + Eq + Hash> Limit<K> {
    /// At most so many tries of each in a window.
    #[must_use]
    pub fn new(tries_max: u32, window: Duration) -> Self {
        Self { tries_max, window, tries: HashMap::new() }
    }

    /// Counts a try.
    pub fn count(&mut self, who: K, now: Duration) -> Result<(), TooMany> {
        if self.tries.len() >= REMEMBERED_MAX && !self.tries.contains_key(&who) {
            self.forget(now);
        }
        let (start, tries) = self.tries.entry(who).or_insert((now, 0));
        if now >= *start + self.window {
            (*start, *tries) = (now, 0);
        }
        if *tries >= self.tries_max {
            let left = (*start + self.window).saturating_sub(now);
            return Err(TooMany { retry_secs: left.as_secs().max(1) });
        }
        *tries += 1;
        Ok(())
    }

    /// Takes back what was counted last: it was no failure.
    pub fn forgive(&mut self, who: K) {
        if let Some((_, tries)) = self.tries.get_mut(&who) {
            *tries = tries.saturating_sub(1);
        }
    }

    fn forget(&mut self, now: Duration) {
        let window = self.window;
        self.tries.retain(|_, (start, _)| now < *start + window);
        if self.tries.len() >= REMEMBERED_MAX
            && let Some(oldest) =
                self.tries.iter().min_by_key(|(_, (start, _))| *start).map(|(who, _)| *who)
        {
            self.tries.remove(&oldest);
        }
    }
}

/// Ever longer waits for who keeps failing; one success ends them.
#[derive(Debug)]
pub struct Backoff<K> {
    free: u32,
    first: Duration,
    longest: Duration,
    failing: HashMap<K, Failing>,
}

#[derive(Clone, Copy, Debug)]
struct Failing {
    failures: u32,
    last: Duration,
    until: Duration,
}

/// What trying came to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Tried {
    /// Go on.
    Free,
    /// Go on; if this one fails, too, the next must wait, for the first time.
    Last,
}

impl<K: Copy + Eq + Hash> Backoff<K> {
    /// So many failures without a wait; then a first wait, doubled by each failure up to the longest.
    #[must_use]
    pub fn new(free: u32, first: Duration, longest: Duration) -> Self {
        Self { free, first, longest, failing: HashMap::new() }
    }

    /// Counts a try as failed until [`Self::succeeded`] says otherwise, so that many at once are
    /// counted, too.
    pub fn try_once(&mut self, who: K, now: Duration) -> Result<Tried, TooMany> {
        if self.failing.len() >= REMEMBERED_MAX && !self.failing.contains_key(&who) {
            self.forget(now);
        }
        let fresh = Failing { failures: 0, last: now, until: now };
        let longest = self.longest;
        let failing = self.failing.entry(who).or_insert(fresh);
        if now >= failing.until + longest {
            *failing = fresh;
        }
        if now < failing.until {
            let left = failing.until.saturating_sub(now);
            return Err(TooMany { retry_secs: left.as_secs().max(1) });
        }
        failing.failures = failing.failures.saturating_add(1);
        failing.last = now;
        let Some(over) = failing.failures.checked_sub(self.free) else { return Ok(Tried::Free) };
        let wait = self.first.saturating_mul(1_u32.checked_shl(over).unwrap_or(u32::MAX));
        failing.until = now + wait.min(longest);
        Ok(if over == 0 { Tried::Last } else { Tried::Free })
    }

    /// Forgets the failures of one.
    pub fn succeeded(&mut self, who: K) {
        self.failing.remove(&who);
    }

    fn forget(&mut self, now: Duration) {
        let longest = self.longest;
        self.failing.retain(|_, failing| now < failing.until + longest);
        if self.failing.len() >= REMEMBERED_MAX
            && let Some(oldest) =
                self.failing.iter().min_by_key(|(_, failing)| failing.last).map(|(who, _)| *who)
        {
            self.failing.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tries at these seconds, each of which fails; what each came to.
    #[track_caller]
    fn check_waits(tries: &[(u64, &str)]) {
        let mut backoff = Backoff::new(3, Duration::from_secs(10), Duration::from_secs(60));
        for (secs, says) in tries {
            let tried = backoff.try_once("ann", Duration::from_secs(*secs));
            let said = match tried {
                Ok(Tried::Free) => "free".to_owned(),
                Ok(Tried::Last) => "last".to_owned(),
                Err(TooMany { retry_secs }) => format!("wait {retry_secs}"),
            };
            assert_eq!(said, *says, "at {secs}");
        }
    }

    #[test]
    fn waits_double_up_to_the_longest_and_end_with_time() {
        check_waits(&[(0, "free"), (0, "free"), (0, "last"), (0, "wait 10"), (9, "wait 1")]);
        check_waits(&[
            (0, "free"),
            (0, "free"),
            (0, "last"),
            (10, "free"),
            (10, "wait 20"),
            (30, "free"),
            (69, "wait 1"),
            (70, "free"),
            (129, "wait 1"),
            (130, "free"),
            (189, "wait 1"),
            (250, "free"),
            (250, "free"),
            (250, "last"),
        ]);
    }

    #[test]
    fn a_success_ends_the_waits_and_others_never_waited() {
        let mut backoff = Backoff::new(1, Duration::from_secs(10), Duration::from_secs(60));
        let now = Duration::ZERO;
        assert_eq!(backoff.try_once("ann", now), Ok(Tried::Last));
        assert!(backoff.try_once("ann", now).is_err());
        assert_eq!(backoff.try_once("bob", now), Ok(Tried::Last));
        backoff.succeeded("ann");
        assert_eq!(backoff.try_once("ann", now), Ok(Tried::Last));
    }

    #[test]
    fn those_who_fail_are_remembered_within_bounds() {
        let mut backoff = Backoff::new(1, Duration::from_secs(10), Duration::from_secs(60));
        for who in 0..3 * REMEMBERED_MAX {
            backoff.try_once(who, Duration::from_millis(u64::try_from(who).unwrap() / 10)).unwrap();
        }
        assert!(backoff.failing.len() <= REMEMBERED_MAX);
        assert!(!backoff.failing.contains_key(&0));
    }

    #[test]
    fn memory_is_bounded_however_many_come() {
        let mut limit = Limit::new(1, Duration::from_secs(60));
        for who in 0..3 * REMEMBERED_MAX {
            limit.count(who, Duration::from_millis(u64::try_from(who).unwrap() / 10)).unwrap();
        }
        assert!(limit.tries.len() <= REMEMBERED_MAX);
        assert!(!limit.tries.contains_key(&0));
    }
}
