//! What can be asked of an endpoint, with all parameters and without.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use super::{
    Block, BlockStorage, Collect, Deny, Isolate, Kill, LockAccount, Quarantine, StopService,
    Suspend,
};
use crate::id::CommandId;
use crate::policy::Policy;
use crate::query::Query;

/// What a command asks for.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode, Serialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Action {
    /// Cut the endpoint off from the network.
    #[n(0)]
    Isolate(#[n(0)] Isolate),
    /// Let it back (D3FEND D3-RNA).
    #[n(1)]
    Release,
    /// Take a new configuration.
    #[n(2)]
    SetPolicy(#[n(0)] Policy),
    /// Answer a question; changes nothing.
    #[n(3)]
    Query(#[n(0)] Query),
    /// Undo what another command did: resume, restore, allow, unblock, unlock.
    #[n(4)]
    Undo {
        /// The command whose containment ends.
        #[n(0)]
        of: CommandId,
    },
    /// Undo everything that stands, the latest first.
    #[n(5)]
    ReleaseAll,
    /// End a process, or it and all that it started (D3FEND D3-PT).
    #[n(6)]
    Kill(#[n(0)] Kill),
    /// Stop a process where it is (D3FEND D3-PS).
    #[n(7)]
    Suspend(#[n(0)] Suspend),
    /// Take a file away into the endpoint's vault (D3FEND D3-CQ).
    #[n(8)]
    Quarantine(#[n(0)] Quarantine),
    /// Let an executable not be started (D3FEND D3-EDL).
    #[n(9)]
    Deny(#[n(0)] Deny),
    /// Block addresses, names or ports.
    #[n(10)]
    Block(#[n(0)] Block),
    /// Lock an account (D3FEND D3-AL).
    #[n(11)]
    LockAccount(#[n(0)] LockAccount),
    /// Stop a service.
    #[n(12)]
    StopService(#[n(0)] StopService),
    /// Let no removable storage be used.
    #[n(13)]
    BlockStorage(#[n(0)] BlockStorage),
    /// Bring evidence away; changes nothing.
    #[n(14)]
    Collect(#[n(0)] Collect),
}

impl Action {
    /// The action without its parameters.
    #[must_use]
    pub fn kind(&self) -> ActionKind {
        match self {
            Self::Isolate(_) => ActionKind::Isolate,
            Self::Release => ActionKind::Release,
            Self::SetPolicy(_) => ActionKind::SetPolicy,
            Self::Query(_) => ActionKind::Query,
            Self::Undo { .. } => ActionKind::Undo,
            Self::ReleaseAll => ActionKind::ReleaseAll,
            Self::Kill(_) => ActionKind::Kill,
            Self::Suspend(_) => ActionKind::Suspend,
            Self::Quarantine(_) => ActionKind::Quarantine,
            Self::Deny(_) => ActionKind::Deny,
            Self::Block(_) => ActionKind::Block,
            Self::LockAccount(_) => ActionKind::LockAccount,
            Self::StopService(_) => ActionKind::StopService,
            Self::BlockStorage(_) => ActionKind::BlockStorage,
            Self::Collect(_) => ActionKind::Collect,
        }
    }

    /// How long it stands by itself, in seconds of endpoint time; none where it stands until it is
    /// undone, or where nothing stands.
    #[must_use]
    pub fn lease_secs(&self) -> Option<u64> {
        match self {
            Self::Isolate(isolate) => Some(isolate.lease_secs),
            Self::Suspend(suspend) => suspend.lease_secs,
            Self::Deny(deny) => deny.lease_secs,
            Self::Block(block) => block.lease_secs,
            Self::LockAccount(lock) => lock.lease_secs,
            Self::StopService(stop) => stop.lease_secs,
            Self::BlockStorage(storage) => storage.lease_secs,
            Self::Release
            | Self::SetPolicy(_)
            | Self::Query(_)
            | Self::Undo { .. }
            | Self::ReleaseAll
            | Self::Kill(_)
            | Self::Quarantine(_)
            | Self::Collect(_) => None,
        }
    }

    /// Whether it does the same to the same, whatever their leases.
    #[must_use]
    pub fn is_same_but_lease(&self, other: &Self) -> bool {
        self.without_lease() == other.without_lease()
    }

    fn without_lease(&self) -> Self {
        let mut same = self.clone();
        match &mut same {
            Self::Isolate(isolate) => isolate.lease_secs = 0,
            Self::Suspend(suspend) => suspend.lease_secs = None,
            Self::Deny(deny) => deny.lease_secs = None,
            Self::Block(block) => block.lease_secs = None,
            Self::LockAccount(lock) => lock.lease_secs = None,
            Self::StopService(stop) => stop.lease_secs = None,
            Self::BlockStorage(storage) => storage.lease_secs = None,
            Self::Release
            | Self::SetPolicy(_)
            | Self::Query(_)
            | Self::Undo { .. }
            | Self::ReleaseAll
            | Self::Kill(_)
            | Self::Quarantine(_)
            | Self::Collect(_) => {}
        }
        same
    }

    /// Whether what it names can exist on one endpoint only.
    #[must_use]
    pub fn is_of_one_endpoint(&self) -> bool {
        matches!(self, Self::Kill(_) | Self::Suspend(_))
    }
}

/// An action without its parameters: what the roster's table speaks of.
#[derive(
    Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash, Encode, Decode, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum ActionKind {
    /// Cut the endpoint off from the network.
    #[n(0)]
    Isolate,
    /// Let it back.
    #[n(1)]
    Release,
    /// Take a new configuration.
    #[n(2)]
    SetPolicy,
    /// Answer a question.
    #[n(3)]
    Query,
    /// Undo what another command did.
    #[n(4)]
    Undo,
    /// Undo everything that stands.
    #[n(5)]
    ReleaseAll,
    /// End a process.
    #[n(6)]
    Kill,
    /// Stop a process where it is.
    #[n(7)]
    Suspend,
    /// Take a file away.
    #[n(8)]
    Quarantine,
    /// Let an executable not be started.
    #[n(9)]
    Deny,
    /// Block addresses, names or ports.
    #[n(10)]
    Block,
    /// Lock an account.
    #[n(11)]
    LockAccount,
    /// Stop a service.
    #[n(12)]
    StopService,
    /// Let no removable storage be used.
    #[n(13)]
    BlockStorage,
    /// Bring evidence away.
    #[n(14)]
    Collect,
}

impl ActionKind {
    /// Every kind, in the order of their numbers.
    pub const ALL: [Self; 15] = [
        Self::Isolate,
        Self::Release,
        Self::SetPolicy,
        Self::Query,
        Self::Undo,
        Self::ReleaseAll,
        Self::Kill,
        Self::Suspend,
        Self::Quarantine,
        Self::Deny,
        Self::Block,
        Self::LockAccount,
        Self::StopService,
        Self::BlockStorage,
        Self::Collect,
    ];

    /// Whether it changes the endpoint; what only reads needs no second person at critical ones.
    #[must_use]
    pub fn changes(self) -> bool {
        !matches!(self, Self::Query | Self::Collect)
    }

    /// Whether something stands afterwards, until a lease ends or it is undone.
    #[must_use]
    pub fn lasts(self) -> bool {
        match self {
            Self::Isolate
            | Self::Suspend
            | Self::Quarantine
            | Self::Deny
            | Self::Block
            | Self::LockAccount
            | Self::StopService
            | Self::BlockStorage => true,
            Self::Release
            | Self::SetPolicy
            | Self::Query
            | Self::Undo
            | Self::ReleaseAll
            | Self::Kill
            | Self::Collect => false,
        }
    }

    /// Whether it ends what another command did.
    #[must_use]
    pub fn undoes(self) -> bool {
        matches!(self, Self::Release | Self::Undo | Self::ReleaseAll)
    }

    /// The name used in rosters, on pages and in the terminal.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Isolate => "isolate",
            Self::Release => "release",
            Self::SetPolicy => "set_policy",
            Self::Query => "query",
            Self::Undo => "undo",
            Self::ReleaseAll => "release_all",
            Self::Kill => "kill",
            Self::Suspend => "suspend",
            Self::Quarantine => "quarantine",
            Self::Deny => "deny",
            Self::Block => "block",
            Self::LockAccount => "lock_account",
            Self::StopService => "stop_service",
            Self::BlockStorage => "block_storage",
            Self::Collect => "collect",
        }
    }
}
