//! `cordon storage`: blocks removable storage, and allows it again.

use std::time::Duration;

use clap::Subcommand;
use cordon_proto::command::{Action, ActionKind, BlockStorage};

use super::{Whom, Why, act, standing};
use crate::context::Context;
use crate::exit::Exit;
use crate::moment::parse_length;

/// What can be done with removable storage.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Let no removable storage be used
    #[command(after_help = "Examples:
  cordon storage block web-01 web-02 --reason 'data is leaving' --wait
  cordon storage block web-01 --reason 'worm on sticks' --lease 7d

Disks on USB and FireWire and SD cards, those that are there and those that come; keyboards and mice
go on. What is mounted from them is written out, made read-only and unmounted first. Phones that hand
out files by MTP, disks on Thunderbolt and eSATA, and optical drives stay. An endpoint that has its
system, its swap or the agent's state on such storage refuses.")]
    Block(BlockArgs),
    /// Let removable storage be used again
    #[command(after_help = "Examples:
  cordon storage allow web-01 --reason 'case closed' --wait

What was mounted is mounted again where its disk is still there.")]
    Allow(AllowArgs),
}

/// What `block` needs to know.
#[derive(Debug, clap::Args)]
pub struct BlockArgs {
    #[command(flatten)]
    whom: Whom,
    /// How long it stands, in the endpoint's own time [default: until it is undone]
    #[arg(long, value_name = "TIME", value_parser = parse_length)]
    lease: Option<Duration>,
    #[command(flatten)]
    why: Why,
}

/// What `allow` needs to know.
#[derive(Debug, clap::Args)]
pub struct AllowArgs {
    #[command(flatten)]
    whom: Whom,
    #[command(flatten)]
    why: Why,
}

/// Runs a command.
pub async fn run(context: &mut Context, command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Block(BlockArgs { whom, lease, why }) => {
            let lease_secs = lease.map(|lease| lease.as_secs());
            let action = Action::BlockStorage(BlockStorage { lease_secs });
            act(context, &whom.endpoints, why, action).await
        }
        Command::Allow(AllowArgs { whom, why }) => {
            let words = "removable storage is blocked";
            let kind = ActionKind::BlockStorage;
            let is_meant = |action: &Action| matches!(action, Action::BlockStorage(_));
            standing::undo(context, &whom.endpoints, why, kind, words, is_meant).await
        }
    }
}
