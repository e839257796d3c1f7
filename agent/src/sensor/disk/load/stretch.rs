//! What a disk did in a stretch of time, added up from short steps.
//!
//! Pure.

use std::time::Duration;

use cordon_proto::event::disk::{Load, LoadState};

use super::counters::{Counters, advance};

const SECTOR_BYTES: u64 = 512;

/// Waits are counted by powers of two of a microsecond: up to 2^31, more than half an hour.
const WAITS: usize = 32;

#[derive(Clone, Debug, Default)]
pub(super) struct Stretch {
    lasted: Duration,
    reads: u64,
    writes: u64,
    read_bytes: u64,
    written_bytes: u64,
    /// All requests' waits together.
    wait_ms: u64,
    busy_ms: u64,
    /// Steps by the average wait in them.
    waits: [u32; WAITS],
}

impl Stretch {
    /// One step.
    pub(super) fn between(before: &Counters, after: &Counters, lasted: Duration) -> Self {
        let by = |field: fn(&Counters) -> u64| advance(field(before), field(after));
        let bytes = |sectors: u64| sectors.saturating_mul(SECTOR_BYTES);
        let mut step = Self {
            lasted,
            reads: by(|counters| counters.reads),
            writes: by(|counters| counters.writes),
            read_bytes: bytes(by(|counters| counters.sectors_read)),
            written_bytes: bytes(by(|counters| counters.sectors_written)),
            wait_ms: by(|c| c.read_ms).saturating_add(by(|c| c.write_ms)),
            busy_ms: by(|counters| counters.busy_ms),
            waits: [0; WAITS],
        };
        if let Some(wait_us) = step.wait_us()
            && let Some(count) = step.waits.get_mut(power(wait_us))
        {
            *count = 1;
        }
        step
    }

    pub(super) fn add(&mut self, step: &Self) {
        self.lasted = self.lasted.saturating_add(step.lasted);
        self.reads = self.reads.saturating_add(step.reads);
        self.writes = self.writes.saturating_add(step.writes);
        self.read_bytes = self.read_bytes.saturating_add(step.read_bytes);
        self.written_bytes = self.written_bytes.saturating_add(step.written_bytes);
        self.wait_ms = self.wait_ms.saturating_add(step.wait_ms);
        self.busy_ms = self.busy_ms.saturating_add(step.busy_ms);
        for (count, more) in self.waits.iter_mut().zip(step.waits) {
            *count = count.saturating_add(more);
        }
    }

    pub(super) fn lasted(&self) -> Duration {
        self.lasted
    }

    pub(super) fn requests(&self) -> u64 {
        self.reads.saturating_add(self.writes)
    }

    /// How long a request took on average.
    pub(super) fn wait_us(&self) -> Option<u64> {
        self.wait_ms.saturating_mul(1000).checked_div(self.requests())
    }

    pub(super) fn busy_permille(&self) -> u64 {
        let lasted_ms = u64::try_from(self.lasted.as_millis()).unwrap_or(u64::MAX);
        self.busy_ms.saturating_mul(1000).checked_div(lasted_ms).unwrap_or(0).min(1000)
    }

    pub(super) fn load(&self, name: &str, state: LoadState) -> Load {
        Load {
            device: name.into(),
            state,
            period_ms: u64::try_from(self.lasted.as_millis()).unwrap_or(u64::MAX),
            reads: self.reads,
            writes: self.writes,
            read_bytes: self.read_bytes,
            written_bytes: self.written_bytes,
            wait_us: self.wait_us(),
            wait_us_p95: self.wait_us_p95(),
            busy_permille: u16::try_from(self.busy_permille()).unwrap_or(1000),
        }
    }

    /// The power of two that nineteen of twenty steps with requests stayed below.
    fn wait_us_p95(&self) -> Option<u64> {
        let steps: u64 = self.waits.iter().map(|count| u64::from(*count)).sum();
        let below = steps.saturating_mul(95).div_ceil(100);
        let mut seen = 0_u64;
        let found = self.waits.iter().position(|count| {
            seen = seen.saturating_add(u64::from(*count));
            steps > 0 && seen >= below
        });
        found.map(|power| 1 << power)
    }
}

/// The smallest power of two above.
fn power(wait_us: u64) -> usize {
    let bits = u64::BITS - wait_us.leading_zeros();
    usize::try_from(bits).unwrap_or(WAITS).min(WAITS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(waits_ms: &[u64], p95: Option<u64>) {
        let mut whole = Stretch::default();
        for wait_ms in waits_ms {
            let requests = u64::from(*wait_ms > 0);
            let after = Counters { reads: requests, read_ms: *wait_ms, ..Counters::default() };
            let step = Duration::from_secs(10);
            whole.add(&Stretch::between(&Counters::default(), &after, step));
        }
        assert_eq!(whole.wait_us_p95(), p95);
    }

    #[test]
    fn one_slow_step_in_twenty_does_not_count_and_two_do() {
        check(&[], None);
        check(&[0, 0], None);
        check(&[1], Some(1024));
        let mut waits = [1; 20];
        waits[7] = 1000;
        check(&waits, Some(1024));
        waits[9] = 1000;
        check(&waits, Some(1 << 20));
    }

    #[test]
    fn a_disk_is_never_busier_than_always() {
        let after = Counters { busy_ms: 10_020, ..Counters::default() };
        let step = Stretch::between(&Counters::default(), &after, Duration::from_secs(10));
        assert_eq!(step.busy_permille(), 1000);
    }
}
