//! `cordon suspend` and `cordon resume`.

use std::time::Duration;

use cordon_proto::command::{Action, ActionKind, Suspend};

use super::first::First;
use super::process::{self, Named};
use super::{Why, act_at, standing};
use crate::context::Context;
use crate::exit::Exit;
use crate::moment::parse_length;

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
    first: First,
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
    let SuspendArgs { named, tree, lease, first, why } = args;
    let why = first.and(why);
    let desk = context.desk()?;
    let process = process::find(context, &desk, &named, tree, &why).await?;
    let lease_secs = lease.map(|lease| lease.as_secs());
    let action = Action::Suspend(Suspend { process, tree, lease_secs });
    act_at(context, &desk, &[named.endpoint], why, action).await
}

/// Runs `resume`.
pub async fn resume(context: &mut Context, args: ResumeArgs) -> anyhow::Result<Exit> {
    let ResumeArgs { endpoint, pid, why } = args;
    let (kind, words) = (ActionKind::Suspend, format!("process {pid} is stopped"));
    let is_meant =
        |action: &Action| matches!(action, Action::Suspend(suspend) if suspend.process.pid == pid);
    standing::undo(context, &[endpoint], why, kind, &words, is_meant).await
}
