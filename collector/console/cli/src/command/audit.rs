//! `cordon audit`: what people did, from the collector's chained trail.

use clap::Subcommand;
use cordon_proto::id::ClientId;
use serde_json::Value;

use super::find_list::{self, time};
use crate::context::Context;
use crate::exit::Exit;
use crate::output::{Cell, Table};
use crate::summary::event::word;

/// Entries looked through for the latest ones: the collector lists the oldest first.
const ENTRIES_MAX: usize = 100_000;

/// What can be done with the audit trail.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List what people did, the latest last
    #[command(after_help = "Examples:
  cordon audit list --client acme
  cordon audit list --client acme --limit 1000 --json")]
    List {
        /// Whose trail [default: the profile's client]
        #[arg(long, value_name = "CLIENT")]
        client: Option<ClientId>,
        /// The latest so many
        #[arg(long, value_name = "COUNT", default_value_t = 100)]
        limit: usize,
    },
}

/// Runs a command.
pub async fn run(context: &mut Context, command: Command) -> anyhow::Result<Exit> {
    let Command::List { client, limit } = command;
    let desk = context.desk()?;
    let api = desk.api()?;
    let client = desk.client(client.as_ref())?;
    let query = [("client", client.to_string()), ("limit", "500".to_owned())];
    let progress = context.output.progress("reading the trail");
    let (entries, more) = progress.wait(api.list(&["audit"], &query, ENTRIES_MAX)).await?;
    drop(progress);
    let latest = entries.get(entries.len().saturating_sub(limit)..).unwrap_or_default();
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
    find_list::items_shown(context, latest, &mut table, row)?;
    if more {
        context.output.warn(&format!(
            "the trail is longer than the {ENTRIES_MAX} entries looked through; what is shown is \
             not the latest"
        ))?;
    }
    Ok(Exit::Done)
}
