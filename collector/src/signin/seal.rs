//! Sealing what must be read again and must not be read from a stolen copy of the state: the secrets
//! of authenticator apps. The key lies beside the state, in a file of its own.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};

const KEY_BYTES: usize = 32;

/// What seals and opens.
pub struct Seal(LessSafeKey);

/// Why there is nothing to seal with, or nothing to open.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The file.
    #[error("cannot read or make the key of the accounts' secrets in {path}: {cause}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// The file holds something else.
    #[error("{0} does not hold the key of the accounts' secrets")]
    Form(PathBuf),
    /// No random numbers.
    #[error("the operating system gave no random numbers")]
    Random,
    /// Not sealed with this key, or for something else.
    #[error(
        "a kept secret cannot be opened: was the state brought here without its file accounts.key?"
    )]
    Closed,
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal")
    }
}

impl Seal {
    /// Reads the key, making one if there is none yet.
    pub fn open(path: &Path) -> Result<Self, SealError> {
        let failed = |cause| SealError::File { path: path.to_owned(), cause };
        match fs::read(path) {
            Ok(bytes) => Self::of(&bytes).ok_or_else(|| SealError::Form(path.to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut key = [0; KEY_BYTES];
                SystemRandom::new().fill(&mut key).ok().ok_or(SealError::Random)?;
                // Whole or not there: a crash between leaves only the new name's file.
                let new = path.with_extension("new");
                let options = OpenOptions::new()
                    .write(true)
                    .create(true)
                    .truncate(true)
                    .mode(0o600)
                    .open(&new);
                let mut file = options.map_err(failed)?;
                file.write_all(&key).and_then(|()| file.sync_all()).map_err(failed)?;
                fs::rename(&new, path).map_err(failed)?;
                Self::of(&key).ok_or(SealError::Random)
            }
            Err(error) => Err(failed(error)),
        }
    }

    fn of(key: &[u8]) -> Option<Self> {
        UnboundKey::new(&CHACHA20_POLY1305, key).ok().map(LessSafeKey::new).map(Self)
    }

    /// Seals a secret for one owner: opened for another it is none.
    pub fn seal(&self, secret: &[u8], owner: &[u8]) -> Result<Vec<u8>, SealError> {
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).ok().ok_or(SealError::Random)?;
        let mut text = secret.to_vec();
        let unique = Nonce::assume_unique_for_key(nonce);
        let sealed = self.0.seal_in_place_append_tag(unique, Aad::from(owner), &mut text);
        sealed.ok().ok_or(SealError::Closed)?;
        Ok([&nonce[..], &text].concat())
    }

    /// Opens what was sealed for an owner.
    pub fn unseal(&self, sealed: &[u8], owner: &[u8]) -> Result<Vec<u8>, SealError> {
        let (nonce, text) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(SealError::Closed)?;
        let mut text = text.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = self.0.open_in_place(nonce, Aad::from(owner), &mut text);
        Ok(opened.ok().ok_or(SealError::Closed)?.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_secret_opens_with_its_key_for_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("accounts.key");
        let sealed = Seal::open(&path).unwrap().seal(b"secret", b"ann").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let again = Seal::open(&path).unwrap();
        assert_eq!(again.unseal(&sealed, b"ann").unwrap(), b"secret");
        assert!(again.unseal(&sealed, b"bob").is_err());
        assert!(again.unseal(&sealed[..5], b"ann").is_err());
        let other = Seal::open(&folder.path().join("other.key")).unwrap();
        assert!(other.unseal(&sealed, b"ann").is_err());
        fs::write(&path, b"short").unwrap();
        assert!(matches!(Seal::open(&path), Err(SealError::Form(_))));
    }
}
