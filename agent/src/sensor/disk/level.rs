//! How full a file system is, in steps that do not flutter.
//!
//! Pure.

use cordon_proto::event::Severity;

/// Percent used at which people are told.
pub(super) const THRESHOLDS: [u8; 4] = [80, 90, 95, 99];

/// A step is left again only this far below it, so that one file written and deleted at the edge
/// is not told again and again.
const HYSTERESIS_PERCENT: u64 = 2;

/// What a file system says of itself.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Facts {
    pub(super) bytes_total: u64,
    /// Bytes that nobody uses, those for root alone included.
    pub(super) bytes_free: u64,
    /// Bytes that an ordinary user may still write.
    pub(super) bytes_available: u64,
    pub(super) inodes_total: u64,
    pub(super) inodes_free: u64,
}

impl Facts {
    /// How much is used of what an ordinary user may use, of bytes or inodes, whichever is more;
    /// rounded up, as `df` does. What is kept for root does not count.
    pub(super) fn percent_used(&self) -> u64 {
        let bytes = percent(self.bytes_total.saturating_sub(self.bytes_free), self.bytes_available);
        let used_inodes = self.inodes_total.saturating_sub(self.inodes_free);
        bytes.max(percent(used_inodes, self.inodes_free))
    }
}

fn percent(used: u64, available: u64) -> u64 {
    let (used, available) = (u128::from(used), u128::from(available));
    let total = used + available;
    let percent = if total == 0 { 0 } else { (used * 100).div_ceil(total) };
    u64::try_from(percent).unwrap_or(100)
}

/// How many thresholds are reached.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Ord, PartialOrd)]
pub(super) struct Level(usize);

impl Level {
    /// Moves to where `percent` belongs; the threshold crossed, if one was: the highest on the way
    /// up, the lowest on the way down.
    pub(super) fn step(&mut self, percent: u64) -> Option<u8> {
        let before = *self;
        let reached = THRESHOLDS.iter().filter(|step| percent >= u64::from(**step)).count();
        let held = THRESHOLDS
            .iter()
            .filter(|step| percent.saturating_add(HYSTERESIS_PERCENT) >= u64::from(**step))
            .count();
        self.0 = reached.max(before.0.min(held));
        match self.0.cmp(&before.0) {
            std::cmp::Ordering::Greater => THRESHOLDS.get(self.0 - 1).copied(),
            std::cmp::Ordering::Less => THRESHOLDS.get(self.0).copied(),
            std::cmp::Ordering::Equal => None,
        }
    }

    /// How grave it is to be here.
    pub(super) fn severity(self) -> Severity {
        match self.0 {
            0 => Severity::Informational,
            1 => Severity::Low,
            2 => Severity::Medium,
            _ => Severity::High,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(percents: &[u64], expected: &[Option<u8>]) {
        let mut level = Level::default();
        let crossed: Vec<_> = percents.iter().map(|percent| level.step(*percent)).collect();
        assert_eq!(crossed, expected);
    }

    #[test]
    fn thresholds_are_told_once_on_the_way_up_and_once_on_the_way_down() {
        check(&[79, 80, 85, 89, 90], &[None, Some(80), None, None, Some(90)]);
        check(&[10, 97, 100, 50], &[None, Some(95), Some(99), Some(80)]);
        check(&[100, 91, 70], &[Some(99), Some(95), Some(80)]);
    }

    #[test]
    fn fluttering_at_the_edge_is_told_once() {
        check(
            &[80, 79, 80, 78, 80, 77, 80],
            &[Some(80), None, None, None, None, Some(80), Some(80)],
        );
    }

    #[test]
    fn what_is_kept_for_root_counts_neither_as_used_nor_as_free() {
        let facts =
            Facts { bytes_total: 100, bytes_free: 10, bytes_available: 5, ..Facts::default() };
        assert_eq!(facts.percent_used(), 95);
        let full = Facts { bytes_total: 100, bytes_free: 5, ..Facts::default() };
        assert_eq!(full.percent_used(), 100);
    }

    #[test]
    fn inodes_fill_a_file_system_too_and_where_there_are_none_they_do_not() {
        let facts = Facts { bytes_total: 9, bytes_free: 9, bytes_available: 9, ..Facts::default() };
        assert_eq!(facts.percent_used(), 0);
        assert_eq!(Facts { inodes_total: 1000, inodes_free: 9, ..facts }.percent_used(), 100);
        assert_eq!(Facts { inodes_total: 1000, inodes_free: 10, ..facts }.percent_used(), 99);
    }

    #[test]
    fn no_number_is_too_large() {
        let facts = Facts { bytes_total: u64::MAX, bytes_available: u64::MAX, ..Facts::default() };
        assert_eq!(facts.percent_used(), 50);
    }
}
