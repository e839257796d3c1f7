//! Text as found on a machine: bytes that are usually, not always, UTF-8.
//!
//! On the wire it is a CBOR text string where the bytes are valid UTF-8 and a byte string
//! otherwise, so that nothing is lost and nothing is guessed.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use minicbor::data::Type;
use minicbor::decode::Decoder;
use minicbor::encode::{Encoder, Write};
use minicbor::{Decode, Encode, decode, encode};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bytes that a person will read, kept exactly as they were found.
#[derive(Clone)]
pub struct Text(Kept);

/// Where the bytes are. Most names are short, and a path stands in thousands of events: neither is
/// worth a piece of the heap each.
#[derive(Clone)]
enum Kept {
    Short { length: u8, bytes: [u8; SHORT_BYTES_MAX] },
    Long(Box<[u8]>),
    Shared(Arc<[u8]>),
}

/// As many as fit where the place of longer ones would be noted.
const SHORT_BYTES_MAX: usize = 22;

impl Text {
    /// Bytes of which copies share one place.
    #[must_use]
    pub fn shared(bytes: &[u8]) -> Self {
        Self::short(bytes).unwrap_or_else(|| Self(Kept::Shared(bytes.into())))
    }

    fn short(from: &[u8]) -> Option<Self> {
        let mut bytes = [0; SHORT_BYTES_MAX];
        bytes.get_mut(..from.len())?.copy_from_slice(from);
        let length = u8::try_from(from.len()).ok()?;
        Some(Self(Kept::Short { length, bytes }))
    }

    /// The bytes as found.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Kept::Short { length, bytes } => bytes.get(..usize::from(*length)).unwrap_or_default(),
            Kept::Long(bytes) => bytes,
            Kept::Shared(bytes) => bytes,
        }
    }

    /// The text, if the bytes are valid UTF-8.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(self.as_bytes()).ok()
    }

    /// The text with what is not UTF-8 replaced; for showing, never for comparing.
    #[must_use]
    pub fn to_lossy(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.as_bytes())
    }

    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.as_bytes().len()
    }

    /// Whether there are no bytes at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.as_bytes().is_empty()
    }
}

impl Default for Text {
    fn default() -> Self {
        Self(Kept::Short { length: 0, bytes: [0; SHORT_BYTES_MAX] })
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Text {}

impl Ord for Text {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl PartialOrd for Text {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Hash for Text {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl From<Vec<u8>> for Text {
    fn from(bytes: Vec<u8>) -> Self {
        Self::short(&bytes).unwrap_or_else(|| Self(Kept::Long(bytes.into_boxed_slice())))
    }
}

impl From<&[u8]> for Text {
    fn from(bytes: &[u8]) -> Self {
        Self::short(bytes).unwrap_or_else(|| Self(Kept::Long(bytes.into())))
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        text.as_bytes().into()
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        text.into_bytes().into()
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.as_bytes().escape_ascii())
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
            None => e.bytes(self.as_bytes())?.ok(),
        }
    }
}

impl<'b, C> Decode<'b, C> for Text {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        let bytes = if d.datatype()? == Type::Bytes { d.bytes()? } else { d.str()?.as_bytes() };
        Ok(bytes.into())
    }
}

/// For showing: what is not UTF-8 is replaced.
impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_lossy())
    }
}

/// From a file that people write, which is text.
impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self::from(text.as_str()))
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

    #[test]
    fn texts_are_the_same_wherever_their_bytes_are() {
        assert_eq!(size_of::<Option<Text>>(), 24);
        for length in [0, 1, 22, 23, 300] {
            let bytes: Vec<u8> = (0..length).map(|at: u32| at.to_le_bytes()[0]).collect();
            let texts = [Text::from(bytes.clone()), bytes.as_slice().into(), Text::shared(&bytes)];
            for text in &texts {
                assert_eq!((text.as_bytes(), text.len()), (bytes.as_slice(), bytes.len()));
                assert_eq!(text.is_empty(), length == 0);
                assert_eq!(text, &texts[0]);
                let longer = Text::from([bytes.as_slice(), &[0]].concat());
                assert!(*text < longer && *text != longer);
            }
        }
    }
}
