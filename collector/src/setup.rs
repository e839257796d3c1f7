//! Setting a collector up, and telling how one stands: what `init` and `status` do.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use cordon_proto::id::{ClientId, Hash, OperatorId};

use crate::authority::Authority;
use crate::ca::Ca;
use crate::clock::{Clock, SECOND_NS};
use crate::config::Config;
use crate::operator::{self, First, INVITED_SECS, Invite};
use crate::store::{EndpointFilter, Log, LogOptions, SqliteLog, State, StoredRoster};

/// What `init` is given.
#[derive(Clone, Debug)]
pub struct Init {
    /// The settings.
    pub config: PathBuf,
    /// The authority's public keys.
    pub authority: PathBuf,
    /// One signed roster per client.
    pub rosters: Vec<PathBuf>,
    /// Names and addresses of this collector; none for those of the settings.
    pub names: Vec<String>,
    /// Who is invited to set a sign-in account up.
    pub invited: Invited,
}

/// Whom `init` invites.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Invited {
    /// The first administrator of the first roster, who has no account yet.
    #[default]
    First,
    /// This operator, with an account or without.
    Named(OperatorId),
    /// Nobody.
    Nobody,
}

/// What `init` made.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Made {
    /// SHA-256 of the root certificate.
    pub pin: Hash,
    /// The clients whose rosters were given.
    pub clients: Vec<ClientId>,
    /// Names in the certificate.
    pub names: Vec<String>,
    /// What to tell the operator who is invited, or why nobody is: line by line.
    pub invitation: Vec<String>,
}

/// Where the certificate authority is.
#[must_use]
pub fn ca_folder(config: &Config) -> PathBuf {
    config.state_dir.join("ca")
}

/// Where the authority's public keys are.
#[must_use]
pub fn authority_file(config: &Config) -> PathBuf {
    config.state_dir.join("authority.pub")
}

/// Where the key is that accounts' secrets are sealed with.
#[must_use]
pub fn seal_file(config: &Config) -> PathBuf {
    config.state_dir.join("accounts.key")
}

/// Makes the certificate authority, the server's certificate and the state, as far as they are not
/// there, takes rosters in that are newer than those held, and invites the first operator. Everything
/// given is checked before anything is made.
pub fn init(init: &Init, clock: &Clock) -> anyhow::Result<Made> {
    let mut config =
        if init.config.exists() { Config::read(&init.config)? } else { Config::default() };
    let authority = Authority::read(&init.authority)?;
    let rosters = read_rosters(&authority, &init.rosters)?;
    fits_what_is_there(&config, &authority, &rosters)?;
    write_defaults(&init.config)?;
    if !init.names.is_empty() && init.names != config.names {
        ensure!(
            config.names == Config::default().names,
            "{} names this collector {:?}; change `names` there, or leave `--name` away",
            init.config.display(),
            config.names
        );
        config.names.clone_from(&init.names);
        write_names(&init.config, &config.names)?;
        config = Config::read(&init.config)?;
    }
    let now_ns = clock.wall_ns();
    let now_secs = now_ns / SECOND_NS;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&config.state_dir)
        .with_context(|| format!("cannot make {}", config.state_dir.display()))?;
    let folder = ca_folder(&config);
    let ca = if Ca::is_in(&folder) { Ca::open(&folder)? } else { Ca::init(&folder, now_secs)? };
    ca.server_certificate(&config.names, now_secs)?;
    let path = authority_file(&config);
    fs::write(&path, authority.to_text())
        .with_context(|| format!("cannot write {}", path.display()))?;
    let state = State::open(&config.file(&config.state))?;
    for roster in &rosters {
        state.add_client(&roster.client, now_ns)?;
        ca.add_client(&roster.client, now_secs)?;
        state.put_roster(roster, now_ns)?;
    }
    drop(state);
    let invitation = invitation(&config, init, &rosters, clock)?;
    let clients = rosters.into_iter().map(|roster| roster.client).collect();
    Ok(Made { pin: ca.pin(), clients, names: config.names, invitation })
}

/// Refuses what would turn a collector that is set up into another one, or back.
fn fits_what_is_there(
    config: &Config,
    authority: &Authority,
    rosters: &[StoredRoster],
) -> anyhow::Result<()> {
    let (kept, state) = (authority_file(config), config.file(&config.state));
    if kept.exists() {
        ensure!(
            Authority::read(&kept)? == *authority,
            "this collector is set up already, under another authority: its public keys are in {}",
            kept.display()
        );
    }
    if !state.exists() {
        return Ok(());
    }
    let state = State::open(&state)?;
    for roster in rosters {
        let Some(held) = state.roster(&roster.client)? else { continue };
        let (given, held) = (roster.named, held.named);
        ensure!(
            given.version > held.version || given == held,
            "the roster of client {} has version {}, and version {} is held already{}",
            roster.client,
            given.version,
            held.version,
            if given.version == held.version { ", which says something else" } else { "" }
        );
    }
    Ok(())
}

/// Invites who is to be invited.
fn invitation(
    config: &Config,
    init: &Init,
    rosters: &[StoredRoster],
    clock: &Clock,
) -> anyhow::Result<Vec<String>> {
    let first = rosters.first().context("no roster was given")?;
    let operator = match &init.invited {
        Invited::Nobody => return Ok(Vec::new()),
        Invited::Named(operator) => operator.clone(),
        Invited::First => match operator::first_administrator(config, &first.client)? {
            First::Operator(operator) => operator,
            First::HasAccount(operator) => {
                return Ok(vec![format!(
                    "invitation   none: {operator} has an account; `cordon-collector operator invite \
                     {operator}` sets it up anew"
                )]);
            }
            First::Nobody => {
                let none = "invitation   none: the roster names no administrator";
                return Ok(vec![none.to_owned()]);
            }
        },
    };
    let client = Some(first.client.clone());
    operator::invite(config, &Invite { operator, client, valid_secs: INVITED_SECS }, clock)
}

fn read_rosters(authority: &Authority, paths: &[PathBuf]) -> anyhow::Result<Vec<StoredRoster>> {
    let mut rosters: Vec<StoredRoster> = Vec::new();
    for path in paths {
        let document =
            fs::read(path).with_context(|| format!("cannot read the roster {}", path.display()))?;
        let (_, roster) = authority
            .verify_roster(document)
            .map_err(|error| anyhow::anyhow!("the roster {} {error}", path.display()))?;
        if rosters.iter().any(|other| other.client == roster.client) {
            bail!("two of the rosters are for client {}", roster.client);
        }
        rosters.push(roster);
    }
    Ok(rosters)
}

/// Settings that are not there yet begin as the commented defaults.
fn write_defaults(path: &Path) -> anyhow::Result<()> {
    if path.exists() {
        return Ok(());
    }
    let doing = || format!("cannot write the settings {}", path.display());
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(doing)?;
    }
    fs::write(path, include_str!("../../packaging/linux/collector.toml")).with_context(doing)
}

/// The settings have no tables, so that a line more at the end is a setting more.
fn write_names(path: &Path, names: &[String]) -> anyhow::Result<()> {
    let doing = || format!("cannot write the names into {}", path.display());
    let mut file = OpenOptions::new().append(true).open(path).with_context(doing)?;
    let list: Vec<String> =
        names.iter().map(|name| toml::Value::from(name.as_str()).to_string()).collect();
    writeln!(file, "\n# Written by `cordon-collector init`.\nnames = [{}]", list.join(", "))
        .with_context(doing)
}

/// How a collector stands, in lines for a person.
pub fn status(config: &Config, clock: &Clock) -> anyhow::Result<Vec<String>> {
    let ca =
        Ca::open(&ca_folder(config)).context("this collector is not set up yet; see `init`")?;
    let state = State::open(&config.file(&config.state))?;
    let mut lines = vec![format!("CA pin       {}", ca.pin())];
    lines.push(format!("names        {}", config.names.join(", ")));
    let clients = state.clients()?;
    for client in &clients {
        let filter = EndpointFilter {
            clients: vec![client.clone()],
            count_max: usize::MAX,
            ..EndpointFilter::default()
        };
        let count = state.endpoints(&filter)?.len();
        let version = state.roster(client)?.map_or(0, |roster| roster.named.version);
        lines.push(format!("client       {client}: {count} endpoint(s), roster {version}"));
    }
    let path = config.file(&config.log);
    if path.exists() {
        let (log, _writer) = SqliteLog::open(&path, LogOptions::default(), <_>::default())?;
        let end = log.end()?;
        let age = log.read_after(crate::store::Position(end.0.saturating_sub(1)), 1)?;
        let age = age.first().map_or_else(
            || "nothing stored yet".to_owned(),
            |batch| {
                let secs = clock.wall_ns().saturating_sub(batch.received_ns) / SECOND_NS;
                format!("the last one came {secs} s ago")
            },
        );
        let mib = fs::metadata(&path).map_or(0, |meta| meta.len() >> 20);
        lines.push(format!("log          {} batches in {mib} MiB; {age}", end.0));
    }
    Ok(lines)
}
