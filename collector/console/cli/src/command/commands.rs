//! `cordon command`: what was signed, what became of it, and adding one's own signature.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use anyhow::{Context as _, bail};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Subcommand;
use cordon_proto::id::{ClientId, CommandId};
use serde_json::json;

use super::{find, wait};
use crate::api::Api;
use crate::api::model::{CommandRecord, Facts};
use crate::context::{Context, Desk, SignWith};
use crate::exit::Exit;
use crate::moment::{self, parse_length};
use crate::output::Cell;
use crate::output::text::cut;
use crate::sign;

/// What can be done with commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List commands, the latest first
    #[command(after_help = "Examples:
  cordon command list
  cordon command list --waiting
  cordon command list --endpoint web-01 --json")]
    List(ListArgs),
    /// Show a command from its signed bytes, who signed, and every fact about it
    ///
    /// Receipts are fetched and verified here; what only the collector says is marked so. The exit
    /// code says how it stands, as with --wait.
    #[command(after_help = "Example:
  cordon command show 0192f3c0-0000-7000-8000-000000000000")]
    Show {
        /// The command's id
        id: CommandId,
    },
    /// Add your signature to a command that needs more
    ///
    /// What you sign is shown from the bytes themselves, not in the collector's words, before your
    /// key is used.
    #[command(after_help = "Examples:
  cordon command approve 0192f3c0-0000-7000-8000-000000000000
  cordon command approve 0192f3c0-0000-7000-8000-000000000000 --yes --wait")]
    Approve(ApproveArgs),
}

/// What `command list` needs to know.
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    /// Only this client's
    #[arg(long, value_name = "CLIENT")]
    client: Option<ClientId>,
    /// Only those for this endpoint: its name or id
    #[arg(long, value_name = "ENDPOINT")]
    endpoint: Option<String>,
    /// Only those that wait for another signature, while endpoints would still take them
    #[arg(long)]
    waiting: bool,
    /// At most so many
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    limit: usize,
}

/// What `command approve` needs to know.
#[derive(Debug, clap::Args)]
pub struct ApproveArgs {
    /// The command's id
    id: CommandId,
    /// Do not ask before signing
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    sign_with: SignWith,
    /// Follow the command until its effect is proved
    #[arg(long)]
    wait: bool,
    /// How long to wait
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = parse_length)]
    timeout: Duration,
}

/// Runs a command.
pub async fn run(context: &mut Context, command: Command) -> anyhow::Result<Exit> {
    let desk = context.desk()?;
    let api = desk.api()?;
    match command {
        Command::List(args) => list(context, &desk, &api, args).await,
        Command::Show { id } => show(context, &desk, &api, id).await,
        Command::Approve(args) => approve(context, &desk, &api, args).await,
    }
}

async fn list(
    context: &mut Context,
    desk: &Desk,
    api: &Api<'_>,
    args: ListArgs,
) -> anyhow::Result<Exit> {
    let ListArgs { client, endpoint, waiting, limit } = args;
    let client = client.or_else(|| desk.profile.client.clone());
    let mut query = Vec::new();
    if let Some(name) = endpoint {
        let found = find::endpoint(api, &context.output, &name, client.as_ref()).await?;
        query.push(("endpoint", found.id.to_string()));
    }
    query.extend(client.map(|client| ("client", client.to_string())));
    if waiting {
        query.push(("waiting", "true".to_owned()));
    }
    let progress = context.output.progress("asking for commands");
    let (items, more) = progress.wait(api.list(&["commands"], &query, limit)).await?;
    let mut table = wait::command_table();
    for item in items {
        if context.output.is_json() {
            context.output.record(&item)?;
            continue;
        }
        let record: CommandRecord = api.read(item)?;
        table.row(row(&record));
    }
    if !context.output.is_json() && table.is_empty() {
        context.output.note("There is nothing to show.")?;
    } else if !context.output.is_json() {
        context.output.table(&table)?;
    }
    if more {
        context.output.note(&format!("There are more than {limit}; --limit shows them."))?;
    }
    Ok(Exit::Done)
}

fn row(record: &CommandRecord) -> [Cell; 6] {
    let requested = record.targets.iter().find_map(|target| target.facts.requested.as_ref());
    let requested = requested.map_or("", |fact| fact.at.as_str());
    let requested = cordon_proto::time::from_rfc3339(requested).map(moment::list_time);
    let names: Vec<_> = record.targets.iter().map(|target| target.host_name.as_str()).collect();
    let names = cut(&names.join(" "), 40).into_owned();
    let mut states: Vec<&str> = record.targets.iter().map(|t| latest(&t.facts)).collect();
    states.sort_unstable();
    states.dedup();
    [
        Cell::new(requested.unwrap_or_default()),
        Cell::new(record.id.to_string()),
        Cell::new(record.action_name()),
        Cell::new(names),
        Cell::new(states.join(" ")),
        Cell::new(cut(&record.reason, 60)),
    ]
}

/// The last fact of a life, in the collector's word.
fn latest(facts: &Facts) -> &'static str {
    let order = [
        ("ended", &facts.ended),
        ("failed", &facts.failed),
        ("proved", &facts.proved),
        ("applied", &facts.applied),
        ("refused", &facts.refused),
        ("lapsed", &facts.lapsed),
        ("delivered", &facts.delivered),
        ("authorised", &facts.authorised),
    ];
    order.iter().find(|(_, fact)| fact.is_some()).map_or("requested", |(name, _)| name)
}

async fn show(
    context: &mut Context,
    desk: &Desk,
    api: &Api<'_>,
    id: CommandId,
) -> anyhow::Result<Exit> {
    let (record, signed) = wait::signed_bytes(api, id).await?;
    wait::show_command(context, signed.command())?;
    let (roster, _) = desk.roster(api, &signed.command().client).await?;
    match signed.signers(&roster.roster) {
        Ok(signers) if !context.output.is_json() => {
            for signer in signers {
                context
                    .output
                    .line(&format!("{:<9} {}  (verified here)", "signed by", signer.id))?;
            }
        }
        Ok(_) => {}
        Err(error) => context.output.warn(&format!(
            "by roster version {}, the signatures do not all count: {error}",
            roster.roster.version
        ))?,
    }
    if !context.output.is_json() {
        context.output.line("")?;
    }
    let follow = wait::follower(api, &signed).await?;
    wait::once(context, api, follow, &record).await
}

async fn approve(
    context: &mut Context,
    desk: &Desk,
    api: &Api<'_>,
    args: ApproveArgs,
) -> anyhow::Result<Exit> {
    let (_, mut signed) = wait::signed_bytes(api, args.id).await?;
    let command = signed.command().clone();
    command.check_form().map_err(|error| anyhow::anyhow!("the command {error}"))?;
    let (roster, _) = desk.roster(api, &command.client).await?;
    let earlier = signed.signers(&roster.roster).with_context(|| {
        "the signatures that are there do not all count; nothing was signed".to_owned()
    })?;
    let Some((own, _)) = roster.roster.key(desk.signer.key_id()) else {
        return Err(
            sign::ComposeError::NotInRoster(roster.roster.version, command.client.clone()).into()
        );
    };
    if earlier.iter().any(|signer| signer.id == own.id) {
        bail!("{} has signed this command already; another person must", own.id);
    }
    wait::show_command(context, &command)?;
    let names: Vec<_> = earlier.iter().map(|signer| signer.id.as_str()).collect();
    context.output.note(&format!("Signed so far by {}", names.join(", ")))?;
    let missing = sign::missing(&command, &roster.roster, earlier.into_iter().chain([own]))?;
    if !args.yes && !agreed()? {
        context.output.note("Nothing was signed.")?;
        return Ok(Exit::NotAuthorised);
    }
    desk.sign(&mut context.output, &mut signed, &roster.roster, own, args.sign_with).await?;
    let body = json!({ "command": URL_SAFE_NO_PAD.encode(signed.to_bytes()) });
    let answer = api.post(&["commands", &args.id.to_string(), "signatures"], body).await?;
    let record: CommandRecord = api.read(answer)?;
    if let Some(missing) = &missing {
        context.output.note(&format!("Signed; still missing: {missing}"))?;
    }
    if args.wait {
        let follow = wait::follower(api, &signed).await?;
        return wait::until_ended(context, api, follow, record, args.timeout).await;
    }
    Ok(if missing.is_some() { Exit::NotAuthorised } else { Exit::Done })
}

/// Asks the person at the terminal.
fn agreed() -> anyhow::Result<bool> {
    if !io::stdin().is_terminal() {
        bail!("nobody can be asked without a terminal; --yes signs without asking");
    }
    write!(io::stderr(), "\nSign this command? Type yes: ")?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(answer.trim().eq_ignore_ascii_case("yes"))
}
