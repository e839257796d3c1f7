//! What OpenSSH's server says. The name of a user who does not exist is whatever a stranger typed,
//! so that addresses are read from the right end of a line.

use cordon_proto::event::login::{AuthActivity, Authentication, Status};

use super::cut::{AMBIGUOUS, name, number, split, split_last};
use super::interpret::{Said, Told, login_event};

const SERVICE: &[u8] = b"sshd";

/// The event that a message of sshd tells.
pub(super) fn tell(said: &Said<'_>) -> Option<Told> {
    let message = said.message;
    let message = message.strip_prefix(b"error: ").unwrap_or(message);
    let message = message.strip_suffix(b" [preauth]").unwrap_or(message);
    let event = method(message)
        .or_else(|| invalid_user(message))
        .or_else(|| not_allowed(message))
        .or_else(|| too_many(message))
        .or_else(|| denied(message))
        .or_else(|| ended(message))?;
    Some(event.into())
}

/// `Accepted password for ann from 192.0.2.1 port 50022 ssh2`, and a key behind it perhaps.
fn method(message: &[u8]) -> Option<Authentication> {
    let (word, rest) = split(message, b" ")?;
    let (activity, status) = match word {
        b"Accepted" => (AuthActivity::Logon, Status::Success),
        b"Failed" => (AuthActivity::Logon, Status::Failure),
        b"Partial" | b"Postponed" => (AuthActivity::Preauth, Status::Unknown),
        _ => return None,
    };
    let (method, rest) = split(rest, b" for ")?;
    if method.is_empty() || method.contains(&b' ') {
        return None;
    }
    let (user, event) = valid_or_not(rest, login_event(SERVICE, activity, status));
    let event = Authentication { method: Some(name(method)), ..event };
    // All others say what was shown: a key, a certificate, a principal.
    let has_none = method == b"password" || method == b"none";
    let has_key = !has_none && !method.starts_with(b"keyboard-interactive");
    match user.strip_suffix(b" ssh2") {
        Some(rest) if !has_key || !is_told_twice(rest) => from_port(rest, event),
        None if has_key => with_key(user, event),
        Some(_) => Some(Authentication { detail: Some(AMBIGUOUS.into()), ..event }),
        None => None,
    }
}

/// Whether a place from which somebody came stands there more than once.
fn is_told_twice(rest: &[u8]) -> bool {
    split(rest, b" ssh2").is_some()
}

/// A certificate bears a name that its maker chose, a user's name is what a stranger typed: where
/// both ends are a stranger's and the middle is there twice, nobody can tell which is sshd's.
fn with_key(rest: &[u8], event: Authentication) -> Option<Authentication> {
    let (before, key) = split(rest, b" ssh2: ")?;
    if split(key, b" ssh2").is_some() {
        return Some(Authentication { detail: Some(AMBIGUOUS.into()), ..event });
    }
    from_port(before, Authentication { key: Some(name(key)), ..event })
}

/// `NAME from ADDRESS port PORT`, read from the right.
fn from_port(rest: &[u8], event: Authentication) -> Option<Authentication> {
    let (rest, port) = split_last(rest, b" port ")?;
    let (user, from) = split_last(rest, b" from ")?;
    let from_port = Some(number(port)?);
    Some(Authentication { user: Some(name(user)), from: Some(name(from)), from_port, ..event })
}

fn valid_or_not(rest: &[u8], event: Authentication) -> (&[u8], Authentication) {
    match rest.strip_prefix(b"invalid user ") {
        Some(rest) => (rest, Authentication { user_exists: Some(false), ..event }),
        None => (rest, event),
    }
}

/// `Invalid user admin from 192.0.2.1 port 50022`; older ones name no port.
fn invalid_user(message: &[u8]) -> Option<Authentication> {
    let rest = message.strip_prefix(b"Invalid user ")?;
    let event = login_event(SERVICE, AuthActivity::Preauth, Status::Failure);
    let event = Authentication { user_exists: Some(false), ..event };
    from_port(rest, event.clone()).or_else(|| {
        let (user, from) = split_last(rest, b" from ")?;
        Some(Authentication { user: Some(name(user)), from: Some(name(from)), ..event })
    })
}

/// `User ann from 192.0.2.1 not allowed because not listed in AllowUsers`.
fn not_allowed(message: &[u8]) -> Option<Authentication> {
    let rest = message.strip_prefix(b"User ")?;
    let (rest, why) = split_last(rest, b" not allowed because ")?;
    let (user, from) = split_last(rest, b" from ")?;
    let event = login_event(SERVICE, AuthActivity::Logon, Status::Failure);
    let (user, from, detail) = (Some(name(user)), Some(name(from)), Some(name(why)));
    Some(Authentication { user, from, detail, ..event })
}

/// `maximum authentication attempts exceeded for root from 192.0.2.1 port 50022 ssh2`.
fn too_many(message: &[u8]) -> Option<Authentication> {
    const WHAT: &[u8] = b"maximum authentication attempts exceeded";
    let rest = message.strip_prefix(WHAT)?.strip_prefix(b" for ")?;
    let event = login_event(SERVICE, AuthActivity::Logon, Status::Failure);
    let (rest, event) = valid_or_not(rest, event);
    from_port(rest.strip_suffix(b" ssh2")?, Authentication { detail: Some(WHAT.into()), ..event })
}

/// `fatal: Access denied for user ann by PAM account configuration`, and root refused altogether.
fn denied(message: &[u8]) -> Option<Authentication> {
    let event = login_event(SERVICE, AuthActivity::Logon, Status::Failure);
    if let Some(rest) = message.strip_prefix(b"ROOT LOGIN REFUSED FROM ") {
        let (from, port) = split_last(rest, b" port ")?;
        let (user, from, from_port) = (Some("root".into()), Some(name(from)), number(port));
        return Some(Authentication { user, from, from_port, ..event });
    }
    let message = message.strip_prefix(b"fatal: ").unwrap_or(message);
    let rest = message.strip_prefix(b"Access denied for user ")?;
    let (user, why) = split_last(rest, b" by ")?;
    Some(Authentication { user: Some(name(user)), detail: Some(name(why)), ..event })
}

/// `Disconnected from user ann 192.0.2.1 port 50022`, and those that never came so far.
fn ended(message: &[u8]) -> Option<Authentication> {
    let ways = [&b"Disconnected from "[..], b"Connection closed by ", b"Connection reset by "];
    let way = ways.iter().find(|way| message.starts_with(way))?;
    let rest = &message[way.len()..];
    let kinds = [
        (&b"authenticating user "[..], AuthActivity::Preauth, Status::Failure, None),
        (b"invalid user ", AuthActivity::Preauth, Status::Failure, Some(false)),
        (b"user ", AuthActivity::Logoff, Status::Success, None),
    ];
    let (kind, activity, status, user_exists) =
        kinds.into_iter().find(|(kind, ..)| rest.starts_with(kind))?;
    let (rest, port) = split_last(&rest[kind.len()..], b" port ")?;
    let (user, from) = split_last(rest, b" ")?;
    let (user, from, from_port) = (Some(name(user)), Some(name(from)), Some(number(port)?));
    let detail = Some(name(way.trim_ascii_end()));
    let event = login_event(SERVICE, activity, status);
    Some(Authentication { user, from, from_port, user_exists, detail, ..event })
}
