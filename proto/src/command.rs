//! What operators ask of endpoints: the command, its parameters, and when it is fresh.
//!
//! A command names every target; nothing in it is left for the collector to fill in.

mod account;
mod action;
mod block;
mod collect;
mod deny;
mod isolate;
mod process;
mod quarantine;
mod service;
mod snapshot;
mod storage;

use minicbor::{Decode, Encode};

use crate::Text;
use crate::id::{ClientId, CommandId, EndpointId};
use crate::limits;
use crate::policy::{
    Budget, BudgetError, Policy, Redactions, RedactionsError, ResponseError, responses,
};
use crate::query::Query;
use crate::roster::RosterRef;

pub use account::LockAccount;
pub use action::{Action, ActionKind};
pub use block::{Block, Direction, Network, Peer, Ports, Rule};
pub use collect::{Collect, Source};
pub use deny::{Deny, Executable};
pub use isolate::{AtEnd, IfUnproved, Isolate};
pub use process::{Kill, ProcessTarget, Suspend};
pub use quarantine::Quarantine;
pub use service::StopService;
pub use snapshot::{SNAPSHOT_BYTES_MAX, Snapshot};
pub use storage::BlockStorage;

/// What an endpoint publishes in its signed health so that commands can prove to be fresh.
///
/// The MAC is HMAC-SHA-256, cut to 16 bytes, under a secret that only the endpoint knows.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash, Encode, Decode)]
pub struct Nonce {
    /// How often the endpoint had booted.
    #[n(0)]
    pub boot_count: u64,
    /// Endpoint time when the nonce was made, in seconds.
    #[n(1)]
    pub endpoint_secs: u64,
    /// The endpoint's own proof that it made it.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub mac: [u8; 16],
}

/// One endpoint that a command is for, as the operator saw it.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub struct Target {
    /// Which endpoint.
    #[n(0)]
    pub endpoint: EndpointId,
    /// The host name the operator saw; the endpoint refuses if it is not its own.
    #[n(1)]
    pub host_name: String,
    /// The nonce that the endpoint published.
    #[n(2)]
    pub nonce: Nonce,
}

/// A request for a change to endpoints. It counts only under the signatures that the roster asks
/// for; see [`crate::sign::command`].
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub struct Command {
    /// Its name; each is obeyed at most once by each endpoint.
    #[n(0)]
    pub id: CommandId,
    /// Whose endpoints.
    #[n(1)]
    pub client: ClientId,
    /// Every endpoint it is for.
    #[n(2)]
    pub targets: Vec<Target>,
    /// What to do.
    #[n(3)]
    pub action: Action,
    /// How old a target's nonce may be, in seconds of endpoint time.
    #[n(4)]
    pub age_max_secs: u64,
    /// Whether a nonce from an earlier boot counts, for endpoints that are switched off now.
    #[n(5)]
    pub queued: bool,
    /// The least roster that the signers assumed.
    #[n(6)]
    pub roster_min: RosterRef,
    /// Why, for people.
    #[n(7)]
    pub reason: String,
    /// The case that this belongs to.
    #[n(8)]
    pub incident: Option<String>,
    /// What is taken first.
    #[n(9)]
    pub snapshot: Option<Snapshot>,
}

/// What is wrong with a command's form.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum CommandFormError {
    /// No target, or more than the limit.
    #[error("names {0} endpoints; it must be 1 to {max}", max = limits::TARGETS_MAX)]
    Targets(usize),
    /// A target stands twice.
    #[error("names endpoint {0:?} twice")]
    TargetTwice(EndpointId),
    /// A text is too long or missing.
    #[error("{field} is {bytes} bytes long; it must be 1 to {bytes_max}")]
    Length {
        /// Which text.
        field: &'static str,
        /// Its length.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// A number is outside its range.
    #[error("{field} is {found}; it must be 1 to {max}")]
    Range {
        /// Which number.
        field: &'static str,
        /// What it is.
        found: u64,
        /// The limit.
        max: u64,
    },
    /// A process, a file, an account is one endpoint's.
    #[error("names several endpoints; {} is about one", .0.name())]
    OneEndpoint(ActionKind),
    /// A parameter that cannot be.
    #[error("says {field} {found}, which is no {what}")]
    Parameter {
        /// Which.
        field: &'static str,
        /// What it is.
        found: String,
        /// What it must be.
        what: &'static str,
    },
    /// Nobody waits for days for rows that nobody keeps.
    #[error("is a query that may wait for an endpoint that is switched off; queries cannot")]
    QueuedQuery,
    /// A policy's redactions cannot be.
    #[error(transparent)]
    Redactions(#[from] RedactionsError),
    /// A policy's budget cannot be kept.
    #[error("has a policy that {0}")]
    Budget(#[from] BudgetError),
    /// What endpoints shall do by themselves cannot be.
    #[error("has a policy that {0}")]
    Responses(#[from] ResponseError),
}

impl Command {
    /// Checks everything that can be checked without knowing who reads it.
    pub fn check_form(&self) -> Result<(), CommandFormError> {
        let count = self.targets.len();
        if count == 0 || count > limits::TARGETS_MAX {
            return Err(CommandFormError::Targets(count));
        }
        let mut seen = std::collections::BTreeSet::new();
        for target in &self.targets {
            if !seen.insert(target.endpoint) {
                return Err(CommandFormError::TargetTwice(target.endpoint));
            }
            text("host name", &target.host_name, limits::HOST_NAME_BYTES_MAX)?;
        }
        text("reason", &self.reason, limits::REASON_BYTES_MAX)?;
        if let Some(incident) = &self.incident {
            text("incident", incident, limits::HOST_NAME_BYTES_MAX)?;
        }
        range("age_max_secs", self.age_max_secs, limits::NONCE_AGE_SECS_MAX)?;
        if let Some(snapshot) = self.snapshot {
            snapshot.check(self.action.kind())?;
        }
        self.check_action()
    }

    fn check_action(&self) -> Result<(), CommandFormError> {
        if let Some(lease_secs) = self.action.lease_secs() {
            range("lease_secs", lease_secs, limits::LEASE_SECS_MAX)?;
        }
        if self.action.is_of_one_endpoint() && self.targets.len() > 1 {
            return Err(CommandFormError::OneEndpoint(self.action.kind()));
        }
        match &self.action {
            Action::Isolate(_)
            | Action::Release
            | Action::Undo { .. }
            | Action::ReleaseAll
            | Action::BlockStorage(_) => Ok(()),
            Action::SetPolicy(policy) => check_policy(policy),
            Action::Query(query) => self.check_query(query),
            Action::Kill(Kill { process, .. }) | Action::Suspend(Suspend { process, .. }) => {
                process.check()
            }
            Action::Quarantine(quarantine) => quarantine.check(),
            Action::Deny(deny) => deny.check(),
            Action::Block(block) => block.check(&self.targets),
            Action::LockAccount(lock) => lock.check(),
            Action::StopService(stop) => stop.check(),
            Action::Collect(collect) => collect.check(),
        }
    }

    fn check_query(&self, query: &Query) -> Result<(), CommandFormError> {
        if self.queued {
            return Err(CommandFormError::QueuedQuery);
        }
        text("sql", &query.sql, limits::QUERY_SQL_BYTES_MAX)?;
        range("rows_max", query.rows_max, limits::QUERY_ROWS_MAX)?;
        range("bytes_max", query.bytes_max, limits::QUERY_BYTES_MAX)?;
        range("time_ms_max", query.time_ms_max, limits::QUERY_TIME_MS_MAX)
    }

    /// What the command says about one endpoint.
    #[must_use]
    pub fn target(&self, endpoint: EndpointId) -> Option<&Target> {
        self.targets.iter().find(|target| target.endpoint == endpoint)
    }
}

/// What of a policy needs no roster to be judged.
fn check_policy(policy: &Policy) -> Result<(), CommandFormError> {
    check_protected(policy.protected.as_deref().unwrap_or_default())?;
    policy.redactions.as_ref().map_or(Ok(()), Redactions::check)?;
    policy.budget.as_ref().map_or(Ok(()), Budget::check)?;
    Ok(responses::check_form(policy.responses.as_deref().unwrap_or_default())?)
}

fn check_protected(paths: &[Text]) -> Result<(), CommandFormError> {
    let (found, max) = (paths.len(), Policy::PROTECTED_MAX);
    if found > max {
        let [found, max] = [found, max].map(|n| u64::try_from(n).unwrap_or(u64::MAX));
        return Err(CommandFormError::Range { field: "count of protected programs", found, max });
    }
    paths.iter().try_for_each(deny::check_path)
}

fn text(field: &'static str, found: &str, bytes_max: usize) -> Result<(), CommandFormError> {
    let bytes = found.len();
    if bytes == 0 || bytes > bytes_max {
        return Err(CommandFormError::Length { field, bytes, bytes_max });
    }
    Ok(())
}

fn range(field: &'static str, found: u64, max: u64) -> Result<(), CommandFormError> {
    if found == 0 || found > max {
        return Err(CommandFormError::Range { field, found, max });
    }
    Ok(())
}
