//! Names of what people sign in with: a type each, random, so that one tells nothing of another.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Bytes of such a name.
const ID_BYTES: usize = 16;

/// Longest name of an account.
pub const ACCOUNT_NAME_BYTES_MAX: usize = 64;

/// A text is not the name that it was taken for.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NameError {
    /// Not an id.
    #[error("an id is {} hexadecimal digits", 2 * ID_BYTES)]
    Id,
    /// Not an account's name.
    #[error("a name is 1 to {ACCOUNT_NAME_BYTES_MAX} of a-z, 0-9, '.', '_', '-', '+', '@'")]
    Account,
}

macro_rules! random_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Eq, PartialEq, Ord, PartialOrd, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(pub [u8; ID_BYTES]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                from_hex(text).map(Self).ok_or(NameError::Id)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.to_string()
            }
        }
    };
}

random_id! {
    /// A sign-in account.
    AccountId
}
random_id! {
    /// A session, as people name it; its token is another thing.
    SessionId
}
random_id! {
    /// An API token, as people name it.
    ApiTokenId
}
random_id! {
    /// An invitation, as people name it; its code is another thing.
    InvitationId
}
random_id! {
    /// A passkey, as people name it.
    PasskeyId
}

fn from_hex(text: &str) -> Option<[u8; ID_BYTES]> {
    let digits = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if text.len() != 2 * ID_BYTES || !digits {
        return None;
    }
    let mut bytes = [0; ID_BYTES];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

/// What a person types to say who it is; capitals count as small letters.
#[derive(Clone, Debug, Eq, PartialEq, Ord, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AccountName(String);

impl AccountName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for AccountName {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let text = text.to_ascii_lowercase();
        let fits =
            |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-' | b'+' | b'@');
        let length = (1..=ACCOUNT_NAME_BYTES_MAX).contains(&text.len());
        if length && text.bytes().all(fits) { Ok(Self(text)) } else { Err(NameError::Account) }
    }
}

impl TryFrom<String> for AccountName {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<AccountName> for String {
    fn from(name: AccountName) -> Self {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_and_nothing_else_is_one() {
        let id = AccountId([0xab; ID_BYTES]);
        assert_eq!(id.to_string().parse(), Ok(id));
        for text in ["", "ab", &"g".repeat(32), &"+a".repeat(16), &"a".repeat(34)] {
            assert_eq!(text.parse::<AccountId>(), Err(NameError::Id), "{text}");
        }
    }

    #[test]
    fn an_accounts_name_is_short_and_plain() {
        assert_eq!("Ann@MSP.example".parse::<AccountName>().unwrap().as_str(), "ann@msp.example");
        for text in ["", "an n", "änn", "a\n", &"a".repeat(65)] {
            assert_eq!(text.parse::<AccountName>(), Err(NameError::Account), "{text}");
        }
    }
}
