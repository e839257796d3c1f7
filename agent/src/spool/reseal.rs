//! Takes sealed batches apart and seals their events again in a new epoch.

use cordon_proto::session::Cursor;
use cordon_proto::sign::batch::{self, BatchError, Sealer};

use super::fault::Fault;
use super::lane::{Holding, Identity, LaneState, Sealed};
use super::store::{Stored, Tx};

/// Seals every batch after a place, of epochs before the state's own, again under the state's
/// next numbers; batch by batch, so that memory holds one at a time.
///
/// Answers what had to be given up because it could not be taken apart.
pub(super) fn reseal(
    tx: &Tx<'_>,
    state: &mut LaneState,
    after: Cursor,
    time_ns: u64,
    identity: &Identity,
) -> Result<Holding, Fault> {
    let (epoch, mut sealer) = (state.epoch, Sealer::default());
    let mut lost = Holding::default();
    while let Some(stored) = tx.next(state.lane, after, epoch)? {
        let count = stored.last.saturating_sub(stored.first).saturating_add(1);
        let frame = tx.events(stored.id)?;
        tx.delete(stored.id)?;
        state.gone(count, stored.bytes);
        match seal_again(&stored, &frame, state, time_ns, (identity, &mut sealer)) {
            Ok(sealed) => tx.insert(state.lane, &sealed)?,
            Err(_damaged) => lost.merge(&stored.holding),
        }
    }
    Ok(lost)
}

fn seal_again(
    stored: &Stored,
    frame: &[u8],
    state: &mut LaneState,
    time_ns: u64,
    (identity, sealer): (&Identity, &mut Sealer),
) -> Result<Sealed, BatchError> {
    let count = stored.last.saturating_sub(stored.first).saturating_add(1);
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    let events = batch::unpack(frame, count)?;
    let events = events.iter().map(Vec::as_slice);
    state.seal_run(events, stored.holding.clone(), time_ns, identity, sealer)
}
