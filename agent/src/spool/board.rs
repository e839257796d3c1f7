//! What the spool's thread and those who hold its handle tell each other without waking each other:
//! what the collector has, and what was sealed last.
//!
//! A batch is read once in its life, a moment after it was sealed; who finds it here asks neither
//! thread nor disk. It is here only once it is stored.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cordon_proto::event::Lane;
use cordon_proto::session::{Cursor, SealedBatch};

use super::forgets::Forgets;

/// Batches longer than this together are read from the disk: they are many, or nobody takes them.
const SEALED_BYTES_MAX: usize = 128 << 10;

/// The board; each copy is the same one.
#[derive(Clone, Debug, Default)]
pub(super) struct Board {
    shared: Arc<Mutex<Written>>,
}

#[derive(Debug, Default)]
struct Written {
    forgets: Forgets,
    /// Telemetry, in order.
    sealed: Vec<SealedBatch>,
}

impl Board {
    /// Notes what the collector has.
    pub(super) fn forget(&self, lane: Lane, upto: Cursor) {
        self.lock().forgets.note(lane, upto);
    }

    /// What the collector has, as far as it is news.
    pub(super) fn take_forgets(&self) -> Forgets {
        std::mem::take(&mut self.lock().forgets)
    }

    /// Shows what was sealed last, instead of what was before.
    pub(super) fn show(&self, sealed: Vec<SealedBatch>) {
        let bytes = sealed.iter().map(bytes_of).sum::<usize>();
        self.lock().sealed = if bytes <= SEALED_BYTES_MAX { sealed } else { Vec::new() };
    }

    /// Takes telemetry that follows a place down, if it hangs here; limits as for
    /// [`super::Spool::sealed_after`].
    pub(super) fn take(
        &self,
        after: Cursor,
        batches_max: usize,
        bytes_max: usize,
    ) -> Option<Vec<SealedBatch>> {
        let mut written = self.lock();
        let first = written.sealed.first()?;
        if first.epoch != after.epoch || Some(first.first) != after.last.checked_add(1) {
            return None;
        }
        let mut bytes = 0_usize;
        let fits = |sealed: &&SealedBatch| {
            bytes = bytes.saturating_add(bytes_of(sealed));
            bytes <= bytes_max
        };
        let count = written.sealed.iter().take(batches_max).take_while(fits).count().max(1);
        Some(written.sealed.drain(..count).collect())
    }

    fn lock(&self) -> MutexGuard<'_, Written> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn bytes_of(sealed: &SealedBatch) -> usize {
    sealed.batch.header.len().saturating_add(sealed.batch.events.len())
}

#[cfg(test)]
mod tests {
    use cordon_proto::sign::batch::Batch;

    use super::*;

    fn sealed(first: u64, last: u64, bytes: usize) -> SealedBatch {
        let batch = Batch { header: Vec::new(), events: vec![0; bytes] };
        SealedBatch { epoch: 3, first, last, batch }
    }

    fn after(epoch: u32, last: u64) -> Cursor {
        Cursor { epoch, last }
    }

    #[test]
    fn only_what_follows_at_once_is_taken_and_only_once() {
        let board = Board::default();
        board.show(vec![sealed(5, 6, 10), sealed(7, 9, 10)]);
        assert_eq!(board.take(after(3, 3), 9, 999), None, "something is between");
        assert_eq!(board.take(after(2, 4), 9, 999), None, "another epoch");
        assert_eq!(board.take(after(3, 4), 9, 15).unwrap(), [sealed(5, 6, 10)]);
        assert_eq!(board.take(after(3, 4), 9, 999), None, "it is gone");
        assert_eq!(board.take(after(3, 6), 9, 0).unwrap(), [sealed(7, 9, 10)], "one in any case");
    }

    #[test]
    fn what_nobody_took_makes_room_and_much_is_not_shown_at_all() {
        let board = Board::default();
        board.show(vec![sealed(1, 1, 1)]);
        board.show(vec![sealed(2, 2, SEALED_BYTES_MAX + 1)]);
        assert_eq!(board.take(after(3, 0), 9, usize::MAX), None);
        assert_eq!(board.take(after(3, 1), 9, usize::MAX), None);
    }

    #[test]
    fn what_the_collector_has_is_noted_up_to_the_last_and_taken_once() {
        let board = Board::default();
        board.forget(Lane::Telemetry, after(1, 1));
        board.forget(Lane::Telemetry, after(1, 2));
        let noted: Vec<_> = board.take_forgets().iter().collect();
        assert_eq!(noted, [(Lane::Telemetry, after(1, 2))]);
        assert!(!board.take_forgets().is_some());
    }
}
