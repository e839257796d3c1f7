//! `cordon roster`: who may act for a client, from a draft to every endpoint.
//!
//! A draft is text; the authority's key signs it where that key is; the collector only passes it on.

mod versions;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Subcommand;
use cordon_proto::id::{ClientId, OperatorId};
use cordon_proto::limits;
use cordon_proto::roster::{OperatorKey, Role, Roster};
use cordon_proto::sign::SealingKey;
use cordon_proto::sign::document::{self, Kind};
use serde_json::json;

use super::find_list::first;
use crate::clock;
use crate::config::AuthorityKeys;
use crate::context::{self, Context};
use crate::exit::Exit;
use crate::file;
use crate::hex;
use crate::keyfile::{KeyFile, KeyKind};
use crate::moment;
use crate::output::table::Tone;
use crate::output::{Cell, Table};
use crate::roster::SignedRoster;
use crate::roster::draft::{self, Draft, DraftPasskey, PublicKeys};

/// What can be done with rosters.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write the next version as text, to be looked at, changed and signed
    #[command(after_help = "Examples:
  cordon roster make --from roster-acme-1.cbor --out acme-2.toml
  cordon roster make --client acme --out acme-2.toml \\
      --add-operator bob=2152f8d19b791d24453242e15f2eab6cb7cffa7b6a5ed30097960e069881db12
  cordon roster make --client acme --remove-operator eve --out acme-3.toml
  cordon roster make --client acme --out acme-4.toml \\
      --sealing-key bob=6c56c32f6a95ef7ee4bd0ac3e2ae2d97f4ff1d4ed2c9f7d0f4a1d3f1a07c2b11
  cordon roster make --client acme --out acme-5.toml --add-passkey \\
  ann=eddsa:2152f8d19b791d24453242e15f2eab6cb7cffa7b6a5ed30097960e069881db12@http://localhost:9443

Without --from the collector's roster is the one that is changed, after its signature was checked.")]
    Make(MakeArgs),
    /// Show what a signed roster, or a draft, says
    #[command(after_help = "Examples:
  cordon roster show roster-acme-1.cbor
  cordon roster show --client acme")]
    Show(ShowArgs),
    /// Sign a draft with the authority's key
    #[command(after_help = "Example:
  cordon roster sign acme-2.toml --key authority.key --out roster-acme-2.cbor")]
    Sign(SignArgs),
    /// Hand a signed roster to the collector, which hands it to the endpoints
    #[command(after_help = "Example:
  cordon roster push roster-acme-2.cbor")]
    Push {
        /// The signed roster
        file: PathBuf,
    },
    /// List the versions that the collector took
    #[command(after_help = "Examples:
  cordon roster list --client acme
  cordon roster list --json")]
    List {
        /// Whose [default: the profile's client]
        #[arg(long, value_name = "CLIENT")]
        client: Option<ClientId>,
    },
    /// Say what differs between two versions, or what a signed roster would change
    #[command(after_help = "Examples:
  cordon roster diff 2                          # to the version before it
  cordon roster diff 5 --from 2 --client acme
  cordon roster diff roster-acme-6.cbor         # before it is pushed

It is the collector's word; what it says of a file is checked against the file's own client here.")]
    Diff {
        /// A version, or a signed roster's file
        #[arg(value_name = "VERSION|FILE")]
        to: String,
        /// The version to compare with [default: the one before]
        #[arg(long, value_name = "VERSION")]
        from: Option<u64>,
        /// Whose [default: the profile's client]
        #[arg(long, value_name = "CLIENT")]
        client: Option<ClientId>,
    },
    /// Show which endpoints do not hold the newest roster yet
    ///
    /// A revocation is done when there are none.
    #[command(after_help = "Example:
  cordon roster status --client acme")]
    Status {
        /// Whose [default: the profile's client]
        #[arg(long, value_name = "CLIENT")]
        client: Option<ClientId>,
    },
}

/// What `roster make` needs to know.
#[derive(Debug, clap::Args)]
pub struct MakeArgs {
    /// The signed roster to change, instead of the collector's
    #[arg(long, value_name = "FILE", conflicts_with = "client")]
    from: Option<PathBuf>,
    /// Whose [default: the profile's client]
    #[arg(long, value_name = "CLIENT")]
    client: Option<ClientId>,
    /// Add a person with the public halves of a key, or a key to a person
    ///
    /// As `cordon operator key show` prints them. Without the second half, break-glass codes are not
    /// sealed to that person.
    #[arg(long = "add-operator", value_name = "NAME=PUBLIC[:SEALING]", value_parser = name_and_key)]
    add: Vec<(OperatorId, PublicKeys)>,
    /// Let break-glass codes be sealed to a person who has no sealing key in the roster, or another
    #[arg(long = "sealing-key", value_name = "NAME=SEALING", value_parser = name_and_sealing)]
    sealing: Vec<(OperatorId, SealingKey)>,
    /// Add a person with a passkey of the signing page, or a passkey to a person
    ///
    /// As the page of `cordon signer` shows it.
    #[arg(long = "add-passkey", value_name = "NAME=PASSKEY", value_parser = name_and_passkey)]
    passkeys: Vec<(OperatorId, DraftPasskey)>,
    /// The roles of those added
    #[arg(long = "role", value_name = "ROLE", value_delimiter = ',', value_parser = role,
        default_value = "responder,administrator")]
    roles: Vec<Role>,
    /// Take a person away
    #[arg(long = "remove-operator", value_name = "NAME")]
    remove: Vec<OperatorId>,
    /// Where endpoints dial from now on, tried in turn
    #[arg(long = "collector", value_name = "HOST:PORT")]
    collectors: Vec<String>,
    /// The draft to write; never over another one
    #[arg(long, short, value_name = "FILE")]
    out: PathBuf,
}

/// What `roster show` needs to know.
#[derive(Debug, clap::Args)]
pub struct ShowArgs {
    /// A signed roster or a draft; the collector's if none is given
    file: Option<PathBuf>,
    /// Whose [default: the profile's client]
    #[arg(long, value_name = "CLIENT", conflicts_with = "file")]
    client: Option<ClientId>,
    /// Check the signature with these public keys instead of the profile's
    #[arg(long, value_name = "FILE")]
    authority: Option<PathBuf>,
}

/// What `roster sign` needs to know.
#[derive(Debug, clap::Args)]
pub struct SignArgs {
    /// The draft
    draft: PathBuf,
    /// The authority's key file
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The signed roster to write; never over another one [default: roster-CLIENT-VERSION.cbor]
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
}

fn name_and_key(text: &str) -> Result<(OperatorId, PublicKeys), String> {
    let (name, key) = text.split_once('=').ok_or("it looks like NAME=PUBLIC")?;
    let name = name.parse::<OperatorId>().map_err(|error| error.to_string())?;
    let (signing, sealing) = key.split_once(':').map_or((key, None), |(a, b)| (a, Some(b)));
    let wrong = "a public half is 64 hexadecimal digits, as `cordon operator key show` prints it";
    let signing = hex::public_key::parse(signing).ok_or(wrong)?;
    let read = |key| hex::public_key::parse_sealing(key).ok_or(wrong);
    Ok((name, PublicKeys { signing, sealing: sealing.map(read).transpose()? }))
}

fn name_and_passkey(text: &str) -> Result<(OperatorId, DraftPasskey), String> {
    let (name, passkey) = text.split_once('=').ok_or("it looks like NAME=PASSKEY")?;
    let name = name.parse::<OperatorId>().map_err(|error| error.to_string())?;
    Ok((name, passkey.parse()?))
}

fn name_and_sealing(text: &str) -> Result<(OperatorId, SealingKey), String> {
    let (name, key) = text.split_once('=').ok_or("it looks like NAME=SEALING")?;
    let name = name.parse::<OperatorId>().map_err(|error| error.to_string())?;
    let key = hex::public_key::parse_sealing(key);
    let key = key.ok_or(
        "it is 64 hexadecimal digits: what `cordon operator key show` prints after the colon",
    )?;
    Ok((name, key))
}

fn role(text: &str) -> Result<Role, String> {
    let named = Role::ALL.into_iter().find(|role| role.name() == text);
    named.ok_or_else(|| "known are viewer, responder, administrator".to_owned())
}

/// Runs a command.
pub async fn run(context: &mut Context, command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Make(args) => make(context, args).await,
        Command::Show(args) => show(context, args).await,
        Command::Sign(args) => sign(context, &args),
        Command::Push { file } => push(context, &file).await,
        Command::Status { client } => status(context, client).await,
        Command::List { client } => versions::list(context, client).await,
        Command::Diff { to, from, client } => versions::diff(context, &to, from, client).await,
    }
}

fn document_bytes_max() -> u64 {
    u64::try_from(limits::DOCUMENT_BYTES_MAX).unwrap_or(u64::MAX)
}

async fn of_collector(
    context: &Context,
    client: Option<&ClientId>,
) -> anyhow::Result<SignedRoster> {
    let desk = context.desk()?;
    let client = desk.client(client)?;
    Ok(desk.roster(&desk.api()?, &client).await?.0)
}

async fn make(context: &mut Context, args: MakeArgs) -> anyhow::Result<Exit> {
    let before = match &args.from {
        // Whose signature it is will show when the new one is pushed; here it is only a pattern.
        Some(path) => {
            let bytes = file::read_existing(path, document_bytes_max())?;
            document::peek::<Roster>(Kind::Roster, &bytes)
                .with_context(|| format!("{} is not a signed roster", path.display()))?
        }
        None => of_collector(context, args.client.as_ref()).await?.roster,
    };
    let mut draft = Draft::after(&before);
    for (name, keys) in &args.add {
        draft.add(name, keys, &args.roles);
    }
    for (name, passkey) in &args.passkeys {
        draft.add_passkey(name, passkey, &args.roles);
    }
    for (name, key) in &args.sealing {
        draft.set_sealing(name, key)?;
    }
    for name in &args.remove {
        draft.remove(name)?;
    }
    if !args.collectors.is_empty() {
        draft.set_collectors(&args.collectors);
    }
    let after = draft.roster(clock::now_ns())?;
    file::write_new(&args.out, draft.to_text().as_bytes(), 0o644)?;
    for change in draft::changes(Some(&before), &after) {
        context.output.note(&format!("- {change}"))?;
    }
    let out = args.out.display();
    context.output.note(&format!(
        "Wrote {out}. Where the authority's key is: cordon roster sign {out} --key authority.key"
    ))?;
    Ok(Exit::Done)
}

fn sign(context: &mut Context, args: &SignArgs) -> anyhow::Result<Exit> {
    let text = file::read_existing(&args.draft, document_bytes_max())?;
    let draft = Draft::from_text(&String::from_utf8_lossy(&text))
        .with_context(|| format!("{}", args.draft.display()))?;
    let roster = draft.roster(clock::now_ns())?;
    let key_file = KeyFile::read_kind(&args.key, KeyKind::Authority)?;
    if !context.output.is_json() {
        tell(context, &roster)?;
    }
    let key = context::open(&key_file, &args.key, context.passphrase_file.as_deref())?;
    let name = || format!("roster-{}-{}.cbor", roster.client, roster.version).into();
    let out = args.out.clone().unwrap_or_else(name);
    let signed = SignedRoster::sign(roster, &key);
    if signed.bytes.len() > limits::DOCUMENT_BYTES_MAX {
        bail!("the roster is longer than {} bytes", limits::DOCUMENT_BYTES_MAX);
    }
    file::write_new(&out, &signed.bytes, 0o644)?;
    let shown = out.display();
    if context.output.is_json() {
        context.output.record(&json!({ "file": out, "roster": signed.reference() }))?;
    } else {
        context.output.note(&format!("Signed into {shown}. Next: cordon roster push {shown}"))?;
    }
    Ok(Exit::Done)
}

async fn push(context: &mut Context, path: &Path) -> anyhow::Result<Exit> {
    let desk = context.desk()?;
    let bytes = file::read_existing(path, document_bytes_max())?;
    let signed = SignedRoster::read(&bytes, &desk.authority())
        .with_context(|| format!("{} was not pushed", path.display()))?;
    let api = desk.api()?;
    let client = &signed.roster.client;
    let body = json!({ "document": URL_SAFE_NO_PAD.encode(&signed.bytes) });
    api.put(&["clients", client.as_str(), "roster"], body).await?;
    let (newest, record) = desk.roster(&api, client).await?;
    if newest.bytes != signed.bytes {
        bail!("the collector took the roster and shows another one");
    }
    context.output.note(&format!(
        "The collector holds version {} now; {} endpoint(s) do not yet: cordon roster status",
        signed.roster.version,
        record.laggards.len()
    ))?;
    Ok(Exit::Done)
}

async fn status(context: &mut Context, client: Option<ClientId>) -> anyhow::Result<Exit> {
    let desk = context.desk()?;
    let client = desk.client(client.as_ref())?;
    let (newest, record) = desk.roster(&desk.api()?, &client).await?;
    let version = newest.roster.version;
    if context.output.is_json() {
        context.output.record(&json!({
            "client": client, "roster": newest.reference(), "laggards": record.laggards,
        }))?;
        return Ok(Exit::Done);
    }
    let hash = newest.reference().hash.short();
    context.output.line(&format!(
        "client {client}: roster version {version} ({hash}), signed by the authority"
    ))?;
    if record.laggards.is_empty() {
        context.output.line("Every endpoint holds it, says the collector.")?;
        return Ok(Exit::Done);
    }
    let mut table = Table::new(&["ENDPOINT", "ID", "HOLDS VERSION"]);
    for laggard in &record.laggards {
        let id = first(laggard, &["/endpoint"]);
        table.row([
            Cell::new(first(laggard, &["/host_name"])),
            Cell::new(id.chars().take(12).collect::<String>()),
            Cell::toned(first(laggard, &["/roster_version"]), Tone::Notice),
        ]);
    }
    context.output.table(&table)?;
    context.output.note("What this version revokes still counts on these endpoints.")?;
    Ok(Exit::Done)
}

async fn show(context: &mut Context, args: ShowArgs) -> anyhow::Result<Exit> {
    let Some(path) = &args.file else {
        let signed = of_collector(context, args.client.as_ref()).await?;
        return told(context, &signed.roster, "signed by the authority");
    };
    let bytes = file::read_existing(path, document_bytes_max())?;
    if let Ok(draft) = Draft::from_text(&String::from_utf8_lossy(&bytes)) {
        return told(context, &draft.roster(0)?, "a draft, not signed");
    }
    let authority = match &args.authority {
        Some(path) => Some(AuthorityKeys::read(path)?.authority),
        None => context.desk().ok().map(|desk| desk.authority()),
    };
    if let Some(authority) = authority {
        let signed = SignedRoster::read(&bytes, &authority)?;
        return told(context, &signed.roster, "signed by the authority");
    }
    let roster = document::peek::<Roster>(Kind::Roster, &bytes)
        .with_context(|| format!("{} is neither a roster nor a draft", path.display()))?;
    told(context, &roster, "signature NOT checked: no profile and no --authority")
}

fn told(context: &mut Context, roster: &Roster, standing: &str) -> anyhow::Result<Exit> {
    if context.output.is_json() {
        let mut record = serde_json::to_value(Draft::of(roster))?;
        record["standing"] = standing.into();
        context.output.record(&record)?;
    } else {
        context.output.line(&format!("{standing}\n"))?;
        tell(context, roster)?;
    }
    Ok(Exit::Done)
}

fn tell(context: &mut Context, roster: &Roster) -> anyhow::Result<()> {
    let (client, version) = (&roster.client, roster.version);
    context.output.line(&format!("client {client}, version {version}"))?;
    let mut people = Table::new(&["OPERATOR", "ROLES", "KEYS", "SEALING KEY"]);
    for operator in &roster.operators {
        let roles: Vec<_> = operator.roles.iter().copied().map(Role::name).collect();
        let key = |key: &OperatorKey| match key {
            OperatorKey::File(key) => format!("file {}", key.id().short()),
            OperatorKey::Passkey { rp_id, .. } => {
                format!("passkey {} at {rp_id}", key.id().short())
            }
        };
        let keys: Vec<_> = operator.keys.iter().map(key).collect();
        people.row([
            Cell::new(operator.id.as_str()),
            Cell::new(roles.join(", ")),
            Cell::new(keys.join(", ")),
            match operator.sealing {
                Some(key) => Cell::new(key.id().short()),
                None => Cell::toned("none: no break-glass", Tone::Notice),
            },
        ]);
    }
    context.output.table(&people)?;
    let mut grants = Table::new(&["ACTION", "BY", "APPROVALS", "ENDPOINTS AT MOST"]);
    for grant in &roster.grants {
        grants.row([
            Cell::new(grant.action.name()),
            Cell::new(grant.role.name()),
            Cell::new(grant.approvals.to_string()),
            Cell::new(grant.targets_max.to_string()),
        ]);
    }
    context.output.table(&grants)?;
    let lease = moment::length(roster.ceilings.lease_secs_max);
    let exemptions = roster.ceilings.exemptions_max;
    context.output.line(&format!("leases up to {lease}, exemptions up to {exemptions}"))?;
    context.output.line(&draft::autonomy(roster.ceilings.autonomy.as_ref()))?;
    if !roster.collectors.is_empty() {
        context.output.line(&format!("endpoints dial {}", roster.collectors.join(", ")))?;
    }
    Ok(())
}
