//! Events waiting to be sent: numbered, sealed, bounded, and safe from crashes.
//!
//! What [`Spool::append`] has taken is on disk when it returns. Control events have been synced by
//! then; telemetry is synced by the next control event, by [`Spool::sync`] (which the keeper calls
//! once a second) or by [`Spool::close`]: so `kill -9` loses nothing that was taken, and a power
//! loss at most the last second of telemetry. Because what was lost that way may have been sent
//! already, the first start after an unclean stop in another boot begins a new telemetry epoch.
//!
//! A full spool drops its oldest telemetry, whole batches, an eighth of its share at a time (so
//! that gaps do not crowd out what they tell of), with a signed gap in the same transaction.
//! What is in the control lane stays; when it fills half of the spool, new health is counted
//! instead of stored, and when it fills the spool, everything but gaps is. A disk without room
//! makes the spool count telemetry instead of keeping it, and tell of it when there is room again.

mod board;
mod commit;
mod fault;
mod floor;
mod forgets;
mod inbox;
pub mod keeper;
mod lane;
mod open;
mod pace;
mod reseal;
mod reserve;
mod room;
mod store;
#[cfg(test)]
mod tests;
mod waiting;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cordon_proto::event::agent::LaneDepth;
use cordon_proto::event::{Gap, GapReason, Lane};
use cordon_proto::message::LanePosition;
use cordon_proto::session::{Cursor, SealedBatch};
use cordon_proto::sign::batch::{EpochCause, Sealer};

pub use fault::{Fault, SpoolError};
pub use lane::Identity;

use crate::clock::Stamp;
use crate::sensor::Sample;
use forgets::Forgets;
use lane::{Holding, LaneState, Lanes};
use reserve::Reserve;
use store::{Run, Store, Sync};
use waiting::Waiting;

/// How much the spool may take.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SpoolLimits {
    /// All sealed batches.
    pub bytes_max: u64,
    /// Of these, what telemetry never gets.
    pub control_bytes_reserve: u64,
    /// The file, with its indices and its free pages; nothing grows beyond this.
    pub file_bytes_max: u64,
}

impl Default for SpoolLimits {
    fn default() -> Self {
        Self::of(256 << 20)
    }
}

impl SpoolLimits {
    /// The usual shares of a number of bytes.
    #[must_use]
    pub fn of(bytes_max: u64) -> Self {
        let control_bytes_reserve = bytes_max / 16;
        // Half as much again for what pages leave empty.
        let file_bytes_max = bytes_max.saturating_add(bytes_max / 2).saturating_add(4 << 20);
        Self { bytes_max, control_bytes_reserve, file_bytes_max }
    }
}

/// Whether what was handed over is on disk.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Taken {
    /// It is.
    Stored,
    /// It is not, for this reason: control events are kept and telemetry is counted in memory, and
    /// each append tries again.
    Waiting(String),
}

/// What opening the spool found.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Start {
    /// The run before ended without saying goodbye.
    pub unclean: bool,
    /// Lanes that begin a new epoch, and why.
    pub epochs: Vec<(Lane, EpochCause)>,
}

/// The spool.
#[derive(Debug)]
pub struct Spool {
    path: PathBuf,
    identity: Arc<Identity>,
    limits: SpoolLimits,
    /// Of telemetry; control events are few.
    sealer: Sealer,
    /// None after damage, until it could be begun anew.
    store: Option<Store>,
    reserve: Reserve,
    lanes: Lanes,
    waiting: Waiting,
    /// What the next transaction deletes.
    forgets: Forgets,
    /// Telemetry that the last append sealed.
    sealed: Vec<SealedBatch>,
    run: Run,
    /// When the disk was last told how the run fares, boot-time clock; none where it must be.
    run_told_ns: Option<u64>,
    start: Start,
    now: Stamp,
    /// Telemetry was committed and not synced.
    unsynced: bool,
    /// This run has not written anything yet.
    unmarked: bool,
    /// The disk was full, and the file may not grow until there is plenty of room.
    capped: bool,
    opened: bool,
    times_lost: u32,
}

/// On a disk without room for a reserve the file takes one part in so many of what is free. The rest
/// is for the database's log, which deleting needs.
const GROW_PART: u64 = 4;

impl Spool {
    /// Opens the spool of this path, or begins a new one; recovers from whatever the last run left.
    ///
    /// A disk that is full does not keep an existing spool from opening.
    pub fn open(
        path: &Path,
        identity: Identity,
        limits: SpoolLimits,
        boot_id: &str,
        now: Stamp,
    ) -> Result<Self, SpoolError> {
        // Epoch 0 is none: what is found or begun below has another.
        let lane = |lane| LaneState::new(lane, 0, EpochCause::Enrolled);
        let mut spool = Self {
            path: path.to_path_buf(),
            identity: Arc::new(identity),
            limits,
            sealer: Sealer::default(),
            store: None,
            reserve: Reserve::beside(path),
            lanes: Lanes { control: lane(Lane::Control), telemetry: lane(Lane::Telemetry) },
            waiting: Waiting::default(),
            forgets: Forgets::default(),
            sealed: Vec::new(),
            run_told_ns: None,
            run: Run { boot_id: boot_id.to_owned(), clean: false, alive_ns: now.time_ns },
            start: Start::default(),
            now,
            unsynced: false,
            unmarked: true,
            capped: false,
            opened: false,
            times_lost: 0,
        };
        let ready = match spool.find() {
            Ok(true) => Ok(()),
            Ok(false) => spool.begin_anew(false),
            Err(fault) if fault.is_damage() => spool.begin_anew(true),
            Err(fault) => Err(fault),
        };
        ready.map_err(|fault| spool.failed("open", fault))?;
        if let Taken::Waiting(why) = spool.store_waiting() {
            tracing::warn!(why, "the spool opens without room to write");
        }
        spool.opened = true;
        spool.take_reserve();
        Ok(spool)
    }

    /// What opening found.
    #[must_use]
    pub fn start(&self) -> &Start {
        &self.start
    }

    /// How often the spool was lost while running. Each time, checkpoints and notes are gone too:
    /// whoever keeps notes here must write them again, and renew what must not be repeated.
    #[must_use]
    pub fn times_lost(&self) -> u32 {
        self.times_lost
    }

    /// Takes samples in: numbers and seals their events, and keeps their checkpoints with them.
    pub fn append(&mut self, samples: impl IntoIterator<Item = Sample>, now: Stamp) -> Taken {
        self.now = now;
        for sample in samples {
            self.waiting.take(sample, now);
        }
        self.store_waiting()
    }

    /// Tries again to store what waits for room.
    pub fn retry(&mut self, now: Stamp) -> Taken {
        self.now = now;
        self.store_waiting()
    }

    /// Waits until everything taken is on disk.
    pub fn sync(&mut self, now: Stamp) -> Result<(), SpoolError> {
        self.now = now;
        if self.unsynced {
            self.read("sync", Store::sync_log)?;
            self.unsynced = false;
        }
        Ok(())
    }

    /// Whether telemetry was taken that a power loss could still take back.
    #[must_use]
    pub fn is_unsynced(&self) -> bool {
        self.unsynced
    }

    /// Notes that the agent is alive, so that a gap after a crash begins here; deletes what was noted
    /// for it, sees to the room that is kept for a full disk, and gives back what is not needed.
    pub fn alive(&mut self, now: Stamp) -> Result<(), SpoolError> {
        self.now = now;
        self.run_told_ns = None;
        self.write("write to", Sync::Later, |_, _| Ok(()))?;
        self.take_reserve();
        self.read("shrink", Store::give_back)
    }

    /// Sealed batches after a place, oldest first; always one if there is one.
    pub fn sealed_after(
        &mut self,
        lane: Lane,
        after: Cursor,
        batches_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<SealedBatch>, SpoolError> {
        self.read("read", |store| store.sealed_after(lane, after, batches_max, bytes_max))
    }

    /// Deletes what is durable at the collector.
    pub fn forget(&mut self, lane: Lane, upto: Cursor) -> Result<(), SpoolError> {
        self.forgets.note(lane, upto);
        self.forget_noted()
    }

    /// Deletes what was noted for it, if anything was.
    fn forget_noted(&mut self) -> Result<(), SpoolError> {
        if !self.forgets.is_some() {
            return Ok(());
        }
        self.write("delete from", Sync::Later, |_, _| Ok(()))
    }

    /// Deletes what is durable at the collector with the next that is written, and before anything
    /// is dropped for want of room.
    fn forget_later(&mut self, forgets: Forgets) {
        self.forgets.add(forgets);
    }

    /// The telemetry that the last append sealed, once.
    fn take_sealed(&mut self) -> Vec<SealedBatch> {
        std::mem::take(&mut self.sealed)
    }

    /// Begins a new epoch, above `above` and above every one known; what comes after
    /// `reseal_after` is sealed again in it.
    pub fn begin_epoch(
        &mut self,
        lane: Lane,
        above: u32,
        cause: EpochCause,
        reseal_after: Option<Cursor>,
        now: Stamp,
    ) -> Result<(), SpoolError> {
        self.now = now;
        let next = self.next_epoch(lane, above, cause);
        let identity = Arc::clone(&self.identity);
        let lost = self.write("begin a new epoch in", Sync::Now, |tx, lanes| {
            let state = lanes.get_mut(lane);
            // Above the lane's own even if the spool had to be begun anew meanwhile.
            state.begin(next.max(state.epoch.saturating_add(1)), cause);
            match reseal_after {
                Some(after) => reseal::reseal(tx, state, after, now.time_ns, &identity),
                None => Ok(Holding::default()),
            }
        })?;
        if !lost.counts.is_empty() {
            let Holding { counts, from_ns, to_ns } = lost;
            let detail = Some("batches that could not be read again".to_owned());
            let reason = GapReason::SpoolLost;
            self.waiting.gap(Gap { reason, counts, from_ns, to_ns, sealed: None, detail }, now);
            if let Taken::Waiting(why) = self.store_waiting() {
                tracing::warn!(why, "a gap waits for room in the spool");
            }
        }
        Ok(())
    }

    /// Where each lane stands: the last batch sealed.
    #[must_use]
    pub fn positions(&self) -> [LanePosition; 2] {
        Lane::ALL.map(|lane| self.lanes.get(lane).position())
    }

    /// What waits in each lane.
    #[must_use]
    pub fn depths(&self) -> [LaneDepth; 2] {
        Lane::ALL.map(|lane| {
            let LaneState { epoch, next_seq, events, bytes, .. } = *self.lanes.get(lane);
            LaneDepth { lane, epoch, next_seq, events, bytes }
        })
    }

    /// The checkpoints whose key begins so, in order.
    pub fn checkpoints(&mut self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, SpoolError> {
        self.read("read", |store| store.checkpoints(prefix))
    }

    /// What the agent noted for itself.
    pub fn note(&mut self, key: &str) -> Result<Option<Vec<u8>>, SpoolError> {
        self.read("read", |store| store.note(key))
    }

    /// Notes something and waits until it is on disk; none forgets it.
    pub fn put_note(&mut self, key: &str, value: Option<&[u8]>) -> Result<(), SpoolError> {
        self.write("write to", Sync::Now, |tx, _| tx.save_note(key, value))
    }

    /// Other limits from now on. What telemetry has too much goes, counted, when something is stored
    /// next; pages that it leaves in the file are used again.
    pub fn set_limits(&mut self, limits: SpoolLimits) {
        self.limits = limits;
        if let Some(store) = &self.store
            && !self.capped
        {
            self.capped = store.let_grow(limits.file_bytes_max).is_err();
        }
    }

    /// Stores what waits, syncs, and says goodbye: the next start will find nothing amiss.
    pub fn close(mut self, now: Stamp) -> Result<(), SpoolError> {
        self.now = now;
        self.waiting.release();
        // Without room it is no clean end: the next start tells of it.
        self.store_with_remedies().map_err(|fault| self.failed("store what waits in", fault))?;
        self.run.clean = true;
        self.run_told_ns = None;
        self.write("close", Sync::Now, |_, _| Ok(()))?;
        match self.store.take().map(Store::close) {
            None | Some(Ok(())) => Ok(()),
            Some(Err(fault)) => Err(self.failed("close", fault)),
        }
    }

    /// Keeps room for a full disk; while there is some, the file may grow. On a disk too small for
    /// that it grows only so far that the database's log keeps its room.
    fn take_reserve(&mut self) {
        let taken = self.reserve.take().unwrap_or_else(|error| {
            tracing::debug!(%error, "no room is kept for a full disk");
            false
        });
        let Some(store) = &self.store else { return };
        if taken && self.capped {
            self.capped = store.let_grow(self.limits.file_bytes_max).is_err();
        } else if !taken && !self.capped {
            let more = self.reserve.free_bytes().unwrap_or(0) / GROW_PART;
            let capped = store.let_grow_by(more.min(self.limits.file_bytes_max));
            self.capped = capped.is_ok();
            tracing::warn!(more, "the disk is too small to keep room for when it is full");
        }
    }

    fn failed(&self, doing: &'static str, fault: Fault) -> SpoolError {
        SpoolError::Failed { doing, path: self.path.clone(), fault }
    }
}
