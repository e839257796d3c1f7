//! `cordon session`: who is signed in, from where, and the end of it.

use clap::Subcommand;
use cordon_proto::id::ClientId;
use serde_json::Value;

use super::find_list::{self, time};
use crate::context::Context;
use crate::exit::Exit;
use crate::output::{Cell, Table, table::Tone};
use crate::summary::event::word;

/// Sessions that are listed.
const LISTED_MAX: usize = 10_000;

/// What can be done with sessions.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Say who you are here, and by what right
    #[command(after_help = "Examples:
  cordon session show
  cordon session show --json

With CORDON_TOKEN set, this shows what the token may do.")]
    Show,
    /// List sessions: yours, or those of a client's operators
    #[command(after_help = "Examples:
  cordon session list
  cordon session list --client acme

Administrators of a client see the sessions of its operators that reach it. A session ends eight
hours after it was opened, or after half an hour without use.")]
    List {
        /// Those of all operators of this client; you must be its administrator
        #[arg(long, value_name = "CLIENT")]
        client: Option<ClientId>,
    },
    /// End a session, or all of yours
    #[command(after_help = "Examples:
  cordon session revoke 5f1c0000000000000000000000000001
  cordon session revoke --others
  cordon session revoke --all

What a session showed is not taken back; live feeds that it opened end within seconds. Commands that
were signed stand: a session signs none.")]
    Revoke {
        /// The session's id, from `cordon session list`
        #[arg(required_unless_present_any = ["all", "others"])]
        id: Option<String>,
        /// All of yours, this one too
        #[arg(long, conflicts_with = "id")]
        all: bool,
        /// All of yours but this one
        #[arg(long, conflicts_with_all = ["id", "all"])]
        others: bool,
    },
}

/// Runs a command.
pub async fn run(context: &mut Context, command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Show => show(context).await,
        Command::List { client } => list(context, client.as_ref()).await,
        Command::Revoke { id, others, .. } => revoke(context, id.as_deref(), others).await,
    }
}

async fn show(context: &mut Context) -> anyhow::Result<Exit> {
    let desk = context.desk()?;
    let api = desk.api()?;
    let mut shown = api.get(&["session"], &[]).await?;
    if let Some(map) = shown.as_object_mut() {
        // It is of use to a page of the console only.
        map.remove("csrf");
    }
    if context.output.is_json() {
        context.output.record(&shown)?;
        return Ok(Exit::Done);
    }
    let by = match word(&shown, "/api_token") {
        id if id.is_empty() => format!("session {}", word(&shown, "/session/id")),
        id => format!("API token {id}"),
    };
    let line = |name: &str, value: &str| format!("{name:<9} {}", crate::output::text::plain(value));
    context.output.line(&line("operator", &word(&shown, "/operator")))?;
    context.output.line(&line("by", &by))?;
    let none = Vec::new();
    for client in shown.get("clients").and_then(Value::as_array).unwrap_or(&none) {
        let role = format!("{} as {}", word(client, "/id"), word(client, "/role"));
        context.output.line(&line("client", &role))?;
    }
    let ends = time(&shown, &["/session/ends_at"]);
    if !ends.is_empty() {
        context.output.line(&line("ends", &ends))?;
    }
    Ok(Exit::Done)
}

async fn list(context: &mut Context, client: Option<&ClientId>) -> anyhow::Result<Exit> {
    let desk = context.own_desk()?;
    let api = desk.api()?;
    let query: Vec<_> = client.iter().map(|client| ("client", client.to_string())).collect();
    let heads = ["ID", "OPERATOR", "SIGNED IN WITH", "FROM", "OPENED", "USED", "PROGRAM"];
    let mut table = Table::new(&heads).whole(&["ID"]).spare(&["PROGRAM", "OPENED", "FROM"]);
    let row = |item: &Value| {
        let this = item.get("this") == Some(&Value::Bool(true));
        let tone = if this { Tone::Good } else { Tone::Plain };
        vec![
            Cell::toned(word(item, "/id"), tone),
            Cell::new(word(item, "/operator")),
            Cell::new(way(&word(item, "/way"))),
            Cell::new(word(item, "/address")),
            Cell::new(time(item, &["/made_at"])),
            Cell::new(if this { "now (this one)".to_owned() } else { time(item, &["/used_at"]) }),
            Cell::new(word(item, "/agent")),
        ]
    };
    find_list::show(context, &api, &["sessions"], &query, LISTED_MAX, &mut table, row).await
}

fn way(way: &str) -> &str {
    match way {
        "password" => "password + code",
        "recovery" => "recovery code",
        other => other,
    }
}

async fn revoke(context: &mut Context, id: Option<&str>, others: bool) -> anyhow::Result<Exit> {
    let desk = context.own_desk()?;
    let api = desk.api()?;
    if let Some(id) = id {
        api.delete(&["sessions", id]).await?;
        context.output.note("Ended.")?;
        return Ok(Exit::Done);
    }
    let query = [("keep_this", others.to_string())];
    let answer = api.delete_where(&["sessions"], &query).await?;
    if context.output.is_json() {
        context.output.record(&answer)?;
    } else {
        context.output.note(&format!("Ended {} session(s).", word(&answer, "/ended")))?;
    }
    Ok(Exit::Done)
}
