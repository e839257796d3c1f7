//! Seals to an operator: HPKE (RFC 9180) in base mode with X25519, HKDF-SHA256 and
//! ChaCha20-Poly1305, made of ring's primitives, which the agent holds anyway.
//!
//! Only the sending side is here: an endpoint never opens. The console opens with another
//! implementation, so that neither can be wrong alone.

use cordon_proto::sign::SealingKey;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::agreement::{EphemeralPrivateKey, UnparsedPublicKey, X25519, agree_ephemeral};
use ring::error::Unspecified;
use ring::rand::SystemRandom;
use ring::{hkdf, hmac};
use zeroize::Zeroizing;

/// The ids of the algorithms, as they stand in every label.
const KEM: &[u8] = b"KEM\x00\x20";
const SUITE: &[u8] = b"HPKE\x00\x20\x00\x01\x00\x03";

const VERSION: &[u8] = b"HPKE-v1";
const BASE_MODE: u8 = 0;

type Key = Zeroizing<[u8; 32]>;

/// What was sealed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Sealed {
    /// HPKE's encapsulated key.
    pub encapsulated: [u8; 32],
    /// The secret and its tag.
    pub text: Vec<u8>,
}

/// Seals a secret to one reader; fails only where there are no random numbers, or for a key that is
/// none.
pub fn seal(to: &SealingKey, info: &[u8], secret: &[u8]) -> Result<Sealed, Unspecified> {
    let ephemeral = EphemeralPrivateKey::generate(&X25519, &SystemRandom::new())?;
    let public = ephemeral.compute_public_key()?;
    let encapsulated = <[u8; 32]>::try_from(public.as_ref()).ok().ok_or(Unspecified)?;
    let theirs = UnparsedPublicKey::new(&X25519, &to.0);
    let shared = agree_ephemeral(ephemeral, &theirs, |secret| {
        let secret = <[u8; 32]>::try_from(secret).ok().ok_or(Unspecified)?;
        shared_secret(&Zeroizing::new(secret), &encapsulated, to)
    })??;
    let (key, nonce) = schedule(&shared, info)?;
    let mut text = secret.to_vec();
    encrypt(&key, nonce, b"", &mut text)?;
    Ok(Sealed { encapsulated, text })
}

fn encrypt(
    key: &Key,
    nonce: [u8; NONCE_LEN],
    associated: &[u8],
    text: &mut Vec<u8>,
) -> Result<(), Unspecified> {
    let key = LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, key.as_slice())?);
    // The first message of its context: its number, zero, changes nothing in the base nonce.
    let nonce = Nonce::assume_unique_for_key(nonce);
    key.seal_in_place_append_tag(nonce, Aad::from(associated), text)
}

/// What the KEM makes of the agreed point.
fn shared_secret(
    point: &Key,
    encapsulated: &[u8; 32],
    to: &SealingKey,
) -> Result<Key, Unspecified> {
    let eae = extract(KEM, b"", b"eae_prk", point.as_slice());
    expand(&eae, KEM, b"shared_secret", &[encapsulated, &to.0])
}

/// The key and the base nonce.
fn schedule(shared: &Key, info: &[u8]) -> Result<(Key, [u8; NONCE_LEN]), Unspecified> {
    let psk_id_hash = extract(SUITE, b"", b"psk_id_hash", b"");
    let info_hash = extract(SUITE, b"", b"info_hash", info);
    let context: [&[u8]; 3] = [&[BASE_MODE], psk_id_hash.as_slice(), info_hash.as_slice()];
    let secret = extract(SUITE, shared.as_slice(), b"secret", b"");
    let key = expand(&secret, SUITE, b"key", &context)?;
    let nonce = expand(&secret, SUITE, b"base_nonce", &context)?;
    Ok((key, *nonce))
}

/// LabeledExtract.
fn extract(suite: &[u8], salt: &[u8], label: &[u8], secret: &[u8]) -> Key {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, salt));
    for part in [VERSION, suite, label, secret] {
        context.update(part);
    }
    let mut key = Zeroizing::new([0; 32]);
    key.iter_mut().zip(context.sign().as_ref()).for_each(|(to, from)| *to = *from);
    key
}

/// LabeledExpand, to as many bytes as the answer has.
fn expand<const N: usize>(
    secret: &Key,
    suite: &[u8],
    label: &[u8],
    context: &[&[u8]],
) -> Result<Zeroizing<[u8; N]>, Unspecified> {
    let length = u16::try_from(N).ok().ok_or(Unspecified)?.to_be_bytes();
    let mut info: Vec<&[u8]> = vec![&length, VERSION, suite, label];
    info.extend(context);
    let mut bytes = Zeroizing::new([0; N]);
    let secret = hkdf::Prk::new_less_safe(hkdf::HKDF_SHA256, secret.as_slice());
    secret.expand(&info, Bytes(N))?.fill(bytes.as_mut())?;
    Ok(bytes)
}

struct Bytes(usize);

impl hkdf::KeyType for Bytes {
    fn len(&self) -> usize {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(digits: &str) -> Vec<u8> {
        let pair = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
        (0..digits.len()).step_by(2).map(pair).collect()
    }

    fn array(digits: &str) -> [u8; 32] {
        bytes(digits).try_into().unwrap()
    }

    /// RFC 9180, appendix A.2.1. ring makes its own ephemeral keys, so the test begins with the
    /// point that skEm and pkRm agree on, worked out by another program.
    #[test]
    fn the_standards_own_values_come_out() {
        let point = array("abcb90ca2fce0148743e01e11bdad631767e47ba4d10947ddf0db562cbd65b74");
        let encapsulated =
            array("1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a");
        let to = array("4310ee97d88cc1f088a5576c77ab0cf5c3ac797f3d95139c6c84b5429c59662a");
        let info = bytes("4f6465206f6e2061204772656369616e2055726e");
        let shared = shared_secret(&Zeroizing::new(point), &encapsulated, &SealingKey(to)).unwrap();
        let expected = "0bbe78490412b4bbea4812666f7916932b828bba79942424abb65244930d69a7";
        assert_eq!(*shared, array(expected));
        let (key, nonce) = schedule(&shared, &info).unwrap();
        let expected = "ad2744de8e17f4ebba575b3f5f5a8fa1f69c2a07f6e7500bc60ca6e3e3ec1c91";
        assert_eq!(*key, array(expected));
        assert_eq!(nonce.to_vec(), bytes("5c4d98150661b848853b547f"));
        let mut text = b"Beauty is truth, truth beauty".to_vec();
        encrypt(&key, nonce, b"Count-0", &mut text).unwrap();
        let expected = "1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db\
                        21993c62ce81883d2dd1b51a28";
        assert_eq!(text, bytes(expected));
    }

    #[test]
    fn every_sealing_is_another_one_and_no_key_is_refused() {
        let to =
            SealingKey(array("4310ee97d88cc1f088a5576c77ab0cf5c3ac797f3d95139c6c84b5429c59662a"));
        let sealed = || seal(&to, b"info", &[7; 10]).unwrap();
        let (one, two) = (sealed(), sealed());
        assert_ne!(one.encapsulated, two.encapsulated);
        assert_ne!(one.text, two.text);
        assert_eq!(one.text.len(), 10 + 16);
        // A point of small order agrees on nothing with anybody.
        assert!(seal(&SealingKey([0; 32]), b"info", &[7; 10]).is_err());
    }
}
