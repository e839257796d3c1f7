//! The agent about itself: that it started, why it will be silent, and how it fares (classes of
//! Cordon's own OCSF extension).

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use super::process::Tier;
use super::{ClassCount, GapReason, Lane};
use crate::command::{ActionKind, Nonce};
use crate::id::CommandId;
use crate::policy::Budget;
use crate::roster::RosterRef;

/// The agent started.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub struct Started {
    /// The agent's version.
    #[n(0)]
    pub agent_version: String,
    /// The kernel's id of this boot.
    #[n(1)]
    pub boot_id: String,
    /// How often this endpoint has booted since enrolment.
    #[n(2)]
    pub boot_count: u64,
    /// Whether the run before ended without saying goodbye.
    #[n(3)]
    pub unclean: bool,
}

/// Why nothing will be heard of the endpoint for a while, or was not.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Encode, Decode)]
pub enum Notice {
    /// The agent is stopping.
    #[n(0)]
    Stopping {
        /// Whether the machine is being switched off or started again; none where it cannot be told.
        #[n(0)]
        machine: Option<bool>,
    },
    /// The machine is about to sleep.
    #[n(1)]
    Sleeping,
    /// The machine has slept.
    #[n(2)]
    Woke {
        /// For how long, in seconds.
        #[n(0)]
        slept_secs: u64,
    },
}

/// What a sensor's state is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum SensorState {
    /// It sees all that it is meant to see.
    #[n(0)]
    Running,
    /// It sees less than it is meant to; the reason says what is missing.
    #[n(1)]
    Degraded,
    /// It sees nothing.
    #[n(2)]
    Blind,
    /// It is switched off by settings or policy.
    #[n(3)]
    Off,
    /// It says that it runs and does not show it: canaries sent through it do not come out.
    #[n(4)]
    Stalled,
}

/// How one sensor fares.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub struct SensorHealth {
    /// The sensor's name.
    #[n(0)]
    pub name: String,
    /// Its state.
    #[n(1)]
    pub state: SensorState,
    /// Why it is not simply running.
    #[n(2)]
    pub reason: Option<String>,
    /// By which means it sees processes.
    #[n(3)]
    pub tier: Option<Tier>,
    /// Events seen since the agent started.
    #[n(4)]
    pub seen: u64,
    /// Events dropped since the agent started.
    #[n(5)]
    pub dropped: u64,
    /// Seconds since it was last shown to see: by a canary that came through it, or by a look that
    /// it took. None before the first.
    #[n(6)]
    pub proved_secs: Option<u64>,
    /// Why events were dropped, and how many for each reason.
    #[n(7)]
    pub dropped_why: Option<Vec<ReasonCount>>,
}

/// How many events were dropped for one reason.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Encode, Decode, Serialize)]
pub struct ReasonCount {
    /// Why.
    #[n(0)]
    pub reason: GapReason,
    /// How many.
    #[n(1)]
    pub count: u64,
}

/// What waits in the spool for one lane.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Encode, Decode, Serialize)]
pub struct LaneDepth {
    /// The lane.
    #[n(0)]
    pub lane: Lane,
    /// The lane's epoch.
    #[n(1)]
    pub epoch: u32,
    /// The number the next event will have.
    #[n(2)]
    pub next_seq: u64,
    /// Events not yet acknowledged.
    #[n(3)]
    pub events: u64,
    /// Their size in the spool.
    #[n(4)]
    pub bytes: u64,
}

/// A containment that stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Encode, Decode, Serialize)]
pub struct Standing {
    /// The command that asked for it.
    #[n(0)]
    pub command: CommandId,
    /// What it is.
    #[n(1)]
    pub action: ActionKind,
    /// When its lease ends, in seconds of endpoint time; none where it stands until it is undone.
    #[n(2)]
    pub until_secs: Option<u64>,
    /// Whether the last look at it found it as it should be.
    #[n(3)]
    pub proved: bool,
}

/// How the agent fares.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub struct Health {
    /// The agent's version.
    #[n(0)]
    pub agent_version: String,
    /// Endpoint time in seconds.
    #[n(1)]
    pub endpoint_secs: u64,
    /// What commands to this endpoint must carry.
    #[n(2)]
    pub nonce: Nonce,
    /// The roster held.
    #[n(3)]
    pub roster: RosterRef,
    /// The version of the policy held; 0 for none.
    #[n(4)]
    pub policy_version: u64,
    /// Processor time used since the agent started, in microseconds.
    #[n(5)]
    pub cpu_us: u64,
    /// Resident memory in bytes.
    #[n(6)]
    pub rss_bytes: u64,
    /// Seconds since the agent started.
    #[n(7)]
    pub uptime_secs: u64,
    /// What waits in the spool.
    #[n(8)]
    pub lanes: Vec<LaneDepth>,
    /// Every sensor.
    #[n(9)]
    pub sensors: Vec<SensorHealth>,
    /// Dropped since the agent started.
    #[n(10)]
    pub dropped: Vec<ClassCount>,
    /// Containments that stand.
    #[n(11)]
    pub containments: Vec<Standing>,
    /// What the agent gives up at the moment in order to stay within its budget.
    #[n(12)]
    pub given_up: Option<String>,
    /// The limits that hold: of the endpoint's settings and of policy the lower ones.
    #[n(13)]
    pub budget: Option<Budget>,
    /// Events and collected archives sent to the collector since the agent started, in bytes.
    #[n(14)]
    pub sent_bytes: Option<u64>,
}
