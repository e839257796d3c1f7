//! A seed under a passphrase: Argon2id (RFC 9106) makes the key, ChaCha20-Poly1305 seals.
//!
//! Pure apart from the random numbers of a new sealing.

use argon2::{Algorithm, Argon2, Params, Version};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::hex;
use crate::passphrase::Passphrase;

/// The second choice of RFC 9106 for machines that cannot spare 2 GiB: 64 MiB, three passes.
const MEMORY_KIB: u32 = 64 << 10;
const PASSES: u32 = 3;
const LANES: u32 = 4;

/// What a file may ask for: more would let a file stall the machine that opens it.
const MEMORY_KIB_MAX: u32 = 2 << 20;
const PASSES_MAX: u32 = 16;
const LANES_MAX: u32 = 16;

const SALT_BYTES: usize = 16;

/// A sealed seed, and with what it was sealed.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sealed {
    /// Always `argon2id+chacha20-poly1305`.
    method: String,
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    salt: String,
    nonce: String,
    text: String,
}

const METHOD: &str = "argon2id+chacha20-poly1305";

/// Why nothing was sealed or opened.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SealError {
    /// Not the passphrase, or not the file that was written.
    #[error("the passphrase is wrong, or the key file was changed")]
    Passphrase,
    /// Another method, or numbers outside what is allowed.
    #[error("the key file is sealed in a way that this program does not open")]
    Method,
    /// No random numbers, or no memory.
    #[error("this machine gave no random numbers, or not the memory that sealing takes")]
    Machine,
}

/// Seals a seed.
pub fn seal(seed: &[u8; 32], passphrase: &Passphrase, bound: &[u8]) -> Result<Sealed, SealError> {
    let random = SystemRandom::new();
    let mut salt = [0; SALT_BYTES];
    let mut nonce = [0; NONCE_LEN];
    random.fill(&mut salt).ok().ok_or(SealError::Machine)?;
    random.fill(&mut nonce).ok().ok_or(SealError::Machine)?;
    let params = params(MEMORY_KIB, PASSES, LANES).ok_or(SealError::Method)?;
    let key = key(passphrase, &salt, params)?;
    let mut text = seed.to_vec();
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(bound), &mut text)
        .ok()
        .ok_or(SealError::Machine)?;
    Ok(Sealed {
        method: METHOD.to_owned(),
        memory_kib: MEMORY_KIB,
        passes: PASSES,
        lanes: LANES,
        salt: hex::encode(&salt),
        nonce: hex::encode(&nonce),
        text: hex::encode(&text),
    })
}

/// Opens a sealed seed.
pub fn open(
    sealed: &Sealed,
    passphrase: &Passphrase,
    bound: &[u8],
) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let within = sealed.method == METHOD
        && sealed.memory_kib <= MEMORY_KIB_MAX
        && sealed.passes <= PASSES_MAX
        && sealed.lanes <= LANES_MAX;
    let params = params(sealed.memory_kib, sealed.passes, sealed.lanes);
    let params = params.filter(|_| within).ok_or(SealError::Method)?;
    let salt = hex::decode(&sealed.salt).ok_or(SealError::Method)?;
    let nonce = hex::decode(&sealed.nonce).ok_or(SealError::Method)?;
    let nonce = Nonce::try_assume_unique_for_key(&nonce).ok().ok_or(SealError::Method)?;
    let mut text = Zeroizing::new(hex::decode(&sealed.text).ok_or(SealError::Method)?);
    let key = key(passphrase, &salt, params)?;
    let opened = key.open_in_place(nonce, Aad::from(bound), &mut text);
    let length = opened.ok().ok_or(SealError::Passphrase)?.len();
    text.truncate(length);
    Ok(text)
}

fn params(memory_kib: u32, passes: u32, lanes: u32) -> Option<Params> {
    Params::new(memory_kib, passes, lanes, Some(32)).ok()
}

fn key(passphrase: &Passphrase, salt: &[u8], params: Params) -> Result<LessSafeKey, SealError> {
    let mut bytes = Zeroizing::new([0; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase.as_bytes(), salt, bytes.as_mut())
        .ok()
        .ok_or(SealError::Machine)?;
    let key = UnboundKey::new(&CHACHA20_POLY1305, bytes.as_slice());
    Ok(LessSafeKey::new(key.ok().ok_or(SealError::Machine)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed() -> Sealed {
        seal(&[1; 32], &Passphrase::from("correct horse".to_owned()), b"ann").unwrap()
    }

    #[test]
    fn every_sealing_is_another_one() {
        let (one, two) = (sealed(), sealed());
        assert_ne!(one.salt, two.salt);
        assert_ne!(one.nonce, two.nonce);
        assert_ne!(one.text, two.text);
    }

    #[test]
    fn a_file_cannot_ask_for_more_than_a_machine_can_spare() {
        let passphrase = Passphrase::from("correct horse".to_owned());
        for change in [
            (|s: &mut Sealed| s.memory_kib = u32::MAX) as fn(&mut Sealed),
            |s| s.passes = 1000,
            |s| s.lanes = 1000,
            |s| s.method = "none".to_owned(),
            |s| s.nonce = "00".to_owned(),
        ] {
            let mut changed = sealed();
            change(&mut changed);
            assert_eq!(open(&changed, &passphrase, b"ann").err(), Some(SealError::Method));
        }
    }
}
