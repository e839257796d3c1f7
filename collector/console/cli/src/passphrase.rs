//! Passphrases: from the terminal or from a file, never from an argument.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::file::{self, FileError};

/// The longest passphrase file that is read.
const FILE_BYTES_MAX: u64 = 4096;

/// The shortest passphrase that a new key file is sealed with.
pub const CHARACTERS_MIN: usize = 10;

/// A passphrase; it is wiped when it goes and does not print.
pub struct Passphrase(Zeroizing<String>);

impl Passphrase {
    /// The bytes that the sealing key is derived from.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl From<String> for Passphrase {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

/// Why there is no passphrase.
#[derive(Debug, thiserror::Error)]
pub enum PassphraseError {
    /// Nobody can be asked.
    #[error("{what} needs a passphrase and there is no terminal to ask on; use --passphrase-file")]
    NoTerminal {
        /// What it is for.
        what: String,
    },
    /// The terminal failed.
    #[error("cannot ask for the passphrase")]
    Terminal(#[source] io::Error),
    /// The file failed.
    #[error("cannot take the passphrase")]
    File(#[from] FileError),
    /// The file is not text.
    #[error("the passphrase in {} is not UTF-8 text", .0.display())]
    NotText(PathBuf),
    /// Typed twice, differently.
    #[error("the two passphrases differ; nothing was written")]
    Differ,
    /// Too easily guessed.
    #[error("the passphrase is shorter than {CHARACTERS_MIN} characters; nothing was written")]
    Short,
}

/// Gets the passphrase of a key that exists.
pub fn ask(what: &str, from: Option<&Path>) -> Result<Passphrase, PassphraseError> {
    match from {
        Some(path) => from_file(path),
        None => prompt(what, &format!("Passphrase of {what}: ")),
    }
}

/// Gets a passphrase for a new key: typed twice, or from a file.
pub fn ask_new(what: &str, from: Option<&Path>) -> Result<Passphrase, PassphraseError> {
    ask_new_called("passphrase", what, from)
}

/// The same for what people call otherwise.
pub fn ask_new_called(
    word: &str,
    what: &str,
    from: Option<&Path>,
) -> Result<Passphrase, PassphraseError> {
    let passphrase = match from {
        Some(path) => from_file(path)?,
        None => {
            let first = prompt(what, &format!("New {word} for {what}: "))?;
            let second = prompt(what, "The same again: ")?;
            if first.as_bytes() != second.as_bytes() {
                return Err(PassphraseError::Differ);
            }
            first
        }
    };
    if passphrase.0.chars().count() < CHARACTERS_MIN {
        return Err(PassphraseError::Short);
    }
    Ok(passphrase)
}

fn prompt(what: &str, words: &str) -> Result<Passphrase, PassphraseError> {
    if !io::stderr().is_terminal() && !io::stdin().is_terminal() {
        return Err(PassphraseError::NoTerminal { what: what.to_owned() });
    }
    rpassword::prompt_password(words).map(Passphrase::from).map_err(PassphraseError::Terminal)
}

fn from_file(path: &Path) -> Result<Passphrase, PassphraseError> {
    let bytes = Zeroizing::new(file::read_existing(path, FILE_BYTES_MAX)?);
    file::check_closed(path)?;
    let text = std::str::from_utf8(&bytes)
        .ok()
        .ok_or_else(|| PassphraseError::NotText(path.to_owned()))?;
    Ok(Passphrase::from(text.trim_end_matches(['\r', '\n']).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passphrase_file_gives_its_line_without_the_line_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pass");
        file::write_new(&path, b"correct horse \n", 0o600).unwrap();
        assert_eq!(ask("x", Some(&path)).unwrap().as_bytes(), b"correct horse ");
    }

    #[test]
    fn a_short_passphrase_seals_no_new_key() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pass");
        file::write_new(&path, b"short\n", 0o600).unwrap();
        assert!(matches!(ask_new("x", Some(&path)), Err(PassphraseError::Short)));
    }
}
