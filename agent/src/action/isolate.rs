//! When this endpoint is cut off from the network, when that must be proved, and when it is let
//! back. Network isolation, D3-NI, and its undo, D3-RNA.
//!
//! Pure: the event loop calls in with orders, outcomes and endpoint time (whole seconds), and
//! carries out the effects that come back, in their order. Isolation is a lease, so a collector
//! that is gone cannot strand an endpoint; and nothing opens because something is silent, unless
//! the order signed that it may.

#[cfg(target_os = "linux")]
pub mod preflight;
#[cfg(target_os = "linux")]
pub mod proof;
pub mod record;
#[cfg(target_os = "linux")]
pub mod shell;
#[cfg(test)]
mod timeline;

use std::collections::VecDeque;

use record::{CommandId, Order, Plan, Record, Unproved};

/// No order can ask for more, whatever the roster's own ceiling says.
pub const LEASE_MAX_SECS: u64 = 30 * 24 * 60 * 60;
/// A standing isolation is proved this often.
pub const PROOF_EVERY_SECS: u64 = 60;
/// What failed is tried again after this long.
pub const RETRY_SECS: u64 = 5;
/// With `if_unproved: release`, the collector must be silent this long, over several proofs: one
/// lost packet does not open an endpoint.
pub const UNPROVED_RELEASE_SECS: u64 = 5 * 60;

/// What the shell did when it was told to cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CutOutcome {
    Done,
    /// Nothing was changed, and trying again will not help.
    Refused(String),
    /// Nothing was changed, or what stood before still stands.
    Failed(String),
}

/// What a proof showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The rules read back equal, the collector answered, nothing else did.
    Proved,
    /// The rules stand, but no collector's address answers.
    CollectorSilent,
    /// Something that must be closed is open.
    Open(String),
    /// The rules are not the ones that were applied.
    Drifted(String),
    /// The check could not run; that says nothing about the network.
    CannotLook(String),
}

/// What the event loop must do, now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Write the record so that it survives a crash, before anything that follows.
    Save(Record),
    /// Put up the wall, replacing the one that stands; answer with [`Isolation::handle_cut`].
    CutOff {
        turn: u32,
        plan: Plan,
        check: Check,
    },
    /// Look at the wall; answer with [`Isolation::handle_seen`].
    Prove {
        turn: u32,
    },
    /// Take the wall down; answer with [`Isolation::handle_let_back`].
    LetBack {
        turn: u32,
    },
    /// Forget the record.
    Forget,
    Report(Report),
}

/// What must be found good before the wall is put up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// That nothing the agent needs is lost.
    Full,
    /// The order signed that it accepts the loss.
    AcceptLoss,
    /// A wall that stood is put up again; now is no time to find a reason against it.
    Again,
}

/// What the collector is told, under the command that it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    pub command: CommandId,
    pub what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    Applied {
        until_secs: u64,
    },
    Renewed {
        until_secs: u64,
    },
    Refused(String),
    /// Could not be applied (again) just now; will be tried again while the lease runs.
    Failed(String),
    Proved,
    Unproved(String),
    Drifted(String),
    /// The lease is over and the order was to stay.
    LeaseOver,
    Released(Why),
    ReleaseFailed(String),
    /// The same command again: how things stand.
    AlreadyIsolated {
        until_secs: u64,
        proved: bool,
    },
    /// A release of an endpoint that is not isolated.
    AlreadyOpen,
}

/// Why an endpoint is let back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    Command,
    LeaseOver,
    /// The collector stayed silent, and the order said to release then.
    Unproved,
    /// The single-use code was typed here.
    BreakGlass,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Open,
    /// The wall is being put up.
    Applying {
        record: Record,
        before: Before,
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

/// What stood before a wall is put up; decides what a failure means.
#[derive(Debug)]
enum Before {
    Open,
    /// This isolation, whose wall is to be replaced.
    Isolated(Record),
    /// A wall of ours may stand, or parts of it: a failure must not be taken for open.
    Unknown,
}

/// How well a standing isolation is proved.
#[derive(Debug)]
struct Proof {
    proved: bool,
    next_at: u64,
    running: bool,
    /// Since when no collector answered.
    silent_since: Option<u64>,
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
        if record.ends_at().is_some_and(|end| end <= now_secs) {
            let command = record.command;
            isolation.let_back(record, command, Why::LeaseOver);
        } else {
            isolation.apply(record, Before::Unknown, Check::Again);
        }
        isolation
    }

    /// Takes up what was recorded before a restart, to let it back for this reason.
    pub fn resume_ending(record: Record, why: Why) -> Self {
        let mut isolation = Self::default();
        let command = record.command;
        isolation.let_back(record, command, why);
        isolation
    }

    /// Isolates, renews the lease, or changes what stays open.
    pub fn handle_order(&mut self, order: Order, now_secs: u64) {
        let Order { command, lease_secs, terms, plan } = order;
        let until_secs = now_secs.saturating_add(lease_secs.min(LEASE_MAX_SECS));
        let record = Record { command, until_secs, terms, plan };
        match std::mem::take(&mut self.state) {
            State::Open => self.begin(record, Before::Open),
            State::Releasing { .. } => self.begin(record, Before::Unknown),
            State::Applying { record: old, before, retry_at } => {
                if old.command == command {
                    self.already(&old, false);
                    self.state = State::Applying { record: old, before, retry_at };
                } else {
                    self.begin(record, before);
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
                    self.begin(record, Before::Isolated(old));
                }
            }
        }
    }

    /// Lets the endpoint back.
    pub fn handle_release(&mut self, command: CommandId) {
        match std::mem::take(&mut self.state) {
            State::Open => self.report(command, What::AlreadyOpen),
            State::Applying { record, .. } | State::Isolated { record, .. } => {
                self.let_back(record, command, Why::Command);
            }
            State::Releasing { record, why, retry_at, .. } => {
                self.state = State::Releasing { record, command, why, retry_at };
            }
        }
    }

    /// The single-use code was typed; answers whether there is anything to let back.
    pub fn handle_break_glass(&mut self) -> bool {
        match std::mem::take(&mut self.state) {
            State::Open => return false,
            State::Applying { record, .. } | State::Isolated { record, .. } => {
                let command = record.command;
                self.let_back(record, command, Why::BreakGlass);
            }
            State::Releasing { record, command, why, .. } => self.let_back(record, command, why),
        }
        true
    }

    /// The outcome of [`Effect::CutOff`].
    pub fn handle_cut(&mut self, turn: u32, outcome: CutOutcome, now_secs: u64) {
        if turn != self.turn {
            return;
        }
        match std::mem::take(&mut self.state) {
            State::Applying { record, before, .. } => {
                self.applied(record, before, outcome, now_secs);
            }
            other @ (State::Open | State::Isolated { .. } | State::Releasing { .. }) => {
                self.state = other;
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
            State::Isolated { record, .. } => {
                self.report(record.command, What::Drifted(what));
                self.apply(record, Before::Unknown, Check::Again);
            }
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
                self.report(command, What::Released(why));
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
            State::Applying { record, before, retry_at: Some(at) } if at <= now_secs => {
                self.apply(record, before, Check::Again);
            }
            State::Isolated { mut record, mut proof } => {
                if record.overstays(now_secs) {
                    record.terms.lease_over_told = true;
                    self.effects.push_back(Effect::Save(record.clone()));
                    self.report(record.command, What::LeaseOver);
                }
                if !proof.running && proof.next_at <= now_secs {
                    proof.running = true;
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

    fn begin(&mut self, record: Record, before: Before) {
        let check = match (&before, record.terms.accept_loss) {
            (Before::Unknown, _) => Check::Again,
            (Before::Open | Before::Isolated(_), true) => Check::AcceptLoss,
            (Before::Open | Before::Isolated(_), false) => Check::Full,
        };
        self.effects.push_back(Effect::Save(record.clone()));
        self.apply(record, before, check);
    }

    fn apply(&mut self, record: Record, before: Before, check: Check) {
        let turn = self.next_turn();
        self.effects.push_back(Effect::CutOff { turn, plan: record.plan.clone(), check });
        self.state = State::Applying { record, before, retry_at: None };
    }

    fn applied(&mut self, record: Record, before: Before, outcome: CutOutcome, now_secs: u64) {
        let command = record.command;
        match (outcome, before) {
            (CutOutcome::Done, _) => {
                self.report(command, What::Applied { until_secs: record.until_secs });
                self.stands(record, now_secs);
            }
            (CutOutcome::Refused(reason) | CutOutcome::Failed(reason), Before::Open) => {
                self.effects.push_back(Effect::Forget);
                self.report(command, What::Refused(reason));
            }
            (CutOutcome::Refused(reason), Before::Isolated(old)) => {
                self.effects.push_back(Effect::Save(old.clone()));
                self.report(command, What::Refused(reason));
                self.stands(old, now_secs);
            }
            (CutOutcome::Failed(reason), before @ Before::Isolated(_))
            | (
                CutOutcome::Refused(reason) | CutOutcome::Failed(reason),
                before @ Before::Unknown,
            ) => {
                self.report(command, What::Failed(reason));
                let retry_at = Some(now_secs.saturating_add(RETRY_SECS));
                self.state = State::Applying { record, before, retry_at };
            }
        }
    }

    /// The wall stands; whether it holds is looked at straight away.
    fn stands(&mut self, record: Record, now_secs: u64) {
        self.effects.push_back(Effect::Prove { turn: self.turn });
        let proof = Proof { proved: false, next_at: now_secs, running: true, silent_since: None };
        self.state = State::Isolated { record, proof };
    }

    fn seen(&mut self, record: Record, mut proof: Proof, seen: Seen, now_secs: u64) {
        proof.running = false;
        proof.next_at = now_secs.saturating_add(PROOF_EVERY_SECS);
        proof.proved = seen == Seen::Proved;
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
                self.report(command, What::Unproved(what));
                proof.next_at = now_secs.saturating_add(RETRY_SECS);
            }
            Seen::Drifted(what) => {
                self.report(command, What::Drifted(what));
                return self.apply(record, Before::Unknown, Check::Again);
            }
        }
        self.state = State::Isolated { record, proof };
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
