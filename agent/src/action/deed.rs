//! What an action other than isolation is made of: read what is there, do it, look, undo it.
//!
//! A deed may block and belongs on a helper thread. It must be able to begin anew: after a crash it
//! is applied again with what was there before, as far as that had been written down.

use std::sync::Arc;

use cordon_proto::command::Action;
use cordon_proto::policy::Policy;

use crate::identity::StateDir;
pub use crate::ledger::{Done, NotDone, Seen};

/// One action on this endpoint.
pub trait Deed {
    /// Reads what is there now, in a form of the deed's own, and refuses what must not be touched.
    /// Changes nothing.
    fn prepare(&self) -> Result<Vec<u8>, NotDone>;

    /// Does it. What cannot be done whole and was begun is told as missing; with an error nothing
    /// stands.
    fn apply(&self, before: &[u8]) -> Result<Done, NotDone>;

    /// Looks whether it holds.
    fn look(&self, before: &[u8]) -> Seen;

    /// Puts back what was there before.
    fn undo(&self, before: &[u8]) -> Result<Done, NotDone>;
}

/// What deeds share, for as long as the agent runs.
#[derive(Debug)]
pub struct Tools {
    /// Where they may keep what they took.
    pub dir: StateDir,
    /// The agent is only tried out here: it must touch nothing but what its own control group holds
    /// and its own namespaces.
    pub lab: bool,
}

/// What a deed is done with: what all share, and what holds at this moment.
#[derive(Clone, Debug)]
pub struct Hand {
    /// What all deeds share.
    pub tools: Arc<Tools>,
    /// What operators signed about this endpoint.
    pub policy: Option<Policy>,
}

impl Hand {
    /// The deed that an action asks for.
    pub fn deed<'a>(&'a self, action: &'a Action) -> Result<Box<dyn Deed + 'a>, NotDone> {
        match action {
            Action::Isolate(_)
            | Action::Release
            | Action::SetPolicy(_)
            | Action::Query(_)
            | Action::Undo { .. }
            | Action::ReleaseAll
            | Action::Kill(_)
            | Action::Suspend(_)
            | Action::Quarantine(_)
            | Action::Deny(_)
            | Action::Block(_)
            | Action::LockAccount(_)
            | Action::StopService(_)
            | Action::BlockStorage(_)
            | Action::Collect(_) => {
                let name = action.kind().name();
                Err(NotDone::Refused(format!("this version of the agent cannot {name}")))
            }
        }
    }
}
