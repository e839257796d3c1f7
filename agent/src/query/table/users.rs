//! `users` and `groups`: the accounts that stand in the machine's own files.

use std::fs;

use cordon_proto::query::{Row, Value};

use super::{INTEGER, TEXT, column, number, rows, text};
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
        "accounts of /etc/passwd; those of a directory service are not asked for"
    }

    fn columns(&self) -> &'static [Column] {
        const COLUMNS: &[Column] = &[
            column("uid", INTEGER, "the user's number"),
            column("name", TEXT, "what the user is called"),
            column("gid", INTEGER, "the user's first group"),
            column("full_name", TEXT, "the person's name and what else stands there"),
            column("home", TEXT, "the user's folder"),
            column("shell", TEXT, "the program that the user logs in to"),
        ];
        COLUMNS
    }

    fn rows(&self, _asked: &[Asked]) -> Result<Rows, String> {
        lines("/etc/passwd", user)
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
        lines("/etc/group", group)
    }
}

fn lines(path: &str, row: fn(&[u8]) -> Option<Row>) -> Result<Rows, String> {
    use std::io::Read;
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(|error| format!("opening {path}: {error}"))?;
    let read = file.take(FILE_BYTES_MAX).read_to_end(&mut bytes);
    read.map_err(|error| format!("reading {path}: {error}"))?;
    Ok(rows(bytes.split(|byte| *byte == b'\n').filter_map(row).collect()))
}

/// `name:x:uid:gid:full name:home:shell`. A line that is none is passed over.
fn user(line: &[u8]) -> Option<Row> {
    let fields: Vec<&[u8]> = line.split(|byte| *byte == b':').collect();
    let [name, _password, uid, gid, full_name, home, shell] = fields[..] else { return None };
    Some(vec![id(uid)?, text(name), id(gid)?, text(full_name), text(home), text(shell)])
}

/// `name:x:gid:members`.
fn group(line: &[u8]) -> Option<Row> {
    let fields: Vec<&[u8]> = line.split(|byte| *byte == b':').collect();
    let [name, _password, gid, members] = fields[..] else { return None };
    Some(vec![id(gid)?, text(name), text(members)])
}

fn id(field: &[u8]) -> Option<Value> {
    std::str::from_utf8(field).ok()?.parse::<u32>().ok().map(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_read_and_what_is_none_is_passed_over() {
        let word = |word: &str| Value::Text(word.to_owned());
        let row = user(b"ann:x:1000:100:Ann A.,,,:/home/ann:/bin/bash").unwrap();
        let expected = [
            Value::Integer(1000),
            word("ann"),
            Value::Integer(100),
            word("Ann A.,,,"),
            word("/home/ann"),
            word("/bin/bash"),
        ];
        assert_eq!(row, expected);
        for line in [&b""[..], b"# ann", b"+::::::", b"ann:x:-1:100:a:b:c", b"ann:x:1:2:a:b"] {
            assert_eq!(user(line), None, "{}", line.escape_ascii());
        }
        let row = group(b"sudo:x:27:ann,bob").unwrap();
        assert_eq!(row, [Value::Integer(27), word("sudo"), word("ann,bob")]);
    }
}
