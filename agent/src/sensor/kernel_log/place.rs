//! Where reading stands: the number of the last record read, and of which boot.
//!
//! Pure.

use crate::sensor::Checkpoint;

/// The place's key among the checkpoints.
pub(super) const KEY: &str = "kernel/place";

#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Place {
    boot: String,
    /// The number that comes next; none until the first, where nothing was kept.
    next: Option<u64>,
}

impl Place {
    /// From what was kept. In another boot than that, reading begins with the boot's first record;
    /// where nothing was kept, with the next one written.
    pub(super) fn restore(boot: String, kept: Option<&[u8]>) -> Self {
        let kept = kept.and_then(|kept| std::str::from_utf8(kept).ok());
        let next = match kept.and_then(|kept| kept.split_once(' ')) {
            Some((same, next)) if same == boot => next.parse().ok(),
            Some(_other_boot) => Some(0),
            None => None,
        };
        Self { boot, next }
    }

    /// Whether records that are already there are of interest.
    pub(super) fn looks_back(&self) -> bool {
        self.next.is_some()
    }

    /// Moves behind a record: how many are missing before it; none where it was read already.
    pub(super) fn step(&mut self, sequence: u64) -> Option<u64> {
        let missed = sequence.checked_sub(self.next.unwrap_or(sequence))?;
        self.next = sequence.checked_add(1);
        Some(missed)
    }

    pub(super) fn checkpoint(&self) -> Checkpoint {
        let value = self.next.map(|next| format!("{} {next}", self.boot).into_bytes());
        Checkpoint { key: KEY.to_owned(), value }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was kept, the records there are, and how many are missing before each.
    #[track_caller]
    fn check(kept: Option<&str>, records: &[u64], expected: &[Option<u64>]) {
        let mut place = Place::restore("b".to_owned(), kept.map(str::as_bytes));
        let missed: Vec<_> = records.iter().map(|record| place.step(*record)).collect();
        assert_eq!(missed, expected);
    }

    #[test]
    fn reading_goes_on_where_it_ended() {
        check(Some("b 7"), &[5, 6, 7, 8], &[None, None, Some(0), Some(0)]);
        check(Some("b 7"), &[9, 10, 15], &[Some(2), Some(0), Some(4)]);
    }

    #[test]
    fn a_new_boot_is_read_from_its_beginning() {
        check(Some("a 7"), &[0, 1], &[Some(0), Some(0)]);
        check(Some("a 7"), &[100, 101], &[Some(100), Some(0)]);
    }

    #[test]
    fn the_first_time_reading_begins_anywhere() {
        check(None, &[100, 101], &[Some(0), Some(0)]);
        check(Some("rubbish"), &[100], &[Some(0)]);
        check(Some("b rubbish"), &[100], &[Some(0)]);
    }

    #[test]
    fn what_is_kept_is_restored() {
        let mut place = Place::restore("b".to_owned(), None);
        assert!(!place.looks_back());
        place.step(41);
        let kept = place.checkpoint().value.unwrap();
        let restored = Place::restore("b".to_owned(), Some(&kept));
        assert!(restored.looks_back() && restored == place);
    }
}
