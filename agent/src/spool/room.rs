//! Makes room: drops the oldest sealed batches whole, and says so in gaps.

use cordon_proto::event::gap::SealedRange;
use cordon_proto::event::{Gap, GapReason, Lane};
use cordon_proto::session::Cursor;

use super::fault::Fault;
use super::lane::{Holding, LaneState};
use super::store::Tx;

/// Sealed batches that are gone, in one run of numbers.
#[derive(Clone, Debug)]
pub(super) struct Dropped {
    pub(super) range: SealedRange,
    pub(super) holding: Holding,
}

impl Dropped {
    pub(super) fn gap(self, reason: GapReason) -> Gap {
        let Holding { counts, from_ns, to_ns } = self.holding;
        Gap { reason, counts, from_ns, to_ns, sealed: Some(self.range), detail: None }
    }
}

/// Drops the oldest batches of a lane until so many bytes are free or nothing is left.
///
/// Runs of consecutive numbers become one gap each; the caller puts the gaps into the same
/// transaction.
pub(super) fn drop_oldest(
    tx: &Tx<'_>,
    state: &mut LaneState,
    bytes: u64,
) -> Result<Vec<Dropped>, Fault> {
    let lane: Lane = state.lane;
    let mut dropped: Vec<Dropped> = Vec::new();
    let mut freed = 0_u64;
    while freed < bytes {
        let Some(batch) = tx.next(lane, Cursor::default(), u32::MAX)? else { break };
        tx.delete(batch.id)?;
        let events = batch.last.saturating_sub(batch.first).saturating_add(1);
        state.gone(events, batch.bytes);
        freed = freed.saturating_add(batch.bytes.max(1));
        let (epoch, first, last, head) = (batch.epoch, batch.first, batch.last, batch.hash);
        match dropped.last_mut() {
            Some(run)
                if run.range.epoch == epoch && run.range.last.checked_add(1) == Some(first) =>
            {
                run.range.last = last;
                run.range.head = head;
                run.holding.merge(&batch.holding);
            }
            Some(_) | None => {
                let range = SealedRange { lane, epoch, first, last, head };
                dropped.push(Dropped { range, holding: batch.holding });
            }
        }
    }
    Ok(dropped)
}
