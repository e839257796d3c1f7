//! Keeping removable storage from being used.

use minicbor::{Decode, Encode};
use serde::Serialize;

/// Let no removable storage be used.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Encode, Decode, Serialize)]
pub struct BlockStorage {
    /// How long it stands, in seconds of endpoint time; none until it is undone.
    #[n(0)]
    pub lease_secs: Option<u64>,
}
