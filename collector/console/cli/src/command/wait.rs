//! Following a command on the real collector: asks, verifies, and tells each fact as it comes.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, bail};
use cordon_proto::command::{ActionKind, Command};
use cordon_proto::id::{CommandId, EndpointId};
use cordon_proto::sign::command::SignedCommand;
use serde::Deserialize;
use serde_json::json;

use super::act;
use crate::api::model::{CommandRecord, ProofRecord, ReceiptAt};
use crate::api::{Api, ApiError};
use crate::context::Context;
use crate::exit::Exit;
use crate::follow::{Effect, Follow, Line};
use crate::output::{Cell, Table};

/// How often the collector is asked in the first seconds, when most things happen.
const ASK_SOON: Duration = Duration::from_millis(200);

/// How often it is asked afterwards.
const ASK_LATER: Duration = Duration::from_secs(1);

/// Containments looked through for those that a release is to end.
const CONTAINMENTS_MAX: usize = 10_000;

/// The latest commands looked through for those that a release has ended.
const COMMANDS_MAX: usize = 500;

/// For how long it is asked soon.
const SOON: Duration = Duration::from_secs(10);

/// Follows a command until it has ended on every endpoint, or the time is over.
pub async fn until_ended(
    context: &mut Context,
    api: &Api<'_>,
    mut follow: Follow,
    record: CommandRecord,
    timeout: Duration,
) -> anyhow::Result<Exit> {
    let id = record.id;
    follow.handle_record(&record);
    let watching = watch(context, api, &mut follow, id);
    let ended = tokio::time::timeout(timeout, watching).await;
    if let Ok(ended) = ended {
        return ended;
    }
    let standing = follow.standing();
    let so_far = match standing {
        Exit::NotAuthorised => "not authorised yet",
        Exit::Done
        | Exit::Unproved
        | Exit::ActionFailed
        | Exit::Refused
        | Exit::DoesNotHold
        | Exit::Unreachable
        | Exit::Denied
        | Exit::Error => "not proved on every endpoint",
    };
    context.output.note(&format!(
        "The time to wait is over, and it is {so_far}. It goes on without us: cordon command show {id}"
    ))?;
    Ok(standing)
}

async fn watch(
    context: &mut Context,
    api: &Api<'_>,
    follow: &mut Follow,
    id: CommandId,
) -> anyhow::Result<Exit> {
    let mut asked = Duration::ZERO;
    loop {
        carry_out(context, api, follow, true).await?;
        if let Some(exit) = follow.settled() {
            return Ok(exit);
        }
        let pause = if asked < SOON { ASK_SOON } else { ASK_LATER };
        tokio::time::sleep(pause).await;
        asked += pause;
        if let Some(record) = fetch_patiently(api, id).await? {
            follow.handle_record(&record);
        }
        for isolation in follow.isolations() {
            if let Some(record) = fetch_patiently(api, isolation).await? {
                follow.handle_isolation(&record);
            }
        }
    }
}

/// A command as the collector shows it now; none if it cannot answer just now.
pub(super) async fn fetch_patiently(
    api: &Api<'_>,
    id: CommandId,
) -> Result<Option<CommandRecord>, ApiError> {
    match fetch(api, id).await {
        Ok(record) => Ok(Some(record)),
        Err(error) if error.is_passing() => Ok(None),
        Err(error) => Err(error),
    }
}

/// The follower of a command; of a release it knows the isolations that it ends, or ended.
pub async fn follower(api: &Api<'_>, signed: &SignedCommand) -> anyhow::Result<Follow> {
    let mut follow = Follow::new(signed);
    let command = signed.command();
    if command.action.kind() != ActionKind::Release {
        return Ok(follow);
    }
    let query = [("client", command.client.to_string())];
    let (standing, _) = api.list(&["containments"], &query, CONTAINMENTS_MAX).await?;
    let mut open: BTreeSet<_> = command.targets.iter().map(|target| target.endpoint).collect();
    for one in standing {
        let Standing { endpoint, command: isolation, response, .. } = api.read(one)?;
        if response.is_some() {
            // Nobody signed it, so there are no bytes to hold its end against; what the collector
            // says of the release is shown as such.
            open.remove(&endpoint);
        } else if isolation != command.id && open.remove(&endpoint) {
            let (_, isolation) = signed_bytes(api, isolation).await?;
            follow.expect_end(endpoint, &isolation);
        }
    }
    if open.is_empty() {
        return Ok(follow);
    }
    // Of what stands no longer, the latest before the release; the list begins with the newest.
    let (commands, _) = api.list(&["commands"], &query, COMMANDS_MAX).await?;
    for one in commands {
        let record: CommandRecord = api.read(one)?;
        if record.action_name() != ActionKind::Isolate.name() || record.id > command.id {
            continue;
        }
        let Some(isolation) = record.bytes().and_then(|bytes| SignedCommand::read(&bytes).ok())
        else {
            continue;
        };
        for target in record.targets.iter().filter(|target| target.facts.applied.is_some()) {
            if isolation.command().id == record.id && open.remove(&target.endpoint) {
                follow.expect_end(target.endpoint, &isolation);
            }
        }
    }
    Ok(follow)
}

/// A containment that stands.
#[derive(Deserialize)]
struct Standing {
    endpoint: EndpointId,
    command: CommandId,
    action: String,
    #[serde(default)]
    response: Option<String>,
}

/// The endpoint that did this by itself, and what, where it stands and no command asked for it.
pub(super) async fn by_itself(
    api: &Api<'_>,
    id: CommandId,
) -> anyhow::Result<Option<(EndpointId, String)>> {
    let (standing, _) = api.list(&["containments"], &[], CONTAINMENTS_MAX).await?;
    for one in standing {
        let Standing { endpoint, command, action, response } = api.read(one)?;
        if command == id && response.is_some() {
            return Ok(Some((endpoint, action)));
        }
    }
    Ok(None)
}

/// Reads a command's signed bytes and holds them against the id that was asked for.
pub(super) async fn signed_bytes(
    api: &Api<'_>,
    id: CommandId,
) -> anyhow::Result<(CommandRecord, SignedCommand)> {
    let record = fetch(api, id).await?;
    let bytes = record.bytes().context("the collector does not show the command's bytes")?;
    let signed = SignedCommand::read(&bytes)
        .map_err(|error| anyhow::anyhow!("what the collector shows {error}"))?;
    if signed.command().id != id {
        bail!("the collector shows the bytes of another command under this id");
    }
    Ok((record, signed))
}

/// A command as the collector shows it now.
async fn fetch(api: &Api<'_>, id: CommandId) -> Result<CommandRecord, ApiError> {
    api.read(api.get(&["commands", &id.to_string()], &[]).await?)
}

/// Tells what is known of a command now, without waiting for more.
pub(super) async fn once(
    context: &mut Context,
    api: &Api<'_>,
    mut follow: Follow,
    record: &CommandRecord,
) -> anyhow::Result<Exit> {
    follow.handle_record(record);
    carry_out(context, api, &mut follow, false).await?;
    for isolation in follow.isolations() {
        follow.handle_isolation(&fetch(api, isolation).await?);
    }
    carry_out(context, api, &mut follow, false).await?;
    Ok(follow.standing())
}

/// Fetches what must be verified and tells what is known.
async fn carry_out(
    context: &mut Context,
    api: &Api<'_>,
    follow: &mut Follow,
    again: bool,
) -> anyhow::Result<()> {
    while let Some(effect) = follow.poll_effect() {
        match effect {
            Effect::Say(line) => say(context, &line)?,
            Effect::Fetch(endpoint, at) => match proof(api, endpoint, at).await {
                Ok(proof) => follow.handle_proof(endpoint, at, &proof),
                Err(error) if again && error.is_passing() => follow.handle_no_proof(endpoint, at),
                Err(error) => return Err(error.into()),
            },
        }
    }
    Ok(())
}

pub(super) async fn proof(
    api: &Api<'_>,
    endpoint: EndpointId,
    at: ReceiptAt,
) -> Result<ProofRecord, ApiError> {
    let query = [
        ("lane", at.lane.name().to_owned()),
        ("epoch", at.epoch.to_string()),
        ("seq", at.seq.to_string()),
    ];
    api.read(api.get(&["endpoints", &endpoint.to_string(), "proof"], &query).await?)
}

fn say(context: &mut Context, line: &Line) -> anyhow::Result<()> {
    if context.output.is_json() {
        context.output.record(line)?;
        return Ok(());
    }
    let by = if line.verified { "receipt verified" } else { "says the collector" };
    let by = if line.fact == "NOT VERIFIED" { "verified here" } else { by };
    let words =
        if line.words.is_empty() { by.to_owned() } else { format!("{}  ({by})", line.words) };
    let fact = Cell::toned(line.fact, line.tone).padded(12, context.output.has_colour());
    let told = format!("{:<25} {:<20} {fact} {words}", line.at, line.host_name);
    context.output.line(told.trim_end())?;
    Ok(())
}

/// Shows a command from its bytes.
pub(super) fn show_command(context: &mut Context, command: &Command) -> anyhow::Result<()> {
    if !context.output.is_json() {
        for line in act::lines(command) {
            context.output.line(&line)?;
        }
        return Ok(());
    }
    let targets = command
        .targets
        .iter()
        .map(|target| json!({ "endpoint": target.endpoint, "host_name": target.host_name }));
    context.output.record(&json!({
        "command": command.id,
        "client": command.client,
        "action": command.action,
        "reason": command.reason,
        "incident": command.incident,
        "targets": targets.collect::<Vec<_>>(),
        "age_max_secs": command.age_max_secs,
        "queued": command.queued,
        "roster_min": command.roster_min,
    }))?;
    Ok(())
}

/// The columns of a list of commands.
pub(super) fn command_table() -> Table {
    let heads = ["REQUESTED", "COMMAND", "ACTION", "ENDPOINTS", "STATE", "REASON"];
    Table::new(&heads).whole(&["COMMAND"]).spare(&["REASON", "REQUESTED"])
}
