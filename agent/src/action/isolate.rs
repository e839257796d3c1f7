//! When this endpoint is cut off from the network, when that must be proved, and when it is let
//! back. Network isolation, D3-NI, and its undo, D3-RNA.
//!
//! Pure: the event loop calls in with orders, outcomes and endpoint time (whole seconds), and
//! carries out the effects that come back, in their order. Isolation is a lease, so a collector
//! that is gone cannot strand an endpoint; and nothing opens because something is silent, unless
//! the order signed that it may.

mod break_glass;
#[cfg(target_os = "linux")]
pub mod dhcp;
#[cfg(target_os = "linux")]
pub mod drift;
mod effect;
#[cfg(target_os = "linux")]
pub mod preflight;
#[cfg(target_os = "linux")]
pub mod proof;
pub mod record;
#[cfg(target_os = "linux")]
pub mod shell;
mod state;
#[cfg(test)]
mod timeline;
#[cfg(target_os = "linux")]
pub mod users;

use std::collections::VecDeque;

use cordon_proto::limits::LEASE_SECS_MAX;
use record::{CommandId, Order, Plan, Record, Unproved};

use state::{Because, Before, Proof};

pub use effect::{Check, CutOutcome, Effect, Report, Seen, What, Why};

/// A standing isolation is proved this often.
pub const PROOF_EVERY_SECS: u64 = 60;
/// What failed is tried again after this long.
pub const RETRY_SECS: u64 = 5;
/// With `if_unproved: release`, the collector must be silent this long, over several proofs: one
/// lost packet does not open an endpoint.
pub const UNPROVED_RELEASE_SECS: u64 = 5 * 60;

#[derive(Debug, Default)]
enum State {
    #[default]
    Open,
    /// The wall is being put up.
    Applying {
        record: Record,
        before: Before,
        because: Because,
        proof: Proof,
        retry_at: Option<u64>,
    },
    Isolated {
        record: Record,
        proof: Proof,
    },
    Releasing {
        record: Record,
        command: CommandId,
        why: Why,
        retry_at: Option<u64>,
    },
}

#[derive(Debug, Default)]
pub struct Isolation {
    state: State,
    /// Counts the turns of the network; the outcome of an earlier turn is not listened to.
    turn: u32,
    effects: VecDeque<Effect>,
}

impl Isolation {
    /// Takes up what was recorded before a restart. While the lease runs the wall is put up again
    /// in any case: it is the same one if it still stands.
    pub fn resume(record: Record, now_secs: u64) -> Self {
        let mut isolation = Self::default();
        let command = record.command;
        if record.terms.released {
            isolation.let_back(record, command, Why::Command);
        } else if record.ends_at().is_some_and(|end| end <= now_secs) {
            isolation.let_back(record, command, Why::LeaseOver);
        } else {
            isolation.again(record, Because::Order, Proof::default());
        }
        isolation
    }

    /// Isolates, renews the lease, or changes what stays open.
    pub fn handle_order(&mut self, order: Order, now_secs: u64) {
        let Order { command, lease_secs, terms, plan } = order;
        let until_secs = now_secs.saturating_add(lease_secs.min(LEASE_SECS_MAX));
        let record = Record { command, until_secs, terms, plan };
        match std::mem::take(&mut self.state) {
            State::Open => self.begin(record, Before::Open, Because::Order),
            State::Releasing { .. } => self.begin(record, Before::Unknown, Because::Order),
            State::Applying { record: old, before, because, proof, retry_at } => {
                if old.command == command {
                    self.already(&old, false);
                    self.state = State::Applying { record: old, before, because, proof, retry_at };
                } else {
                    self.begin(record, before.begun(self.turn, old), Because::Order);
                }
            }
            State::Isolated { record: old, proof } => {
                if old.command == command {
                    self.already(&old, proof.proved);
                    self.state = State::Isolated { record: old, proof };
                } else if old.plan == record.plan {
                    self.effects.push_back(Effect::Save(record.clone()));
                    self.report(command, What::Renewed { until_secs });
                    self.state = State::Isolated { record, proof };
                } else {
                    self.begin(record, Before::Isolated(old), Because::Order);
                }
            }
        }
    }

    /// Other peers are to stay reachable: signed policy, the roster or the endpoint's own
    /// addresses have changed. The lease and the terms stay.
    pub fn handle_plan(&mut self, plan: Plan) {
        match std::mem::take(&mut self.state) {
            State::Isolated { record: old, .. } if old.plan != plan => {
                let record = Record { plan, ..old.clone() };
                self.begin(record, Before::Isolated(old), Because::Plan);
            }
            State::Applying { record: old, before, because, .. } if old.plan != plan => {
                let before = before.begun(self.turn, old.clone());
                self.begin(Record { plan, ..old }, before, because);
            }
            other @ (State::Open
            | State::Applying { .. }
            | State::Isolated { .. }
            | State::Releasing { .. }) => self.state = other,
        }
    }

    /// Lets the endpoint back.
    pub fn handle_release(&mut self, command: CommandId) {
        match std::mem::take(&mut self.state) {
            State::Open => self.report(command, What::AlreadyOpen),
            State::Applying { record, .. } | State::Isolated { record, .. } => {
                let record = self.released(record);
                self.let_back(record, command, Why::Command);
            }
            State::Releasing { record, why, retry_at, .. } => {
                // What nobody asked for before has somebody now who waits for the answer.
                let why = if why == Why::NotApplied { Why::Command } else { why };
                self.state = State::Releasing { record, command, why, retry_at };
            }
        }
    }

    /// The outcome of [`Effect::CutOff`].
    pub fn handle_cut(&mut self, turn: u32, outcome: CutOutcome, now_secs: u64) {
        if turn != self.turn {
            return self.cut_before(turn, &outcome);
        }
        match std::mem::take(&mut self.state) {
            State::Applying { record, before, because, proof, .. } => {
                self.applied(record, before, (because, proof), outcome, now_secs);
            }
            other @ (State::Open | State::Isolated { .. } | State::Releasing { .. }) => {
                self.state = other;
            }
        }
    }

    /// An order before the one under way was carried out after all: its wall stands now.
    fn cut_before(&mut self, turn: u32, outcome: &CutOutcome) {
        let State::Applying { before, .. } = &mut self.state else { return };
        if let Before::Begun(begun, record) = before
            && *begun == turn
        {
            match outcome {
                CutOutcome::Done | CutOutcome::Beside(_) => {
                    *before = Before::Isolated(record.clone());
                }
                CutOutcome::Refused(_) => *before = Before::Open,
                CutOutcome::Failed(_) => {}
            }
        }
    }

    /// The outcome of [`Effect::Prove`].
    pub fn handle_seen(&mut self, turn: u32, seen: Seen, now_secs: u64) {
        if turn != self.turn {
            return;
        }
        match std::mem::take(&mut self.state) {
            State::Isolated { record, proof } => self.seen(record, proof, seen, now_secs),
            other @ (State::Open | State::Applying { .. } | State::Releasing { .. }) => {
                self.state = other;
            }
        }
    }

    /// Somebody changed the wall: it is put up again at once.
    pub fn handle_drift(&mut self, what: String) {
        match std::mem::take(&mut self.state) {
            State::Isolated { record, proof } => {
                self.report(record.command, What::Drifted(what));
                self.again(record, Because::Drift, proof);
            }
            other @ (State::Open | State::Applying { .. } | State::Releasing { .. }) => {
                self.state = other;
            }
        }
    }

    /// Devices came or went: the wall is put up again for those of now.
    pub fn handle_devices(&mut self) {
        match std::mem::take(&mut self.state) {
            State::Isolated { record, proof } => self.again(record, Because::Devices, proof),
            other @ (State::Open | State::Applying { .. } | State::Releasing { .. }) => {
                self.state = other;
            }
        }
    }

    /// The outcome of [`Effect::LetBack`].
    pub fn handle_let_back(&mut self, turn: u32, outcome: Result<(), String>, now_secs: u64) {
        if turn != self.turn {
            return;
        }
        match (std::mem::take(&mut self.state), outcome) {
            (State::Releasing { command, why, .. }, Ok(())) => {
                self.effects.push_back(Effect::Forget);
                if why != Why::NotApplied {
                    self.report(command, What::Released(why));
                }
            }
            (State::Releasing { record, command, why, .. }, Err(reason)) => {
                self.report(command, What::ReleaseFailed(reason));
                let retry_at = Some(now_secs.saturating_add(RETRY_SECS));
                self.state = State::Releasing { record, command, why, retry_at };
            }
            (other, _) => self.state = other,
        }
    }

    /// Ends the lease if its time is up, tries again what failed, and proves what stands.
    pub fn handle_timeout(&mut self, now_secs: u64) {
        match std::mem::take(&mut self.state) {
            State::Open => {}
            State::Applying { record, .. } | State::Isolated { record, .. }
                if record.ends_at().is_some_and(|end| end <= now_secs) =>
            {
                let command = record.command;
                self.let_back(record, command, Why::LeaseOver);
            }
            State::Applying { record, before, because, proof, retry_at: Some(at) }
                if at <= now_secs =>
            {
                self.apply(record, before, Check::Again, because, proof);
            }
            State::Isolated { mut record, mut proof } => {
                if record.overstays(now_secs) {
                    record.terms.lease_over_told = true;
                    self.effects.push_back(Effect::Save(record.clone()));
                    self.report(record.command, What::LeaseOver);
                }
                if !proof.running && proof.next_at <= now_secs {
                    proof.running = true;
                    proof.begun_at = Some(now_secs);
                    self.effects.push_back(Effect::Prove { turn: self.turn });
                }
                self.state = State::Isolated { record, proof };
            }
            State::Releasing { record, command, why, retry_at: Some(at) } if at <= now_secs => {
                self.let_back(record, command, why);
            }
            other @ (State::Applying { .. } | State::Releasing { .. }) => self.state = other,
        }
    }

    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When [`Self::handle_timeout`] must be called next.
    pub fn poll_timeout(&self) -> Option<u64> {
        match &self.state {
            State::Open => None,
            State::Applying { record, retry_at, .. } => earliest(record.ends_at(), *retry_at),
            State::Isolated { record, proof } => {
                let told_at = record.told_at();
                let proof_at = (!proof.running).then_some(proof.next_at);
                earliest(earliest(record.ends_at(), told_at), proof_at)
            }
            State::Releasing { retry_at, .. } => *retry_at,
        }
    }

    /// The record of what stands or is being put up.
    pub fn record(&self) -> Option<&Record> {
        match &self.state {
            State::Open => None,
            State::Applying { record, .. }
            | State::Isolated { record, .. }
            | State::Releasing { record, .. } => Some(record),
        }
    }

    fn begin(&mut self, record: Record, before: Before, because: Because) {
        let check = match (&before, record.terms.accept_loss) {
            (Before::Unknown, _) => Check::Again,
            (Before::Open | Before::Begun(..) | Before::Isolated(_), true) => Check::AcceptLoss,
            (Before::Open | Before::Begun(..) | Before::Isolated(_), false) => Check::Full,
        };
        self.effects.push_back(Effect::Save(record.clone()));
        self.apply(record, before, check, because, Proof::default());
    }

    /// Puts the wall that is on record up once more.
    fn again(&mut self, record: Record, because: Because, proof: Proof) {
        self.apply(record, Before::Unknown, Check::Again, because, proof);
    }

    fn apply(
        &mut self,
        record: Record,
        before: Before,
        check: Check,
        because: Because,
        proof: Proof,
    ) {
        let turn = self.next_turn();
        self.effects.push_back(Effect::CutOff { turn, plan: record.plan.clone(), check });
        self.state = State::Applying { record, before, because, proof, retry_at: None };
    }

    fn applied(
        &mut self,
        record: Record,
        before: Before,
        (because, proof): (Because, Proof),
        outcome: CutOutcome,
        now_secs: u64,
    ) {
        let (command, until_secs) = (record.command, record.until_secs);
        match (outcome, before) {
            (outcome @ (CutOutcome::Done | CutOutcome::Beside(_)), _) => {
                match because {
                    Because::Order | Because::Drift => {
                        self.report(command, What::Applied { until_secs });
                    }
                    Because::Plan => self.report(command, What::Renewed { until_secs }),
                    Because::Devices => {}
                }
                if let CutOutcome::Beside(holders) = outcome {
                    self.report(command, What::Beside(holders));
                }
                self.stands(record, because, proof, now_secs);
            }
            (CutOutcome::Refused(reason), Before::Open) => {
                self.effects.push_back(Effect::Forget);
                self.report(command, What::Refused(reason));
            }
            // It may stand all the same, if only the kernel's answer was lost.
            (CutOutcome::Failed(reason), Before::Open)
            | (CutOutcome::Refused(reason) | CutOutcome::Failed(reason), Before::Begun(..)) => {
                let record = self.released(record);
                self.report(command, What::Refused(reason));
                self.let_back(record, command, Why::NotApplied);
            }
            (CutOutcome::Refused(reason), Before::Isolated(old)) => {
                self.effects.push_back(Effect::Save(old.clone()));
                // What must stay open may change while the wall is put up for the first time.
                let same = old.command == command;
                if same && because == Because::Order {
                    self.report(command, What::Applied { until_secs });
                }
                let refused = if same { What::PlanRefused } else { What::Refused };
                self.report(command, refused(reason));
                self.stands(old, because, proof, now_secs);
            }
            (CutOutcome::Failed(reason), before @ Before::Isolated(_))
            | (
                CutOutcome::Refused(reason) | CutOutcome::Failed(reason),
                before @ Before::Unknown,
            ) => {
                self.report(command, What::Failed(reason));
                let retry_at = Some(now_secs.saturating_add(RETRY_SECS));
                self.state = State::Applying { record, before, because, proof, retry_at };
            }
        }
    }

    /// The wall stands. Whether it holds is looked at straight away, but not after each round of
    /// a fight with somebody who keeps changing it, nor for each device that comes.
    fn stands(&mut self, record: Record, because: Because, mut proof: Proof, now_secs: u64) {
        let after = |secs| proof.begun_at.map_or(now_secs, |at: u64| at.saturating_add(secs));
        let due = match because {
            Because::Order | Because::Plan => now_secs,
            Because::Drift => after(RETRY_SECS),
            Because::Devices => after(PROOF_EVERY_SECS),
        };
        proof.proved &= because == Because::Devices;
        proof.running = due <= now_secs;
        proof.next_at = due.max(now_secs);
        if proof.running {
            proof.begun_at = Some(now_secs);
            self.effects.push_back(Effect::Prove { turn: self.turn });
        }
        self.state = State::Isolated { record, proof };
    }

    fn seen(&mut self, record: Record, mut proof: Proof, seen: Seen, now_secs: u64) {
        proof.running = false;
        proof.next_at = now_secs.saturating_add(PROOF_EVERY_SECS);
        proof.proved = seen == Seen::Proved;
        let open = proof.open.take();
        let command = record.command;
        match seen {
            Seen::Proved => {
                proof.silent_since = None;
                self.report(command, What::Proved);
            }
            Seen::CollectorSilent => {
                self.report(command, What::Unproved("no collector's address answers".into()));
                let since = *proof.silent_since.get_or_insert(now_secs);
                let long = now_secs.saturating_sub(since) >= UNPROVED_RELEASE_SECS;
                if long && record.terms.if_unproved == Unproved::Release {
                    return self.let_back(record, command, Why::Unproved);
                }
            }
            // Neither says that the collector is silent, so neither may open anything.
            Seen::CannotLook(reason) => self.report(command, What::Unproved(reason)),
            Seen::Open(what) => {
                if open.as_ref() != Some(&what) {
                    proof.next_at = now_secs.saturating_add(RETRY_SECS);
                }
                self.report(command, What::Unproved(what.clone()));
                proof.open = Some(what);
            }
            Seen::Drifted(what) => {
                self.report(command, What::Drifted(what));
                return self.again(record, Because::Drift, proof);
            }
            // That look proved nothing: another one follows at once.
            Seen::Devices => {
                proof.begun_at = None;
                return self.again(record, Because::Devices, proof);
            }
        }
        self.state = State::Isolated { record, proof };
    }

    /// So that it ends though whoever lets it back is killed before it is done.
    fn released(&mut self, mut record: Record) -> Record {
        record.terms.released = true;
        self.effects.push_back(Effect::Save(record.clone()));
        record
    }

    fn let_back(&mut self, record: Record, command: CommandId, why: Why) {
        let turn = self.next_turn();
        self.effects.push_back(Effect::LetBack { turn });
        self.state = State::Releasing { record, command, why, retry_at: None };
    }

    fn already(&mut self, record: &Record, proved: bool) {
        let until_secs = record.until_secs;
        self.report(record.command, What::AlreadyIsolated { until_secs, proved });
    }

    fn report(&mut self, command: CommandId, what: What) {
        self.effects.push_back(Effect::Report(Report { command, what }));
    }

    fn next_turn(&mut self) -> u32 {
        self.turn = self.turn.wrapping_add(1);
        self.turn
    }
}

fn earliest(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    one.into_iter().chain(other).min()
}
