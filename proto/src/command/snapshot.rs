//! Taking a snapshot before something is done: what the action would destroy or make hard to see.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use super::{ActionKind, CommandFormError, range};

/// The most that an action waits.
const WAIT_MS_MAX: u64 = 10_000;

/// The most that a snapshot brings away, before compression; less than its tables may have together.
pub const SNAPSHOT_BYTES_MAX: u64 = 64 << 20;

/// Take a snapshot first. Whatever becomes of it, the action is done.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Encode, Decode, Serialize, Deserialize)]
pub struct Snapshot {
    /// The action waits no longer than this, in milliseconds. An isolation waits only for what it
    /// ends, the sockets, and never longer than 20 ms; the rest is taken behind the wall.
    #[n(0)]
    pub wait_ms: u64,
}

impl Snapshot {
    /// What an action waits if nothing else is said.
    pub const WAIT_MS_DEFAULT: u64 = 2000;

    pub(super) fn check(self, action: ActionKind) -> Result<(), CommandFormError> {
        range("wait_ms", self.wait_ms, WAIT_MS_MAX)?;
        // What lets back, sets or asks destroys nothing.
        if !action.changes() || action.undoes() || action == ActionKind::SetPolicy {
            let (found, what) =
                (action.name().to_owned(), "action that a snapshot is taken before");
            return Err(CommandFormError::Parameter { field: "snapshot before", found, what });
        }
        Ok(())
    }
}
