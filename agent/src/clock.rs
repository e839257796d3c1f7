//! The one reader of time, and of what tells one boot or machine from another.
//!
//! Everything else gets the time as an argument.

use std::io;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::time::ClockId;

/// One moment, as events carry it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Stamp {
    /// Wall clock, nanoseconds since 1970 UTC. Shown to people; decides nothing.
    pub time_ns: u64,
    /// Boot-time clock (runs through suspend), nanoseconds.
    pub boot_ns: u64,
}

/// Now, on both clocks.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "this file is where time is read")]
pub fn stamp() -> Stamp {
    // A wall clock before 1970 reads as 1970: it is only shown.
    let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Stamp { time_ns: u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), boot_ns: boot_ns() }
}

/// The boot-time clock alone, nanoseconds.
#[must_use]
pub fn boot_ns() -> u64 {
    let time = rustix::time::clock_gettime(ClockId::Boottime);
    let secs = u64::try_from(time.tv_sec).unwrap_or_default();
    let nanos = u64::try_from(time.tv_nsec).unwrap_or_default();
    secs.saturating_mul(1_000_000_000).saturating_add(nanos)
}

/// Monotonic time since the agent started: what timers are counted in.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    started: Instant,
}

impl Clock {
    /// Starts counting.
    #[must_use]
    #[allow(clippy::disallowed_methods, reason = "this file is where time is read")]
    pub fn start() -> Self {
        Self { started: Instant::now() }
    }

    /// How long the agent has run. Time asleep is not counted.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// The moment, as timers of the runtime want it, at which [`Self::now`] will say `at`.
    #[must_use]
    pub fn instant(&self, at: Duration) -> Instant {
        // Further than the clock can count is as good as never.
        const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);
        self.started + at.min(NEVER)
    }
}

/// The kernel's id of this boot.
pub fn boot_id() -> io::Result<String> {
    line("/proc/sys/kernel/random/boot_id")
}

/// The machine's id, as the operating system keeps it.
pub fn machine_id() -> io::Result<String> {
    line("/etc/machine-id").or_else(|_absent| line("/var/lib/dbus/machine-id"))
}

fn line(path: &str) -> io::Result<String> {
    let text = std::fs::read_to_string(path)?;
    match text.trim() {
        "" => Err(io::Error::new(io::ErrorKind::InvalidData, format!("{path} is empty"))),
        line => Ok(line.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boot_time_clock_runs_and_never_goes_back() {
        let first = stamp();
        let second = stamp();
        assert!(first.boot_ns > 0 && second.boot_ns >= first.boot_ns);
        assert!(first.time_ns > 1_600_000_000_000_000_000);
    }

    #[test]
    fn the_boot_id_is_the_same_twice_and_looks_like_one() {
        let id = boot_id().unwrap();
        assert_eq!(id, boot_id().unwrap());
        assert_eq!(id.len(), 36, "{id}");
    }

    #[test]
    fn a_timer_beyond_all_counting_does_not_overflow() {
        let clock = Clock::start();
        assert!(clock.instant(Duration::MAX) > clock.instant(Duration::from_secs(1)));
    }
}
