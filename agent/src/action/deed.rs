//! What an action other than isolation is made of: read what is there, do it, look, undo it.
//!
//! A deed may block and belongs on a helper thread. It must be able to begin anew: after a crash it
//! is applied again with what was there before, as far as that had been written down.

use std::sync::Arc;

use cordon_proto::command::Action;
use cordon_proto::id::EndpointId;
use cordon_proto::policy::Policy;

use super::account::Account;
use super::block::Blocking;
use super::block::fences::{Blocks, ask};
use super::deny::{DenyDeed, Warden};
use super::process::{KillDeed, SuspendDeed};
use super::quarantine::Taking;
use super::service::Service;
use super::storage::{Storage, Watch};
use crate::containment::Ways;
use crate::identity::StateDir;
use crate::ledger;
pub use crate::ledger::{Done, NotDone, Seen};
use crate::sensor::dns::Names;

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
    /// Who this is, for commands that ask different things of different endpoints.
    pub endpoint: EndpointId,
    /// All that is blocked, which is one thing to the kernel.
    pub blocks: Blocks,
    /// Hears of new devices while removable storage is blocked.
    pub removable: Watch,
    /// All programs that are denied, about which the kernel asks one process.
    pub warden: Warden,
}

impl Tools {
    /// Nothing stands and nothing is under way yet.
    #[must_use]
    pub fn new(dir: StateDir, lab: bool) -> Self {
        let nothing = ledger::Kept::default();
        let blocks = Blocks::resume(dir.clone(), lab, Names::default(), ask, &nothing);
        let (removable, warden) = (Watch::default(), Warden::default());
        Self { dir, lab, endpoint: EndpointId::default(), blocks, removable, warden }
    }
}

/// What a deed is done with: what all share, and what holds at this moment.
#[derive(Clone, Debug)]
pub struct Hand {
    /// What all deeds share.
    pub tools: Arc<Tools>,
    /// What operators signed about this endpoint.
    pub policy: Option<Policy>,
    /// What the endpoint needs of the network, and the mark of the agent's own packets.
    pub ways: Ways,
    /// The ports of the collectors' doors, or of the proxy on the way.
    pub door_ports: Vec<u16>,
}

impl Hand {
    /// A hand without policy, that nothing of the network need be left to.
    #[must_use]
    pub fn new(tools: Tools) -> Self {
        let tools = Arc::new(tools);
        Self { tools, policy: None, ways: Ways::default(), door_ports: Vec::new() }
    }

    /// The deed that an action asks for.
    pub fn deed<'a>(&'a self, action: &'a Action) -> Result<Box<dyn Deed + 'a>, NotDone> {
        match action {
            Action::Kill(kill) => Ok(Box::new(KillDeed::new(self, kill))),
            Action::Suspend(suspend) => Ok(Box::new(SuspendDeed::new(self, suspend))),
            Action::Quarantine(quarantine) => Ok(Box::new(Taking::new(&self.tools, quarantine))),
            Action::Deny(deny) => Ok(Box::new(DenyDeed::new(self, deny))),
            Action::Block(block) => Ok(Box::new(Blocking::new(block, self))),
            Action::LockAccount(wanted) => Ok(Box::new(Account::here(wanted, self.tools.lab))),
            Action::StopService(wanted) => Ok(Box::new(Service::here(wanted, self.tools.lab))),
            Action::BlockStorage(_) => Ok(Box::new(Storage::here(
                self.tools.dir.folder(),
                &self.tools.removable,
                self.tools.lab,
            ))),
            Action::Isolate(_)
            | Action::Release
            | Action::SetPolicy(_)
            | Action::Query(_)
            | Action::Undo { .. }
            | Action::ReleaseAll
            | Action::Collect(_) => {
                let name = action.kind().name();
                Err(NotDone::Refused(format!("this version of the agent cannot {name}")))
            }
        }
    }
}
