//! How long records gather in the ring before it is emptied. Pure.
//!
//! Emptying the ring at every wake costs ten times the processor time and slows the machine's own
//! work by a third. While much happens it is not even waited for: the ring is emptied at its times,
//! the longer apart the cheaper. They grow step by step, as long as what comes meanwhile takes a
//! small part of the ring; a storm that comes between them wakes the reader from within the kernel
//! (`programs.rs`).

use std::time::Duration;

/// The longest that records gather: for so long an event may be late while much happens.
const LONG: Duration = Duration::from_millis(360);

/// So many records within [`Gather::QUIET`] are much, and as many more as it is longer: some seventy
/// processes a second. Of fewer each is told soon.
const MUCH: u32 = 4;

/// What comes in between two emptyings is to fill this part of the ring at most.
const PART: u64 = 8;

/// When the ring is emptied next.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Gather {
    /// When something is in it.
    #[default]
    WhenReady,
    /// After this time, whatever is in it.
    After(Duration),
}

impl Gather {
    /// After the first record of a quiet moment.
    pub(super) const QUIET: Duration = Duration::from_millis(20);

    /// Something is in the ring.
    pub(super) fn ready() -> Self {
        Self::After(Self::QUIET)
    }

    /// For how long records gather.
    pub(super) fn length(self) -> Duration {
        match self {
            Self::WhenReady => Duration::ZERO,
            Self::After(length) => length,
        }
    }

    /// So many records were in it, which took so many bytes of all that it has.
    pub(super) fn next(self, records: usize, bytes: u64, ring_bytes: u64) -> Self {
        let waited = match self {
            Self::WhenReady => Self::QUIET,
            Self::After(waited) => waited,
        };
        let records = u32::try_from(records).unwrap_or(u32::MAX);
        if Self::QUIET.saturating_mul(records) < waited.saturating_mul(MUCH) {
            return Self::WhenReady;
        }
        let part = u32::try_from(ring_bytes / PART).unwrap_or(u32::MAX);
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).max(1);
        let filling = waited.saturating_mul(part) / bytes;
        Self::After(filling.min(waited * 2).clamp(Self::QUIET, LONG))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RING: u64 = 16 << 10;

    /// What follows from emptyings with so many records and bytes each, in milliseconds; 0 waits
    /// for the first record.
    #[track_caller]
    fn check(emptied: &[(usize, u64)], expected: &[u128]) {
        let mut gather = Gather::ready();
        let next = |(records, bytes): &(usize, u64)| {
            gather = gather.next(*records, *bytes, RING);
            match gather {
                Gather::WhenReady => 0,
                Gather::After(wait) => wait.as_millis(),
            }
        };
        assert_eq!(emptied.iter().map(next).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn little_is_waited_for() {
        check(&[(0, 0), (3, 300), (3, 4000)], &[0, 0, 0]);
    }

    #[test]
    fn while_much_happens_more_is_gathered_step_by_step() {
        let much = [(4, 100), (8, 200), (16, 300), (32, 400), (64, 500)];
        check(&much, &[40, 80, 160, 320, 360]);
        check(&[(4, 100), (8, 200), (15, 100), (4, 100)], &[40, 80, 0, 40]);
    }

    #[test]
    fn what_trickles_is_not_waited_for_however_long_it_goes_on() {
        check(&[(4, 100), (7, 200), (4, 100), (7, 200)], &[40, 0, 40, 0]);
    }

    #[test]
    fn what_fills_the_ring_is_fetched_sooner() {
        check(&[(4, 100), (9, 1024), (40, 4096), (40, 4096)], &[40, 80, 40, 20]);
        check(&[(9, 16 << 10)], &[20]);
    }

    #[test]
    fn no_size_and_no_number_is_too_great() {
        let gather = Gather::After(LONG);
        assert_eq!(gather.next(usize::MAX, u64::MAX, RING), Gather::After(Gather::QUIET));
        assert_eq!(gather.next(usize::MAX, 0, u64::MAX), Gather::After(LONG));
    }
}
