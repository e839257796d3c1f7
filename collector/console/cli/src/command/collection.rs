//! `cordon collection`: what was collected; an archive fetched, opened with the operator's key, and
//! verified here.

use std::fs::{File, OpenOptions};
use std::io::{BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Subcommand;
use cordon_proto::collection::{Collected, Inside, Item};
use cordon_proto::id::{ClientId, CommandId, EndpointId};
use cordon_proto::message::Signed;
use cordon_proto::sign::document::{self, Kind};
use serde::Deserialize;
use serde_json::{Value, json};

use super::find_list::{self, time};
use crate::api::Api;
use crate::archive;
use crate::context::Context;
use crate::exit::Exit;
use crate::file;
use crate::output::table::Tone;
use crate::output::text::plain;
use crate::output::{Cell, Table};
use crate::sealed::SealedError;
use crate::sealing::OpeningKey;
use crate::summary::event::word;

/// Collections that are listed.
const LISTED_MAX: usize = 10_000;

/// What an endpoint signs about an archive.
const SIGNED_BYTES_MAX: u64 = 64 << 10;

/// What can be done with collections.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List what was collected
    #[command(after_help = "Examples:
  cordon collection list
  cordon collection list --client acme --json")]
    List {
        /// Only this client's
        #[arg(long, value_name = "CLIENT")]
        client: Option<ClientId>,
    },
    /// Fetch the archives of a command, open them with your key, and verify them
    #[command(after_help = "Examples:
  cordon collection get 0190b5a2-7d3e-7cc2-9f4b-2f1f3a5b6c7d --out case-7

Beside each archive stands what its endpoint signed about it. A fetch that was cut off goes on where it
was. An archive that is not sealed to you stays as it came, with '.sealed' behind its name, for
`cordon collection open` by somebody to whom it is. Fetching is written into the audit trail.")]
    Get {
        /// The command, as `cordon collection list` shows it
        #[arg(value_name = "COMMAND")]
        command: CommandId,
        /// Only that of this endpoint, by its whole id
        #[arg(long, value_name = "ID")]
        endpoint: Option<EndpointId>,
        /// The folder to write into
        #[arg(long, value_name = "DIR", default_value = ".")]
        out: PathBuf,
    },
    /// Open a sealed archive with your key, offline, and verify it
    #[command(after_help = "Examples:
  cordon collection open case-7/0190b5a2-7d3e-7cc2-9f4b-2f1f3a5b6c7d-3fa9c1d2.tar.zst.sealed

Writes the archive beside it, without '.sealed', once all of it is what the endpoint signed; the sealed
one stays. An archive is sealed to the operators who could collect by the roster that the endpoint held
when it was made; who joined later cannot open it.")]
    Open {
        /// The sealed archive; what was signed about it stands beside it
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Check an archive, offline: signature, digest, and every content by the manifest
    #[command(after_help = "Examples:
  cordon collection verify case-7/0190b5a2-7d3e-7cc2-9f4b-2f1f3a5b6c7d-3fa9c1d2.tar.zst

Of one that is sealed the signature and the digest of the whole are checked; what is in it shows when
it is opened. Ends with 0 only if everything holds, with 14 if something does not. That the archive is the endpoint's
is certain: an endpoint's id is the hash of its key. Which machine has that id, the roster's people
know.")]
    Verify {
        /// The archive; what was signed about it stands beside it, with '.signed' behind the name
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

/// A collection as the collector lists it.
#[derive(Deserialize)]
struct Listed {
    command: CommandId,
    endpoint: EndpointId,
    whole: bool,
    signed: String,
}

/// Runs a command.
pub async fn run(context: &mut Context, command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::List { client } => list(context, client).await,
        Command::Get { command, endpoint, out } => get(context, command, endpoint, &out).await,
        Command::Open { file } => open(context, &file),
        Command::Verify { file } => verify(context, &file),
    }
}

async fn list(context: &mut Context, client: Option<ClientId>) -> anyhow::Result<Exit> {
    let desk = context.desk()?;
    let api = desk.api()?;
    let client = client.or_else(|| desk.profile.client.clone());
    let query: Vec<_> = client.map(|client| ("client", client.to_string())).into_iter().collect();
    let heads = ["ENDPOINT", "AT", "BYTES", "HERE", "SEALED", "ENTRIES", "MISSING", "COMMAND"];
    let spare = ["ENTRIES", "SEALED", "MISSING", "AT"];
    let mut table = Table::new(&heads).whole(&["ENDPOINT", "COMMAND"]).spare(&spare);
    let row = |item: &Value| {
        let number = |pointer| item.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
        let whole = item.pointer("/whole").and_then(Value::as_bool) == Some(true);
        let here = if whole { "whole".to_owned() } else { number("/received").to_string() };
        let tone = if whole { Tone::Good } else { Tone::Notice };
        let sealed = match item.pointer("/sealed").and_then(Value::as_bool) {
            Some(true) => Cell::new("yes"),
            Some(false) | None => Cell::toned("NO", Tone::Notice),
        };
        let endpoint = word(item, "/endpoint");
        vec![
            Cell::new(endpoint.get(..12).unwrap_or(&endpoint)),
            Cell::new(time(item, &["/at"])),
            Cell::new(number("/bytes").to_string()),
            Cell::toned(here, tone),
            sealed,
            Cell::new(number("/entries").to_string()),
            Cell::new(number("/missing").to_string()),
            Cell::new(word(item, "/command")),
        ]
    };
    find_list::show(context, &api, &["collections"], &query, LISTED_MAX, &mut table, row).await
}

/// Fetches the archives of a command and verifies each.
pub(super) async fn get(
    context: &mut Context,
    command: CommandId,
    endpoint: Option<EndpointId>,
    out: &Path,
) -> anyhow::Result<Exit> {
    let desk = context.desk()?;
    let api = desk.api()?;
    let (items, _) = api.list(&["collections"], &[], LISTED_MAX).await?;
    let listed: Result<Vec<Listed>, _> = items.into_iter().map(|item| api.read(item)).collect();
    let wanted = |one: &Listed| {
        one.command == command && endpoint.is_none_or(|endpoint| endpoint == one.endpoint)
    };
    let listed: Vec<_> = listed?.into_iter().filter(wanted).collect();
    if listed.is_empty() {
        bail!("nothing of command {command} is at the collector");
    }
    file::make_private_dir(out)?;
    let mut exit = Exit::Done;
    for one in listed {
        if !one.whole {
            let short = one.endpoint.short();
            context.output.warn(&format!("endpoint {short} has not delivered all of it yet"))?;
            exit = exit.max(Exit::Unproved);
            continue;
        }
        let path = out.join(format!("{command}-{}.tar.zst", one.endpoint.short()));
        let signed = Signed { bytes: URL_SAFE_NO_PAD.decode(&one.signed)? };
        // What is kept is what this endpoint signed, about this command, or nothing.
        let collected = Collected::verify(&signed, one.endpoint)
            .ok()
            .filter(|collected| collected.command == command);
        let Some(collected) = collected else {
            context.output.warn("NOT VERIFIED: the collector shows another signature")?;
            exit = exit.max(Exit::DoesNotHold);
            continue;
        };
        if path.exists() {
            exit = exit.max(verify(context, &path)?);
            continue;
        }
        file::replace(&beside(&path), &signed.bytes, 0o600)?;
        if collected.archive.inside.is_none() {
            context
                .output
                .warn("it was not sealed: the command allowed that, and nobody was there")?;
            fetch(context, &api, &one, &path).await?;
            exit = exit.max(verify(context, &path)?);
            continue;
        }
        let sealed = sealed(&path);
        if !sealed.exists() {
            fetch(context, &api, &one, &sealed).await?;
        }
        let opened = open(context, &sealed)?;
        if opened == Exit::Done {
            std::fs::remove_file(&sealed).context("cannot remove what was opened")?;
        }
        exit = exit.max(opened);
    }
    Ok(exit)
}

/// Fetches one archive into a draft beside its place, going on where an earlier try ended.
async fn fetch(context: &Context, api: &Api<'_>, one: &Listed, path: &Path) -> anyhow::Result<()> {
    let draft = path.with_extension("part");
    let mut options = OpenOptions::new();
    let part = options.append(true).create(true).mode(0o600).open(&draft);
    let mut part = part.with_context(|| format!("cannot write {}", draft.display()))?;
    let mut bytes = part.metadata()?.len();
    let progress = context.output.progress("fetching the archive");
    let path_of = ["collections", &one.command.to_string(), &one.endpoint.to_string()];
    let mut answer = api.get_for_stream(&path_of, bytes).await?;
    while let Some(chunk) = api.chunk(&mut answer).await? {
        part.write_all(&chunk).context("cannot write")?;
        bytes += u64::try_from(chunk.len()).unwrap_or(u64::MAX);
        progress.bytes("receiving", bytes);
    }
    part.sync_all().context("cannot write")?;
    std::fs::rename(&draft, path).with_context(|| format!("cannot name {}", path.display()))
}

/// What the name of a sealed archive ends with.
const SEALED: &str = ".sealed";

/// Where an archive stands while it is sealed.
fn sealed(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(SEALED);
    PathBuf::from(name)
}

/// Where it stands when it is opened; none for one whose name does not say that it is sealed.
fn unsealed(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?.strip_suffix(SEALED)?;
    Some(path.with_file_name(name))
}

/// Where what was signed about an archive stands, whether or not it is sealed.
fn beside(path: &Path) -> PathBuf {
    let mut name = unsealed(path).unwrap_or_else(|| path.to_owned()).into_os_string();
    name.push(".signed");
    PathBuf::from(name)
}

/// What an endpoint signed about the archive at this place.
fn signed_beside(path: &Path) -> anyhow::Result<Collected> {
    let signed = Signed { bytes: file::read_existing(&beside(path), SIGNED_BYTES_MAX)? };
    let claimed = document::peek::<Collected>(Kind::Collected, &signed.bytes)?;
    Ok(Collected::verify(&signed, claimed.endpoint)?)
}

fn opening(path: &Path) -> anyhow::Result<BufReader<File>> {
    let file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
    Ok(BufReader::new(file))
}

/// Opens a sealed archive beside its place. What does not open stays as it is.
fn open(context: &mut Context, path: &Path) -> anyhow::Result<Exit> {
    let to = unsealed(path)
        .with_context(|| format!("the name of a sealed archive ends with '{SEALED}'"))?;
    let key = OpeningKey::of(context.desk()?.signer.key()?)?;
    let exit = match open_with(&key, path, &to) {
        Ok(()) => return verify(context, &to),
        Err(error) => {
            // Neither says anything against the evidence.
            let is_no_doubt = error.chain().any(|cause| {
                matches!(cause.downcast_ref(), Some(SealedError::NotMine(_) | SealedError::Io(_)))
            });
            let name = plain(&path.display().to_string()).into_owned();
            context.output.warn(&format!("{name}: NOT OPENED: {error:#}"))?;
            if is_no_doubt { Exit::Error } else { Exit::DoesNotHold }
        }
    };
    Ok(exit)
}

/// Nothing stands at `to` before all of it is known to be what the endpoint signed.
fn open_with(key: &OpeningKey, path: &Path, to: &Path) -> anyhow::Result<()> {
    let collected = signed_beside(path)?;
    let Some(inside) = collected.archive.inside else { bail!("its endpoint did not seal it") };
    let draft = to.with_extension("opening");
    let mut options = OpenOptions::new();
    let made = options.write(true).create(true).truncate(true).mode(0o600).open(&draft);
    let mut file = made.with_context(|| format!("cannot write {}", draft.display()))?;
    let opened = crate::sealed::open(&mut opening(path)?, &mut file, key, &collected)
        .map_err(anyhow::Error::from)
        .and_then(|()| archive::check_bytes(opening(path)?, collected.archive.travels()))
        .and_then(|()| archive::check_bytes(opening(&draft)?, inside));
    if let Err(error) = opened {
        // What was opened so far is nobody's evidence of anything.
        std::fs::remove_file(&draft).ok();
        return Err(error);
    }
    file.sync_all().context("cannot write")?;
    std::fs::rename(&draft, to).with_context(|| format!("cannot name {}", to.display()))
}

/// Of a sealed archive nothing but its bytes as a whole is looked at.
fn checked(path: &Path) -> anyhow::Result<(Collected, Option<Vec<Item>>)> {
    let collected = signed_beside(path)?;
    let is_sealed = collected.archive.inside.is_some() && unsealed(path).is_some();
    let items = if is_sealed {
        archive::check_bytes(opening(path)?, collected.archive.travels())?;
        None
    } else {
        Some(archive::check(opening(path)?, collected.archive.plain())?)
    };
    Ok((collected, items))
}

fn verify(context: &mut Context, path: &Path) -> anyhow::Result<Exit> {
    let name = path.display().to_string();
    let (collected, items) = match checked(path) {
        Ok(checked) => checked,
        Err(error) => {
            context.output.warn(&format!("{}: NOT VERIFIED: {error:#}", plain(&name)))?;
            return Ok(Exit::DoesNotHold);
        }
    };
    let Collected { endpoint, command, archive, .. } = collected;
    if context.output.is_json() {
        let Inside { bytes, sha256 } =
            if items.is_some() { archive.plain() } else { archive.travels() };
        context.output.record(&json!({
            "file": name, "endpoint": endpoint, "command": command, "sha256": sha256,
            "bytes": bytes, "entries": archive.entries, "cut": archive.cut,
            "sealed": archive.inside.is_some(), "items": items,
        }))?;
        return Ok(Exit::Done);
    }
    let Some(items) = items else {
        context.output.note(&format!(
            "{}: endpoint {} signed it for command {command}; it is sealed, and only its digest was \
             verified here (`cordon collection open`)",
            plain(&name),
            endpoint.short()
        ))?;
        return Ok(Exit::Done);
    };
    context.output.line(&format!("{}: {} entries", plain(&name), archive.entries))?;
    for item in &items {
        if let Some(why) = &item.missing {
            let line = format!("missing or not whole: {}: {}", plain(&item.path), plain(why));
            context.output.warn(&line)?;
        }
    }
    if archive.cut {
        context.output.warn("a limit kept something out: see --bytes-max and the manifest")?;
    }
    context.output.note(&format!(
        "endpoint {} signed it for command {command}; digest and every content verified here",
        endpoint.short()
    ))?;
    Ok(Exit::Done)
}
