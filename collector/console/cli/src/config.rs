//! Settings of this program: profiles, and what it remembers about each between two runs.
//!
//! A profile names a collector and pins it, names the authority whose rosters count, and the key
//! to sign with. Nothing secret stands in it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cordon_proto::id::{ClientId, Hash};
use cordon_proto::sign::VerifyingKey;
use serde::{Deserialize, Deserializer, Serialize, de::Error};

use crate::file::{self, FileError};
use crate::hex;

/// The longest settings file that is read.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The port of the agents' door, where a profile does not say.
pub const AGENTS_PORT: u16 = 7443;

/// All profiles.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The profile used when none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<String>,
    /// By name.
    #[serde(default, rename = "profile")]
    pub profiles: BTreeMap<String, Profile>,
}

/// One collector as one operator knows it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// The people's door: `https://HOST:8443`.
    pub collector: String,
    /// SHA-256 of the collector's root certificate (DER).
    pub pin: Hash,
    /// The authority's daily key.
    #[serde(with = "hex::public_key")]
    pub authority: VerifyingKey,
    /// The authority's recovery key.
    #[serde(with = "hex::public_key")]
    pub recovery: VerifyingKey,
    /// The operator's key file.
    pub key: PathBuf,
    /// A file (mode 600) with an API token, used instead of signing in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// The client meant where none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<ClientId>,
    /// The agents' door for enrolment strings, `host:port`; the roster's own list goes first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub agents: Vec<String>,
}

/// The authority's public keys, as `authority.pub` holds them: base64url, as the collector reads it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthorityKeys {
    /// The daily key: signs rosters.
    #[serde(rename = "daily", deserialize_with = "base64_key")]
    pub authority: VerifyingKey,
    /// The recovery key: signs only the replacement of either.
    #[serde(deserialize_with = "base64_key")]
    pub recovery: VerifyingKey,
}

fn base64_key<'de, D: Deserializer<'de>>(from: D) -> Result<VerifyingKey, D::Error> {
    let bytes = URL_SAFE_NO_PAD.decode(String::deserialize(from)?).ok();
    let key = bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok()).map(VerifyingKey);
    key.ok_or_else(|| D::Error::custom("a public key is 32 bytes of base64url"))
}

/// Why settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file itself.
    #[error(transparent)]
    File(#[from] FileError),
    /// Not the settings of this program.
    #[error("{} cannot be read as {what}", path.display())]
    Form {
        /// Which file.
        path: PathBuf,
        /// What it should be.
        what: &'static str,
        /// What is wrong, with its line.
        source: Box<toml::de::Error>,
    },
    /// No such profile.
    #[error("there is no profile '{name}'; known are: {known}")]
    NoSuch {
        /// The name given.
        name: String,
        /// The names there are.
        known: String,
    },
    /// No profile was chosen.
    #[error(
        "no profile is chosen; make one with `cordon profile add`, or choose one with `cordon profile use NAME`"
    )]
    NoneChosen,
    /// A profile's name becomes part of file names.
    #[error("'{0}' is not a profile's name (1 to 64 of a-z, 0-9, '-', '_', '.')")]
    Name(String),
    /// The address of the people's door.
    #[error("'{0}' is not the address of a collector; it looks like https://HOST:8443")]
    Address(String),
    /// No directory to keep settings in.
    #[error("neither --config-dir, XDG_CONFIG_HOME nor HOME says where settings are kept")]
    NoDir,
}

impl Config {
    /// Reads the settings; none yet is an empty one.
    pub fn read(dir: &Path) -> Result<Self, ConfigError> {
        let path = dir.join("config.toml");
        let Some(bytes) = file::read(&path, FILE_BYTES_MAX)? else { return Ok(Self::default()) };
        parse(&bytes, path, "settings of cordon")
    }

    /// Writes the settings.
    pub fn write(&self, dir: &Path) -> Result<(), ConfigError> {
        // Only strings are written; that cannot fail.
        let text = toml::to_string(self).unwrap_or_default();
        Ok(file::replace(&dir.join("config.toml"), text.as_bytes(), 0o600)?)
    }

    /// The profile named, or the current one, or the only one.
    pub fn profile(&self, named: Option<&str>) -> Result<(&str, &Profile), ConfigError> {
        let only = || match self.profiles.len() {
            1 => self.profiles.keys().next().map(String::as_str),
            _ => None,
        };
        let name = named.or(self.current.as_deref()).or_else(only);
        let name = name.ok_or(ConfigError::NoneChosen)?;
        match self.profiles.get_key_value(name) {
            Some((name, profile)) => Ok((name, profile)),
            None => {
                let known: Vec<_> = self.profiles.keys().map(String::as_str).collect();
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                Err(ConfigError::NoSuch { name: name.to_owned(), known })
            }
        }
    }
}

impl AuthorityKeys {
    /// Reads `authority.pub`.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let bytes = file::read_existing(path, FILE_BYTES_MAX)?;
        parse(&bytes, path.to_owned(), "the authority's public keys")
    }

    /// The text of `authority.pub`.
    #[must_use]
    pub fn to_text(&self) -> String {
        format!(
            "# Public keys of a Cordon authority. Not secret; collectors and operators pin them.\n\
             daily = \"{}\"\nrecovery = \"{}\"\n",
            URL_SAFE_NO_PAD.encode(self.authority.0),
            URL_SAFE_NO_PAD.encode(self.recovery.0)
        )
    }
}

fn parse<T: for<'de> Deserialize<'de>>(
    bytes: &[u8],
    path: PathBuf,
    what: &'static str,
) -> Result<T, ConfigError> {
    toml::from_str(&String::from_utf8_lossy(bytes)).map_err(|source| ConfigError::Form {
        path,
        what,
        source: Box::new(source),
    })
}

/// Refuses a name that would not do as part of a file's name.
pub fn check_name(name: &str) -> Result<(), ConfigError> {
    let fits = name.parse::<ClientId>().is_ok() && !name.starts_with('.');
    if fits { Ok(()) } else { Err(ConfigError::Name(name.chars().take(80).collect())) }
}

/// The host of a collector's address, if it is one.
pub fn host(collector: &str) -> Result<String, ConfigError> {
    let wrong = || ConfigError::Address(collector.chars().take(200).collect());
    let url = reqwest::Url::parse(collector).ok().ok_or_else(wrong)?;
    let plain = url.scheme() == "https"
        && url.username().is_empty()
        && url.password().is_none()
        && matches!(url.path(), "" | "/")
        && url.query().is_none();
    let host = url.host_str().filter(|_| plain).ok_or_else(wrong)?;
    Ok(host.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use cordon_proto::sign::SigningKey;

    fn profile() -> Profile {
        let key = SigningKey::from_seed(&[1; 32]).unwrap().verifying();
        Profile {
            collector: "https://collector.example:8443".to_owned(),
            pin: Hash::of(b"root"),
            authority: key,
            recovery: key,
            key: "/home/ann/operator-ann.key".into(),
            token_file: None,
            client: Some("acme".parse().unwrap()),
            agents: vec!["collector.example:7443".to_owned()],
        }
    }

    #[test]
    fn profiles_read_back_as_they_were_written() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Config::read(dir.path()).unwrap(), Config::default());
        let mut config = Config { current: Some("acme".to_owned()), ..Config::default() };
        config.profiles.insert("acme".to_owned(), profile());
        config.write(dir.path()).unwrap();
        assert_eq!(Config::read(dir.path()).unwrap(), config);
    }

    #[test]
    fn the_profile_named_goes_before_the_current_one_and_the_only_one_needs_no_choice() {
        let mut config = Config::default();
        assert!(matches!(config.profile(None), Err(ConfigError::NoneChosen)));
        config.profiles.insert("a".to_owned(), profile());
        assert_eq!(config.profile(None).unwrap().0, "a");
        config.profiles.insert("b".to_owned(), profile());
        assert!(matches!(config.profile(None), Err(ConfigError::NoneChosen)));
        config.current = Some("b".to_owned());
        assert_eq!(config.profile(None).unwrap().0, "b");
        assert_eq!(config.profile(Some("a")).unwrap().0, "a");
        let error = config.profile(Some("c")).unwrap_err().to_string();
        assert_eq!(error, "there is no profile 'c'; known are: a, b");
    }

    #[test]
    fn the_authoritys_public_keys_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("authority.pub");
        let keys = AuthorityKeys { authority: profile().authority, recovery: profile().recovery };
        file::write_new(&path, keys.to_text().as_bytes(), 0o644).unwrap();
        assert_eq!(AuthorityKeys::read(&path).unwrap(), keys);
    }

    #[test]
    fn only_plain_https_addresses_are_collectors() {
        assert_eq!(host("https://localhost:8443").unwrap(), "localhost");
        for address in ["http://x:8443", "localhost:8443", "https://a:b@x", "https://x/api", ""] {
            assert!(host(address).is_err(), "{address}");
        }
    }
}
