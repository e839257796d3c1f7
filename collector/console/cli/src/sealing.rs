//! An operator's sealing key, and what it opens: HPKE (RFC 9180) in base mode with X25519,
//! HKDF-SHA256 and ChaCha20-Poly1305.
//!
//! Derived from the seed of the signing key by HKDF under a name of its own, so that one file and
//! one passphrase keep both, and every key made before has one too.

use cordon_proto::collection::sealed::KEY_BYTES;
use cordon_proto::event::way_out::{CODE_BYTES, SealedCode};
use cordon_proto::sign::{SealingKey, SigningKey};
use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::{Kem, X25519HkdfSha256};
use hpke::{Deserializable, OpModeR, Serializable, single_shot_open};
use ring::hkdf;
use zeroize::Zeroizing;

/// The name under which the key is derived.
const SALT: &[u8] = b"cordon/sealing-key/1";

type Private = <X25519HkdfSha256 as Kem>::PrivateKey;
type Encapsulated = <X25519HkdfSha256 as Kem>::EncappedKey;

/// The private half of a sealing key.
pub struct OpeningKey {
    private: Private,
}

/// Why nothing was opened.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum OpenError {
    /// It is sealed to another key, or for something else, or was changed.
    #[error("it does not open with your key: it is sealed to another one, or was changed")]
    Sealed,
    /// It holds something else.
    #[error("what is sealed is not a code of {CODE_BYTES} bytes")]
    Length,
    /// It holds something else.
    #[error("what is sealed is not a key of {KEY_BYTES} bytes")]
    KeyLength,
    /// Not a key at all.
    #[error("no sealing key comes of this signing key")]
    Key,
}

impl OpeningKey {
    /// The one that belongs to a signing key.
    pub fn of(key: &SigningKey) -> Result<Self, OpenError> {
        let mut bytes = Zeroizing::new([0; 32]);
        let secret = hkdf::Salt::new(hkdf::HKDF_SHA256, SALT).extract(key.seed());
        let filled =
            secret.expand(&[b"x25519"], hkdf::HKDF_SHA256).and_then(|okm| okm.fill(bytes.as_mut()));
        filled.ok().ok_or(OpenError::Key)?;
        Ok(Self { private: Private::from_bytes(bytes.as_slice()).ok().ok_or(OpenError::Key)? })
    }

    /// The public half: what stands in the roster.
    #[must_use]
    pub fn sealing(&self) -> SealingKey {
        let mut public = [0; 32];
        public.copy_from_slice(&X25519HkdfSha256::sk_to_pk(&self.private).to_bytes());
        SealingKey(public)
    }

    /// Opens a code that was sealed under this `info`.
    pub fn open(
        &self,
        sealed: &SealedCode,
        info: &[u8],
    ) -> Result<Zeroizing<[u8; CODE_BYTES]>, OpenError> {
        let text = self.open_bytes(&sealed.encapsulated, info, b"", &sealed.text)?;
        let code = <[u8; CODE_BYTES]>::try_from(text.as_slice()).ok().ok_or(OpenError::Length)?;
        Ok(Zeroizing::new(code))
    }

    /// Opens the key of an archive's chunks.
    pub fn open_key(
        &self,
        encapsulated: &[u8; 32],
        info: &[u8],
        text: &[u8],
    ) -> Result<Zeroizing<[u8; KEY_BYTES]>, OpenError> {
        let text = self.open_bytes(encapsulated, info, b"", text)?;
        let key = <[u8; KEY_BYTES]>::try_from(text.as_slice()).ok().ok_or(OpenError::KeyLength)?;
        Ok(Zeroizing::new(key))
    }

    fn open_bytes(
        &self,
        encapsulated: &[u8; 32],
        info: &[u8],
        associated: &[u8],
        text: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let encapsulated = Encapsulated::from_bytes(encapsulated).ok().ok_or(OpenError::Sealed)?;
        let opened = single_shot_open::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
            &OpModeR::Base,
            &self.private,
            &encapsulated,
            info,
            text,
            associated,
        );
        Ok(Zeroizing::new(opened.ok().ok_or(OpenError::Sealed)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hex;

    fn array(digits: &str) -> [u8; 32] {
        hex::decode(digits).unwrap().try_into().unwrap()
    }

    /// RFC 9180, appendix A.2.1: base mode, the first message.
    #[test]
    fn what_the_standard_sealed_opens() {
        let private = array("8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb");
        let key = OpeningKey { private: Private::from_bytes(&private).unwrap() };
        let public = "4310ee97d88cc1f088a5576c77ab0cf5c3ac797f3d95139c6c84b5429c59662a";
        assert_eq!(key.sealing(), SealingKey(array(public)));
        let encapsulated =
            array("1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a");
        let info = hex::decode("4f6465206f6e2061204772656369616e2055726e").unwrap();
        let text = "1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db\
                    21993c62ce81883d2dd1b51a28";
        let text = hex::decode(text).unwrap();
        let opened = key.open_bytes(&encapsulated, &info, b"Count-0", &text).unwrap();
        assert_eq!(opened.as_slice(), b"Beauty is truth, truth beauty");
        let other = key.open_bytes(&encapsulated, b"", b"Count-0", &text);
        assert_eq!(other, Err(OpenError::Sealed));
    }

    /// Changing how it is derived would lock everybody out of what is sealed to them.
    #[test]
    fn the_key_of_a_seed_is_the_same_for_ever() {
        let of = |seed| OpeningKey::of(&SigningKey::from_seed(&[seed; 32]).unwrap()).unwrap();
        let public = "15a2a5c28b6cf84557f266b862eb5d7e28f24ff120cecf6131b4da69fab57527";
        assert_eq!(hex::encode(&of(5).sealing().0), public);
        assert_ne!(of(5).sealing(), of(6).sealing());
    }
}
