//! What operators ask of endpoints: the command, its parameters, and when it is fresh.
//!
//! A command names every target; nothing in it is left for the collector to fill in.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::id::{ClientId, CommandId, EndpointId};
use crate::limits;
use crate::policy::{Policy, Redactions, RedactionsError};
use crate::roster::RosterRef;

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

/// What to do when an isolation cannot be proved.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum IfUnproved {
    /// It stands until its lease ends.
    #[default]
    #[n(0)]
    Hold,
    /// It is undone. Whoever can block the collector can wait for this.
    #[n(1)]
    Release,
}

/// What to do when an isolation's lease ends.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum AtEnd {
    /// The endpoint is let back.
    #[default]
    #[n(0)]
    LetBack,
    /// It stays cut off until a signed release.
    #[n(1)]
    Stay,
}

/// Cut the endpoint off from the network (D3FEND D3-NI).
#[derive(Clone, Copy, Debug, Eq, PartialEq, Encode, Decode, Serialize, Deserialize)]
pub struct Isolate {
    /// How long it stands, in seconds of endpoint time.
    #[n(0)]
    pub lease_secs: u64,
    /// What to do when it cannot be proved.
    #[n(1)]
    pub if_unproved: IfUnproved,
    /// What to do when the lease ends.
    #[n(2)]
    pub at_end: AtEnd,
    /// Whether to go on though something that the endpoint needs cannot be kept open.
    #[n(3)]
    pub accept_loss: bool,
}

impl Default for Isolate {
    fn default() -> Self {
        Self {
            lease_secs: limits::LEASE_SECS_DEFAULT,
            if_unproved: IfUnproved::Hold,
            at_end: AtEnd::LetBack,
            accept_loss: false,
        }
    }
}

/// What a command asks for.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode, Serialize, Deserialize)]
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
}

impl Action {
    /// The action without its parameters.
    #[must_use]
    pub fn kind(&self) -> ActionKind {
        match self {
            Self::Isolate(_) => ActionKind::Isolate,
            Self::Release => ActionKind::Release,
            Self::SetPolicy(_) => ActionKind::SetPolicy,
        }
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
}

impl ActionKind {
    /// The name used in rosters, on pages and in the terminal.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Isolate => "isolate",
            Self::Release => "release",
            Self::SetPolicy => "set_policy",
        }
    }
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
    /// A policy's redactions cannot be.
    #[error(transparent)]
    Redactions(#[from] RedactionsError),
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
        match &self.action {
            Action::Isolate(isolate) => {
                range("lease_secs", isolate.lease_secs, limits::LEASE_SECS_MAX)
            }
            Action::Release => Ok(()),
            Action::SetPolicy(policy) => {
                Ok(policy.redactions.as_ref().map_or(Ok(()), Redactions::check)?)
            }
        }
    }

    /// What the command says about one endpoint.
    #[must_use]
    pub fn target(&self, endpoint: EndpointId) -> Option<&Target> {
        self.targets.iter().find(|target| target.endpoint == endpoint)
    }
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
