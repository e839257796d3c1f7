//! Cutting an endpoint off from the network (D3FEND D3-NI): for how long, and what happens when it
//! cannot be proved or its lease ends.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::limits;

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
