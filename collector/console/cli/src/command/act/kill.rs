//! `cordon kill`: ends a process, or a whole tree of them.

use cordon_proto::command::{Action, Kill};

use super::first::First;
use super::process::{self, Named};
use super::{Why, act_at};
use crate::context::Context;
use crate::exit::Exit;

/// What `kill` needs to know.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon kill web-01 4242 --reason 'miner' --dry-run
  cordon kill web-01 4242 --reason 'miner' --tree --wait
  cordon kill web-01 4242 --start 811530000000 --reason 'seen in its events' --wait

The process is named by its number, its start and its program's SHA-256, and nothing else is ended,
whoever has the number by then. Without --start the endpoint is asked by a signed query, and what it
answers is shown first. With --tree all that it started is held still and ended, too: children of
children, orphans in a session that the tree leads, and whoever shares its control group stands still
for that moment. What left the tree before (an orphan in another session, what a service manager or
cron started for it) is not found. Process 1, the kernel's threads, the agent, its makers, what the
machine is managed by and what policy protects are refused. There is no undo: a program that
something starts again runs again; `cordon deny` lets it not start.")]
pub struct KillArgs {
    #[command(flatten)]
    named: Named,
    /// End all that it started, too
    #[arg(long)]
    tree: bool,
    #[command(flatten)]
    first: First,
    #[command(flatten)]
    why: Why,
}

/// Runs `kill`.
pub async fn kill(context: &mut Context, args: KillArgs) -> anyhow::Result<Exit> {
    let KillArgs { named, tree, first, why } = args;
    let why = first.and(why);
    let desk = context.desk()?;
    let process = process::find(context, &desk, &named, tree, &why).await?;
    let action = Action::Kill(Kill { process, tree });
    act_at(context, &desk, &[named.endpoint], why, action).await
}
