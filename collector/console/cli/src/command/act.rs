//! What changes endpoints: find them, compose a command, sign it, hand it over, and follow it. One
//! action a file.

mod account;
mod block;
mod collect;
mod deny;
mod first;
mod group;
mod isolate;
mod kill;
mod preview;
mod process;
mod quarantine;
pub mod service;
mod standing;
pub mod storage;
mod suspend;
mod undo;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cordon_proto::command::{Action, Command, Snapshot};
use cordon_proto::id::{ClientId, CommandId};
use cordon_proto::sign::command::SignedCommand;
use serde_json::json;

use super::{find, wait};
use crate::api::Api;
use crate::api::model::{CommandRecord, Endpoint};
use crate::context::{Context, Desk, SignWith};
use crate::exit::Exit;
use crate::moment::parse_length;
use crate::output::text::plain;
use crate::sign::{self, Request};
use crate::summary;

pub use account::{LockArgs, UnlockArgs, lock, unlock};
pub use block::{BlockArgs, UnblockArgs, block, unblock};
pub use collect::{CollectArgs, collect};
pub use deny::{AllowArgs, DenyArgs, allow, deny};
pub use group::{LateralArgs, SegmentArgs, lateral, segment};
pub use isolate::{IsolateArgs, ReleaseArgs, isolate, release};
pub use kill::{KillArgs, kill};
pub use quarantine::{QuarantineArgs, RestoreArgs, quarantine, restore};
pub use suspend::{ResumeArgs, SuspendArgs, resume, suspend};
pub use undo::{UndoArgs, undo};

/// Which endpoints.
#[derive(Debug, clap::Args)]
pub struct Whom {
    /// Host names, or the beginnings of ids (6 digits or more)
    #[arg(required = true, value_name = "ENDPOINT")]
    pub endpoints: Vec<String>,
}

/// Why, for how long it counts, and how long to wait.
#[derive(Clone, Debug, clap::Args)]
pub struct Why {
    /// Why; everybody sees it, and the endpoint keeps it
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Look for the endpoints among this client's only
    #[arg(long, value_name = "CLIENT")]
    client: Option<ClientId>,
    /// The case that this belongs to
    #[arg(long, value_name = "NAME")]
    incident: Option<String>,
    /// Let the command count for endpoints that are switched off now, for up to 7 days
    #[arg(long)]
    queued: bool,
    /// Let the command count for this long, in the endpoint's own time [default: 15m, queued: 7d]
    #[arg(long, value_name = "TIME", value_parser = parse_length)]
    age_max: Option<Duration>,
    /// Follow the command until its effect is proved, and verify the proof here
    #[arg(long)]
    wait: bool,
    /// How long to wait
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = parse_length)]
    timeout: Duration,
    /// Show what would be signed, and sign nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    sign_with: SignWith,
    /// Where the signed command goes instead of to the collector.
    #[arg(skip)]
    to: Option<PathBuf>,
    /// Whether the person at the terminal is shown what it would cut, and asked.
    #[arg(skip)]
    ask: bool,
    /// What is taken first.
    #[arg(skip)]
    snapshot: Option<Snapshot>,
    /// The command's id, where the caller goes on with it.
    #[arg(skip)]
    id: Option<CommandId>,
}

impl Why {
    /// The client that was named.
    pub(in crate::command) fn client(&self) -> Option<&ClientId> {
        self.client.as_ref()
    }

    /// Looks for endpoints among this client's only, unless another was named.
    pub(in crate::command) fn look_among(&mut self, client: &ClientId) {
        self.client.get_or_insert_with(|| client.clone());
    }
}

/// Finds the endpoints, composes a command that asks them for an action, signs it, hands it over,
/// and follows it.
pub(in crate::command) async fn act(
    context: &mut Context,
    whom: &[String],
    args: Why,
    action: Action,
) -> anyhow::Result<Exit> {
    let desk = context.desk()?;
    act_at(context, &desk, whom, args, action).await
}

/// The same at a desk that was sat down at already.
async fn act_at(
    context: &mut Context,
    desk: &Desk,
    whom: &[String],
    args: Why,
    action: Action,
) -> anyhow::Result<Exit> {
    let api = desk.api()?;
    let client = args.client.as_ref();
    let endpoints = find::endpoints(&api, &context.output, whom, client).await?;
    act_on(context, desk, &api, &endpoints, args, action).await
}

/// The same with endpoints that were found already.
async fn act_on(
    context: &mut Context,
    desk: &Desk,
    api: &Api<'_>,
    endpoints: &[Endpoint],
    args: Why,
    action: Action,
) -> anyhow::Result<Exit> {
    let first = endpoints.first().context("no endpoint was named")?;
    let (roster, _) = desk.roster(api, &first.client).await?;
    let request = Request {
        id: args.id.unwrap_or_else(|| CommandId(uuid::Uuid::now_v7())),
        action,
        reason: args.reason,
        incident: args.incident,
        snapshot: args.snapshot,
        queued: args.queued,
        age_max_secs: args.age_max.map(|age| age.as_secs()),
    };
    let seen: Vec<&Endpoint> = endpoints.iter().collect();
    let command = sign::compose(request, &seen, roster.reference())?;
    let Some((operator, _)) = roster.roster.key(desk.signer.key_id()) else {
        let (version, client) = (roster.roster.version, command.client.clone());
        return Err(sign::ComposeError::NotInRoster(version, client).into());
    };
    let missing = sign::missing(&command, &roster.roster, [operator])?;
    warn_of_offline(context, endpoints, args.queued)?;
    if matches!(command.action, Action::Isolate(_)) {
        warn_of_no_way_out(context, endpoints)?;
    }
    if args.dry_run {
        dry_run(context, &command, endpoints, missing.as_ref())?;
        if matches!(command.action, Action::Isolate(_)) {
            preview::show(context, api, endpoints).await?;
        }
        return Ok(Exit::Done);
    }
    if args.ask && !preview::ask(context, api, endpoints).await? {
        context.output.note("Nothing was signed.")?;
        return Ok(Exit::NotAuthorised);
    }
    let mut signed = SignedCommand::unsigned(command);
    desk.sign(&mut context.output, &mut signed, &roster.roster, operator, args.sign_with).await?;
    if let Some(file) = args.to {
        if let Some(missing) = missing {
            bail!("{missing}; a file must hold all signatures, and nothing was written");
        }
        std::fs::write(&file, signed.to_bytes())
            .with_context(|| format!("writing {}", file.display()))?;
        let next = format!("On the endpoint, as root: cordon-agent release {}", file.display());
        context.output.note(&next)?;
        return Ok(Exit::Done);
    }
    // What stands is looked up before the release ends it.
    let follow = if args.wait { Some(wait::follower(api, &signed).await?) } else { None };
    let record = hand_over(api, desk, &signed).await?;
    let waits = missing.map(|missing| missing.to_string());
    // The roster may be content and the collector's brake not.
    let waits = waits.or_else(|| record.waits_for.as_deref().map(|why| plain(why).into_owned()));
    let Some(follow) = follow else {
        return told(context, &record, waits);
    };
    if let Some(waits) = waits {
        context.output.note(&format!(
            "It waits: {waits}; another operator adds a signature with: cordon command approve {}",
            record.id
        ))?;
    }
    wait::until_ended(context, api, follow, record, args.timeout).await
}

pub(super) async fn hand_over(
    api: &Api<'_>,
    desk: &Desk,
    signed: &SignedCommand,
) -> anyhow::Result<CommandRecord> {
    let body = json!({ "command": URL_SAFE_NO_PAD.encode(signed.to_bytes()) });
    let answer = api.post(&["commands"], body).await.with_context(|| {
        format!("the command was signed, and profile '{}' did not take it", desk.name)
    })?;
    let record: CommandRecord = api.read(answer)?;
    if record.id != signed.command().id {
        bail!("the collector answered about another command than the one handed over");
    }
    Ok(record)
}

/// Says which endpoints cannot hear the command now, and what that means.
fn warn_of_offline(
    context: &mut Context,
    endpoints: &[Endpoint],
    queued: bool,
) -> anyhow::Result<()> {
    for endpoint in endpoints.iter().filter(|endpoint| endpoint.state == "offline") {
        let name = plain(&endpoint.host_name);
        let what = if queued {
            "it will obey when it is back"
        } else {
            "it will obey only if it is back before the command is too old, and not after a \
             reboot; --queued lets the command wait"
        };
        context.output.warn(&format!("{name} is offline; {what}"))?;
    }
    Ok(())
}

/// Says, before anything is signed, which endpoints could not be let back with a code.
fn warn_of_no_way_out(context: &mut Context, endpoints: &[Endpoint]) -> anyhow::Result<()> {
    for endpoint in endpoints {
        let name = plain(&endpoint.host_name);
        let what = match &endpoint.way_out {
            Some(way_out) if !way_out.is_void => continue,
            Some(_) => {
                "the way out stored is void by a newer roster, and the next is not stored yet"
            }
            None => "no way out stored",
        };
        context.output.warn(&format!(
            "{what} for {name}: if everything else fails, nobody can let it back with `cordon \
             break-glass`; only a signed release or the end of its lease can"
        ))?;
    }
    Ok(())
}

fn dry_run(
    context: &mut Context,
    command: &Command,
    endpoints: &[Endpoint],
    missing: Option<&cordon_proto::roster::Shortfall>,
) -> anyhow::Result<()> {
    context.output.note("Nothing was signed. This is what would be:")?;
    wait::show_command(context, command)?;
    for endpoint in endpoints {
        let name = plain(&endpoint.host_name);
        let state = plain(&endpoint.state);
        let isolated = if endpoint.isolated { ", isolated already" } else { "" };
        context.output.note(&format!("{name}: {state}{isolated}"))?;
    }
    match missing {
        Some(missing) => context.output.note(&format!("Signatures: {missing}"))?,
        None => context.output.note("Signatures: yours is enough")?,
    }
    Ok(())
}

fn told(
    context: &mut Context,
    record: &CommandRecord,
    waits: Option<String>,
) -> anyhow::Result<Exit> {
    if context.output.is_json() {
        let needs = waits.is_some();
        context.output.record(
            &json!({ "command": record.id, "needs_signatures": needs, "waits_for": waits }),
        )?;
    } else {
        context.output.line(&record.id.to_string())?;
        let next = match &waits {
            Some(why) => format!(
                "It waits: {why}. Another operator adds a signature with: cordon command approve {}",
                record.id
            ),
            None => format!("Handed over; what becomes of it: cordon command show {}", record.id),
        };
        context.output.note(&next)?;
    }
    Ok(if waits.is_some() { Exit::NotAuthorised } else { Exit::Done })
}

/// A command in lines for people.
pub(super) fn lines(command: &Command) -> Vec<String> {
    let lines = summary::command(command).into_iter();
    lines.map(|(name, words)| format!("{name:<9} {words}")).collect()
}
