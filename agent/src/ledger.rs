//! What stands on this endpoint besides an isolation: each deed with the command that asked for it,
//! what was there before, its lease, and when it was last seen to hold.
//!
//! Pure. The event loop hands in commands, outcomes and endpoint time, carries [`Step`]s out, and
//! signs the receipts that come back. A deed is written down before it is done, and what was there
//! before is kept with it, so that whatever a crash leaves behind can be undone.

mod clearing;
mod entry;
mod receipts;
#[cfg(test)]
mod timeline;

use std::collections::VecDeque;

use cordon_proto::command::Action;
use cordon_proto::event::Receipt;
use cordon_proto::event::agent::Standing;
use cordon_proto::event::receipt::{EndCause, Probe};
use cordon_proto::id::CommandId;

use crate::guard::Authorised;

use clearing::{Clearing, Turn};
use entry::{Entry, Undoing};
pub use entry::{Kept, KeptDeed};
use receipts::Cause;

/// Deeds that stand or are under way at once; a command beyond them is refused.
pub const DEEDS_MAX: usize = 256;
/// What stands is looked at this often.
pub const LOOK_EVERY_SECS: u64 = 60;
/// What could not be put back, or not be undone, is tried again after this long.
pub const RETRY_SECS: u64 = 15;

/// What came of a deed, or of its undoing.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Done {
    /// What was looked at afterwards.
    pub probes: Vec<Probe>,
    /// What was done, where something else was not.
    pub done: Vec<String>,
    /// What was not done, and why.
    pub missing: Vec<String>,
}

/// Why nothing was done.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum NotDone {
    /// What it would be done to is protected, or is not what the command says it is.
    Refused(String),
    /// It could not be done; nothing was changed.
    Failed(String),
}

impl Done {
    /// Whether nothing is missing; otherwise what is.
    pub(crate) fn whole(&self) -> Result<(), String> {
        if self.missing.is_empty() { Ok(()) } else { Err(self.missing.join("; ")) }
    }
}

impl std::fmt::Display for NotDone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::Refused(why) | Self::Failed(why)) = self;
        f.write_str(why)
    }
}

/// How a deed was found when it was looked at.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Seen {
    /// As it must be.
    Holds(Vec<Probe>),
    /// Otherwise; it is done again.
    Drifted(String),
    /// Nothing could be seen; that says nothing about the deed.
    CannotLook(String),
    /// What it was done to is gone for good, so nothing stands any more.
    Gone(String),
}

/// What the event loop must do. Each names the command of its deed, and steps of different deeds
/// may be under way together.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Step {
    /// Write this to disk, synced; answer with [`Ledger::handle_saved`].
    Save {
        /// Names this state of the ledger in the answer.
        version: u64,
        /// What stands and what is about to be done.
        kept: Kept,
    },
    /// Read what is there now and whether it may be done; answer with [`Ledger::handle_prepared`].
    Prepare(CommandId, Action),
    /// Do it; answer with [`Ledger::handle_applied`].
    Apply(CommandId, Action, Vec<u8>),
    /// Look whether it holds; answer with [`Ledger::handle_seen`].
    Look(CommandId, Action, Vec<u8>),
    /// Undo it; answer with [`Ledger::handle_undone`].
    Undo(CommandId, Action, Vec<u8>),
    /// Let the endpoint back onto the network, as part of undoing everything, if it is this command
    /// that cuts it off; one that came later stands.
    LetBack(Box<Authorised>, CommandId),
    /// Sign this.
    Receipt(Box<Receipt>),
}

/// What stands, and what is under way.
#[derive(Debug, Default)]
pub struct Ledger {
    entries: Vec<Entry>,
    /// States of the ledger: the newest, the one being written, the one on disk.
    version: u64,
    saving: Option<u64>,
    saved: u64,
    /// The newest that was written, or could not be.
    tried: u64,
    /// Writing failed; it is tried again when time has passed.
    save_later: bool,
    clearing: Option<Clearing>,
    told: VecDeque<Receipt>,
}

impl Ledger {
    /// Takes up what stood, or was about to be done, when the agent last ran. What a crash left in
    /// the middle is done to its end.
    #[must_use]
    pub fn resume(mut kept: Kept, now_secs: u64) -> Self {
        let anew = kept.count_from(now_secs);
        let entries = kept.deeds.into_iter().map(|kept| Entry::resume(kept, now_secs));
        Self { entries: entries.collect(), version: u64::from(anew), ..Self::default() }
    }

    /// Does what a command asks.
    pub fn handle_command(&mut self, may: &Authorised, now_secs: u64) {
        let (cause, action) = (Cause::of(may), &may.command.action);
        if let Some(index) = self.same(action) {
            return self.renew(index, cause, action, now_secs);
        }
        if self.entries.len() >= DEEDS_MAX {
            let why = format!("{DEEDS_MAX} deeds stand already; undo one first");
            return self.tell(cause.failed(why, now_secs));
        }
        self.entries.push(Entry::new(cause, action.clone(), now_secs));
    }

    /// Undoes what a command did.
    pub fn handle_undo(&mut self, may: &Authorised, of: CommandId, now_secs: u64) {
        let cause = Cause::of(may);
        let Some(entry) = self.entries.iter_mut().find(|entry| entry.cause.id == of) else {
            // As with a release of what is open: it is as it was asked to be.
            return self.tell(cause.applied(0, None, true, now_secs));
        };
        let undoing = Undoing { ended: EndCause::Released, by: Some(cause) };
        self.version = self.version.saturating_add(1);
        if let Some(earlier) = entry.undo_for(undoing, self.version) {
            let why = "a later command asks for the same".to_owned();
            self.tell(earlier.failed(why, now_secs));
        }
    }

    /// Undoes everything that stands, the latest first. `isolated` is the command of the isolation
    /// that stands, and when it was asked for; it takes its turn among the others.
    pub fn handle_release_all(
        &mut self,
        may: &Authorised,
        isolated: Option<(CommandId, u64)>,
        now_secs: u64,
    ) {
        let cause = Cause::of(may);
        if self.clearing.is_some() {
            let why = "everything is being undone already".to_owned();
            return self.tell(cause.failed(why, now_secs));
        }
        let deeds = self.entries.iter().map(|entry| (entry.since_secs, Turn::Deed(entry.cause.id)));
        let isolation = isolated.map(|(id, since_secs)| (since_secs, Turn::Isolation(id)));
        let clearing = Clearing::new(may.clone(), deeds.chain(isolation).collect());
        self.tell(cause.applied(0, None, clearing.is_over(), now_secs));
        self.clearing = Some(clearing).filter(|clearing| !clearing.is_over());
    }

    /// The single-use code was typed here: undoes everything that stands, the latest first.
    pub fn handle_break_glass(&mut self, now_secs: u64) {
        self.version = self.version.saturating_add(1);
        for entry in self.entries.iter_mut().rev() {
            let undoing = Undoing { ended: EndCause::BreakGlass, by: None };
            let earlier = entry.undo_for(undoing, self.version);
            let why = "everything is being undone".to_owned();
            self.told.extend(earlier.map(|cause| cause.failed(why, now_secs)));
        }
    }

    /// The outcome of [`Step::Save`].
    pub fn handle_saved(&mut self, version: u64, outcome: Result<(), String>, now_secs: u64) {
        self.saving = None;
        self.tried = self.tried.max(version);
        let Err(why) = outcome else {
            self.saved = self.saved.max(version);
            return;
        };
        // What is not written down is not done; all else is written as soon as it can be.
        self.save_later = true;
        let saved = self.saved;
        let waiting = self.entries.iter().filter(|entry| entry.waits_for(version, saved));
        for id in waiting.map(|entry| entry.cause.id).collect::<Vec<_>>() {
            let why = NotDone::Failed(format!("it could not be recorded: {why}"));
            let entry = self.entries.iter_mut().find(|entry| entry.cause.id == id);
            let receipts = entry.map(|entry| entry.not_done(why, now_secs));
            self.took(id, receipts.unwrap_or_default());
        }
    }

    /// The outcome of [`Step::Prepare`]: what is there now.
    pub fn handle_prepared(
        &mut self,
        id: CommandId,
        outcome: Result<Vec<u8>, NotDone>,
        now_secs: u64,
    ) {
        let version = self.version.saturating_add(1);
        match outcome {
            Ok(before) => {
                if let Some(entry) = self.at_step(id) {
                    entry.handle_prepared(before, version);
                    self.version = version;
                }
            }
            Err(why) => {
                if let Some(entry) = self.at_step(id) {
                    let receipts = entry.not_done(why, now_secs);
                    let id = entry.cause.id;
                    self.took(id, receipts);
                }
            }
        }
    }

    /// The outcome of [`Step::Apply`], and how long it took.
    pub fn handle_applied(
        &mut self,
        id: CommandId,
        outcome: Result<Done, NotDone>,
        change_us: u64,
        now_secs: u64,
    ) {
        let Some(entry) = self.at_step(id) else { return };
        let receipts = entry.handle_applied(outcome, change_us, now_secs);
        let id = entry.cause.id;
        self.took(id, receipts);
    }

    /// The outcome of [`Step::Look`].
    pub fn handle_seen(&mut self, id: CommandId, seen: Seen, now_secs: u64) {
        let Some(entry) = self.at_step(id) else { return };
        let receipts = entry.handle_seen(seen, now_secs);
        let id = entry.cause.id;
        self.took(id, receipts);
    }

    /// The outcome of [`Step::Undo`], and how long it took.
    pub fn handle_undone(
        &mut self,
        id: CommandId,
        outcome: Result<Done, NotDone>,
        change_us: u64,
        now_secs: u64,
    ) {
        let Some(entry) = self.at_step(id) else { return };
        let cleared = outcome.as_ref().map_err(NotDone::to_string).and_then(Done::whole);
        let receipts = entry.handle_undone(outcome, change_us, now_secs);
        let id = entry.cause.id;
        // Whatever came of it, it is not being undone any more.
        self.version = self.version.saturating_add(1);
        self.took(id, receipts);
        if let Some(clearing) = &mut self.clearing {
            clearing.handle_turn(Turn::Deed(id), cleared);
        }
    }

    /// The isolation that stood is gone, or could not be ended: its turn in undoing everything is
    /// over.
    pub fn handle_let_back(&mut self, outcome: Result<(), String>) {
        if let Some(clearing) = &mut self.clearing {
            clearing.handle_let_back(outcome);
        }
    }

    /// Ends leases, looks again, tries again.
    pub fn handle_timeout(&mut self, now_secs: u64) {
        self.save_later = false;
        for entry in &mut self.entries {
            entry.handle_timeout(now_secs);
        }
    }

    /// What is to be done next. `may_begin` says whether there is room for one more that takes its
    /// time; to write and to tell there always is.
    pub fn poll_step(&mut self, may_begin: bool, now_secs: u64) -> Option<Step> {
        if let Some(step) = self.clear_next(now_secs) {
            return Some(step);
        }
        // What is told was written down before, or could not be: a crash in between must not bring
        // back what was told to have ended.
        if self.saving.is_none() && self.saved < self.version && !self.save_later {
            let version = self.version;
            self.saving = Some(version);
            let deeds = self.entries.iter().filter_map(Entry::kept).collect();
            let kept = Kept { deeds, saved_secs: Some(now_secs) };
            return Some(Step::Save { version, kept });
        }
        if self.saving.is_none()
            && let Some(receipt) = self.told.pop_front()
        {
            return Some(Step::Receipt(Box::new(receipt)));
        }
        if !may_begin {
            return None;
        }
        if self.join_waiting(now_secs) {
            return self.poll_step(may_begin, now_secs);
        }
        let (saved, tried) = (self.saved, self.tried);
        (0..self.entries.len()).find_map(|at| {
            if self.is_waiting(at) {
                return None;
            }
            self.entries.get_mut(at)?.poll_step(saved, tried, now_secs)
        })
    }

    /// Whether the same is asked for that an earlier deed does or undoes just now: what there was
    /// before it can be read only when that is over.
    fn is_waiting(&self, at: usize) -> bool {
        let Some(entry) = self.entries.get(at).filter(|entry| entry.is_new()) else { return false };
        self.entries.iter().take(at).any(|earlier| earlier.action.is_same_but_lease(&entry.action))
    }

    /// What waited for the same to be done takes it over, now that it is; true if there was any.
    fn join_waiting(&mut self, now_secs: u64) -> bool {
        let waiting = (0..self.entries.len()).find(|at| {
            self.is_waiting(*at)
                && self.entries.get(*at).and_then(|entry| self.same(&entry.action)).is_some()
        });
        let Some(at) = waiting else { return false };
        let entry = self.entries.remove(at);
        if let Some(index) = self.same(&entry.action) {
            self.renew(index, entry.cause, &entry.action, now_secs);
            self.take_undo(index, entry);
        }
        true
    }

    /// It was to be undone before it was begun.
    fn take_undo(&mut self, index: usize, mut from: Entry) {
        let Some(undoing) = from.take_undo() else { return };
        self.version = self.version.saturating_add(1);
        if let Some(entry) = self.entries.get_mut(index) {
            entry.undo_for(undoing, self.version);
        }
    }

    /// What stands, in the order in which it was asked for.
    #[must_use]
    pub fn standing(&self) -> Vec<Standing> {
        self.entries.iter().filter_map(Entry::standing).collect()
    }

    /// Whether the same stands, or is under way, whatever its lease.
    #[must_use]
    pub fn has(&self, action: &Action) -> bool {
        self.entries.iter().any(|entry| entry.action.is_same_but_lease(action))
    }

    /// Whether what this command asked for stands, or is under way.
    #[must_use]
    pub fn knows(&self, id: CommandId) -> bool {
        self.entries.iter().any(|entry| entry.cause.id == id)
    }

    /// The deed of which a step was begun under this command.
    fn at_step(&mut self, id: CommandId) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.is_at(id))
    }

    fn same(&self, action: &Action) -> Option<usize> {
        let same = |entry: &Entry| entry.stands() && entry.action.is_same_but_lease(action);
        self.entries.iter().position(same)
    }

    /// What stands is taken over by the command that asks for it again, with its lease.
    fn renew(&mut self, index: usize, cause: Cause, action: &Action, now_secs: u64) {
        let Some(entry) = self.entries.get_mut(index) else { return };
        let before = entry.renew(cause, action, now_secs);
        let until_secs = entry.until_secs;
        self.version = self.version.saturating_add(1);
        self.tell(before.ended(EndCause::Replaced, false, now_secs));
        self.tell(cause.applied(0, until_secs, true, now_secs));
    }

    /// Something came of a step of this deed.
    fn took(&mut self, id: CommandId, receipts: Vec<Receipt>) {
        if !receipts.is_empty() {
            self.version = self.version.saturating_add(1);
        }
        self.told.extend(receipts);
        if self.entries.iter().any(|entry| entry.cause.id == id && entry.is_over()) {
            self.entries.retain(|entry| entry.cause.id != id);
            if let Some(clearing) = &mut self.clearing {
                clearing.handle_turn(Turn::Deed(id), Ok(()));
            }
        }
    }

    fn tell(&mut self, receipt: Receipt) {
        self.told.push_back(receipt);
    }

    /// Begins to undo the next of everything, once the one before is undone.
    fn clear_next(&mut self, now_secs: u64) -> Option<Step> {
        let clearing = self.clearing.as_mut()?;
        while let Some(turn) = clearing.next_turn() {
            match turn {
                Turn::Isolation(id) => {
                    return Some(Step::LetBack(Box::new(clearing.may.clone()), id));
                }
                Turn::Deed(id) => match self.entries.iter_mut().find(|e| e.cause.id == id) {
                    Some(entry) => {
                        let undoing = Undoing { ended: EndCause::Released, by: None };
                        self.version = self.version.saturating_add(1);
                        let earlier = entry.undo_for(undoing, self.version);
                        let why = "everything is being undone".to_owned();
                        self.told.extend(earlier.map(|cause| cause.failed(why, now_secs)));
                        return None;
                    }
                    None => clearing.handle_turn(turn, Ok(())),
                },
            }
        }
        if clearing.is_over() {
            let receipt = Cause::of(&clearing.may).observed(clearing.probes(), now_secs);
            self.clearing = None;
            return Some(Step::Receipt(Box::new(receipt)));
        }
        None
    }
}
