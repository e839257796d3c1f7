//! What the isolation asks of the event loop, hears from it, and reports.

use super::record::{CommandId, Plan, Record};

/// What the shell did when it was told to cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CutOutcome {
    Done,
    /// Done, beside a table with a name of ours that somebody held; who, and what became of them.
    Beside(String),
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
    /// Devices came or went that the rules do not know yet.
    Devices,
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
    /// Somebody held a table with a name of ours; ours stands beside it, or where it was.
    Beside(String),
    /// What is to stay open has changed and cannot be had; what stood stands.
    PlanRefused(String),
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
    /// It could not be put up; what may stand of it is taken down. Told when it failed.
    NotApplied,
}
