//! `cordon lock` and `cordon unlock`: accounts.

use std::time::Duration;

use cordon_proto::command::{Action, ActionKind, LockAccount};

use super::first::First;
use super::{Why, act, standing};
use crate::context::Context;
use crate::exit::Exit;
use crate::moment::parse_length;

/// What `lock` needs to know.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon lock web-01 eve --reason 'signed in from two countries' --end-sessions --wait
  cordon lock web-01 eve --reason 'on leave' --lease 14d

No password fits, the account is expired, and the files of its SSH keys are set aside beside where
they were; with --end-sessions all that runs as it ends. Root, the last administrator who could log
in, and accounts of a directory service are refused. A key or password that somebody adds while it
stands is found within a minute. What still counts: certificates of SSH (until the account's expiry
is checked), tokens and passwords of programs that have accounts of their own.")]
pub struct LockArgs {
    /// A host name, or the beginning of an id (6 digits or more)
    #[arg(value_name = "ENDPOINT")]
    endpoint: String,
    /// The account's name
    #[arg(value_name = "USER")]
    user: String,
    /// End all that runs as it
    #[arg(long)]
    end_sessions: bool,
    /// How long it stands, in the endpoint's own time [default: until it is undone]
    #[arg(long, value_name = "TIME", value_parser = parse_length)]
    lease: Option<Duration>,
    #[command(flatten)]
    first: First,
    #[command(flatten)]
    why: Why,
}

/// What `unlock` needs to know.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon unlock web-01 eve --reason 'password changed, laptop wiped' --wait

Undoes the lock that Cordon put on the account, and nothing else: one that was locked before stays
so, and a password that was changed meanwhile stays changed. Sessions that ended do not come back.")]
pub struct UnlockArgs {
    /// A host name, or the beginning of an id (6 digits or more)
    #[arg(value_name = "ENDPOINT")]
    endpoint: String,
    /// The account's name
    #[arg(value_name = "USER")]
    user: String,
    #[command(flatten)]
    why: Why,
}

/// Runs `lock`.
pub async fn lock(context: &mut Context, args: LockArgs) -> anyhow::Result<Exit> {
    let LockArgs { endpoint, user, end_sessions, lease, first, why } = args;
    let why = first.and(why);
    let lease_secs = lease.map(|lease| lease.as_secs());
    let lock = LockAccount { user, end_sessions, lease_secs };
    act(context, &[endpoint], why, Action::LockAccount(lock)).await
}

/// Runs `unlock`.
pub async fn unlock(context: &mut Context, args: UnlockArgs) -> anyhow::Result<Exit> {
    let UnlockArgs { endpoint, user, why } = args;
    let words = format!("the account {user} is locked");
    let kind = ActionKind::LockAccount;
    let is_meant =
        |action: &Action| matches!(action, Action::LockAccount(lock) if lock.user == user);
    standing::undo(context, &[endpoint], why, kind, &words, is_meant).await
}
