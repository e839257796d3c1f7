//! The one reader of time. Everything else is handed a clock, or a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Nanoseconds in a second.
pub const SECOND_NS: u64 = 1_000_000_000;

/// What tells the time.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System { start: Instant },
    ByHand { now_ns: Arc<AtomicU64>, start_wall_ns: u64 },
}

impl Clock {
    /// The machine's clocks.
    #[must_use]
    #[allow(clippy::disallowed_methods, reason = "this is the one place that reads time")]
    pub fn system() -> Self {
        Self(Source::System { start: Instant::now() })
    }

    /// A clock that stands until it is turned; for tests.
    #[must_use]
    pub fn by_hand(wall_ns: u64) -> Self {
        Self(Source::ByHand { now_ns: Arc::default(), start_wall_ns: wall_ns })
    }

    /// Turns a clock that stands; one that runs by itself is not moved.
    pub fn turn(&self, by: Duration) {
        if let Source::ByHand { now_ns, .. } = &self.0 {
            now_ns.fetch_add(nanos(by), Ordering::SeqCst);
        }
    }

    /// Time since this clock was made; never runs backwards.
    #[must_use]
    pub fn now(&self) -> Duration {
        match &self.0 {
            Source::System { start } => start.elapsed(),
            Source::ByHand { now_ns, .. } => Duration::from_nanos(now_ns.load(Ordering::SeqCst)),
        }
    }

    /// The wall clock, nanoseconds since 1970 UTC.
    #[must_use]
    #[allow(clippy::disallowed_methods, reason = "this is the one place that reads time")]
    pub fn wall_ns(&self) -> u64 {
        match &self.0 {
            Source::System { .. } => {
                nanos(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
            }
            Source::ByHand { now_ns, start_wall_ns } => {
                start_wall_ns.saturating_add(now_ns.load(Ordering::SeqCst))
            }
        }
    }

    /// The wall clock, seconds since 1970 UTC.
    #[must_use]
    pub fn wall_secs(&self) -> u64 {
        self.wall_ns() / SECOND_NS
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_by_hand_moves_both_times_alike_and_only_when_turned() {
        let clock = Clock::by_hand(5 * SECOND_NS);
        let other = clock.clone();
        assert_eq!((clock.now(), clock.wall_secs()), (Duration::ZERO, 5));
        other.turn(Duration::from_secs(3));
        assert_eq!((clock.now(), clock.wall_secs()), (Duration::from_secs(3), 8));
    }
}
