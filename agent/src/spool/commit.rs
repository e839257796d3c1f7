//! Bringing to disk what waits, and making room for it.

use std::sync::Arc;

use cordon_proto::event::{GapReason, Lane};
use cordon_proto::sign::batch::Sealer;

use super::fault::{Fault, SpoolError};
use super::forgets::Forgets;
use super::lane::{Entry, Lanes, Sealed};
use super::store::{Run, Store, Sync, Tx};
use super::{Spool, Taken, room, waiting};

/// How much is dropped at once: this part of what telemetry may take.
const DROP_PART: u64 = 8;

/// While much is written, the disk is told no more often that the run is alive: a page less for each
/// batch, and a gap after a crash that begins so much too early at most.
const ALIVE_KNOWN_NS: u64 = 2 * 1_000_000_000;

/// What is dropped for want of room on the disk at least: page by page it would be all gaps.
const DROP_LEAST_BYTES: u64 = 64 << 10;

impl Spool {
    /// Stores everything that waits, or says why it cannot and counts what need not be kept.
    pub(super) fn store_waiting(&mut self) -> Taken {
        if self.waiting.is_empty(self.now) && !self.unmarked {
            return Taken::Stored;
        }
        match self.store_with_remedies() {
            Ok(()) => Taken::Stored,
            Err(fault) => {
                self.waiting.shed_telemetry(GapReason::DiskFull);
                self.waiting.bound_control(GapReason::DiskFull);
                Taken::Waiting(self.failed("append to", fault).to_string())
            }
        }
    }

    pub(super) fn store_with_remedies(&mut self) -> Result<(), Fault> {
        if self.store.is_none() {
            self.begin_anew(false)?;
        }
        let fault = match self.try_store(0) {
            Ok(()) => return Ok(()),
            Err(fault) => fault,
        };
        if fault.is_damage() {
            self.begin_anew(true)?;
            return self.try_store(0);
        }
        if !fault.is_full() {
            return Err(fault);
        }
        let room = self.make_room();
        if self.forgets.is_some() && self.commit(Sync::Later, |_, _| Ok(())).is_ok() {
            match self.try_store(0) {
                Err(fault) if fault.is_full() => {}
                done => return done,
            }
        }
        if self.lanes.telemetry.bytes > 0 {
            // Pages that a dropped batch leaves are used again without asking the disk.
            let incoming = self.waiting.telemetry_bytes().saturating_mul(2);
            let bytes = self.lanes.telemetry.bytes / DROP_PART;
            self.try_store(bytes.saturating_add(incoming).saturating_add(DROP_LEAST_BYTES))
        } else if room {
            self.try_store(0)
        } else {
            Err(fault)
        }
    }

    /// Gives the reserve up, keeps the file from taking it, and works the log off, so that it is
    /// written from its start again; answers whether there may be room now.
    fn make_room(&mut self) -> bool {
        let given = self.reserve.give_up();
        let Some(store) = &self.store else { return false };
        let capped = store.stop_growing();
        let done = store.work_off().and(capped);
        self.capped = true;
        if let Err(fault) = &done {
            tracing::debug!(%fault, "the spool could not make room");
        }
        given || done.is_ok()
    }

    /// One transaction with everything that waits; at least `drop_bytes` of the oldest telemetry
    /// go in it.
    fn try_store(&mut self, drop_bytes: u64) -> Result<(), Fault> {
        if self.forgets.is_some() && self.is_tight() {
            self.commit(Sync::Later, |_, _| Ok(()))?;
        }
        let (now, share) = (self.now, self.telemetry_share());
        self.shed_for_room(share);
        let identity = Arc::clone(&self.identity);
        let before = self.lanes.telemetry.clone();
        let mut telemetry = before.clone();
        let sealer = &mut self.sealer;
        let entries = self.waiting.telemetry.iter();
        let batches = telemetry.seal(entries, now.time_ns, &identity, sealer)?;
        let over = match telemetry.bytes.saturating_sub(share) {
            0 => drop_bytes,
            over => drop_bytes.max(over.saturating_add(share / DROP_PART)),
        };
        let reason = if drop_bytes > 0 { GapReason::DiskFull } else { GapReason::SpoolFull };
        let urgent = self.waiting.is_urgent(now) || over > 0;
        let sync = if urgent { Sync::Now } else { Sync::Later };
        // Out of the way while the rest of the spool is borrowed; back if it could not be stored.
        let waiting = std::mem::take(&mut self.waiting);
        let done = self.commit(sync, |tx, lanes| {
            let forgotten = lanes.telemetry.less_than(&before);
            lanes.telemetry = telemetry.clone();
            lanes.telemetry.gone(forgotten.0, forgotten.1);
            let dropped = room::drop_oldest(tx, &mut lanes.telemetry, over)?;
            insert(tx, Lane::Telemetry, &batches)?;
            let mut entries = waiting.control_entries(now);
            let gaps = dropped.into_iter().map(|dropped| dropped.gap(reason));
            entries.extend(gaps.filter_map(|gap| waiting::gap_entry(gap, now)));
            let entries = entries.iter().map(Entry::unsealed);
            let mut sealer = Sealer::default();
            let control = lanes.control.seal(entries, now.time_ns, &identity, &mut sealer)?;
            insert(tx, Lane::Control, &control)?;
            for (key, value) in &waiting.checkpoints {
                tx.save_checkpoint(key, value.as_deref())?;
            }
            Ok(())
        });
        if done.is_ok() {
            self.unsynced |= sync == Sync::Later;
            self.waiting = waiting.after_storing(now);
            self.sealed = batches.into_iter().map(Sealed::into_batch).collect();
        } else {
            self.waiting = waiting;
        }
        done
    }

    /// Whether what is dropped or shed may depend on what could be deleted.
    fn is_tight(&self) -> bool {
        let held = self.lanes.control.bytes.saturating_add(self.lanes.telemetry.bytes);
        held.saturating_add(self.waiting.telemetry_bytes()) > self.limits.bytes_max / 2
    }

    /// What telemetry may take.
    fn telemetry_share(&self) -> u64 {
        let control = self.lanes.control.bytes.max(self.limits.control_bytes_reserve);
        self.limits.bytes_max.saturating_sub(control)
    }

    /// Sheds what must not even get numbers.
    fn shed_for_room(&mut self, share: u64) {
        let control = self.lanes.control.bytes;
        if control > self.limits.bytes_max / 2 {
            let only_health = control <= self.limits.bytes_max;
            self.waiting.shed_control(only_health, self.now);
        }
        if self.waiting.telemetry_bytes() > share {
            self.waiting.shed_telemetry(GapReason::SpoolFull);
        }
    }

    /// One transaction; what it changes of the lanes counts only once it is done. It deletes first
    /// what may go, and says which run is alive where that is not known well enough.
    pub(super) fn commit<T>(
        &mut self,
        sync: Sync,
        work: impl FnOnce(&Tx<'_>, &mut Lanes) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        // The first of a run must not be lost: it says which boot a later loss belongs to.
        let sync = if self.unmarked { Sync::Now } else { sync };
        let mut lanes = self.lanes.clone();
        let run = Run { alive_ns: self.now.time_ns, ..self.run.clone() };
        let boot_ns = self.now.boot_ns;
        let is_known = |told_ns: u64| boot_ns.saturating_sub(told_ns) < ALIVE_KNOWN_NS;
        let is_known = !self.unmarked && self.run_told_ns.is_some_and(is_known);
        let unmarked = self.unmarked;
        let (before, forgets) = (&self.lanes, self.forgets);
        let store = self.store.as_mut().ok_or(Fault::NotOpen)?;
        let done = store.write(sync, |tx| {
            for (lane, upto) in forgets.iter() {
                let (events, bytes) = tx.delete_upto(lane, upto)?;
                lanes.get_mut(lane).gone(events, bytes);
            }
            let done = work(tx, &mut lanes)?;
            for lane in Lane::ALL {
                let (now, before) = (lanes.get(lane), before.get(lane));
                if unmarked || now.differs_on_disk(before) {
                    tx.save_lane(now)?;
                }
            }
            if !is_known {
                tx.save_run(&run)?;
            }
            Ok(done)
        })?;
        self.lanes = lanes;
        self.forgets = Forgets::default();
        if !is_known {
            self.run = run;
            self.run_told_ns = Some(boot_ns);
        }
        self.unmarked = false;
        self.unsynced &= sync == Sync::Later;
        Ok(done)
    }

    /// A transaction on its own; over a damaged spool it is done in a new one.
    pub(super) fn write<T>(
        &mut self,
        doing: &'static str,
        sync: Sync,
        work: impl Fn(&Tx<'_>, &mut Lanes) -> Result<T, Fault>,
    ) -> Result<T, SpoolError> {
        let done = match self.commit(sync, &work) {
            Err(fault) if fault.is_damage() => {
                self.begin_anew(true).and_then(|()| self.commit(sync, &work))
            }
            Err(fault) if fault.is_full() && self.make_room() => self.commit(sync, &work),
            done => done,
        };
        done.map_err(|fault| self.failed(doing, fault))
    }

    /// Reads; from a damaged spool nothing is read, and a new one is begun.
    pub(super) fn read<T>(
        &mut self,
        doing: &'static str,
        work: impl Fn(&Store) -> Result<T, Fault>,
    ) -> Result<T, SpoolError> {
        let read = |spool: &Self| work(spool.store.as_ref().ok_or(Fault::NotOpen)?);
        let done = match read(self) {
            Err(fault) if fault.is_damage() => self.begin_anew(true).and_then(|()| read(self)),
            done => done,
        };
        done.map_err(|fault| self.failed(doing, fault))
    }
}

#[cfg(test)]
impl Spool {
    /// Does harm to the database from inside.
    pub(super) fn harm(&mut self, sql: &str) {
        self.store.as_mut().unwrap().harm(sql);
    }
}

fn insert(tx: &Tx<'_>, lane: Lane, batches: &[Sealed]) -> Result<(), Fault> {
    batches.iter().try_for_each(|sealed| tx.insert(lane, sealed))
}
