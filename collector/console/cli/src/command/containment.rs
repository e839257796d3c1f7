//! `cordon containment`: what stands on endpoints now, and how long it still stands.

use clap::Subcommand;
use cordon_proto::id::ClientId;
use serde_json::Value;

use super::find_list::{self, time};
use crate::context::Context;
use crate::exit::Exit;
use crate::moment;
use crate::output::table::Tone;
use crate::output::{Cell, Table};
use crate::summary::event::word;

/// Containments that are listed.
const LISTED_MAX: usize = 10_000;

/// What can be done with containments.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the containments that stand
    #[command(after_help = "Examples:
  cordon containment list
  cordon containment list --client acme --json

LEFT is what was left of the lease at the endpoint's last health, in its own time; OBSERVED is what it
last observed, and how long ago. BY is whoever asked for it, or the response of the policy by which
the endpoint did it by itself; `cordon undo` takes the COMMAND of that, too.")]
    List {
        /// Only this client's
        #[arg(long, value_name = "CLIENT")]
        client: Option<ClientId>,
    },
}

/// Runs a command.
pub async fn run(context: &mut Context, command: Command) -> anyhow::Result<Exit> {
    let Command::List { client } = command;
    let desk = context.desk()?;
    let api = desk.api()?;
    let client = client.or_else(|| desk.profile.client.clone());
    let query: Vec<_> = client.map(|client| ("client", client.to_string())).into_iter().collect();
    let heads = ["ENDPOINT", "ACTION", "SINCE", "LEFT", "OBSERVED", "COMMAND", "BY", "REASON"];
    let mut table = Table::new(&heads).whole(&["COMMAND"]).spare(&["REASON", "BY", "SINCE"]);
    let row = |item: &Value| {
        let number = |pointer| item.pointer(pointer).and_then(Value::as_u64);
        let observed = word(item, "/observed/state");
        let age = number("/observed/age_secs").map(moment::length).unwrap_or_default();
        let tone = if observed == "holds" { Tone::Good } else { Tone::Bad };
        vec![
            Cell::new(word(item, "/host_name")),
            Cell::new(word(item, "/action")),
            Cell::new(time(item, &["/since"])),
            Cell::new(number("/left_secs").map(moment::length).unwrap_or_default()),
            Cell::toned(format!("{observed}, {age} ago"), tone),
            Cell::new(word(item, "/command")),
            Cell::new(word(item, "/by")),
            Cell::new(word(item, "/reason")),
        ]
    };
    find_list::show(context, &api, &["containments"], &query, LISTED_MAX, &mut table, row).await
}
