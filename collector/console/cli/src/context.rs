//! What a command works with: the output, the profile, the operator's key, and what is remembered.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cordon_proto::command::ActionKind;
use cordon_proto::id::{ClientId, KeyId};
use cordon_proto::limits;
use cordon_proto::roster::{Operator, Roster};
use cordon_proto::sign::command::SignedCommand;
use cordon_proto::sign::{SigningKey, VerifyingKey};

use zeroize::Zeroizing;

use crate::api::session::SessionStore;
use crate::api::{Api, model};
use crate::config::{Config, ConfigError, Profile};
use crate::file;
use crate::keyfile::{KeyFile, KeyFileError, KeyKind};
use crate::output::Output;
use crate::passphrase;
use crate::roster::{self, SignedRoster};
use crate::signer;

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
    /// An API token from the environment; it goes before the profile's.
    pub token: Option<Zeroizing<String>>,
}

/// The variable that an API token may stand in.
pub const TOKEN_VARIABLE: &str = "CORDON_TOKEN";

/// The longest file with an API token that is read.
const TOKEN_FILE_BYTES_MAX: u64 = 4096;

/// The API token that the environment holds.
#[must_use]
pub fn token_of_environment() -> Option<Zeroizing<String>> {
    let token = std::env::var(TOKEN_VARIABLE).ok()?;
    let token = Zeroizing::new(token.trim().to_owned());
    (!token.is_empty()).then_some(token)
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
        let (_, profile) = config.profile(self.profile.as_deref())?;
        let token = match (&self.token, &profile.token_file) {
            (Some(token), _) => Some(token.clone()),
            (None, Some(file)) => Some(token_of_file(file)?),
            (None, None) => None,
        };
        self.desk_with(token)
    }

    /// The same for the person alone: an API token does not count.
    pub fn own_desk(&self) -> anyhow::Result<Desk> {
        self.desk_with(None)
    }

    /// The same for who has no key (yet).
    pub fn guest_desk(&self) -> anyhow::Result<Desk> {
        self.desk_with(Some(Zeroizing::default()))
    }

    fn desk_with(&self, token: Option<Zeroizing<String>>) -> anyhow::Result<Desk> {
        let config = Config::read(&self.config_dir)?;
        let (name, profile) = config.profile(self.profile.as_deref())?;
        let file = KeyFile::read_kind(&profile.key, KeyKind::Operator);
        let (path, passphrase_file) = (profile.key.clone(), self.passphrase_file.clone());
        let signer = match file {
            Ok(file) => OperatorSigner::new(file, path, passphrase_file),
            // Who only looks, with a token, needs no key; who signs is told then.
            Err(_) if token.is_some() => OperatorSigner::without_file(path, passphrase_file),
            Err(error) => {
                let says = format!("profile '{name}' has no usable key");
                return Err(anyhow::Error::new(error).context(says));
            }
        };
        let (name, dir) = (name.to_owned(), self.config_dir.clone());
        Ok(Desk { name, profile: profile.clone(), signer, dir, token })
    }
}

fn token_of_file(path: &Path) -> anyhow::Result<Zeroizing<String>> {
    let doing = || format!("cannot take the API token from {}", path.display());
    let bytes =
        Zeroizing::new(file::read_existing(path, TOKEN_FILE_BYTES_MAX).with_context(doing)?);
    file::check_closed(path).with_context(doing)?;
    Ok(Zeroizing::new(String::from_utf8_lossy(&bytes).trim().to_owned()))
}

/// The operator's key: its public half at once, its private half when something must be signed.
pub struct OperatorSigner {
    file: Option<KeyFile>,
    path: PathBuf,
    passphrase_file: Option<PathBuf>,
    key: OnceCell<SigningKey>,
}

impl OperatorSigner {
    /// The key in a file; nothing is asked yet.
    #[must_use]
    pub fn new(file: KeyFile, path: PathBuf, passphrase_file: Option<PathBuf>) -> Self {
        Self { file: Some(file), path, passphrase_file, key: OnceCell::new() }
    }

    /// No key: its id is nobody's, and signing fails with the reason.
    #[must_use]
    pub fn without_file(path: PathBuf, passphrase_file: Option<PathBuf>) -> Self {
        Self { file: None, path, passphrase_file, key: OnceCell::new() }
    }

    /// The key's id.
    #[must_use]
    pub fn key_id(&self) -> KeyId {
        self.file.as_ref().map_or_else(KeyId::default, |file| file.public.id())
    }

    /// The key; asks for the passphrase the first time.
    pub fn key(&self) -> Result<&SigningKey, KeyFileError> {
        if let Some(key) = self.key.get() {
            return Ok(key);
        }
        let passphrase_file = self.passphrase_file.as_deref();
        let key = match &self.file {
            Some(file) => open(file, &self.path, passphrase_file)?,
            None => {
                let file = KeyFile::read_kind(&self.path, KeyKind::Operator)?;
                open(&file, &self.path, passphrase_file)?
            }
        };
        Ok(self.key.get_or_init(|| key))
    }
}

/// What a command is signed with.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct SignWith {
    /// Sign with your passkey, in a browser on this machine, instead of the key file
    #[arg(long)]
    passkey: bool,
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
    token: Option<Zeroizing<String>>,
}

impl Desk {
    /// The collector's API.
    pub fn api(&self) -> anyhow::Result<Api<'_>> {
        let file = format!("{}.json", self.name);
        let store = SessionStore::at(self.dir.join("sessions").join(file));
        Ok(Api::new(&self.profile, &self.signer, store)?.with_token(self.token.clone()))
    }

    /// Signs a command as `operator`, whose key this desk has: with the key file, or with a passkey
    /// where that was asked for.
    pub async fn sign(
        &self,
        output: &mut Output,
        signed: &mut SignedCommand,
        roster: &Roster,
        operator: &Operator,
        with: SignWith,
    ) -> anyhow::Result<()> {
        if !with.passkey {
            signed.add(self.signer.key()?);
            return Ok(());
        }
        if signed.command().action.kind() == ActionKind::SetPolicy {
            bail!("a policy is more than the signing page can show; sign it with the key file");
        }
        let tell = |address: &str| output.note(&format!("To sign it, open {address}"));
        let (key, assertion) = signer::ask(signed.payload(), operator, tell).await?;
        signed.add_passkey(key, assertion);
        signed.signers(roster).context("the passkey's signature does not count")?;
        Ok(())
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
