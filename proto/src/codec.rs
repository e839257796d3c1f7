//! CBOR (RFC 8949) in and out.
//!
//! Signed documents are read strictly: the bytes must be the one encoding that this package would
//! have written, so unknown fields, duplicate keys, longer-than-needed numbers, indefinite lengths
//! and trailing bytes are all refused by one rule. Session messages are read leniently: fields
//! that a newer peer added are passed over.

use std::convert::Infallible;

use minicbor::encode::Write;
use minicbor::{Decode, Encode};

/// Why bytes were not read.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// The bytes are not CBOR, or not of the shape expected.
    #[error("cannot be read as CBOR of the expected shape: {0}")]
    Malformed(#[from] minicbor::decode::Error),
    /// The bytes can be read, but are not the deterministic encoding of what they say.
    #[error("is not in deterministic encoding, or holds fields unknown to this protocol version")]
    NotDeterministic,
    /// More bytes than the limit for this kind.
    #[error("is {bytes} bytes long; the limit is {bytes_max}")]
    TooLong {
        /// How many there are.
        bytes: usize,
        /// How many there may be.
        bytes_max: usize,
    },
}

/// Encodes a value. Writing to memory cannot fail.
#[must_use]
pub fn encode<T: Encode<()>>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    append(value, &mut bytes);
    bytes
}

/// Where encoded bytes go. Most writes are the one byte that heads a short value, and calling for a
/// copy of one byte costs several times as much as putting it there.
struct Out<'a>(&'a mut Vec<u8>);

impl Write for Out<'_> {
    type Error = Infallible;

    fn write_all(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
        match bytes {
            [one] => self.0.push(*one),
            bytes => self.0.extend_from_slice(bytes),
        }
        Ok(())
    }
}

/// Encodes a value behind what is there.
pub fn append<T: Encode<()>>(value: &T, bytes: &mut Vec<u8>) {
    if let Err(error) = minicbor::encode(value, Out(bytes)) {
        unreachable!("encoding to memory failed: {error}");
    }
}

/// Reads a session message's value; fields unknown to this version are passed over.
pub fn decode_lenient<'b, T: Decode<'b, ()>>(bytes: &'b [u8]) -> Result<T, CodecError> {
    Ok(minicbor::decode(bytes)?)
}

/// Reads what is signed; refuses everything but the deterministic encoding of a known shape.
pub fn decode_strict<'b, T: Decode<'b, ()> + Encode<()>>(bytes: &'b [u8]) -> Result<T, CodecError> {
    let value: T = minicbor::decode(bytes)?;
    if encode(&value) == bytes { Ok(value) } else { Err(CodecError::NotDeterministic) }
}

/// Refuses what is longer than its limit before anything else looks at it.
pub fn bounded(bytes: &[u8], bytes_max: usize) -> Result<&[u8], CodecError> {
    if bytes.len() > bytes_max {
        return Err(CodecError::TooLong { bytes: bytes.len(), bytes_max });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(hex: &[u8], strict: bool, lenient: bool) {
        assert_eq!(decode_strict::<(u8, u8)>(hex).is_ok(), strict, "strict");
        assert_eq!(decode_lenient::<(u8, u8)>(hex).is_ok(), lenient, "lenient");
    }

    #[test]
    fn only_the_deterministic_encoding_is_read_strictly() {
        check(&[0x82, 1, 2], true, true);
        check(&[0x82, 0x18, 1, 2], false, true); // a number longer than needed
        check(&[0x82, 1, 2, 0], false, true); // trailing bytes
        check(&[0x82, 1], false, false);
        check(&[], false, false);
    }
}
