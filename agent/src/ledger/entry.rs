//! One deed: from the command that asked for it to its end.

use cordon_proto::command::Action;
use cordon_proto::event::Receipt;
use cordon_proto::event::agent::Standing;
use cordon_proto::event::receipt::{EndCause, Outcome, Probe};
use cordon_proto::id::{CommandId, Hash};
use minicbor::{Decode, Encode};

use super::receipts::Cause;
use super::{Done, LOOK_EVERY_SECS, NotDone, RETRY_SECS, Seen, Step};

/// What is on disk of the ledger.
#[derive(Clone, Debug, Default, Eq, PartialEq, Encode, Decode)]
pub struct Kept {
    /// What stands, and what is about to be done.
    #[n(0)]
    pub deeds: Vec<KeptDeed>,
    /// Endpoint time when this was written. None in ledgers of earlier versions.
    #[n(1)]
    pub saved_secs: Option<u64>,
}

impl Kept {
    /// Counts what was left of the leases from now on, where endpoint time was begun anew since
    /// this was written. True if so: it must be written, or each start counts from its own.
    pub(super) fn count_from(&mut self, now_secs: u64) -> bool {
        let Some(saved_secs) = self.saved_secs.filter(|saved_secs| *saved_secs > now_secs) else {
            return false;
        };
        for deed in &mut self.deeds {
            let from_now = |secs: u64| now_secs.saturating_add(secs.saturating_sub(saved_secs));
            deed.until_secs = deed.until_secs.map(from_now);
            deed.since_secs = deed.since_secs.min(now_secs);
        }
        true
    }
}

/// What is on disk of one deed.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub struct KeptDeed {
    /// The command that asked for it.
    #[n(0)]
    pub command: CommandId,
    /// The hash of its bytes as received.
    #[n(1)]
    pub command_hash: Hash,
    /// What it asked for.
    #[n(2)]
    pub action: Action,
    /// What was there before, in the deed's own form.
    #[cbor(n(3), with = "minicbor::bytes")]
    pub before: Vec<u8>,
    /// When it was asked for, in seconds of endpoint time.
    #[n(4)]
    pub since_secs: u64,
    /// When its lease ends.
    #[n(5)]
    pub until_secs: Option<u64>,
    /// Whether it was done; otherwise it was about to be.
    #[n(6)]
    pub applied: bool,
    /// Why it was about to be undone, if it was.
    #[n(7)]
    pub undoing: Option<EndCause>,
}

/// Why a deed is being undone, and for which command.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Undoing {
    pub(super) ended: EndCause,
    pub(super) by: Option<Cause>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    New,
    Preparing,
    /// It may be done once this state of the ledger is on disk.
    Written(u64),
    Applying,
    /// Nothing is under way.
    Standing,
    Looking,
    Undoing,
    Over,
}

/// One deed.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) cause: Cause,
    /// Under which command the step that is under way was begun; another may have taken it over.
    step: CommandId,
    pub(super) action: Action,
    pub(super) since_secs: u64,
    pub(super) until_secs: Option<u64>,
    state: State,
    before: Option<Vec<u8>>,
    applied: bool,
    /// Whether a crash may have left it half done.
    interrupted: bool,
    proved: bool,
    /// What was found otherwise than it must be, and whether that was told.
    drifted: Option<(String, bool)>,
    undo: Option<Undoing>,
    undo_failure_told: bool,
    /// The command that asked for the undoing is not heard of any more: it goes on until it is
    /// done.
    goes_on: bool,
    /// Undone once this state of the ledger is on disk, or could not be brought there.
    undo_after: u64,
    look_at_secs: u64,
    /// Not before then is tried again what failed.
    again_at_secs: u64,
}

impl Entry {
    pub(super) fn new(cause: Cause, action: Action, now_secs: u64) -> Self {
        let lease_secs = action.lease_secs();
        Self {
            cause,
            step: cause.id,
            since_secs: now_secs,
            until_secs: lease_secs.map(|lease_secs| now_secs.saturating_add(lease_secs)),
            action,
            state: State::New,
            before: None,
            applied: false,
            interrupted: false,
            proved: false,
            drifted: None,
            undo: None,
            undo_failure_told: false,
            goes_on: false,
            undo_after: 0,
            look_at_secs: 0,
            again_at_secs: 0,
        }
    }

    /// What stood is looked at, at once; what was about to be done is done.
    pub(super) fn resume(kept: KeptDeed, now_secs: u64) -> Self {
        let KeptDeed { command, command_hash, action, before, since_secs, .. } = kept;
        let KeptDeed { until_secs, applied, undoing, .. } = kept;
        let cause = Cause { id: command, hash: command_hash, action: action.kind() };
        let mut entry = Self::new(cause, action, since_secs);
        entry.until_secs = until_secs;
        entry.before = Some(before);
        entry.applied = applied;
        entry.interrupted = !applied;
        entry.state = if applied { State::Standing } else { State::Written(0) };
        entry.look_at_secs = now_secs;
        entry.undo = undoing.map(|ended| Undoing { ended, by: None });
        entry.goes_on = entry.undo.is_some();
        entry
    }

    pub(super) fn kept(&self) -> Option<KeptDeed> {
        if self.state == State::Over {
            return None;
        }
        Some(KeptDeed {
            command: self.cause.id,
            command_hash: self.cause.hash,
            action: self.action.clone(),
            before: self.before.clone()?,
            since_secs: self.since_secs,
            until_secs: self.until_secs,
            applied: self.applied,
            undoing: self.undo.map(|undo| undo.ended),
        })
    }

    pub(super) fn stands(&self) -> bool {
        self.applied && self.state != State::Over && self.undo.is_none()
    }

    pub(super) fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// Whether it was to be written with this state of the ledger, beyond what is `saved`.
    pub(super) fn waits_for(&self, version: u64, saved: u64) -> bool {
        matches!(self.state, State::Written(waits) if saved < waits && waits <= version)
    }

    /// Whether a step was begun under this command, and is under way.
    pub(super) fn is_at(&self, step: CommandId) -> bool {
        self.step == step
    }

    pub(super) fn is_new(&self) -> bool {
        self.state == State::New
    }

    pub(super) fn standing(&self) -> Option<Standing> {
        let Cause { id, action, .. } = self.cause;
        let stands = self.applied && self.state != State::Over;
        stands.then_some(Standing {
            command: id,
            action,
            until_secs: self.until_secs,
            proved: self.proved,
        })
    }

    /// Another command takes it over; answers the one that had it.
    pub(super) fn renew(&mut self, cause: Cause, action: &Action, now_secs: u64) -> Cause {
        let lease_secs = action.lease_secs();
        self.until_secs = lease_secs.map(|lease_secs| now_secs.saturating_add(lease_secs));
        self.action = action.clone();
        // Looked at for the new one, too.
        self.look_at_secs = now_secs;
        self.proved = false;
        std::mem::replace(&mut self.cause, cause)
    }

    /// Undoes it as soon as nothing else is under way, and that it is to be undone was written with
    /// this state of the ledger; answers whom an earlier undoing was for.
    pub(super) fn undo_for(&mut self, undoing: Undoing, version: u64) -> Option<Cause> {
        self.again_at_secs = 0;
        self.undo_after = version;
        self.goes_on = false;
        self.undo.replace(undoing).and_then(|earlier| earlier.by)
    }

    pub(super) fn take_undo(&mut self) -> Option<Undoing> {
        self.undo.take()
    }

    pub(super) fn handle_prepared(&mut self, before: Vec<u8>, version: u64) {
        self.before = Some(before);
        self.state = State::Written(version);
    }

    pub(super) fn handle_applied(
        &mut self,
        outcome: Result<Done, NotDone>,
        change_us: u64,
        now_secs: u64,
    ) -> Vec<Receipt> {
        self.state = State::Standing;
        match outcome {
            Ok(done) => self.done(done, change_us, now_secs),
            Err(why) if self.applied || self.interrupted => {
                self.again_at_secs = now_secs.saturating_add(RETRY_SECS);
                let found = "it may be half done since the agent last ran".to_owned();
                let (found, told) = self.drifted.take().unwrap_or((found, false));
                let words = format!("{found}; {why}; it will be tried again");
                self.drifted = Some((found, true));
                if told { Vec::new() } else { vec![self.cause.drifted(words, false, now_secs)] }
            }
            Err(why) => self.not_done(why, now_secs),
        }
    }

    /// It was not done, and nothing of it stands.
    pub(super) fn not_done(&mut self, why: NotDone, now_secs: u64) -> Vec<Receipt> {
        self.state = State::Over;
        let undo = self.nothing_to_undo(now_secs);
        std::iter::once(self.cause.not_done(why, now_secs)).chain(undo).collect()
    }

    /// The answer to a command that wanted undone what does not stand.
    fn nothing_to_undo(&mut self, now_secs: u64) -> Option<Receipt> {
        let by = self.undo.take()?.by?;
        Some(by.applied(0, None, true, now_secs))
    }

    fn done(&mut self, done: Done, change_us: u64, now_secs: u64) -> Vec<Receipt> {
        let mut receipts = Vec::new();
        let is_first = !std::mem::replace(&mut self.applied, true);
        if is_first {
            receipts.push(self.cause.applied(change_us, self.until_secs, false, now_secs));
        }
        if let Some((found, _)) = self.drifted.take() {
            receipts.push(self.cause.drifted(found, true, now_secs));
        }
        self.interrupted = false;
        let Done { probes, done, missing } = done;
        self.proved = missing.is_empty() && all_passed(&probes);
        if !missing.is_empty() {
            receipts.push(self.cause.receipt(Outcome::Partial { done, missing }, now_secs));
        }
        if !probes.is_empty() {
            receipts.push(self.cause.observed(probes, now_secs));
        }
        self.look_at_secs = now_secs.saturating_add(LOOK_EVERY_SECS);
        if !self.cause.action.lasts() {
            self.state = State::Over;
            receipts.extend(self.nothing_to_undo(now_secs));
        }
        receipts
    }

    pub(super) fn handle_seen(&mut self, seen: Seen, now_secs: u64) -> Vec<Receipt> {
        self.state = State::Standing;
        self.look_at_secs = now_secs.saturating_add(LOOK_EVERY_SECS);
        match seen {
            Seen::Holds(probes) => {
                let before = std::mem::replace(&mut self.proved, all_passed(&probes));
                // Health tells all the time that it holds; a receipt tells that it holds again.
                if before == self.proved {
                    return Vec::new();
                }
                vec![self.cause.observed(probes, now_secs)]
            }
            Seen::Drifted(found) => {
                self.proved = false;
                self.drifted.get_or_insert((found, false));
                Vec::new()
            }
            Seen::CannotLook(_) => {
                self.proved = false;
                Vec::new()
            }
            Seen::Gone(_) => {
                self.state = State::Over;
                let undo = self.nothing_to_undo(now_secs);
                let ended = self.cause.ended(EndCause::Gone, true, now_secs);
                undo.into_iter().chain([ended]).collect()
            }
        }
    }

    pub(super) fn handle_undone(
        &mut self,
        outcome: Result<Done, NotDone>,
        change_us: u64,
        now_secs: u64,
    ) -> Vec<Receipt> {
        self.state = State::Standing;
        let Some(Undoing { ended, by }) = self.undo.take() else { return Vec::new() };
        let done = match outcome {
            Ok(done) => done,
            Err(why) => return self.not_undone(Undoing { ended, by }, &why, now_secs),
        };
        self.state = State::Over;
        let Done { probes, done, missing } = done;
        let observed_gone = missing.is_empty() && all_passed(&probes);
        let mut receipts = Vec::new();
        if let Some(by) = by {
            receipts.push(by.applied(change_us, None, false, now_secs));
            if !missing.is_empty() {
                receipts.push(by.receipt(Outcome::Partial { done, missing }, now_secs));
            }
            receipts.push(by.observed(probes, now_secs));
        } else if !missing.is_empty() {
            receipts.push(self.cause.receipt(Outcome::Partial { done, missing }, now_secs));
        }
        receipts.push(self.cause.ended(ended, observed_gone, now_secs));
        receipts
    }

    /// An undoing that a command asked for has failed and may be asked for again; one that a lease
    /// asks for goes on.
    fn not_undone(&mut self, undo: Undoing, why: &NotDone, now_secs: u64) -> Vec<Receipt> {
        if let Some(by) = undo.by {
            return vec![by.failed(format!("{why}; it still stands"), now_secs)];
        }
        if undo.ended == EndCause::Released && !self.goes_on {
            // Everything was to be undone; that one tells.
            return Vec::new();
        }
        let over = match undo.ended {
            EndCause::LeaseEnded => "its lease is over",
            EndCause::BreakGlass => "the break-glass code was typed",
            EndCause::Released | EndCause::Unproved | EndCause::Replaced | EndCause::Gone => {
                "it was to be undone"
            }
        };
        self.undo = Some(undo);
        self.again_at_secs = now_secs.saturating_add(RETRY_SECS);
        if std::mem::replace(&mut self.undo_failure_told, true) {
            return Vec::new();
        }
        let found = format!("{over} and it could not be undone: {why}");
        vec![self.cause.drifted(found, false, now_secs)]
    }

    pub(super) fn handle_timeout(&mut self, now_secs: u64) {
        let over = self.until_secs.is_some_and(|until_secs| until_secs <= now_secs);
        if over && self.undo.is_none() {
            self.undo = Some(Undoing { ended: EndCause::LeaseEnded, by: None });
        }
    }

    /// Every step but the first waits until this much of the ledger is `saved`.
    /// An undoing waits until it was `tried` to write it down, and no longer: a full disk must not
    /// keep anything standing.
    pub(super) fn poll_step(&mut self, saved: u64, tried: u64, now_secs: u64) -> Option<Step> {
        let id = self.cause.id;
        let action = || self.action.clone();
        let before = || self.before.clone().unwrap_or_default();
        let (state, step) = match self.state {
            State::New => (State::Preparing, Step::Prepare(id, action())),
            State::Written(version) if version <= saved => {
                (State::Applying, Step::Apply(id, action(), before()))
            }
            State::Standing if now_secs < self.again_at_secs => return None,
            State::Standing if self.undo.is_some() && self.undo_after > tried => return None,
            State::Standing if self.undo.is_some() => {
                (State::Undoing, Step::Undo(id, action(), before()))
            }
            State::Standing if self.drifted.is_some() => {
                (State::Applying, Step::Apply(id, action(), before()))
            }
            State::Standing if self.look_at_secs <= now_secs => {
                (State::Looking, Step::Look(id, action(), before()))
            }
            State::Preparing
            | State::Written(_)
            | State::Applying
            | State::Standing
            | State::Looking
            | State::Undoing
            | State::Over => return None,
        };
        self.state = state;
        self.step = id;
        Some(step)
    }
}

/// What nobody looked at is not proved.
fn all_passed(probes: &[Probe]) -> bool {
    !probes.is_empty() && probes.iter().all(|probe| probe.passed)
}
