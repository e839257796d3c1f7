//! Names of things: a type each, never a bare string.

use std::fmt;
use std::str::FromStr;

use minicbor::decode::Decoder;
use minicbor::encode::{Encoder, Write};
use minicbor::{Decode, Encode, decode, encode};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Why a text is not the id it was taken for.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("'{found}' is not {expected}")]
pub struct IdError {
    found: String,
    expected: &'static str,
}

impl IdError {
    fn new(found: &str, expected: &'static str) -> Self {
        Self { found: found.chars().take(80).collect(), expected }
    }
}

macro_rules! hash_id {
    ($(#[$doc:meta])* $name:ident, $expected:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default, Eq, PartialEq, Ord, PartialOrd, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(pub [u8; 32]);

        impl $name {
            /// SHA-256 of some bytes.
            #[must_use]
            pub fn of(bytes: &[u8]) -> Self {
                Self(crate::sign::sha256(bytes))
            }

            /// The first twelve digits: enough for a person to tell two apart, not to name one.
            #[must_use]
            pub fn short(&self) -> String {
                self.to_string().chars().take(12).collect()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.short())
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                hex32(text).map(Self).ok_or_else(|| IdError::new(text, $expected))
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.to_string()
            }
        }

        impl<C> Encode<C> for $name {
            fn encode<W: Write>(
                &self,
                e: &mut Encoder<W>,
                _: &mut C,
            ) -> Result<(), encode::Error<W::Error>> {
                e.bytes(&self.0)?.ok()
            }
        }

        impl<'b, C> Decode<'b, C> for $name {
            fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
                let bytes = d.bytes()?;
                match <[u8; 32]>::try_from(bytes) {
                    Ok(hash) => Ok(Self(hash)),
                    Err(_) => Err(decode::Error::message(concat!("not 32 bytes: ", $expected))),
                }
            }
        }
    };
}

hash_id! {
    /// An endpoint: SHA-256 of its first signing key.
    EndpointId, "an endpoint id (64 hexadecimal digits)"
}
hash_id! {
    /// A signing key: SHA-256 of its public half.
    KeyId, "a key id (64 hexadecimal digits)"
}
hash_id! {
    /// SHA-256 of a document or header.
    Hash, "a SHA-256 hash (64 hexadecimal digits)"
}
hash_id! {
    /// An enrolment token: SHA-256 of its secret, so that the name gives nothing away.
    TokenId, "a token id (64 hexadecimal digits)"
}

fn hex32(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

macro_rules! slug_id {
    ($(#[$doc:meta])* $name:ident, $expected:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Eq, PartialEq, Ord, PartialOrd, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
                let fits = !text.is_empty() && text.len() <= 64 && text.chars().all(plain);
                if fits { Ok(Self(text.to_owned())) } else { Err(IdError::new(text, $expected)) }
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }

        impl<C> Encode<C> for $name {
            fn encode<W: Write>(
                &self,
                e: &mut Encoder<W>,
                _: &mut C,
            ) -> Result<(), encode::Error<W::Error>> {
                e.str(&self.0)?.ok()
            }
        }

        impl<'b, C> Decode<'b, C> for $name {
            fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
                d.str()?.parse().map_err(decode::Error::message)
            }
        }
    };
}

slug_id! {
    /// A customer of the MSP.
    ClientId, "a client's name (1 to 64 of a-z, 0-9, '-', '_', '.')"
}
slug_id! {
    /// A person who may act.
    OperatorId, "an operator's name (1 to 64 of a-z, 0-9, '-', '_', '.')"
}

/// A command: a UUID of version 7, so that ids sort by when they were made.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CommandId(pub Uuid);

impl fmt::Display for CommandId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for CommandId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let expected = "a command id (a UUID)";
        Uuid::parse_str(text).map(Self).ok().ok_or_else(|| IdError::new(text, expected))
    }
}

impl<C> Encode<C> for CommandId {
    fn encode<W: Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        e.bytes(self.0.as_bytes())?.ok()
    }
}

impl<'b, C> Decode<'b, C> for CommandId {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        match Uuid::from_slice(d.bytes()?) {
            Ok(id) => Ok(Self(id)),
            Err(_) => Err(decode::Error::message("not 16 bytes: a command id")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_id_reads_back_from_its_text() {
        let id = EndpointId::of(b"key");
        assert_eq!(id.to_string().parse::<EndpointId>(), Ok(id));
    }

    #[test]
    fn what_is_not_an_id_is_refused_with_what_was_expected() {
        let error = "ACME Ltd".parse::<ClientId>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "'ACME Ltd' is not a client's name (1 to 64 of a-z, 0-9, '-', '_', '.')"
        );
        assert!("zz".parse::<EndpointId>().is_err());
        assert!("é".repeat(32).parse::<EndpointId>().is_err());
    }
}
