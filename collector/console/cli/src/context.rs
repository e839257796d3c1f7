//! What a command works with: the output, the profile, the operator's key, and what is remembered.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cordon_proto::id::{ClientId, KeyId};
use cordon_proto::limits;
use cordon_proto::sign::{SigningKey, VerifyingKey};

use crate::api::session::SessionStore;
use crate::api::{Api, model};
use crate::config::{Config, ConfigError, Profile};
use crate::file;
use crate::keyfile::{KeyFile, KeyFileError, KeyKind};
use crate::output::Output;
use crate::passphrase;
use crate::roster::{self, SignedRoster};

/// What every command gets.
pub struct Context {
    /// Where results go.
    pub output: Output,
    /// Where settings are kept.
    pub config_dir: PathBuf,
    /// The profile named on the command line.
    pub profile: Option<String>,
    /// Where passphrases come from, if not from the terminal.
    pub passphrase_file: Option<PathBuf>,
}

/// Where settings are kept if the command line does not say.
pub fn default_config_dir() -> Result<PathBuf, ConfigError> {
    let var = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let dir = var("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| var("HOME").map(|home| Path::new(&home).join(".config")));
    Ok(dir.ok_or(ConfigError::NoDir)?.join("cordon"))
}

impl Context {
    /// The desk at which a command of the chosen profile works.
    pub fn desk(&self) -> anyhow::Result<Desk> {
        let config = Config::read(&self.config_dir)?;
        let (name, profile) = config.profile(self.profile.as_deref())?;
        let file = KeyFile::read_kind(&profile.key, KeyKind::Operator)
            .with_context(|| format!("profile '{name}' has no usable key"))?;
        let passphrase_file = self.passphrase_file.clone();
        let signer = OperatorSigner::new(file, profile.key.clone(), passphrase_file);
        let (name, dir) = (name.to_owned(), self.config_dir.clone());
        Ok(Desk { name, profile: profile.clone(), signer, dir })
    }
}

/// The operator's key: its public half at once, its private half when something must be signed.
pub struct OperatorSigner {
    file: KeyFile,
    path: PathBuf,
    passphrase_file: Option<PathBuf>,
    key: OnceCell<SigningKey>,
}

impl OperatorSigner {
    /// The key in a file; nothing is asked yet.
    #[must_use]
    pub fn new(file: KeyFile, path: PathBuf, passphrase_file: Option<PathBuf>) -> Self {
        Self { file, path, passphrase_file, key: OnceCell::new() }
    }

    /// The key's id.
    #[must_use]
    pub fn key_id(&self) -> KeyId {
        self.file.public.id()
    }

    /// The key; asks for the passphrase the first time.
    pub fn key(&self) -> Result<&SigningKey, KeyFileError> {
        if let Some(key) = self.key.get() {
            return Ok(key);
        }
        let key = open(&self.file, &self.path, self.passphrase_file.as_deref())?;
        Ok(self.key.get_or_init(|| key))
    }
}

/// Opens a key file, asking for its passphrase if it has one.
pub fn open(
    file: &KeyFile,
    path: &Path,
    passphrase_file: Option<&Path>,
) -> Result<SigningKey, KeyFileError> {
    if !file.is_sealed() {
        return file.open(None);
    }
    let passphrase = passphrase::ask(&path.display().to_string(), passphrase_file)?;
    file.open(Some(&passphrase))
}

/// One profile in use.
pub struct Desk {
    /// Its name.
    pub name: String,
    /// What it says.
    pub profile: Profile,
    /// The operator's key.
    pub signer: OperatorSigner,
    dir: PathBuf,
}

impl Desk {
    /// The collector's API.
    pub fn api(&self) -> anyhow::Result<Api<'_>> {
        let file = format!("{}.json", self.name);
        let store = SessionStore::at(self.dir.join("sessions").join(file));
        Ok(Api::new(&self.profile, &self.signer, store)?)
    }

    /// The client named, or the profile's own.
    pub fn client(&self, named: Option<&ClientId>) -> anyhow::Result<ClientId> {
        named.or(self.profile.client.as_ref()).cloned().with_context(|| {
            format!("name the client with --client; profile '{}' has none of its own", self.name)
        })
    }

    /// The authority keys whose rosters count.
    #[must_use]
    pub fn authority(&self) -> VerifyingKey {
        self.profile.authority
    }

    /// A client's newest roster: the collector's, if it is genuine and not older than the one seen
    /// last; also what the collector says about who lags behind it.
    pub async fn roster(
        &self,
        api: &Api<'_>,
        client: &ClientId,
    ) -> anyhow::Result<(SignedRoster, model::RosterRecord)> {
        let answer = api.get(&["clients", client.as_str(), "roster"], &[]).await?;
        let record: model::RosterRecord = api.read(answer)?;
        let bytes = URL_SAFE_NO_PAD
            .decode(&record.document)
            .context("the roster that the collector shows is not base64url")?;
        let offered = SignedRoster::read(&bytes, &self.authority())
            .context("the roster that the collector shows does not count")?;
        let path = self.dir.join("rosters").join(format!("{}-{client}.cbor", self.name));
        let seen = self.seen_roster(&path)?;
        let newer = seen.as_ref().is_none_or(|seen| seen.roster.version < offered.roster.version);
        let newest = roster::newest(seen, offered, client)?;
        if newer {
            file::replace(&path, &newest.bytes, 0o600)?;
        }
        Ok((newest, record))
    }

    fn seen_roster(&self, path: &Path) -> anyhow::Result<Option<SignedRoster>> {
        let bytes_max = u64::try_from(limits::DOCUMENT_BYTES_MAX).unwrap_or(u64::MAX);
        let Some(bytes) = file::read(path, bytes_max)? else { return Ok(None) };
        let read = SignedRoster::read(&bytes, &self.authority());
        let read = read.with_context(|| {
            format!("the roster kept in {} does not count any more; remove the file if the authority of this profile was changed on purpose", path.display())
        })?;
        Ok(Some(read))
    }
}
