//! What the shadow tools say: useradd, usermod, userdel, groupadd, gpasswd, passwd, chage, ….
//!
//! They say most things twice, for `/etc/group` and for `/etc/gshadow`; the second is passed over.

use cordon_proto::event::login::{AccountActivity, AccountChange, Status};

use super::cut::{name, number, quoted, some_name, split};
use super::interpret::{Said, Told, change};

/// The event that a message of one of these programs tells.
pub(super) fn tell(said: &Said<'_>) -> Option<Told> {
    let Said { app, message } = *said;
    let event = created(app, message)
        .or_else(|| members(app, message))
        .or_else(|| members_by(app, message))
        .or_else(|| deleted(app, message))
        .or_else(|| changed(app, message))
        .or_else(|| passwords(app, message))
        .or_else(|| failed(app, message))?;
    Some(event.into())
}

/// `new user: name=ann, UID=1001, GID=1001, home=/home/ann, shell=/bin/sh`, `new group: …`.
fn created(app: &[u8], message: &[u8]) -> Option<AccountChange> {
    let (mut event, rest) = if let Some(rest) = message.strip_prefix(b"new user: ") {
        (change(app, AccountActivity::UserCreated), rest)
    } else {
        (change(app, AccountActivity::GroupCreated), message.strip_prefix(b"new group: ")?)
    };
    let is_user = event.activity == AccountActivity::UserCreated;
    let mut rest = rest;
    while let Some((field, value)) = split(rest, b"=") {
        // A home may have a comma in it, but no name of a field behind it.
        let next = [&b", UID="[..], b", GID=", b", home=", b", shell=", b", from="];
        let next = next.iter().filter_map(|next| split(value, next).map(|it| it.0.len())).min();
        let (value, after) = value.split_at(next.unwrap_or(value.len()));
        match (field.strip_prefix(b", ").unwrap_or(field), is_user) {
            (b"name", true) => event.user = some_name(value),
            (b"name", false) => event.group = some_name(value),
            (b"UID", _) => event.uid = number(value),
            (b"GID", _) => event.gid = number(value),
            (b"home", _) => event.home = some_name(value),
            (b"shell", _) => event.shell = some_name(value),
            (b"from", _) => event.detail = Some(name(&[b"from ", value].concat())),
            _ => {}
        }
        rest = after;
    }
    (event.user.is_some() || event.group.is_some()).then_some(event)
}

/// `add 'ann' to group 'sudo'`, `delete 'ann' from group 'sudo'`.
fn members(app: &[u8], message: &[u8]) -> Option<AccountChange> {
    let (activity, user, rest) = if let Some((user, rest)) = quoted(message, b"add ") {
        (AccountActivity::MemberAdded, user, rest.strip_prefix(b" to group ")?)
    } else {
        let (user, rest) = quoted(message, b"delete ")?;
        (AccountActivity::MemberRemoved, user, rest.strip_prefix(b" from group ")?)
    };
    let (group, _) = quoted(rest, b"")?;
    Some(AccountChange { user: some_name(user), group: some_name(group), ..change(app, activity) })
}

/// gpasswd's `user ann added by root to group sudo`.
fn members_by(app: &[u8], message: &[u8]) -> Option<AccountChange> {
    let rest = message.strip_prefix(b"user ")?;
    let (activity, (user, rest), to) = match split(rest, b" added by ") {
        Some(parts) => (AccountActivity::MemberAdded, parts, &b" to group "[..]),
        None => {
            (AccountActivity::MemberRemoved, split(rest, b" removed by ")?, &b" from group "[..])
        }
    };
    let (actor, group) = split(rest, to)?;
    let (user, actor, group) = (some_name(user), some_name(actor), some_name(group));
    Some(AccountChange { user, actor, group, ..change(app, activity) })
}

/// `delete user 'ann'`, `removed group 'ann' owned by 'ann'`, `group 'dev' removed`.
fn deleted(app: &[u8], message: &[u8]) -> Option<AccountChange> {
    if let Some((user, _)) = quoted(message, b"delete user ") {
        let event = change(app, AccountActivity::UserDeleted);
        return Some(AccountChange { user: some_name(user), ..event });
    }
    let event = change(app, AccountActivity::GroupDeleted);
    if let Some((group, _)) = quoted(message, b"removed group ") {
        return Some(AccountChange { group: some_name(group), ..event });
    }
    let (group, rest) = quoted(message, b"group ")?;
    (rest == b" removed").then(|| AccountChange { group: some_name(group), ..event })
}

/// `change user 'ann' shell from '/bin/sh' to '/bin/bash'`, `change user name 'ann' to 'bob'`.
fn changed(app: &[u8], message: &[u8]) -> Option<AccountChange> {
    if let Some((user, rest)) = quoted(message, b"change user name ") {
        let detail = Some(name(&[b"name", rest].concat()));
        let event = change(app, AccountActivity::UserChanged);
        return Some(AccountChange { user: some_name(user), detail, ..event });
    }
    if let Some(rest) = message.strip_prefix(b"group changed in /etc/group (") {
        let (group, detail) = split(rest.strip_prefix(b"group ")?, b"/")?;
        let event = change(app, AccountActivity::GroupChanged);
        return Some(AccountChange { group: some_name(group), detail: some_name(detail), ..event });
    }
    let (user, rest) = quoted(message, b"change user ").or(quoted(message, b"changed user "))?;
    let rest = rest.trim_ascii_start();
    let activity = match rest {
        b"password" => AccountActivity::PasswordChanged,
        _ if rest.starts_with(b"expiration") || rest.starts_with(b"inactive") => {
            AccountActivity::AgingChanged
        }
        _ => AccountActivity::UserChanged,
    };
    let detail = some_name(rest).filter(|_| activity != AccountActivity::PasswordChanged);
    Some(AccountChange { user: some_name(user), detail, ..change(app, activity) })
}

/// `lock user 'ann' password`, `password for 'ann' changed by 'root'`, `changed password expiry for
/// ann`.
fn passwords(app: &[u8], message: &[u8]) -> Option<AccountChange> {
    let locks = [
        (&b"lock user "[..], AccountActivity::Locked),
        (b"unlock user ", AccountActivity::Unlocked),
    ];
    for (before, activity) in locks {
        if let Some((user, b" password")) = quoted(message, before) {
            return Some(AccountChange { user: some_name(user), ..change(app, activity) });
        }
    }
    if let Some((user, rest)) = quoted(message, b"password for ") {
        let (actor, _) = quoted(rest, b" changed by ")?;
        let event = change(app, AccountActivity::PasswordChanged);
        return Some(AccountChange { user: some_name(user), actor: some_name(actor), ..event });
    }
    let user = message.strip_prefix(b"changed password expiry for ")?;
    Some(AccountChange { user: some_name(user), ..change(app, AccountActivity::AgingChanged) })
}

/// `failed adding user 'ann', exit code: 9`.
fn failed(app: &[u8], message: &[u8]) -> Option<AccountChange> {
    let (user, rest) = quoted(message, b"failed adding user ")?;
    let detail = some_name(rest.strip_prefix(b", ").unwrap_or(rest));
    let event = change(app, AccountActivity::UserCreated);
    Some(AccountChange { status: Status::Failure, user: some_name(user), detail, ..event })
}
