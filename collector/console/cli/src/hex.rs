//! Bytes as hexadecimal digits, for files that people may read aloud to each other.

use std::fmt::Write;

/// Lower-case digits, two a byte.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        write!(text, "{byte:02x}").ok();
        text
    })
}

/// The bytes, if the text is nothing but pairs of digits.
#[must_use]
pub fn decode(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let pairs = text.as_bytes().chunks_exact(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

/// A public key in settings: 64 digits.
pub mod public_key {
    use cordon_proto::sign::{SealingKey, VerifyingKey};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    /// Reads 64 digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<VerifyingKey> {
        <[u8; 32]>::try_from(super::decode(text.trim())?).ok().map(VerifyingKey)
    }

    /// Reads the 64 digits of a key that something is sealed to.
    #[must_use]
    pub fn parse_sealing(text: &str) -> Option<SealingKey> {
        <[u8; 32]>::try_from(super::decode(text.trim())?).ok().map(SealingKey)
    }

    /// Writes 64 digits.
    pub fn serialize<S: Serializer>(key: &VerifyingKey, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&super::encode(&key.0))
    }

    /// Reads 64 digits.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<VerifyingKey, D::Error> {
        let text = String::deserialize(from)?;
        parse(&text).ok_or_else(|| D::Error::custom("a public key has 64 hexadecimal digits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_read_back_and_anything_else_does_not() {
        assert_eq!(decode(&encode(&[0, 0xab, 0xff])), Some(vec![0, 0xab, 0xff]));
        for text in ["a", "zz", "+1", "é0"] {
            assert_eq!(decode(text), None, "{text}");
        }
    }
}
