//! Key files: one Ed25519 key each, as TOML, sealed under a passphrase or (said loudly) plain.

pub mod seal;

use std::fmt;
use std::path::Path;

use cordon_proto::sign::{SealingKey, SignatureError, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::file::{self, FileError};
use crate::hex;
use crate::passphrase::{Passphrase, PassphraseError};
use crate::sealing::{OpenError, OpeningKey};
use seal::{SealError, Sealed};

/// The longest key file that is read.
const FILE_BYTES_MAX: u64 = 16 << 10;

/// What a key is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyKind {
    /// Signs rosters.
    Authority,
    /// Signs only the replacement of either authority key.
    Recovery,
    /// Signs commands and sign-ins.
    Operator,
}

impl KeyKind {
    /// The word in files and sentences.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Authority => "authority",
            Self::Recovery => "recovery",
            Self::Operator => "operator",
        }
    }
}

/// A key as it lies in its file.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyFile {
    /// What it is for.
    pub kind: KeyKind,
    /// Whose it is, for people.
    pub name: String,
    /// The public half: 64 digits, to be given to whoever makes the roster.
    #[serde(with = "hex::public_key")]
    pub public: VerifyingKey,
    /// The public half of an operator's sealing key, 64 digits; files of earlier versions lack it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sealing: Option<String>,
    /// The seed as 64 digits, where no passphrase protects it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seed: Option<Zeroizing<String>>,
    /// The seed under a passphrase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sealed: Option<Sealed>,
}

impl fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyFile({} {} {:?})", self.kind.name(), self.name, self.public)
    }
}

/// Why a key file gives no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file itself.
    #[error(transparent)]
    File(#[from] FileError),
    /// Not a key file.
    #[error("{path} is not a key file")]
    Form {
        /// Which file.
        path: String,
        /// What is wrong, with its line.
        source: Box<toml::de::Error>,
    },
    /// It holds neither a seed nor a sealed one, or both.
    #[error("the key file must hold either a seed or a sealed seed")]
    Seed,
    /// It needs a passphrase and got none.
    #[error("the key file is sealed and no passphrase was given")]
    Sealed,
    /// There is no passphrase.
    #[error(transparent)]
    Passphrase(#[from] PassphraseError),
    /// The passphrase, or the sealing.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The seed is none.
    #[error("the seed in the key file is not usable")]
    Key(#[from] SignatureError),
    /// It has no sealing key.
    #[error(transparent)]
    Sealing(#[from] OpenError),
    /// The public half is not that of the seed.
    #[error("the key file was changed: its public half is not that of its seed")]
    Changed,
    /// A key for something else.
    #[error("{path} holds the {found} key '{name}'; what is needed is an {wanted} key")]
    Kind {
        /// Which file.
        path: String,
        /// What it holds.
        found: &'static str,
        /// Its name.
        name: String,
        /// What it should hold.
        wanted: &'static str,
    },
}

impl KeyFile {
    /// Puts a key into the form of a file, sealed if there is a passphrase.
    pub fn new(
        kind: KeyKind,
        name: &str,
        key: &SigningKey,
        passphrase: Option<&Passphrase>,
    ) -> Result<Self, KeyFileError> {
        let public = key.verifying();
        let sealing = match kind {
            KeyKind::Operator => Some(hex::encode(&OpeningKey::of(key)?.sealing().0)),
            KeyKind::Authority | KeyKind::Recovery => None,
        };
        let name = name.to_owned();
        let mut made = Self { kind, name, public, sealing, seed: None, sealed: None };
        match passphrase {
            Some(passphrase) => {
                made.sealed = Some(seal::seal(key.seed(), passphrase, &made.bound())?);
            }
            None => made.seed = Some(Zeroizing::new(hex::encode(key.seed()))),
        }
        Ok(made)
    }

    /// Reads a key file that lies closed to others.
    pub fn read(path: &Path) -> Result<Self, KeyFileError> {
        let bytes = Zeroizing::new(file::read_existing(path, FILE_BYTES_MAX)?);
        file::check_closed(path)?;
        Self::from_toml(&String::from_utf8_lossy(&bytes), &path.display().to_string())
    }

    /// Reads a key file and refuses one for something else.
    pub fn read_kind(path: &Path, wanted: KeyKind) -> Result<Self, KeyFileError> {
        let read = Self::read(path)?;
        if read.kind == wanted {
            return Ok(read);
        }
        let (found, wanted) = (read.kind.name(), wanted.name());
        Err(KeyFileError::Kind { path: path.display().to_string(), found, name: read.name, wanted })
    }

    fn from_toml(text: &str, path: &str) -> Result<Self, KeyFileError> {
        let form = |error| KeyFileError::Form { path: path.to_owned(), source: Box::new(error) };
        let read: Self = toml::from_str(text).map_err(form)?;
        if read.seed.is_some() == read.sealed.is_some() {
            return Err(KeyFileError::Seed);
        }
        Ok(read)
    }

    fn to_toml(&self) -> Zeroizing<String> {
        let head = match self.sealed {
            Some(_) => "# A Cordon key, sealed under a passphrase.",
            None => "# A Cordon key WITHOUT a passphrase: whoever can read this file can sign.",
        };
        // Only strings and numbers are written; that cannot fail.
        let body = Zeroizing::new(toml::to_string(self).unwrap_or_default());
        Zeroizing::new(format!("{head}\n{}", body.as_str()))
    }

    /// Writes the file, readable by its owner alone; never over another one.
    pub fn write(&self, path: &Path) -> Result<(), KeyFileError> {
        Ok(file::write_new(path, self.to_toml().as_bytes(), 0o600)?)
    }

    /// The public half of the sealing key, where the file says it.
    #[must_use]
    pub fn sealing(&self) -> Option<SealingKey> {
        hex::public_key::parse_sealing(self.sealing.as_deref()?)
    }

    /// Whether a passphrase is needed.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        self.sealed.is_some()
    }

    /// The key.
    pub fn open(&self, passphrase: Option<&Passphrase>) -> Result<SigningKey, KeyFileError> {
        let seed = match (&self.sealed, &self.seed) {
            (Some(sealed), _) => {
                seal::open(sealed, passphrase.ok_or(KeyFileError::Sealed)?, &self.bound())?
            }
            (None, Some(digits)) => Zeroizing::new(hex::decode(digits).unwrap_or_default()),
            (None, None) => return Err(KeyFileError::Seed),
        };
        let key = SigningKey::from_seed(&seed)?;
        let same = match &self.sealing {
            Some(_) => self.sealing() == Some(OpeningKey::of(&key)?.sealing()),
            None => true,
        };
        if key.verifying() == self.public && same { Ok(key) } else { Err(KeyFileError::Changed) }
    }

    /// What the sealing is bound to, so that a sealed seed cannot be given another label.
    fn bound(&self) -> Vec<u8> {
        format!("cordon key\n{}\n{}\n{}", self.kind.name(), self.name, hex::encode(&self.public.0))
            .into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> SigningKey {
        SigningKey::from_seed(&[5; 32]).unwrap()
    }

    fn made(passphrase: Option<&Passphrase>) -> KeyFile {
        KeyFile::new(KeyKind::Operator, "ann", &key(), passphrase).unwrap()
    }

    #[test]
    fn a_sealed_key_comes_back_under_its_passphrase_only() {
        let passphrase = Passphrase::from("correct horse".to_owned());
        let text = made(Some(&passphrase)).to_toml();
        assert!(!text.contains(&hex::encode(key().seed())), "the seed is not in the file");
        let read = KeyFile::from_toml(&text, "x").unwrap();
        assert!(read.is_sealed());
        assert_eq!(read.open(Some(&passphrase)).unwrap().id(), key().id());
        let wrong = Passphrase::from("correct hors".to_owned());
        let error = read.open(Some(&wrong)).unwrap_err();
        assert!(error.to_string().contains("passphrase is wrong"), "{error}");
        assert!(matches!(read.open(None), Err(KeyFileError::Sealed)));
    }

    #[test]
    fn a_sealed_key_under_another_label_does_not_open() {
        let passphrase = Passphrase::from("correct horse".to_owned());
        let text = made(Some(&passphrase)).to_toml().replace("\"ann\"", "\"bob\"");
        assert!(KeyFile::from_toml(&text, "x").unwrap().open(Some(&passphrase)).is_err());
    }

    #[test]
    fn a_plain_key_says_so_and_notices_a_changed_public_half() {
        let text = made(None).to_toml();
        assert!(text.starts_with("# A Cordon key WITHOUT a passphrase"));
        let mut read = KeyFile::from_toml(&text, "x").unwrap();
        assert_eq!(read.open(None).unwrap().id(), key().id());
        read.public = SigningKey::from_seed(&[6; 32]).unwrap().verifying();
        assert!(matches!(read.open(None), Err(KeyFileError::Changed)));
        let mut read = KeyFile::from_toml(&text, "x").unwrap();
        read.sealing = Some(hex::encode(&[7; 32]));
        assert!(matches!(read.open(None), Err(KeyFileError::Changed)), "codes for somebody else");
        read.sealing = None;
        assert!(read.open(None).is_ok(), "a file of an earlier version");
    }

    #[test]
    fn a_file_is_written_once_closed_to_others_and_of_one_kind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("operator-ann.key");
        made(None).write(&path).unwrap();
        assert!(made(None).write(&path).is_err(), "a key is never overwritten");
        assert_eq!(KeyFile::read_kind(&path, KeyKind::Operator).unwrap().name, "ann");
        let error = KeyFile::read_kind(&path, KeyKind::Authority).unwrap_err().to_string();
        assert!(error.contains("holds the operator key 'ann'"), "{error}");
    }

    #[test]
    fn unknown_fields_and_two_seeds_are_refused() {
        let text = made(None).to_toml();
        assert!(KeyFile::from_toml(&format!("{}\nextra = 1\n", text.as_str()), "x").is_err());
        let without: String =
            text.lines().filter(|l| !l.starts_with("seed")).collect::<Vec<_>>().join("\n");
        assert!(matches!(KeyFile::from_toml(&without, "x"), Err(KeyFileError::Seed)));
    }
}
