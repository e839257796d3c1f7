//! What an isolation remembers of a change that is under way, and of how well it is proved.

use super::record::Record;

/// What stood before a wall is put up; decides what a failure means.
#[derive(Debug)]
pub(super) enum Before {
    Open,
    /// Open; but the wall of an order before this one is just being put up, or may stand though
    /// that was told as failed: the turn and the record of it.
    Begun(u32, Record),
    /// This isolation, whose wall is to be replaced.
    Isolated(Record),
    /// A wall of ours may stand, or parts of it: a failure must not be taken for open.
    Unknown,
}

/// Why a wall is put up; decides what is told when it stands, and how soon it is proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Because {
    /// An order, or a start of the agent.
    Order,
    /// What is to stay open has changed.
    Plan,
    /// Somebody changed it.
    Drift,
    /// Devices came or went.
    Devices,
}

/// How well a standing isolation is proved.
#[derive(Debug, Default)]
pub(super) struct Proof {
    pub(super) proved: bool,
    pub(super) next_at: u64,
    pub(super) running: bool,
    pub(super) begun_at: Option<u64>,
    /// Since when no collector answered.
    pub(super) silent_since: Option<u64>,
    /// What was found open last; told and looked at anew sooner only when it is news.
    pub(super) open: Option<String>,
}

impl Before {
    /// The same when another order takes the place of the one under way.
    pub(super) fn begun(self, turn: u32, record: Record) -> Self {
        match self {
            Self::Open => Self::Begun(turn, record),
            before @ (Self::Begun(..) | Self::Isolated(_) | Self::Unknown) => before,
        }
    }
}
