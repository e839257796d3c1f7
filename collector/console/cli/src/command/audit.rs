//! `cordon audit`: what people did, from the collector's chained trail, and the chain itself.

mod trail;

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Subcommand;
use cordon_proto::id::ClientId;
use cordon_proto::time::rfc3339;
use serde_json::{Value, json};

use super::find_list::{self, time};
use crate::clock;
use crate::context::Context;
use crate::exit::Exit;
use crate::file;
use crate::moment::parse_moment;
use crate::output::{Cell, Table};
use crate::summary::event::word;

/// The longest trail that is fetched or read.
const TRAIL_BYTES_MAX: usize = 1 << 30;

/// What can be done with the audit trail.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List what people did, the latest last
    #[command(after_help = "Examples:
  cordon audit list --client acme
  cordon audit list --who ann --what token.create,token.revoke --since 7d
  cordon audit list --client acme --text web-01 --limit 1000 --json")]
    List(ListArgs),
    /// Take a client's whole trail away in a file that can be checked anywhere
    #[command(after_help = "Examples:
  cordon audit export --client acme --out acme-audit.ndjson
  cordon audit verify acme-audit.ndjson

Keep the hash that `verify` prints somewhere else: with it a later trail shows whether anything before
was changed. Without one, whoever holds the collector's database could have made the trail anew.")]
    Export {
        /// Whose trail [default: the profile's client]
        #[arg(long, value_name = "CLIENT")]
        client: Option<ClientId>,
        /// The file to write; never over another one
        #[arg(long, short, value_name = "FILE")]
        out: PathBuf,
    },
    /// Check the chain of a trail that was taken away
    #[command(after_help = "Examples:
  cordon audit verify acme-audit.ndjson
  cordon audit verify acme-audit.ndjson --holds 12:5f0c1e0a3b7d4c9e8f6a2b1c0d9e8f7a6b5c4d3e2f1a0b9c8d7e6f5a4b3c2d1e

Ends with 14 if it does not hold. --holds is an entry's number and hash, kept from an earlier time.")]
    Verify {
        /// The file
        file: PathBuf,
        /// An entry that it must have, from an earlier `verify`
        #[arg(long, value_name = "NUMBER:HASH", value_parser = trail::kept)]
        holds: Option<trail::Head>,
    },
}

/// What `audit list` needs to know.
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    /// Whose trail [default: the profile's client]
    #[arg(long, value_name = "CLIENT")]
    client: Option<ClientId>,
    /// Only what this person did
    #[arg(long, value_name = "NAME")]
    who: Option<String>,
    /// Only these deeds: sign-in, command.upload, token.create, roster.put …
    #[arg(long, value_name = "DEED", value_delimiter = ',')]
    what: Vec<String>,
    /// Only those with this in what it was done to, or in the detail
    #[arg(long, value_name = "TEXT")]
    text: Option<String>,
    /// Not before: a length of time before now, or a moment
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Not after: a length of time before now, or a moment
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// The latest so many
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    limit: usize,
}

/// Runs a command.
pub async fn run(context: &mut Context, command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::List(args) => list(context, args).await,
        Command::Export { client, out } => {
            let desk = context.desk()?;
            let api = desk.api()?;
            let client = desk.client(client.as_ref())?;
            let query = [("client", client.to_string())];
            let progress = context.output.progress("fetching the trail");
            let text = api.get_text(&["audit", "export"], &query, TRAIL_BYTES_MAX);
            let text = progress.wait(text).await?;
            drop(progress);
            let read = trail::read(&text, None).context("what the collector gave does not hold");
            let head = read?;
            file::write_new(&out, text.as_bytes(), 0o600)?;
            told(context, &head)
        }
        Command::Verify { file, holds } => {
            let bytes_max = u64::try_from(TRAIL_BYTES_MAX).unwrap_or(u64::MAX);
            let text = String::from_utf8(file::read_existing(&file, bytes_max)?);
            let text = text.with_context(|| format!("{} is not text", file.display()))?;
            match trail::read(&text, holds.as_ref()) {
                Ok(head) => told(context, &head),
                Err(broken) => {
                    context.output.warn(&format!("the trail does not hold: {broken}"))?;
                    Ok(Exit::DoesNotHold)
                }
            }
        }
    }
}

fn told(context: &mut Context, head: &trail::Read) -> anyhow::Result<Exit> {
    let trail::Read { client, first, end } = head;
    if context.output.is_json() {
        let record = json!({
            "client": client, "first": first, "number": end.number, "hash": end.hash,
        });
        context.output.record(&record)?;
    } else {
        let (number, hash) = (end.number, end.hash);
        context.output.line(&format!(
            "client {client}: entries {first} to {number} are one chain; it ends at {number}:{hash}"
        ))?;
    }
    Ok(Exit::Done)
}

async fn list(context: &mut Context, args: ListArgs) -> anyhow::Result<Exit> {
    let desk = context.desk()?;
    let api = desk.api()?;
    let client = desk.client(args.client.as_ref())?;
    let now_ns = clock::now_ns();
    let moment = |text: Option<String>| {
        text.map(|text| parse_moment(&text, now_ns).map(rfc3339)).transpose()
    };
    let what = (!args.what.is_empty()).then(|| args.what.join(","));
    let given = [
        ("client", Some(client.to_string())),
        ("who", args.who),
        ("what", what),
        ("text", args.text),
        ("since", moment(args.since)?),
        ("until", moment(args.until)?),
        ("order", Some("newest".to_owned())),
        ("limit", Some(args.limit.clamp(1, 500).to_string())),
    ];
    let query: Vec<_> =
        given.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    let progress = context.output.progress("reading the trail");
    let (mut entries, more) = progress.wait(api.list(&["audit"], &query, args.limit)).await?;
    drop(progress);
    entries.reverse();
    let mut table = Table::new(&["TIME", "WHO", "DID", "TO", "DETAIL"]);
    let row = |item: &Value| {
        vec![
            Cell::new(time(item, &["/at"])),
            Cell::new(word(item, "/who")),
            Cell::new(word(item, "/what")),
            Cell::new(word(item, "/to")),
            Cell::new(word(item, "/detail")),
        ]
    };
    find_list::items_shown(context, &entries, &mut table, row)?;
    if more {
        let limit = args.limit;
        context.output.note(&format!("These are the latest {limit}; --limit shows more."))?;
    }
    Ok(Exit::Done)
}
