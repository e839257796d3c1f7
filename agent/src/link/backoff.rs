//! How long to wait before dialling again.
//!
//! Pure; randomness comes in. The ceiling doubles with every failure up to a minute, and the wait
//! is anywhere below it ("full jitter"), so that a fleet does not come back as one wave. Only a
//! session that lasted sets it back: a collector that lets agents in and throws them out again is
//! not dialled like a healthy one.

use std::time::Duration;

const FIRST: Duration = Duration::from_secs(1);
const CEILING: Duration = Duration::from_secs(60);

/// A session that lasted this long was healthy.
pub const HEALTHY: Duration = Duration::from_secs(60);

/// Waits between failures.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Backoff {
    ceiling: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { ceiling: FIRST }
    }
}

impl Backoff {
    /// A dial failed, or a session that had been live for `lived` ended; answers how long to wait.
    /// `random` is evenly spread over all of `u32`.
    pub fn handle_failure(&mut self, lived: Duration, random: u32) -> Duration {
        if lived >= HEALTHY {
            *self = Self::default();
        }
        let wait = self.ceiling.mul_f64(f64::from(random) / f64::from(u32::MAX));
        self.ceiling = self.ceiling.saturating_mul(2).min(CEILING);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds that each session lived, and the waits that follow when chance is at its worst.
    #[track_caller]
    fn check(lived_secs: &[u64], random: u32, waits_secs: &[u64]) {
        let mut backoff = Backoff::default();
        let waits = lived_secs.iter().map(|secs| {
            backoff.handle_failure(Duration::from_secs(*secs), random).as_millis() / 1000
        });
        let expected: Vec<_> = waits_secs.iter().map(|secs| u128::from(*secs)).collect();
        assert_eq!(waits.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn waits_double_up_to_a_minute() {
        check(&[0; 9], u32::MAX, &[1, 2, 4, 8, 16, 32, 60, 60, 60]);
    }

    #[test]
    fn chance_spreads_a_wait_from_nothing_to_its_ceiling() {
        check(&[0; 3], 0, &[0, 0, 0]);
        check(&[0; 6], u32::MAX / 5, &[0, 0, 0, 1, 3, 6]);
    }

    #[test]
    fn only_a_session_that_lasted_sets_it_back() {
        check(&[0, 0, 59, 0, 60, 0], u32::MAX, &[1, 2, 4, 8, 1, 2]);
    }
}
