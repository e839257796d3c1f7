//! `users` and `groups`: the accounts that stand in the machine's own files, read as the inventory
//! reads them.

use std::fs;
use std::io::Read;

use cordon_proto::query::Row;

use super::{INTEGER, TEXT, column, flag, maybe, number, rows, text, word};
use crate::inventory::groups::{self, Group};
use crate::inventory::users::{self, User};
use crate::platform::sqlite::{Asked, Column, Rows, Table};

/// A file of accounts is read so far; more than a hundred thousand of them stand in a directory
/// service, which is not asked.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// One row a user.
pub(super) struct Users;

/// One row a group.
pub(super) struct Groups;

impl Table for Users {
    fn name(&self) -> &'static str {
        "users"
    }

    fn about(&self) -> &'static str {
        "accounts of /etc/passwd and /etc/shadow; those of a directory service are not asked for"
    }

    fn columns(&self) -> &'static [Column] {
        const COLUMNS: &[Column] = &[
            column("uid", INTEGER, "the user's number"),
            column("name", TEXT, "what the user is called"),
            column("gid", INTEGER, "the user's first group"),
            column("full_name", TEXT, "the person's name and what else stands there"),
            column("home", TEXT, "the user's folder"),
            column("shell", TEXT, "the program that the user logs in to"),
            column(
                "password",
                TEXT,
                "set, none (nothing is asked for), locked, impossible (none fits) or unknown",
            ),
            column("password_changed_day", INTEGER, "when it was last changed, days since 1970"),
            column("password_days_max", INTEGER, "how many days it counts"),
            column("expires_day", INTEGER, "from when on the account is closed, days since 1970"),
            column("is_expired", INTEGER, "1 if that day has come"),
        ];
        COLUMNS
    }

    fn rows(&self, _asked: &[Asked]) -> Result<Rows, String> {
        let passwd = read("/etc/passwd")?;
        // Without it the passwords are told as unknown.
        let shadow = read("/etc/shadow").ok();
        let users = users::parse(&passwd, shadow.as_deref(), users::today());
        Ok(rows(users.into_iter().map(user).collect()))
    }
}

impl Table for Groups {
    fn name(&self) -> &'static str {
        "groups"
    }

    fn about(&self) -> &'static str {
        "groups of /etc/group; those of a directory service are not asked for"
    }

    fn columns(&self) -> &'static [Column] {
        const COLUMNS: &[Column] = &[
            column("gid", INTEGER, "the group's number"),
            column("name", TEXT, "what the group is called"),
            column("members", TEXT, "who is in it beside those whose first group it is, by commas"),
        ];
        COLUMNS
    }

    fn rows(&self, _asked: &[Asked]) -> Result<Rows, String> {
        Ok(rows(groups::parse(&read("/etc/group")?).into_iter().map(group).collect()))
    }
}

fn read(path: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(|error| format!("opening {path}: {error}"))?;
    let read = file.take(FILE_BYTES_MAX).read_to_end(&mut bytes);
    read.map_err(|error| format!("reading {path}: {error}"))?;
    Ok(bytes)
}

fn user(user: User) -> Row {
    let User { name, uid, gid, full_name, home, shell, password, .. } = user;
    vec![
        number(uid),
        text(name.as_bytes()),
        number(gid),
        text(full_name.as_bytes()),
        text(home.as_bytes()),
        text(shell.as_bytes()),
        word(password.name()),
        maybe(user.changed_day),
        maybe(user.days_max),
        maybe(user.expires_day),
        flag(user.is_expired),
    ]
}

fn group(group: Group) -> Row {
    vec![number(group.gid), text(group.name.as_bytes()), text(group.members.as_bytes())]
}

#[cfg(test)]
mod tests {
    use cordon_proto::query::Value;

    use super::*;

    #[test]
    fn an_account_is_told_with_what_there_is_of_its_password() {
        let passwd = b"ann:x:1000:100:Ann A.,,,:/home/ann:/bin/bash\n# ann\n+::::::\n";
        let shadow = b"ann:!$6$salt$hash:19000:0:90:7::19999:\n";
        let users = users::parse(passwd, Some(shadow), 20_000);
        let rows: Vec<Row> = users.into_iter().map(user).collect();
        let expected = vec![
            number(1000),
            word("ann"),
            number(100),
            word("Ann A.,,,"),
            word("/home/ann"),
            word("/bin/bash"),
            word("locked"),
            number(19_000),
            number(90),
            number(19_999),
            flag(true),
        ];
        assert_eq!(rows, [expected]);
        let unread = users::parse(passwd, None, 0).into_iter().map(user).next().unwrap();
        assert_eq!(unread[6..8], [word("unknown"), Value::Null]);
        let row = group(groups::parse(b"sudo:x:27:bob,ann").remove(0));
        assert_eq!(row, [number(27), word("sudo"), word("ann,bob")]);
    }
}
