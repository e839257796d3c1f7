//! The vault: files taken away from where they were, encrypted, so that no scanner trips over them
//! and nobody runs or reads them by mistake.
//!
//! Its key lies beside it, for root alone: whoever is root on the endpoint can read what is in the
//! vault. What the encryption holds off is accidents and everybody else; what its authentication
//! shows is every change to a copy, by whomever does not have the key.

mod content;
mod header;
mod opener;
mod sealer;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Mutex;

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf;
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use crate::identity::{StateDir, StateDirError};
use crate::platform::linux::place;

pub use content::{Content, Tally};
pub use header::{CopyId, End, Header, What};
pub use opener::Copy;
pub use sealer::Sealer;

/// How much of a file is sealed at once; so much is in memory of the longest file.
pub const CHUNK_BYTES: usize = 64 << 10;

/// What must be left free beside a copy, for the rest of the system.
pub const FREE_BYTES_MIN: u64 = 128 << 20;

/// The directory inside the state directory, and the key inside that.
const DIR: &str = "vault";
const KEY: &str = "key";
const KEY_BYTES: usize = 32;

/// Every copy has a key of its own, so that a number never counts twice under one key.
const SALT_BYTES: usize = 32;
const SIZE_OF_TAG: usize = 16;

/// How each file begins; the last two digits are the version of the form.
const MAGIC: &[u8; 16] = b"cordon vault 01\n";

/// Keeps two deeds that find no key from making two.
static KEY_MAKING: Mutex<()> = Mutex::new(());

/// A vault.
#[derive(Debug)]
pub struct Vault {
    dir: StateDir,
    key: Zeroizing<Vec<u8>>,
}

/// Why the vault did not take or give something.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// Its directory or its key.
    #[error(transparent)]
    Dir(#[from] StateDirError),
    /// The key is not one.
    #[error("the vault's key {} is {bytes} bytes long, not {KEY_BYTES}", path.display())]
    Key {
        /// Where it is.
        path: PathBuf,
        /// How long.
        bytes: usize,
    },
    /// The operating system said no.
    #[error("{doing} the vault's copy failed: {cause}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// Why it failed.
        #[source]
        cause: io::Error,
    },
    /// A copy is not as it was written.
    #[error("the vault's copy is damaged: {0}")]
    Damaged(&'static str),
    /// There is no randomness, or a key is refused.
    #[error("the vault could not {0}")]
    Crypto(&'static str),
}

impl Vault {
    /// Opens the vault, and makes it and its key where they are missing.
    pub fn open(state: &StateDir) -> Result<Self, VaultError> {
        let dir = state.inner(DIR)?;
        let making = KEY_MAKING.lock();
        let key = match dir.read_secret(KEY)? {
            Some(key) => Zeroizing::new(key),
            None => {
                let key = Zeroizing::new(random::<KEY_BYTES>()?.to_vec());
                dir.write(KEY, &key)?;
                key
            }
        };
        drop(making);
        if key.len() != KEY_BYTES {
            return Err(VaultError::Key { path: dir.path(KEY), bytes: key.len() });
        }
        Ok(Self { dir, key })
    }

    /// Begins a copy; one of this name that was not finished is replaced.
    pub fn begin(&self, id: CopyId, header: &Header) -> Result<Sealer, VaultError> {
        let salt = random::<SALT_BYTES>()?;
        Sealer::begin(&self.path_unfinished(id), self.cipher(id, &salt)?, salt, header)
    }

    /// Opens a copy that is there but not yet kept, to read it back.
    pub fn unfinished(&self, id: CopyId) -> Result<Copy, VaultError> {
        let file = File::open(self.path_unfinished(id)).map_err(doing("opening"))?;
        Copy::open(file, |salt| self.cipher(id, salt))
    }

    /// Keeps a finished copy; from now on it is there after a crash, too.
    pub fn keep(&self, id: CopyId) -> Result<(), VaultError> {
        std::fs::rename(self.path_unfinished(id), self.path(id)).map_err(doing("keeping"))?;
        self.sync()
    }

    /// Opens a copy that was kept; none if there is none.
    pub fn copy(&self, id: CopyId) -> Result<Option<Copy>, VaultError> {
        match File::open(self.path(id)) {
            Ok(file) => Copy::open(file, |salt| self.cipher(id, salt)).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(doing("opening")(error)),
        }
    }

    /// Removes a copy and what was begun of it.
    pub fn remove(&self, id: CopyId) -> Result<(), VaultError> {
        for path in [self.path_unfinished(id), self.path(id)] {
            match std::fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(doing("removing")(error));
                }
                Ok(()) | Err(_) => {}
            }
        }
        self.sync()
    }

    /// Where a copy is.
    #[must_use]
    pub fn path(&self, id: CopyId) -> PathBuf {
        self.dir.path(&format!("{id}.copy"))
    }

    /// Bytes that are free where it is.
    pub fn bytes_free(&self) -> Result<u64, VaultError> {
        place::bytes_free_at(&self.dir.path("")).map_err(doing("finding room for"))
    }

    fn path_unfinished(&self, id: CopyId) -> PathBuf {
        self.dir.path(&format!("{id}.new"))
    }

    fn sync(&self) -> Result<(), VaultError> {
        let synced = File::open(self.dir.path("")).and_then(|dir| dir.sync_all());
        synced.map_err(doing("syncing"))
    }

    fn cipher(&self, id: CopyId, salt: &[u8]) -> Result<Cipher, VaultError> {
        let refused = |_unspecified| VaultError::Crypto("derive a key");
        let secret = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(&self.key);
        let info = [MAGIC.as_slice(), id.0.as_slice()];
        let okm = secret.expand(&info, &CHACHA20_POLY1305).map_err(refused)?;
        Ok(Cipher(LessSafeKey::new(UnboundKey::from(okm))))
    }
}

/// Which part of a copy is sealed: a number of its own for each, so that none passes for another.
#[derive(Clone, Copy)]
enum Part {
    Header,
    Data(u64),
    End,
}

/// The key of one copy.
struct Cipher(LessSafeKey);

impl Cipher {
    fn seal(&self, part: Part, front: &[u8], bytes: &mut Vec<u8>) -> Result<(), VaultError> {
        let sealed = self.0.seal_in_place_append_tag(part.nonce(), Aad::from(front), bytes);
        sealed.map_err(|_unspecified| VaultError::Crypto("seal a part"))
    }

    fn open<'a>(
        &self,
        part: Part,
        front: &[u8],
        bytes: &'a mut [u8],
    ) -> Result<&'a mut [u8], VaultError> {
        let opened = self.0.open_in_place(part.nonce(), Aad::from(front), bytes);
        opened.map_err(|_unspecified| VaultError::Damaged("a part is not what was sealed"))
    }
}

impl Part {
    fn nonce(self) -> Nonce {
        let (kind, number) = match self {
            Self::Header => (0, 0),
            Self::Data(number) => (1, number),
            Self::End => (2, 0),
        };
        let mut nonce = [0; 12];
        let (first, last) = nonce.split_at_mut(4);
        first.copy_from_slice(&u32::to_be_bytes(kind));
        last.copy_from_slice(&u64::to_be_bytes(number));
        Nonce::assume_unique_for_key(nonce)
    }
}

pub(crate) fn random<const N: usize>() -> Result<[u8; N], VaultError> {
    let mut bytes = [0; N];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.map_err(|_unspecified| VaultError::Crypto("get random bytes"))?;
    Ok(bytes)
}

fn doing(doing: &'static str) -> impl Fn(io::Error) -> VaultError {
    move |cause| VaultError::Io { doing, cause }
}
