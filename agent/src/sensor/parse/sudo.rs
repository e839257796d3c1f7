//! What sudo and su say.

use cordon_proto::event::login::{AuthActivity, Authentication, Status};

use super::cut::{AMBIGUOUS, command, find, name, number, some_name, split, split_only};
use super::interpret::{Said, Told, login_event};

/// `ann : TTY=pts/0 ; PWD=/root ; USER=root ; COMMAND=/bin/ls`, with a reason before `TTY` where it
/// was refused. Directory and command are the caller's: where either holds what stands between
/// them, user and command are not read.
pub(super) fn sudo(said: &Said<'_>) -> Option<Told> {
    let message = said.message.trim_ascii_start();
    let (actor, rest) = split(message, b" : ")?;
    if actor.contains(&b' ') || rest.starts_with(b"(command continued)") {
        return None;
    }
    let place =
        [&b"TTY="[..], b"PWD=", b"USER="].iter().filter_map(|field| find(rest, field)).min()?;
    let reason = rest[..place].strip_suffix(b" ; ").unwrap_or(&rest[..place]);
    let rest = &rest[place..];
    let status = if reason.is_empty() { Status::Success } else { Status::Failure };
    let mut event = login_event(b"sudo", AuthActivity::AccountSwitch, status);
    event.actor = Some(name(actor));
    event.detail = some_name(reason);
    event.tries =
        split(reason, b" incorrect password attempt").and_then(|(tries, _)| number(tries));
    event.terminal =
        rest.strip_prefix(b"TTY=").and_then(|rest| split(rest, b" ; ")).map(|it| name(it.0));
    let rest = [b" ; ", rest].concat();
    let user = split_only(&rest, b" ; USER=");
    let parts = user.and_then(|(_, rest)| {
        let (before, run) = split_only(rest, b" ; COMMAND=")?;
        let user = split(before, b" ; ").map_or(before, |(user, _)| user);
        Some((user, run))
    });
    match parts {
        Some((user, run)) => {
            event.user = some_name(user);
            event.command = Some(command(run));
        }
        None if find(&rest, b" ; COMMAND=").is_some() => event.detail = Some(AMBIGUOUS.into()),
        None => return None,
    }
    Some(event.into())
}

/// `(to root) ann on pts/0`, `FAILED SU (to root) ann on pts/0`, and the words of older ones.
pub(super) fn su(said: &Said<'_>) -> Option<Told> {
    let (rest, status) = match said.message.strip_prefix(b"FAILED SU ") {
        Some(rest) => (rest, Status::Failure),
        None => (said.message, Status::Success),
    };
    let event = |status| login_event(b"su", AuthActivity::AccountSwitch, status);
    if let Some(rest) = rest.strip_prefix(b"(to ") {
        let (user, rest) = split(rest, b") ")?;
        let (actor, terminal) = split(rest, b" on ")?;
        let (user, actor, terminal) = (some_name(user), some_name(actor), some_name(terminal));
        return Some(Authentication { user, actor, terminal, ..event(status) }.into());
    }
    let shadow =
        [(&b"Successful su for "[..], Status::Success), (b"FAILED su for ", Status::Failure)];
    let (rest, status) =
        shadow.iter().find_map(|(before, status)| Some((rest.strip_prefix(*before)?, *status)))?;
    let (user, actor) = split(rest, b" by ")?;
    Some(Authentication { user: some_name(user), actor: some_name(actor), ..event(status) }.into())
}
