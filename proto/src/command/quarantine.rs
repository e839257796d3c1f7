//! Taking a file away into the endpoint's encrypted vault (D3FEND D3-CQ).

use minicbor::{Decode, Encode};
use serde::Serialize;

use super::CommandFormError;
use super::deny::check_path;
use crate::Text;
use crate::id::Hash;

/// Take a file away.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode, Serialize)]
pub struct Quarantine {
    /// Where it is: an absolute path without `.` and `..`.
    #[n(0)]
    pub path: Text,
    /// What it must contain, where the operator knows it; another content is refused.
    #[n(1)]
    pub sha256: Option<Hash>,
}

impl Quarantine {
    pub(super) fn check(&self) -> Result<(), CommandFormError> {
        check_path(&self.path)
    }
}
