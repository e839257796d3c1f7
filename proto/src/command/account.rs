//! Locking accounts (D3FEND D3-AL).

use minicbor::{Decode, Encode};
use serde::Serialize;

use super::{CommandFormError, text};

/// The longest name of an account that Linux takes.
const NAME_BYTES_MAX: usize = 32;

/// Lock an account.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode, Serialize)]
pub struct LockAccount {
    /// Its name.
    #[n(0)]
    pub user: String,
    /// Whether its sessions end now.
    #[n(1)]
    pub end_sessions: bool,
    /// How long it stands, in seconds of endpoint time; none until it is undone.
    #[n(2)]
    pub lease_secs: Option<u64>,
}

impl LockAccount {
    pub(crate) fn check(&self) -> Result<(), CommandFormError> {
        text("user", &self.user, NAME_BYTES_MAX)?;
        if self.user.bytes().any(|byte| byte == b':' || byte == b'/' || byte.is_ascii_control()) {
            let found = self.user.escape_default().to_string();
            return Err(CommandFormError::Parameter {
                field: "user",
                found,
                what: "account's name",
            });
        }
        Ok(())
    }
}
