//! Ed25519 keys (RFC 8032).

use std::fmt;

use minicbor::decode::Decoder;
use minicbor::encode::{Encoder, Write};
use minicbor::{Decode, Encode, decode, encode};
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use zeroize::Zeroizing;

use crate::id::KeyId;

/// A signature that does not verify, or a key that is none.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SignatureError {
    /// The signature is not this key's over these bytes.
    #[error("the signature does not verify")]
    Wrong,
    /// The seed is not 32 bytes, or the random generator failed.
    #[error("not a usable Ed25519 key")]
    Key,
}

/// The private half.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    seed: Zeroizing<[u8; 32]>,
}

impl SigningKey {
    /// Makes a new key from the operating system's random numbers.
    pub fn generate() -> Result<Self, SignatureError> {
        let mut seed = Zeroizing::new([0; 32]);
        SystemRandom::new()
            .fill(seed.as_mut())
            .map_err(|ring::error::Unspecified| SignatureError::Key)?;
        Self::from_seed(seed.as_slice())
    }

    /// The key of a 32-byte seed.
    pub fn from_seed(seed: &[u8]) -> Result<Self, SignatureError> {
        let seed = <[u8; 32]>::try_from(seed).ok().ok_or(SignatureError::Key)?;
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).ok().ok_or(SignatureError::Key)?;
        Ok(Self { pair, seed: Zeroizing::new(seed) })
    }

    /// The seed, for keeping the key in a file.
    #[must_use]
    pub fn seed(&self) -> &[u8; 32] {
        &self.seed
    }

    /// The public half.
    #[must_use]
    pub fn verifying(&self) -> VerifyingKey {
        let mut public = [0; 32];
        public.iter_mut().zip(self.pair.public_key().as_ref()).for_each(|(to, from)| *to = *from);
        VerifyingKey(public)
    }

    /// The key's id.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.verifying().id()
    }

    /// Signs.
    #[must_use]
    pub fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        self.pair.sign(bytes).as_ref().to_vec()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({:?})", self.id())
    }
}

/// The public half.
#[derive(Clone, Copy, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub struct VerifyingKey(pub [u8; 32]);

impl VerifyingKey {
    /// The key's id: SHA-256 of its 32 bytes.
    #[must_use]
    pub fn id(&self) -> KeyId {
        KeyId::of(&self.0)
    }

    /// Verifies a signature over exactly these bytes.
    pub fn verify(&self, bytes: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
        UnparsedPublicKey::new(&ED25519, &self.0)
            .verify(bytes, signature)
            .map_err(|ring::error::Unspecified| SignatureError::Wrong)
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({:?})", self.id())
    }
}

impl<C> Encode<C> for VerifyingKey {
    fn encode<W: Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        e.bytes(&self.0)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for VerifyingKey {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        match <[u8; 32]>::try_from(d.bytes()?) {
            Ok(key) => Ok(Self(key)),
            Err(_) => Err(decode::Error::message("an Ed25519 public key has 32 bytes")),
        }
    }
}
