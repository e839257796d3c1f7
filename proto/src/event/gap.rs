//! Events were dropped: how many of which kind, when and why. A loss is told, never silent.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use super::{Class, Lane};
use crate::id::Hash;

/// Why events were dropped.
#[derive(
    Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash, Encode, Decode, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum GapReason {
    /// The spool was full.
    #[n(0)]
    SpoolFull,
    /// The kernel's ring buffer overflowed before the agent read it.
    #[n(1)]
    KernelRing,
    /// The agent was not running.
    #[n(2)]
    AgentStopped,
    /// A sensor failed and was started again.
    #[n(3)]
    SensorRestarted,
    /// The spool was lost or rolled back.
    #[n(4)]
    SpoolLost,
    /// A source spoke faster than its limit.
    #[n(5)]
    RateLimit,
    /// What was to be read had gone before it was read.
    #[n(6)]
    SourceGone,
    /// Events waited longer for the collector than the disk had room for.
    #[n(7)]
    DiskFull,
    /// The agent would have cost the machine more than its budget.
    #[n(8)]
    Budget,
}

/// How many events of one class.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Encode, Decode, Serialize)]
pub struct ClassCount {
    /// Which class.
    #[n(0)]
    pub class: Class,
    /// How many; 0 means that some may be missing and nobody can say how many.
    #[n(1)]
    pub count: u64,
}

/// Sealed batches that were dropped whole: the numbers that the collector will never see.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Encode, Decode, Serialize)]
pub struct SealedRange {
    /// The lane.
    #[n(0)]
    pub lane: Lane,
    /// The lane's epoch.
    #[n(1)]
    pub epoch: u32,
    /// First sequence dropped.
    #[n(2)]
    pub first: u64,
    /// Last sequence dropped.
    #[n(3)]
    pub last: u64,
    /// Hash of the last dropped batch's header: what the next batch names as its predecessor.
    #[n(4)]
    pub head: Hash,
}

/// A signed record of events that were dropped.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub struct Gap {
    /// Why.
    #[n(0)]
    pub reason: GapReason,
    /// How many of which class.
    #[n(1)]
    pub counts: Vec<ClassCount>,
    /// From when, nanoseconds since 1970 UTC.
    #[n(2)]
    pub from_ns: u64,
    /// Until when, nanoseconds since 1970 UTC.
    #[n(3)]
    pub to_ns: u64,
    /// The numbers dropped; none where the events were dropped before they had numbers.
    #[n(4)]
    pub sealed: Option<SealedRange>,
    /// What a person should know beside it.
    #[n(5)]
    pub detail: Option<String>,
}
