//! `cordon suspend` and `cordon resume`.

use std::time::Duration;

use anyhow::bail;
use cordon_proto::command::{Action, Suspend};
use cordon_proto::id::{CommandId, EndpointId};
use serde::Deserialize;

use super::process::{self, Named};
use super::{Why, act_at};
use crate::command::{find, wait};
use crate::context::Context;
use crate::exit::Exit;
use crate::moment::parse_length;
use crate::output::text::plain;

/// Containments looked through for the one that is meant.
const CONTAINMENTS_MAX: usize = 10_000;

/// What `suspend` needs to know.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon suspend db-01 977 --reason 'is this ours?' --lease 1h --wait
  cordon suspend db-01 977 --tree --reason 'keep its memory for forensics'
  cordon resume db-01 977 --reason 'it is ours' --wait

The process is named as with `cordon kill`. One that has a control group of its own, with --tree also
with all that it started, is frozen there; others are stopped by SIGSTOP, which another root process
can lift: that is seen within a minute, told, and it is stopped again. What its connections and locks
hold stays held. It goes on when the lease ends or by `cordon resume`; what was stopped before stays
stopped.")]
pub struct SuspendArgs {
    #[command(flatten)]
    named: Named,
    /// Stop all that it started, too
    #[arg(long)]
    tree: bool,
    /// How long it stands, in the endpoint's own time; without it until it is resumed
    #[arg(long, value_name = "TIME", value_parser = parse_length)]
    lease: Option<Duration>,
    #[command(flatten)]
    why: Why,
}

/// What `resume` needs to know.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon resume db-01 977 --reason 'it is ours' --wait

It undoes the suspension of this process that stands on the endpoint; `cordon containment list` shows
it, and `cordon undo COMMAND` does the same.")]
pub struct ResumeArgs {
    /// The endpoint's host name, or the beginning of its id (6 digits or more)
    #[arg(value_name = "ENDPOINT")]
    endpoint: String,
    /// The process's number there
    #[arg(value_name = "PID")]
    pid: u32,
    #[command(flatten)]
    why: Why,
}

/// Runs `suspend`.
pub async fn suspend(context: &mut Context, args: SuspendArgs) -> anyhow::Result<Exit> {
    let SuspendArgs { named, tree, lease, why } = args;
    let desk = context.desk()?;
    let process = process::find(context, &desk, &named, tree, &why).await?;
    let lease_secs = lease.map(|lease| lease.as_secs());
    let action = Action::Suspend(Suspend { process, tree, lease_secs });
    act_at(context, &desk, &[named.endpoint], why, action).await
}

/// Runs `resume`.
pub async fn resume(context: &mut Context, args: ResumeArgs) -> anyhow::Result<Exit> {
    let ResumeArgs { endpoint, pid, why } = args;
    let is_it =
        |action: &Action| matches!(action, Action::Suspend(suspend) if suspend.process.pid == pid);
    let Some(of) = standing(context, &endpoint, &why, is_it).await? else {
        bail!("no suspension of process {pid} stands on {}", plain(&endpoint));
    };
    let desk = context.desk()?;
    act_at(context, &desk, &[endpoint], why, Action::Undo { of }).await
}

#[derive(Deserialize)]
struct Standing {
    endpoint: EndpointId,
    action: String,
    command: CommandId,
}

/// The newest command that stands on an endpoint and asked for such an action.
pub(super) async fn standing(
    context: &mut Context,
    endpoint: &str,
    why: &Why,
    is_it: impl Fn(&Action) -> bool,
) -> anyhow::Result<Option<CommandId>> {
    let desk = context.desk()?;
    let api = desk.api()?;
    let found = find::endpoint(&api, &context.output, endpoint, why.client.as_ref()).await?;
    let query = [("client", found.client.to_string())];
    let (items, _) = api.list(&["containments"], &query, CONTAINMENTS_MAX).await?;
    for item in items {
        let Standing { endpoint, action, command } = api.read(item)?;
        if endpoint != found.id || !matches!(action.as_str(), "suspend" | "deny") {
            continue;
        }
        // The collector's word is not enough: what is undone is what was signed.
        let (_, signed) = wait::signed_bytes(&api, command).await?;
        if is_it(&signed.command().action) {
            return Ok(Some(command));
        }
    }
    Ok(None)
}
