//! What PAM's modules say in the name of many programs: `pam_unix(sshd:session): …`.

use cordon_proto::event::login::{
    AccountActivity, AccountChange, AuthActivity, Authentication, Status,
};

use super::cut::{name, number, some_name, split};
use super::interpret::{Said, Told, change, login_event};

/// The event that a message of PAM tells.
pub(super) fn tell(said: &Said<'_>) -> Option<Told> {
    if let Some(rest) = said.message.strip_prefix(b"PAM ") {
        return more_failures(said.app, rest).map(Told::from);
    }
    let (module, rest) = split(said.message, b"(")?;
    if module.contains(&b' ') {
        return None;
    }
    let (inside, message) = split(rest, b"): ")?;
    let (service, _kind) = split(inside, b":")?;
    if let Some(told) = password(service, message) {
        return Some(told.into());
    }
    session(service, message).or_else(|| failure(service, message)).map(Told::from)
}

/// What a session of a service is: acting as another, or a login.
fn activity(service: &[u8]) -> AuthActivity {
    match service {
        b"sudo" | b"sudo-i" | b"su" | b"su-l" | b"runuser" | b"runuser-l" | b"doas"
        | b"polkit-1" => AuthActivity::AccountSwitch,
        _ => AuthActivity::Logon,
    }
}

/// `session opened for user ann(uid=1000) by bob(uid=0)`, `session closed for user ann`.
fn session(service: &[u8], message: &[u8]) -> Option<Authentication> {
    if let Some(user) = message.strip_prefix(b"session closed for user ") {
        let event = login_event(service, AuthActivity::Logoff, Status::Success);
        return Some(Authentication { user: some_name(user), ..event });
    }
    let rest = message.strip_prefix(b"session opened for user ")?;
    let (user, by) = split(rest, b" by ").unwrap_or((rest, b""));
    let user = split(user, b"(uid=").map_or(user, |(user, _)| user);
    let by = split(by, b"(uid=").map_or(by, |(by, _)| by);
    let event = login_event(service, activity(service), Status::Success);
    Some(Authentication { user: some_name(user), actor: some_name(by), ..event })
}

/// `authentication failure; logname=… rhost=…  user=…`, and other ways to be refused.
fn failure(service: &[u8], message: &[u8]) -> Option<Authentication> {
    let event = login_event(service, activity(service), Status::Failure);
    if message == b"check pass; user unknown" {
        return Some(Authentication { user_exists: Some(false), ..event });
    }
    if let Some(rest) = message.strip_prefix(b"authentication failure; ") {
        return Some(fields(rest, event));
    }
    if let Some(rest) = message.strip_prefix(b"authentication success; ") {
        return Some(fields(rest, Authentication { status: Status::Success, ..event }));
    }
    if let Some(rest) = message.strip_prefix(b"Consecutive login failures for user ") {
        let (user, detail) = split(rest, b" account ")?;
        let detail = Some(name(&[b"account ", detail].concat()));
        return Some(Authentication { user: some_name(user), detail, ..event });
    }
    let detail = Some(name(message));
    let (rest, why) = split(message.strip_prefix(b"account ")?, b" has ")?;
    let refused = why.starts_with(b"expired") || why.starts_with(b"password expired");
    refused.then(|| Authentication { user: some_name(rest), detail, ..event })
}

/// `2 more authentication failures; logname= …`, of the program whose log it is.
fn more_failures(app: &[u8], rest: &[u8]) -> Option<Authentication> {
    let (count, rest) = split(rest, b" more authentication failure")?;
    let (_plural, rest) = split(rest, b"; ")?;
    let service = if app.starts_with(b"sshd") { b"sshd" } else { app };
    let event = login_event(service, activity(service), Status::Failure);
    Some(fields(rest, Authentication { tries: Some(number(count)?), ..event }))
}

/// `logname= uid=0 euid=0 tty=ssh ruser= rhost=192.0.2.1  user=root`: the one that a stranger
/// chose is the last, and all of the rest.
fn fields(rest: &[u8], mut event: Authentication) -> Authentication {
    let field = |before: &[u8]| {
        let (_, value) = split(rest, before)?;
        some_name(value.split(|byte| *byte == b' ').next().unwrap_or_default())
    };
    event.terminal = field(b" tty=");
    event.actor = field(b" ruser=");
    event.from = field(b" rhost=");
    let (_, behind) = split(rest, b" rhost=").unwrap_or((b"", rest));
    event.user = split(behind, b" user=").and_then(|(_, user)| some_name(user));
    event
}

/// `password changed for ann`.
fn password(service: &[u8], message: &[u8]) -> Option<AccountChange> {
    let user = message.strip_prefix(b"password changed for ")?;
    Some(AccountChange {
        user: some_name(user),
        ..change(service, AccountActivity::PasswordChanged)
    })
}
