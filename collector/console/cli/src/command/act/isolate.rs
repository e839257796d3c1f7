//! `cordon isolate` and `cordon release`.

use std::path::PathBuf;
use std::time::Duration;

use cordon_proto::command::{Action, AtEnd, IfUnproved, Isolate};

use super::{Whom, Why, act, first};
use crate::context::Context;
use crate::exit::Exit;
use crate::moment::parse_length;

/// What `isolate` needs to know.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon isolate web-01 --reason 'beaconing to 203.0.113.7' --wait
  cordon isolate web-01 web-02 --reason 'ransomware' --lease 4h
  cordon isolate laptop-7 --reason 'stolen' --queued --at-end stay
  cordon isolate web-01 --reason 'drill' --dry-run

The endpoint keeps its connection to the collector and loopback; everything else is closed, sessions
that stand included. The isolation is a lease: it ends by itself, and `cordon release` ends it
sooner. At a terminal the most important of what would be cut is shown first, and a question asked;
--yes asks nothing, and in scripts nobody is asked. --dry-run shows all of it: connections and
listeners of the last 24 hours, each kept or cut, who is logged in, what the machine is for others.
It is foretold from what the endpoint told, and no part of what is signed. Isolating a machine that
others live by (router, name server, host of virtual machines ...) takes a second person's
signature, where the roster has a second person.

The sockets that the isolation ends are noted first, for 20 ms at most; with what runs, who is logged
in, neighbours, mounts and programs that were deleted they come as a snapshot when the link allows:
`cordon collection get COMMAND`. --no-snapshot leaves it out. With --wait the exit code is 0 only if a receipt that verified here proves it; see
`cordon help exit-codes`.")]
pub struct IsolateArgs {
    #[command(flatten)]
    whom: Whom,
    #[command(flatten)]
    why: Why,
    /// How long it stands, in the endpoint's own time
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = parse_length)]
    lease: Duration,
    /// Go on even if something that the endpoint needs cannot be kept open
    #[arg(long)]
    accept_loss: bool,
    /// If it cannot be proved: hold, or release (which whoever blocks the collector can wait for)
    #[arg(long, value_name = "WHAT", default_value = "hold", value_parser = if_unproved)]
    if_unproved: IfUnproved,
    /// When the lease ends: let-back, or stay (cut off until a signed release)
    #[arg(long, value_name = "WHAT", default_value = "let-back", value_parser = at_end)]
    at_end: AtEnd,
    /// Ask nothing
    #[arg(long)]
    yes: bool,
    /// Take no snapshot of sockets, processes and sessions first
    #[arg(long)]
    no_snapshot: bool,
}

/// What `release` needs to know.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon release web-01 --reason 'cleaned and patched' --wait
  cordon release 3fa9c1 --reason 'false alarm'
  cordon release web-01 --all --reason 'case closed' --wait
  cordon release web-01 --reason 'no way in' --queued --to release.cordon

With --wait the exit code is 0 only if a receipt that verified here says that the rules were seen to
be gone. `cordon undo` puts back what any other command changed; --all puts back everything that
stands on the endpoint, the latest first, the isolation in its turn. With --to the signed command is
written to a file, and the collector does not get it: somebody carries it to the endpoint, where root
runs `cordon-agent release FILE`. With --queued it counts after a reboot, too.")]
pub struct ReleaseArgs {
    #[command(flatten)]
    whom: Whom,
    #[command(flatten)]
    why: Why,
    /// Undo everything else that stands, too
    #[arg(long)]
    all: bool,
    /// Write the signed command here instead of handing it to the collector
    #[arg(long, value_name = "FILE", conflicts_with_all = ["wait", "dry_run", "all"])]
    to: Option<PathBuf>,
}

fn if_unproved(text: &str) -> Result<IfUnproved, String> {
    match text {
        "hold" => Ok(IfUnproved::Hold),
        "release" => Ok(IfUnproved::Release),
        _ => Err("it is 'hold' or 'release'".to_owned()),
    }
}

fn at_end(text: &str) -> Result<AtEnd, String> {
    match text {
        "let-back" => Ok(AtEnd::LetBack),
        "stay" => Ok(AtEnd::Stay),
        _ => Err("it is 'let-back' or 'stay'".to_owned()),
    }
}

/// Runs `isolate`.
pub async fn isolate(context: &mut Context, args: IsolateArgs) -> anyhow::Result<Exit> {
    let isolate = Isolate {
        lease_secs: args.lease.as_secs(),
        if_unproved: args.if_unproved,
        at_end: args.at_end,
        accept_loss: args.accept_loss,
    };
    let snapshot = (!args.no_snapshot).then_some(first::usual());
    let why = Why { ask: !args.yes, snapshot, ..args.why };
    act(context, &args.whom.endpoints, why, Action::Isolate(isolate)).await
}

/// Runs `release`.
pub async fn release(context: &mut Context, args: ReleaseArgs) -> anyhow::Result<Exit> {
    let action = if args.all { Action::ReleaseAll } else { Action::Release };
    let why = Why { to: args.to, ..args.why };
    act(context, &args.whom.endpoints, why, action).await
}
