//! What login(1) says of terminals, and systemd-logind of sessions.

use cordon_proto::event::login::{AuthActivity, Authentication, Status};

use super::cut::{name, number, some_name, split, split_last};
use super::interpret::{Said, Told, login_event};

/// `LOGIN ON tty1 BY ann`, `FAILED LOGIN (1) ON '/dev/tty1' FOR 'ann', Authentication failure`.
pub(super) fn login(said: &Said<'_>) -> Option<Told> {
    refused(said.message).or_else(|| granted(said.message)).map(Told::from)
}

fn granted(message: &[u8]) -> Option<Authentication> {
    let event = login_event(b"login", AuthActivity::Logon, Status::Success);
    let (is_root, rest) = match message.strip_prefix(b"ROOT LOGIN ") {
        Some(rest) => (true, rest),
        None => (false, message.strip_prefix(b"LOGIN ")?),
    };
    let rest = rest.trim_ascii_start();
    let rest = rest.strip_prefix(b"ON ").or(rest.strip_prefix(b"on "))?;
    let (rest, from) = split(rest, b" FROM ").unwrap_or((rest, b""));
    let (terminal, user) = match split(rest, b" BY ") {
        Some((terminal, user)) => (terminal, user),
        None if is_root => (rest, &b"root"[..]),
        None => return None,
    };
    let (user, from) = (some_name(user), some_name(from));
    Some(Authentication { user, from, terminal: some_name(bare(terminal)), ..event })
}

/// The name is what somebody typed at a terminal; the reason behind it is the system's.
fn refused(message: &[u8]) -> Option<Authentication> {
    let event = login_event(b"login", AuthActivity::Logon, Status::Failure);
    let (head, rest) = split(message, b" FOR ")?;
    let is_refused = head.starts_with(b"FAILED LOGIN") || head.starts_with(b"TOO MANY LOGIN TRIES");
    let (user, why) = split_last(rest, b", ").unwrap_or((rest, b""));
    let tries = split(head, b"(").and_then(|(_, tries)| number(split(tries, b")")?.0));
    let tries =
        tries.or_else(|| number(split(head, b"FAILED LOGIN ")?.1.split(|b| *b == b' ').next()?));
    let terminal = split(head, b" ON ").or(split(head, b" on ")).map(|(_, rest)| rest);
    let terminal =
        terminal.map(|rest| split(rest, b" FROM ").map_or(rest, |(terminal, _)| terminal));
    let from = split(head, b" FROM ").and_then(|(_, from)| some_name(bare(from)));
    let from = from.filter(|from| from.as_bytes() != b"(null)");
    is_refused.then(|| Authentication {
        user: some_name(bare(user)),
        detail: some_name(why),
        terminal: terminal.and_then(|terminal| some_name(bare(terminal))),
        from,
        tries,
        ..event
    })
}

/// Without the quotes that some put around names.
fn bare(text: &[u8]) -> &[u8] {
    let text = text.trim_ascii();
    text.strip_prefix(b"'").and_then(|text| text.strip_suffix(b"'")).unwrap_or(text)
}

/// `New session 5 of user ann.`
pub(super) fn logind(said: &Said<'_>) -> Option<Told> {
    let rest = said.message.strip_prefix(b"New session ")?;
    let (session, user) = split(rest, b" of user ").or(split(rest, b" by user "))?;
    let user = user.strip_suffix(b".").unwrap_or(user);
    let user = split(user, b" with class ").map_or(user, |(user, _)| user);
    let user = user.strip_prefix(b"'").map_or(user, |user| user.strip_suffix(b"'").unwrap_or(user));
    let detail = Some(name(&[b"session ", bare(session)].concat()));
    let event = login_event(b"systemd-logind", AuthActivity::Logon, Status::Success);
    Some(Authentication { user: some_name(user), detail, ..event }.into())
}
