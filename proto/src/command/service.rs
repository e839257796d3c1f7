//! Stopping services.

use minicbor::{Decode, Encode};
use serde::Serialize;

use super::{CommandFormError, text};

/// The longest name of a unit that systemd takes.
const UNIT_BYTES_MAX: usize = 255;

/// Stop a service.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode, Serialize)]
pub struct StopService {
    /// The unit, with its ending: `nginx.service`.
    #[n(0)]
    pub unit: String,
    /// Whether it is also kept from starting again, by hand or at boot.
    #[n(1)]
    pub disable: bool,
    /// How long it stands, in seconds of endpoint time; none until it is undone.
    #[n(2)]
    pub lease_secs: Option<u64>,
}

impl StopService {
    pub(crate) fn check(&self) -> Result<(), CommandFormError> {
        text("unit", &self.unit, UNIT_BYTES_MAX)?;
        let named = |byte: u8| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte);
        let begins = self.unit.bytes().next().is_some_and(|byte| byte != b'-' && byte != b'.');
        if begins && self.unit.bytes().all(named) && self.unit.contains('.') {
            return Ok(());
        }
        let found = self.unit.escape_default().to_string();
        Err(CommandFormError::Parameter { field: "unit", found, what: "name of a systemd unit" })
    }
}
