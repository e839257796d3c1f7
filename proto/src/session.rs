//! Who may say what, and when: the two ends of an agent's session, as pure state machines.
//!
//! Bytes, answers and the time come in through `handle_*`; what is to be done goes out through
//! `poll_effect`; `poll_timeout` says when to call again at the latest. Time is a [`Duration`]
//! since any fixed start.

pub mod agent;
pub mod collector;

use std::time::Duration;

pub use agent::{AgentEffect, AgentSession, SealedBatch};
pub use collector::{Appended, CollectorEffect, CollectorSession, Registered};

use crate::limits;
use crate::sign::batch::Header;

/// A place in a lane: everything up to and including event `last` of epoch `epoch`.
///
/// The default is the place before everything.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub struct Cursor {
    /// The epoch.
    pub epoch: u32,
    /// Number of the last event.
    pub last: u64,
}

impl Cursor {
    /// The place after a batch.
    #[must_use]
    pub fn after(header: &Header) -> Self {
        Self { epoch: header.epoch, last: header.last() }
    }
}

/// How long each end waits for the other's first word.
pub const GREETING_MAX: Duration = Duration::from_secs(15);

const SILENCE_MAX: Duration = Duration::from_secs(limits::SILENCE_SECS_MAX);
const PING_PERIOD: Duration = Duration::from_secs(limits::PING_PERIOD_SECS);

/// Messages of unknown kinds that a session bears before it ends.
const UNKNOWN_MAX: u32 = 16;
