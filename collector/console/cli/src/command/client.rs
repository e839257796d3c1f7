//! `cordon client`: the clients whose rosters name this operator.

use clap::Subcommand;
use serde_json::Value;

use super::find_list;
use crate::context::Context;
use crate::exit::Exit;
use crate::output::{Cell, Table};
use crate::summary::event::word;

/// Clients that are listed.
const LISTED_MAX: usize = 10_000;

/// What can be done with clients.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the clients that you may see
    List,
}

/// Runs a command.
pub async fn run(context: &mut Context, command: &Command) -> anyhow::Result<Exit> {
    let Command::List = command;
    let desk = context.desk()?;
    let api = desk.api()?;
    let mut table = Table::new(&["CLIENT", "YOU ARE", "ROLE", "ROSTER"]);
    let row = |item: &Value| {
        let fields = ["/id", "/operator", "/role", "/roster_version"];
        fields.iter().map(|field| Cell::new(word(item, field))).collect()
    };
    find_list::show(context, &api, &["clients"], &[], LISTED_MAX, &mut table, row).await
}
