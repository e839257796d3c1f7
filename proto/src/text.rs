//! Text as found on a machine: bytes that are usually, not always, UTF-8.
//!
//! On the wire it is a CBOR text string where the bytes are valid UTF-8 and a byte string
//! otherwise, so that nothing is lost and nothing is guessed.

use std::borrow::Cow;
use std::fmt;

use minicbor::data::Type;
use minicbor::decode::Decoder;
use minicbor::encode::{Encoder, Write};
use minicbor::{Decode, Encode, decode, encode};
use serde::{Serialize, Serializer};

/// Bytes that a person will read, kept exactly as they were found.
#[derive(Clone, Default, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub struct Text(Vec<u8>);

impl Text {
    /// The bytes as found.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text, if the bytes are valid UTF-8.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// The text with what is not UTF-8 replaced; for showing, never for comparing.
    #[must_use]
    pub fn to_lossy(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.0)
    }

    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no bytes at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Vec<u8>> for Text {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl From<&[u8]> for Text {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(text.into_bytes())
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

impl<C> Encode<C> for Text {
    fn encode<W: Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        match self.as_str() {
            Some(text) => e.str(text)?.ok(),
            None => e.bytes(&self.0)?.ok(),
        }
    }
}

impl<'b, C> Decode<'b, C> for Text {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        let bytes = if d.datatype()? == Type::Bytes { d.bytes()? } else { d.str()?.as_bytes() };
        Ok(Self(bytes.to_vec()))
    }
}

/// For showing: what is not UTF-8 is replaced.
impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_lossy())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{decode_strict, encode};

    #[test]
    fn text_that_is_utf8_is_a_text_string_and_anything_else_a_byte_string() {
        for (bytes, first) in [(&b"ok"[..], 0x62), (&b"\xff\x00"[..], 0x42)] {
            let encoded = encode(&Text::from(bytes));
            assert_eq!(encoded[0], first);
            assert_eq!(decode_strict::<Text>(&encoded).unwrap().as_bytes(), bytes);
        }
    }
}
