//! `cordon deny` and `cordon allow`.

use std::time::Duration;

use anyhow::bail;
use cordon_proto::command::{Action, ActionKind, Deny, Executable};
use cordon_proto::id::Hash;

use super::first::First;
use super::{Whom, Why, act, standing};
use crate::context::Context;
use crate::exit::Exit;
use crate::moment::parse_length;

/// Which program.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Program {
    /// Whatever has this SHA-256, wherever it is
    #[arg(long, value_name = "HASH")]
    sha256: Option<Hash>,
    /// Whatever is at this absolute path, whatever it contains; a link there is followed
    #[arg(long, value_name = "PATH")]
    path: Option<String>,
}

impl Program {
    fn executable(&self) -> Option<Executable> {
        let path = self.path.as_deref().map(|path| Executable::Path(path.into()));
        self.sha256.map(Executable::Sha256).or(path)
    }
}

/// What `deny` needs to know.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon deny web-01 web-02 --path /tmp/.x/kworker --reason 'miner' --lease 7d --wait
  cordon deny web-01 --path /usr/bin/nc.openbsd --reason 'not needed here'
  cordon allow web-01 --path /usr/bin/nc.openbsd --reason 'needed again' --wait

The kernel asks before a program is started and is told no: the start fails, and a finding tells who
tried. What runs already goes on; `cordon kill` ends it. By --sha256 one changed byte makes another
program; by --path a copy elsewhere is another. A program that an interpreter reads (`sh script`) is
started only as the interpreter; only `./script` itself can be denied. Denying holds while the agent
runs: when it ends the kernel lets everything start until it is back. When the agent cannot say in time
(a slow disk, a very large file), the start is let through and counted. File systems of the network
and of FUSE are not watched.")]
pub struct DenyArgs {
    #[command(flatten)]
    whom: Whom,
    #[command(flatten)]
    program: Program,
    /// How long it stands, in the endpoint's own time; without it until it is allowed
    #[arg(long, value_name = "TIME", value_parser = parse_length)]
    lease: Option<Duration>,
    #[command(flatten)]
    first: First,
    #[command(flatten)]
    why: Why,
}

/// What `allow` needs to know.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon allow web-01 --path /tmp/.x/kworker --reason 'false alarm' --wait

It undoes the denial of just this hash or path that stands on the endpoint; `cordon containment list`
shows it, and `cordon undo COMMAND` does the same.")]
pub struct AllowArgs {
    /// The endpoint's host name, or the beginning of its id (6 digits or more)
    #[arg(value_name = "ENDPOINT")]
    endpoint: String,
    #[command(flatten)]
    program: Program,
    #[command(flatten)]
    why: Why,
}

/// Runs `deny`.
pub async fn deny(context: &mut Context, args: DenyArgs) -> anyhow::Result<Exit> {
    let Some(what) = args.program.executable() else { bail!("name a hash or a path") };
    let action = Action::Deny(Deny { what, lease_secs: args.lease.map(|lease| lease.as_secs()) });
    let why = args.first.and(args.why);
    act(context, &args.whom.endpoints, why, action).await
}

/// Runs `allow`.
pub async fn allow(context: &mut Context, args: AllowArgs) -> anyhow::Result<Exit> {
    let AllowArgs { endpoint, program, why } = args;
    let Some(what) = program.executable() else { bail!("name a hash or a path") };
    let is_meant = |action: &Action| matches!(action, Action::Deny(deny) if deny.what == what);
    let (kind, words) = (ActionKind::Deny, "just this program is denied");
    standing::undo(context, &[endpoint], why, kind, words, is_meant).await
}
