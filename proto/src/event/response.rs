//! What an endpoint did by itself, and for what: told in the control lane before the receipts of the
//! action, under the same id (OCSF Detection Finding, 2004).

use minicbor::{Decode, Encode};

use crate::Text;
use crate::command::ActionKind;
use crate::id::CommandId;

/// The rule by which a [`Reacted`] is found among findings.
pub const RULE: &str = "policy.response";

/// The longest sentence about the event.
pub const BECAUSE_BYTES_MAX: usize = 512;

/// An event met a response of signed policy.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub struct Reacted {
    /// The id that the receipts of the action carry as their command's; `undo` takes it, too.
    #[n(0)]
    pub id: CommandId,
    /// Which response of the policy.
    #[n(1)]
    pub response: String,
    /// The policy's version.
    #[n(2)]
    pub policy_version: u64,
    /// What is done; none where only this is told.
    #[n(3)]
    pub action: Option<ActionKind>,
    /// Why nothing is done though the response says so.
    #[n(4)]
    pub withheld: Option<String>,
    /// The event, in one sentence.
    #[n(5)]
    pub because: Text,
    /// When the event happened, nanoseconds since 1970 UTC.
    #[n(6)]
    pub event_ns: u64,
    /// How many events met the response since it was last told and were not told one by one.
    #[n(7)]
    pub repeated: u64,
}
