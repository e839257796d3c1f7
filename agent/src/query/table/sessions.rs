//! `sessions`: who is logged in, by systemd's records, or by utmp where there are none.

use std::fs;
use std::path::Path;

use cordon_proto::query::{Row, Value};

use super::{INTEGER, TEXT, column, maybe, rows, text, word};
use crate::platform::sqlite::{Asked, Column, Rows, Table};

/// Where systemd keeps a file for each session.
const SYSTEMD: &str = "/run/systemd/sessions";

/// Where older systems keep a record for each.
const UTMP: &str = "/run/utmp";

/// Sessions that are told.
const SESSIONS_MAX: usize = 10_000;

/// One record of utmp, on every 64-bit Linux.
const RECORD_BYTES: usize = 384;

/// The kind of a record that is a session.
const USER_PROCESS: i16 = 7;

/// One row a session.
pub(super) struct Sessions;

impl Table for Sessions {
    fn name(&self) -> &'static str {
        "sessions"
    }

    fn about(&self) -> &'static str {
        "who is logged in, by systemd's records or utmp"
    }

    fn columns(&self) -> &'static [Column] {
        const COLUMNS: &[Column] = &[
            column("user", TEXT, "who"),
            column("uid", INTEGER, "that user's number, where it is told"),
            column("terminal", TEXT, "at which terminal"),
            column("host", TEXT, "from where; none at the machine itself"),
            column("service", TEXT, "by which way: sshd, login, …"),
            column("state", TEXT, "active, online or closing"),
            column("pid", INTEGER, "the process that the session began with"),
            column("since_secs", INTEGER, "since when, seconds since 1970 UTC"),
        ];
        COLUMNS
    }

    fn rows(&self, _asked: &[Asked]) -> Result<Rows, String> {
        let found = match fs::read_dir(SYSTEMD) {
            Ok(entries) => {
                let paths = entries.flatten().map(|entry| entry.path()).take(SESSIONS_MAX);
                paths.filter_map(|path| of_systemd(&read(&path))).collect()
            }
            Err(_no_systemd) => of_utmp(&read(Path::new(UTMP))),
        };
        Ok(rows(found))
    }
}

/// A file that is gone meanwhile, or was never there, tells of nobody.
fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_default()
}

/// `KEY=value` a line.
fn of_systemd(file: &[u8]) -> Option<Row> {
    let file = String::from_utf8_lossy(file);
    let value = |key: &str| file.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    let told = |key: &str| value(key).filter(|value| !value.is_empty()).map_or(Value::Null, word);
    let count = |key: &str| value(key).and_then(|value| value.parse::<u64>().ok());
    // A user's own manager is no login.
    if value("CLASS").is_some_and(|class| class.starts_with("manager")) {
        return None;
    }
    Some(vec![
        value("USER").map(word)?,
        maybe(count("UID")),
        told("TTY"),
        told("REMOTE_HOST"),
        told("SERVICE"),
        told("STATE"),
        maybe(count("LEADER")),
        maybe(count("REALTIME").map(|micros| micros / 1_000_000)),
    ])
}

fn of_utmp(file: &[u8]) -> Vec<Row> {
    let (records, _rest) = file.as_chunks::<RECORD_BYTES>();
    records.iter().take(SESSIONS_MAX).filter_map(record).collect()
}

fn record(record: &[u8; RECORD_BYTES]) -> Option<Row> {
    let number = |at: usize| {
        i32::from_ne_bytes([record[at], record[at + 1], record[at + 2], record[at + 3]])
    };
    if i16::from_ne_bytes([record[0], record[1]]) != USER_PROCESS {
        return None;
    }
    let field = |at: usize, bytes: usize| {
        let field = &record[at..at + bytes];
        let end = field.iter().position(|byte| *byte == 0).unwrap_or(bytes);
        if end == 0 { Value::Null } else { text(&field[..end]) }
    };
    Some(vec![
        field(44, 32),
        Value::Null,
        field(8, 32),
        field(76, 256),
        Value::Null,
        Value::Null,
        maybe(Some(number(4))),
        // Unsigned, so that it counts to 2106.
        maybe(Some(number(340).cast_unsigned())),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(row: &Row) -> Vec<String> {
        let value = |value: &Value| match value {
            Value::Text(text) => text.clone(),
            Value::Integer(number) => number.to_string(),
            Value::Null | Value::Real(_) | Value::Bytes(_) => "-".to_owned(),
        };
        row.iter().map(value).collect()
    }

    #[test]
    fn a_file_of_systemd_is_a_session_unless_it_is_a_users_manager() {
        let file = b"# systemd\nUID=1000\nUSER=ann\nACTIVE=1\nSTATE=active\nREMOTE=1\nTYPE=tty\n\
                     CLASS=user\nREMOTE_HOST=192.0.2.7\nSERVICE=sshd\nTTY=pts/0\nLEADER=4242\n\
                     REALTIME=1795000000123456\n";
        let expected =
            ["ann", "1000", "pts/0", "192.0.2.7", "sshd", "active", "4242", "1795000000"];
        assert_eq!(show(&of_systemd(file).unwrap()), expected);
        assert_eq!(of_systemd(b"UID=1000\nUSER=ann\nCLASS=manager\n"), None);
        assert_eq!(of_systemd(b""), None);
    }

    #[test]
    fn a_record_of_utmp_is_a_session_if_it_is_a_users() {
        let mut record = [0; RECORD_BYTES];
        record[0] = 7;
        record[4..8].copy_from_slice(&4242_i32.to_ne_bytes());
        record[8..13].copy_from_slice(b"pts/0");
        record[44..47].copy_from_slice(b"ann");
        record[76..85].copy_from_slice(b"192.0.2.7");
        record[340..344].copy_from_slice(&1_795_000_000_i32.to_ne_bytes());
        let mut file = record.to_vec();
        record[0] = 8; // has ended
        file.extend(record);
        file.extend([7; 20]); // half a record
        let rows: Vec<_> = of_utmp(&file).iter().map(show).collect();
        assert_eq!(rows, [["ann", "-", "pts/0", "192.0.2.7", "-", "-", "4242", "1795000000"]]);
    }
}
