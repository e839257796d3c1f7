//! X25519 keys (RFC 7748) that something may be sealed to. Nothing here seals or opens.

use std::fmt;

use minicbor::decode::Decoder;
use minicbor::encode::{Encoder, Write};
use minicbor::{Decode, Encode, decode, encode};

use crate::id::KeyId;

/// The public half of an operator's sealing key.
#[derive(Clone, Copy, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub struct SealingKey(pub [u8; 32]);

impl SealingKey {
    /// The key's id: SHA-256 of its 32 bytes.
    #[must_use]
    pub fn id(&self) -> KeyId {
        KeyId::of(&self.0)
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealingKey({:?})", self.id())
    }
}

impl<C> Encode<C> for SealingKey {
    fn encode<W: Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        e.bytes(&self.0)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for SealingKey {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        match <[u8; 32]>::try_from(d.bytes()?) {
            Ok(key) => Ok(Self(key)),
            Err(_) => Err(decode::Error::message("an X25519 public key has 32 bytes")),
        }
    }
}
