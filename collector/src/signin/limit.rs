//! How often something may be tried: so many times in a window, for each of many.
//!
//! Pure and bounded: when too many are remembered, the one whose window is oldest is forgotten.

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

#[cfg(test)]
mod tests {
    use super::*;

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
