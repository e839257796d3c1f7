//! `cordon token`: enrolment strings, composed here from this profile's own pins.
//!
//! The collector contributes only the secret, so it cannot make endpoints trust anybody else.

use std::time::Duration;

use anyhow::{Context as _, bail};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Subcommand;
use cordon_proto::id::{ClientId, TokenId};
use cordon_proto::token::{EnrolmentString, SECRET_BYTES};
use serde::Deserialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::find_list::{self, time};
use crate::api::Api;
use crate::context::{Context, Desk};
use crate::exit::Exit;
use crate::moment::{self, SECOND_NS, parse_length};
use crate::output::{Cell, Table};
use crate::summary::event::word;

/// Tokens that are listed.
const LISTED_MAX: usize = 10_000;

/// So much of an id at least.
const ID_DIGITS_MIN: usize = 6;

/// What can be done with enrolment tokens.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make an enrolment string; `cordon-agent enroll STRING` needs nothing else
    #[command(after_help = "Examples:
  cordon token create --client acme --uses 50 --for 7d
  cordon token create --uses 1 --for 1h --note 'web-07, replaced disk'

The string is all that a machine needs in order to join, so treat it as a secret.")]
    Create(CreateArgs),
    /// List tokens, without their secrets
    List {
        /// Whose [default: the profile's client]
        #[arg(long, value_name = "CLIENT")]
        client: Option<ClientId>,
    },
    /// End a token now
    #[command(after_help = "Example:
  cordon token revoke 8f434346648f")]
    Revoke {
        /// The token's id, or its beginning (6 digits or more), from `cordon token list`
        id: String,
        /// Whose [default: the profile's client]
        #[arg(long, value_name = "CLIENT")]
        client: Option<ClientId>,
    },
}

/// What `token create` needs to know.
#[derive(Debug, clap::Args)]
pub struct CreateArgs {
    /// The client to join [default: the profile's client]
    #[arg(long, value_name = "CLIENT")]
    client: Option<ClientId>,
    /// How many endpoints may use it
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    uses: u32,
    /// How long it is good
    #[arg(long = "for", value_name = "TIME", default_value = "24h", value_parser = parse_length)]
    valid: Duration,
    /// What it is for, for people
    #[arg(long, value_name = "TEXT", default_value = "")]
    note: String,
}

#[derive(Deserialize)]
struct Made {
    id: TokenId,
    secret: Zeroizing<String>,
    expires_secs: u64,
}

/// Runs a command.
pub async fn run(context: &mut Context, command: Command) -> anyhow::Result<Exit> {
    let desk = context.desk()?;
    let api = desk.api()?;
    match command {
        Command::Create(args) => create(context, &desk, &api, &args).await,
        Command::List { client } => {
            let client = desk.client(client.as_ref())?;
            list(context, &api, &client).await
        }
        Command::Revoke { id, client } => {
            let client = desk.client(client.as_ref())?;
            let id = find(&api, &client, &id).await?;
            api.delete(&["clients", client.as_str(), "tokens", &id.to_string()]).await?;
            context.output.note("Revoked; it lets nobody in any more.")?;
            Ok(Exit::Done)
        }
    }
}

/// The one token of a client whose id begins so.
async fn find(api: &Api<'_>, client: &ClientId, typed: &str) -> anyhow::Result<TokenId> {
    let typed = typed.to_ascii_lowercase();
    if let Ok(id) = typed.parse() {
        return Ok(id);
    }
    if typed.len() < ID_DIGITS_MIN || !typed.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        bail!(
            "'{typed}' is neither an id nor the beginning of one: {ID_DIGITS_MIN} digits or more"
        );
    }
    let (items, _) = api.list(&["clients", client.as_str(), "tokens"], &[], LISTED_MAX).await?;
    let ids = items.iter().map(|item| word(item, "/id"));
    let mut found: Vec<_> = ids.filter(|id| id.starts_with(&typed)).collect();
    match (found.pop(), found.len()) {
        (Some(id), 0) => Ok(id.parse()?),
        (None, _) => bail!("no token of client {client} begins with {typed}"),
        (Some(_), more) => bail!("{} tokens begin with {typed}; say more of it", more + 1),
    }
}

async fn create(
    context: &mut Context,
    desk: &Desk,
    api: &Api<'_>,
    args: &CreateArgs,
) -> anyhow::Result<Exit> {
    let client = desk.client(args.client.as_ref())?;
    let (roster, _) = desk.roster(api, &client).await?;
    let mut collectors = roster.roster.collectors.clone();
    collectors.extend(desk.profile.agents.iter().cloned());
    collectors.dedup();
    if collectors.is_empty() {
        bail!("neither the roster nor the profile names the agents' door of the collector");
    }
    let (uses, valid_secs) = (args.uses, args.valid.as_secs());
    let body = json!({ "uses": uses, "valid_secs": valid_secs, "note": args.note });
    let made: Made = api.read(api.post(&["clients", client.as_str(), "tokens"], body).await?)?;
    let secret = URL_SAFE_NO_PAD.decode(made.secret.as_str()).ok();
    let secret = secret.filter(|secret| secret.len() == SECRET_BYTES);
    let secret = secret.with_context(|| {
        format!("the secret that the collector gave is not {SECRET_BYTES} bytes of base64url")
    })?;
    let string = EnrolmentString {
        collectors,
        ca_pin: desk.profile.pin,
        authority: desk.profile.authority,
        recovery: desk.profile.recovery,
        roster_min: roster.reference(),
        client: client.clone(),
        secret,
        expires_secs: made.expires_secs,
    };
    if string.id() != made.id {
        bail!("the collector named the token otherwise than its secret says; it was not used");
    }
    let text = Zeroizing::new(string.to_text());
    if context.output.is_json() {
        let expires_ns = made.expires_secs.saturating_mul(SECOND_NS);
        context.output.record(&json!({
            "id": made.id, "client": client, "uses": uses, "string": text.as_str(),
            "expires_dt": cordon_proto::time::rfc3339(expires_ns),
        }))?;
    } else {
        context.output.line(&text)?;
        context.output.note(&format!(
            "Good for {uses} endpoint(s) of client {client} for {}. On each, as root:\n  \
             cordon-agent enroll STRING\nEnd it early: cordon token revoke {}",
            moment::length(valid_secs),
            made.id
        ))?;
    }
    Ok(Exit::Done)
}

async fn list(context: &mut Context, api: &Api<'_>, client: &ClientId) -> anyhow::Result<Exit> {
    let heads = ["ID", "USED", "EXPIRES", "STATE", "MADE BY", "NOTE"];
    let mut table = Table::new(&heads).whole(&["ID"]).spare(&["MADE BY"]);
    let row = |item: &Value| {
        let revoked = item.get("revoked") == Some(&Value::Bool(true));
        let used = format!("{} of {}", word(item, "/used"), word(item, "/uses"));
        vec![
            Cell::new(word(item, "/id").chars().take(12).collect::<String>()),
            Cell::new(used),
            Cell::new(time(item, &["/expires"])),
            Cell::new(if revoked { "revoked" } else { "" }),
            Cell::new(word(item, "/made_by")),
            Cell::new(word(item, "/note")),
        ]
    };
    let path = ["clients", client.as_str(), "tokens"];
    find_list::show(context, api, &path, &[], LISTED_MAX, &mut table, row).await
}
