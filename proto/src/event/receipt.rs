//! The endpoint's answer about a command: what it did, and what it then observed.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::command::ActionKind;
use crate::id::{CommandId, Hash, OperatorId};
use crate::query::Limit;

/// The check of the guard that a command failed.
#[derive(
    Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash, Encode, Decode, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum Check {
    /// The bytes are not a command.
    #[n(0)]
    Form,
    /// The command is for another client.
    #[n(1)]
    Client,
    /// The command does not name this endpoint by id and host name.
    #[n(2)]
    Target,
    /// The command assumes a roster that this endpoint does not hold.
    #[n(3)]
    Roster,
    /// A signature does not verify, or its key is not in the roster.
    #[n(4)]
    Signature,
    /// A signer has no role that may do this.
    #[n(5)]
    Role,
    /// Too few distinct persons have signed.
    #[n(6)]
    Approvals,
    /// The nonce is not this endpoint's, or too old.
    #[n(7)]
    Freshness,
    /// The command was obeyed before.
    #[n(8)]
    Replay,
    /// A parameter is outside what the roster or this agent allows.
    #[n(9)]
    Parameters,
    /// What it would be done to is protected, or is not what the command says it is.
    #[n(10)]
    Subject,
}

/// One attempt to get through, and whether it was stopped.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode, Serialize)]
pub struct Probe {
    /// What was tried, for a person: `TCP over IPv4 to 10.0.0.1:443, outside the agent`.
    #[n(0)]
    pub what: String,
    /// Whether it went as it must.
    #[n(1)]
    pub passed: bool,
    /// What was seen.
    #[n(2)]
    pub seen: String,
}

/// What the endpoint observed of an isolation.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode, Serialize)]
pub struct Proof {
    /// Digest of our rules as read back from the kernel.
    #[n(0)]
    pub ruleset: Hash,
    /// Whether that is the digest of what was asked for.
    #[n(1)]
    pub ruleset_equal: bool,
    /// Attempts that must pass or fail.
    #[n(2)]
    pub probes: Vec<Probe>,
    /// Established sockets that lead elsewhere than to the collector or this machine.
    #[n(3)]
    pub sockets_residual: u64,
    /// Packets dropped so far.
    #[n(4)]
    pub packets_dropped: u64,
}

impl Proof {
    /// Whether everything was as it must be.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.ruleset_equal && self.sockets_residual == 0 && self.probes.iter().all(|p| p.passed)
    }
}

/// Why a containment ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum EndCause {
    /// A signed release.
    #[n(0)]
    Released,
    /// Its lease ran out.
    #[n(1)]
    LeaseEnded,
    /// It could not be proved, and the command said to let go in that case.
    #[n(2)]
    Unproved,
    /// The single-use code was typed at the endpoint.
    #[n(3)]
    BreakGlass,
    /// A later command that asks for the same took it over.
    #[n(4)]
    Replaced,
    /// What it was done to is gone: the process ended, the stick was pulled.
    #[n(5)]
    Gone,
}

/// How a snapshot came out.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum SnapshotState {
    /// All of it, and what the action ends before the action.
    #[n(0)]
    Whole,
    /// Something of it is missing, or was taken only after the action had to go on.
    #[n(1)]
    Cut,
    /// There is none.
    #[n(2)]
    Failed,
}

/// What became of a command.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub enum Outcome {
    /// The guard refused it.
    #[n(0)]
    Refused {
        /// The check it failed.
        #[n(0)]
        check: Check,
        /// The reason for a person.
        #[n(1)]
        reason: String,
    },
    /// The guard let it through: the endpoint has it, and it is authorised.
    #[n(1)]
    Accepted {
        /// Whose signatures counted.
        #[n(0)]
        signers: Vec<OperatorId>,
    },
    /// It was done.
    #[n(2)]
    Applied {
        /// How long the change itself took, in microseconds.
        #[n(0)]
        change_us: u64,
        /// When its lease ends, in seconds of endpoint time; none where it needs no lease.
        #[n(1)]
        until_secs: Option<u64>,
        /// Whether it stood already, so that nothing changed.
        #[n(2)]
        stood_already: bool,
    },
    /// Its effect was observed.
    #[n(3)]
    Proved(#[n(0)] Proof),
    /// Its effect was not observed; it stands all the same unless the command said otherwise.
    #[n(4)]
    Unproved(#[n(0)] Proof),
    /// What stands no longer matched; it was put back.
    #[n(5)]
    Drifted {
        /// What was found.
        #[n(0)]
        found: String,
        /// Whether it was put back.
        #[n(1)]
        reapplied: bool,
    },
    /// It could not be done; nothing stands.
    #[n(6)]
    Failed {
        /// The reason for a person.
        #[n(0)]
        reason: String,
    },
    /// The containment ended.
    #[n(7)]
    Ended {
        /// Why.
        #[n(0)]
        cause: EndCause,
        /// Whether our rules were seen to be gone.
        #[n(1)]
        observed_gone: bool,
    },
    /// The question was answered; the rows went to whoever asked and are kept by nobody.
    #[n(8)]
    Answered {
        /// How many rows there were.
        #[n(0)]
        rows: u64,
        /// SHA-256 of the signed summary that went with them.
        #[n(1)]
        summary: Hash,
        /// The limit that ended the answer early.
        #[n(2)]
        cut: Option<Limit>,
        /// What kept the question from being answered, for a person.
        #[n(3)]
        error: Option<String>,
        /// How long it took, in milliseconds.
        #[n(4)]
        took_ms: u64,
    },
    /// What was seen afterwards of anything but an isolation.
    #[n(9)]
    Observed {
        /// What was looked at, and whether it was as it must be.
        #[n(0)]
        probes: Vec<Probe>,
    },
    /// It was done in part; it stands as far as it was done.
    #[n(10)]
    Partial {
        /// What was done.
        #[n(0)]
        done: Vec<String>,
        /// What was not, and why.
        #[n(1)]
        missing: Vec<String>,
    },
    /// What came of the snapshot that was to be taken first; the action does not depend on it.
    #[n(11)]
    Snapshot {
        /// How it came out.
        #[n(0)]
        state: SnapshotState,
        /// How long the action waited for it, in microseconds.
        #[n(1)]
        waited_us: u64,
        /// What there is or what is missing, for a person.
        #[n(2)]
        detail: String,
    },
}

impl Outcome {
    /// The fact that it states, in one word.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Refused { .. } => "refused",
            Self::Accepted { .. } => "accepted",
            Self::Applied { .. } => "applied",
            Self::Proved(_) => "proved",
            Self::Unproved(_) => "unproved",
            Self::Drifted { .. } => "drifted",
            Self::Failed { .. } => "failed",
            Self::Ended { .. } => "ended",
            Self::Answered { .. } => "answered",
            Self::Observed { .. } => "observed",
            Self::Partial { .. } => "partial",
            Self::Snapshot { .. } => "snapshot",
        }
    }

    /// Whether the endpoint saw the effect that the command asks for.
    #[must_use]
    pub fn proves(&self) -> bool {
        match self {
            Self::Proved(proof) => proof.holds(),
            Self::Observed { probes } => {
                !probes.is_empty() && probes.iter().all(|probe| probe.passed)
            }
            Self::Refused { .. }
            | Self::Accepted { .. }
            | Self::Applied { .. }
            | Self::Unproved(_)
            | Self::Drifted { .. }
            | Self::Failed { .. }
            | Self::Ended { .. }
            | Self::Answered { .. }
            | Self::Partial { .. }
            | Self::Snapshot { .. } => false,
        }
    }
}

/// The endpoint's answer about a command.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub struct Receipt {
    /// The command; none where it could not be read that far.
    #[n(0)]
    pub command: Option<CommandId>,
    /// SHA-256 of the command's bytes as received.
    #[n(1)]
    pub command_hash: Hash,
    /// What it asked for, where it could be read.
    #[n(2)]
    pub action: Option<ActionKind>,
    /// When, in seconds of endpoint time.
    #[n(3)]
    pub endpoint_secs: u64,
    /// What became of it.
    #[n(4)]
    pub outcome: Outcome,
    /// How many further refusals of the same check this one stands for.
    #[n(5)]
    pub repeated: u64,
}
