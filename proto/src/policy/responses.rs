//! What an endpoint does by itself when it sees something, with nobody asking: conditions on events,
//! the action, and how often at most.
//!
//! The roster bounds all of it ([`crate::roster::Autonomy`]); where it says nothing, an endpoint only
//! raises findings.

mod check;
mod condition;

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::command::ActionKind;
use crate::event::Class;

pub use check::{KERNEL_RULES, ResponseError, any, check, check_form, mistakes};
pub use condition::{Comparison, Field, Test};

/// What is done.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub enum Reaction {
    /// A finding is raised, and nothing else is done.
    #[n(0)]
    Raise,
    /// The endpoint is cut off from the network, unless policy calls it critical.
    #[n(1)]
    Isolate {
        /// For how long, in seconds of endpoint time.
        #[n(0)]
        lease_secs: u64,
    },
    /// The process that the event is about ends.
    #[n(2)]
    Kill {
        /// With all that it started.
        #[n(0)]
        #[serde(default)]
        tree: bool,
    },
    /// The process that the event is about stops where it is.
    #[n(3)]
    Suspend {
        /// With all that it started.
        #[n(0)]
        #[serde(default)]
        tree: bool,
        /// For how long, in seconds of endpoint time.
        #[n(1)]
        lease_secs: u64,
    },
    /// The other side's address is blocked, unless it is a gateway, a resolver, a collector or
    /// exempt. Who sends datagrams can forge the address they seem to come from.
    #[n(4)]
    Block {
        /// For how long, in seconds of endpoint time.
        #[n(0)]
        lease_secs: u64,
    },
    /// The file that the event is about, or the program that was started, goes into the vault.
    /// Nothing but `undo` brings it back: what was put back by time alone would run again.
    #[n(5)]
    Quarantine,
    /// What has the content of the program that was started is not started any more. Of a script
    /// that is its interpreter.
    #[n(6)]
    Deny {
        /// For how long, in seconds of endpoint time.
        #[n(0)]
        lease_secs: u64,
    },
    /// An account is locked.
    #[n(7)]
    LockAccount {
        /// Its name: policy says it, never the event.
        #[n(0)]
        user: String,
        /// Whether its sessions end.
        #[n(1)]
        #[serde(default)]
        end_sessions: bool,
        /// For how long, in seconds of endpoint time.
        #[n(2)]
        lease_secs: u64,
    },
    /// A service is stopped.
    #[n(8)]
    StopService {
        /// The unit, with its ending: policy says it, never the event.
        #[n(0)]
        unit: String,
        /// Whether it is also kept from starting again.
        #[n(1)]
        #[serde(default)]
        disable: bool,
        /// For how long, in seconds of endpoint time.
        #[n(2)]
        lease_secs: u64,
    },
    /// No removable storage can be used.
    #[n(9)]
    BlockStorage {
        /// For how long, in seconds of endpoint time.
        #[n(0)]
        lease_secs: u64,
    },
}

/// What the kernel saw, or what rests on it.
const KERNEL: &[Class] = &[Class::Process, Class::Network, Class::File, Class::Finding];

/// The actions that a response can name; the roster can let endpoints do no others by themselves.
pub const KINDS: [ActionKind; 9] = [
    ActionKind::Isolate,
    ActionKind::Kill,
    ActionKind::Suspend,
    ActionKind::Quarantine,
    ActionKind::Deny,
    ActionKind::Block,
    ActionKind::LockAccount,
    ActionKind::StopService,
    ActionKind::BlockStorage,
];

impl Reaction {
    /// The action that it comes down to; none for a finding alone.
    #[must_use]
    pub fn kind(&self) -> Option<ActionKind> {
        match self {
            Self::Raise => None,
            Self::Isolate { .. } => Some(ActionKind::Isolate),
            Self::Kill { .. } => Some(ActionKind::Kill),
            Self::Suspend { .. } => Some(ActionKind::Suspend),
            Self::Block { .. } => Some(ActionKind::Block),
            Self::Quarantine => Some(ActionKind::Quarantine),
            Self::Deny { .. } => Some(ActionKind::Deny),
            Self::LockAccount { .. } => Some(ActionKind::LockAccount),
            Self::StopService { .. } => Some(ActionKind::StopService),
            Self::BlockStorage { .. } => Some(ActionKind::BlockStorage),
        }
    }

    /// How long it stands, where it ends by itself.
    #[must_use]
    pub fn lease_secs(&self) -> Option<u64> {
        match self {
            Self::Raise | Self::Kill { .. } | Self::Quarantine => None,
            Self::Isolate { lease_secs }
            | Self::Suspend { lease_secs, .. }
            | Self::Block { lease_secs }
            | Self::Deny { lease_secs }
            | Self::LockAccount { lease_secs, .. }
            | Self::StopService { lease_secs, .. }
            | Self::BlockStorage { lease_secs } => Some(*lease_secs),
        }
    }

    /// The classes of events that it may be done for: what the kernel saw, or else anybody who can
    /// write a line into a log could have endpoints cut off. Of what logs say, only the address
    /// that somebody logs in from may be blocked.
    #[must_use]
    pub fn classes(&self) -> &'static [Class] {
        match self {
            Self::Raise => &Class::ALL,
            Self::Isolate { .. }
            | Self::Kill { .. }
            | Self::Suspend { .. }
            | Self::LockAccount { .. }
            | Self::StopService { .. } => KERNEL,
            Self::Block { .. } => &[Class::Network, Class::Authentication],
            Self::Quarantine => &[Class::Process, Class::File],
            Self::Deny { .. } => &[Class::Process],
            Self::BlockStorage { .. } => {
                &[Class::Process, Class::Network, Class::File, Class::Finding, Class::Device]
            }
        }
    }
}

/// What an endpoint does by itself.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Response {
    /// Its name, in what is told of it.
    #[n(0)]
    pub name: String,
    /// What must be so of one event, all of it.
    #[n(1)]
    pub when: Vec<Test>,
    /// What is done then.
    #[n(2)]
    pub then: Reaction,
    /// How often in any hour of endpoint time, over restarts too; what is beyond raises a finding
    /// and does nothing.
    #[n(3)]
    pub per_hour_max: u32,
}

/// Responses in one policy: each is tried on every event of its class.
pub const RESPONSES_MAX: usize = 32;
/// Tests of one response.
pub const TESTS_MAX: usize = 8;
/// A value to compare with.
pub const VALUE_BYTES_MAX: usize = 512;
/// The name of a response.
pub const NAME_BYTES_MAX: usize = 48;
/// How long what an endpoint does by itself may stand, whatever the roster says.
pub const LEASE_SECS_MAX: u64 = 3600;

/// How often in an hour one response may do something, whatever the roster says.
pub const PER_HOUR_MAX: u32 = 60;

impl Response {
    /// The class of the events that it looks at.
    #[must_use]
    pub fn class(&self) -> Option<Class> {
        self.when.first().map(|test| test.field.class())
    }
}
