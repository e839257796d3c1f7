//! `cordon api-token`: tokens with which programs look, or act, in a person's name.

use std::time::Duration;

use clap::{Subcommand, ValueEnum};
use cordon_proto::id::ClientId;
use serde_json::{Value, json};

use super::find_list::{self, time};
use crate::api::Api;
use crate::context::{Context, TOKEN_VARIABLE};
use crate::exit::Exit;
use crate::moment::parse_length;
use crate::output::text::plain;
use crate::output::{Cell, Table};
use crate::summary::event::word;

/// Tokens that are listed.
const LISTED_MAX: usize = 10_000;

/// What can be done with API tokens.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a token; it is shown once
    #[command(after_help = "Examples:
  cordon api-token create grafana --for 90d
  cordon api-token create ci --client acme --role responder --write --for 30d
  cordon api-token create backup --client acme --client zeta --json

A token looks on as a viewer unless you say otherwise. It can never do more than you may at the time
when it is used, and ends when no roster has your key. It cannot make tokens, change how anybody
signs in, or sign: what endpoints obey is signed with operators' keys alone.

Put it where the program finds it, and `cordon` itself uses it too:
  CORDON_TOKEN=cordon_… cordon endpoint list

Whoever has the token can use it. It begins with `cordon_`, so that scanners for leaked secrets know
it; `cordon api-token list` shows when and from where it was last used.")]
    Create(CreateArgs),
    /// List tokens: yours, or those that reach a client
    #[command(after_help = "Examples:
  cordon api-token list
  cordon api-token list --client acme --json")]
    List {
        /// Those of all operators that reach this client; you must be its administrator
        #[arg(long, value_name = "CLIENT")]
        client: Option<ClientId>,
    },
    /// End a token now
    #[command(after_help = "Example:
  cordon api-token revoke 5f1c0000000000000000000000000001")]
    Revoke {
        /// The token's id, from `cordon api-token list`
        id: String,
    },
}

/// No role above this.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum RoleMax {
    /// Sees, and changes nothing
    Viewer,
    /// Brings commands that operators signed, reads answers
    Responder,
    /// All that you may
    Administrator,
}

impl RoleMax {
    fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Responder => "responder",
            Self::Administrator => "administrator",
        }
    }
}

/// What `api-token create` needs to know.
#[derive(Debug, clap::Args)]
pub struct CreateArgs {
    /// What it is for, for people
    name: String,
    /// How long it is good; at most 366d
    #[arg(long = "for", value_name = "TIME", default_value = "90d", value_parser = parse_length)]
    valid: Duration,
    /// Only this client; again for each [default: all that you have, now and later]
    #[arg(long, value_name = "CLIENT")]
    client: Vec<ClientId>,
    /// No role above this
    #[arg(long, value_name = "ROLE", value_enum, default_value = "viewer")]
    role: RoleMax,
    /// Let it change things, not only look
    #[arg(long)]
    write: bool,
}

/// Runs a command.
pub async fn run(context: &mut Context, command: Command) -> anyhow::Result<Exit> {
    let desk = context.own_desk()?;
    let api = desk.api()?;
    match command {
        Command::Create(args) => create(context, &api, &args).await,
        Command::List { client } => list(context, &api, client.as_ref()).await,
        Command::Revoke { id } => {
            api.delete(&["api-tokens", &id]).await?;
            context.output.note("Revoked; it opens nothing any more.")?;
            Ok(Exit::Done)
        }
    }
}

async fn create(context: &mut Context, api: &Api<'_>, args: &CreateArgs) -> anyhow::Result<Exit> {
    let clients = (!args.client.is_empty()).then_some(&args.client);
    let body = json!({
        "name": args.name, "valid_secs": args.valid.as_secs(), "clients": clients,
        "role_max": args.role.name(), "read_only": !args.write,
    });
    let made = api.post(&["api-tokens"], body).await?;
    if context.output.is_json() {
        context.output.record(&made)?;
        return Ok(Exit::Done);
    }
    context.output.line(&plain(&word(&made, "/token")))?;
    context.output.note(&format!(
        "Shown once; good until {}. Give it to the program as {TOKEN_VARIABLE}.\nEnd it early: \
         cordon api-token revoke {}",
        plain(&time(&made, &["/expires_at"])),
        plain(&word(&made, "/id"))
    ))?;
    Ok(Exit::Done)
}

async fn list(
    context: &mut Context,
    api: &Api<'_>,
    client: Option<&ClientId>,
) -> anyhow::Result<Exit> {
    let query: Vec<_> = client.iter().map(|client| ("client", client.to_string())).collect();
    let heads = ["ID", "OPERATOR", "NAME", "MAY", "CLIENTS", "EXPIRES", "LAST USED", "FROM"];
    let mut table = Table::new(&heads).whole(&["ID"]).spare(&["FROM", "CLIENTS", "LAST USED"]);
    let row = |item: &Value| {
        let only =
            if item.get("read_only") == Some(&Value::Bool(true)) { "look as" } else { "act as" };
        let clients = item.get("clients").and_then(Value::as_array).map_or_else(
            || "all".to_owned(),
            |clients| clients.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","),
        );
        let used = time(item, &["/used_at"]);
        vec![
            Cell::new(word(item, "/id")),
            Cell::new(word(item, "/operator")),
            Cell::new(word(item, "/name")),
            Cell::new(format!("{only} {}", word(item, "/role_max"))),
            Cell::new(clients),
            Cell::new(time(item, &["/expires_at"])),
            Cell::new(if used.is_empty() { "never".to_owned() } else { used }),
            Cell::new(word(item, "/used_from")),
        ]
    };
    find_list::show(context, api, &["api-tokens"], &query, LISTED_MAX, &mut table, row).await
}
