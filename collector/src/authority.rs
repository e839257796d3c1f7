//! The authority's public keys: the collector checks rosters with them and can make none.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cordon_proto::id::Hash;
use cordon_proto::roster::{Roster, RosterRef};
use cordon_proto::sign::VerifyingKey;
use cordon_proto::sign::document::{self, DocumentError, Kind};
use serde::Deserialize;

use crate::store::StoredRoster;

/// Both public keys.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Authority {
    /// Signs rosters.
    pub daily: VerifyingKey,
    /// Signs only the replacement of either.
    pub recovery: VerifyingKey,
}

/// Why the authority's keys were not read.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The file cannot be read.
    #[error("cannot read the authority's public keys in {path}: {cause}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// The file says something else.
    #[error("the authority's public keys: {0}")]
    Parse(#[from] Box<toml::de::Error>),
    /// A key is none.
    #[error("the authority's {0} key is not base64url of 32 bytes")]
    Key(&'static str),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    daily: String,
    recovery: String,
}

impl Authority {
    /// Reads the file that `cordon authority init` wrote.
    pub fn read(path: &Path) -> Result<Self, AuthorityError> {
        let text = std::fs::read_to_string(path)
            .map_err(|cause| AuthorityError::Read { path: path.to_owned(), cause })?;
        Self::parse(&text)
    }

    /// Reads both keys from text.
    pub fn parse(text: &str) -> Result<Self, AuthorityError> {
        let file: File = toml::from_str(text).map_err(Box::new)?;
        Ok(Self { daily: key(&file.daily, "daily")?, recovery: key(&file.recovery, "recovery")? })
    }

    /// The keys as text, as [`Self::parse`] reads them.
    #[must_use]
    pub fn to_text(&self) -> String {
        let text = |key: &VerifyingKey| URL_SAFE_NO_PAD.encode(key.0);
        format!("daily = \"{}\"\nrecovery = \"{}\"\n", text(&self.daily), text(&self.recovery))
    }

    /// Verifies a roster and reads it.
    pub fn verify_roster(
        &self,
        document: Vec<u8>,
    ) -> Result<(Roster, StoredRoster), DocumentError> {
        let roster: Roster = document::verify(Kind::Roster, &document, b"", &self.daily)?;
        let named = RosterRef { version: roster.version, hash: Hash::of(&document) };
        let client = roster.client.clone();
        Ok((roster, StoredRoster { client, named, document }))
    }
}

fn key(text: &str, which: &'static str) -> Result<VerifyingKey, AuthorityError> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.map(VerifyingKey).ok_or(AuthorityError::Key(which))
}

#[cfg(test)]
mod tests {
    use cordon_proto::sign::SigningKey;

    use super::*;

    #[test]
    fn the_keys_read_back_and_what_is_none_is_named() {
        let key = |seed: u8| SigningKey::from_seed(&[seed; 32]).unwrap().verifying();
        let authority = Authority { daily: key(1), recovery: key(2) };
        assert_eq!(Authority::parse(&authority.to_text()).unwrap(), authority);
        let error = Authority::parse("daily = \"AAAA\"\nrecovery = \"\"\n").unwrap_err();
        assert!(error.to_string().contains("daily key"), "{error}");
        let error = Authority::parse("daily = 1\n").unwrap_err();
        assert!(error.to_string().contains("line 1"), "{error}");
    }
}
