//! The process of a query: what it answers, and how it ends when somebody means it badly. The agent
//! that started it goes on in every case.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what went wrong by panicking")]

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use cordon_agent::clock::Clock;
use cordon_agent::query::child::Worker;
use cordon_agent::query::frame::{Ended, Facts, Frame, Request};
use cordon_proto::id::EndpointId;
use cordon_proto::policy::{Redactions, SecretPattern};
use cordon_proto::query::{Limit, Query, Row, Value, read_chunk};

fn request(sql: &str, time_ms_max: u64) -> Request {
    // What a policy says: a form of a client's own.
    let (name, regex, literal) = ("own-form".to_owned(), "acme-[0-9]+".to_owned(), None);
    let patterns = vec![SecretPattern { name, regex, literal }];
    let redactions = Some(Redactions { patterns, off: vec![] });
    let bare = Facts::bare(EndpointId::of(b"own"), "acme".parse().unwrap());
    let facts = Facts { redactions, ..bare };
    let query = Query { sql: sql.to_owned(), rows_max: 100_000, bytes_max: 8 << 20, time_ms_max };
    Request { query, facts }
}

fn start(sql: &str, time_ms_max: u64) -> (Worker, cordon_agent::query::child::Brake) {
    let program = Path::new(env!("CARGO_BIN_EXE_cordon-agent"));
    Worker::start(program, &request(sql, time_ms_max), Clock::start()).unwrap()
}

fn ask(sql: &str, time_ms_max: u64) -> (Vec<Row>, Ended) {
    let (mut worker, _brake) = start(sql, time_ms_max);
    let mut rows = Vec::new();
    loop {
        match worker.read() {
            Frame::Columns(_) => {}
            Frame::Rows { content, .. } => rows.extend(read_chunk(&content).unwrap()),
            Frame::End(ended) => return (rows, ended),
        }
    }
}

#[track_caller]
fn check(sql: &str, time_ms_max: u64, limit: Limit) {
    let (_, ended) = ask(sql, time_ms_max);
    assert_eq!(ended, Ended::cut(limit), "{sql}");
}

#[test]
fn a_query_is_answered_by_a_process_that_is_confined() {
    let (rows, ended) = ask(
        "SELECT pid, name, parent_pid FROM processes WHERE cmdline LIKE '% query-worker'",
        60_000,
    );
    assert_eq!(ended, Ended::default());
    let own = Value::Integer(std::process::id().into());
    let found = rows.iter().filter(|row| row[2] == own).count();
    assert!(found >= 1, "{rows:?}");
}

#[test]
fn secrets_of_a_command_line_cannot_be_asked_for() {
    let mut child = Command::new("/bin/sh")
        .args(["-c", "read line", "name", "--password", "hunter2", "acme-4711", "--token=x1"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = child.id();
    let (rows, ended) = ask(&format!("SELECT cmdline FROM processes WHERE pid = {pid}"), 60_000);
    let guess = format!("SELECT pid FROM processes WHERE pid = {pid} AND cmdline LIKE '%hunter2%'");
    let guessed = ask(&guess, 60_000);
    drop(child.stdin.take());
    child.wait().unwrap();
    assert_eq!(ended, Ended::default());
    let told = "/bin/sh -c read line name --password [redacted] [redacted] --token=[redacted]";
    assert_eq!(rows, [vec![Value::Text(told.to_owned())]]);
    assert_eq!(guessed, (vec![], Ended::default()));
}

#[test]
fn inventories_are_read_within_the_limits_of_the_process() {
    for name in ["users", "groups", "packages", "services", "autoruns", "ssh_keys", "sudoers"] {
        let (rows, ended) = ask(&format!("SELECT count(*) FROM {name}"), 60_000);
        assert_eq!((rows.len(), ended), (1, Ended::default()), "{name}");
    }
    // What this machine has in any case.
    let (rows, _) = ask("SELECT name FROM users WHERE uid = 0 AND is_expired = 0", 60_000);
    assert_eq!(rows[0], [Value::Text("root".to_owned())]);
}

#[test]
fn what_eats_memory_ends_its_own_process_only() {
    let ten = "WITH RECURSIVE c(x) AS (VALUES(1) UNION ALL SELECT x+1 FROM c LIMIT 1000)";
    // Each holds far more at once than the process may have.
    for sql in [
        format!("{ten} SELECT x, randomblob(1000000) AS b FROM c ORDER BY b"),
        format!("{ten} SELECT count(*) FROM (SELECT DISTINCT randomblob(1000000) FROM c)"),
        "WITH RECURSIVE c(x) AS (VALUES(1) UNION ALL SELECT x+1 FROM c)
         SELECT x FROM c ORDER BY random()"
            .to_owned(),
        "WITH RECURSIVE c(x) AS (VALUES(1) UNION SELECT x+1 FROM c) SELECT count(*) FROM c"
            .to_owned(),
    ] {
        check(&sql, 60_000, Limit::Memory);
    }
}

#[test]
fn a_text_that_grows_row_by_row_ends_at_the_length_of_a_value() {
    let sql = "WITH RECURSIVE c(x) AS (VALUES(1) UNION ALL SELECT x+1 FROM c LIMIT 300000)
               SELECT group_concat(x) FROM c";
    let (_, ended) = ask(sql, 60_000);
    assert_eq!(ended.error.unwrap().sentence, "a value would be longer than 1 MiB");
}

#[test]
fn what_takes_time_ends_with_it() {
    let endless = "WITH RECURSIVE c(x) AS (VALUES(1) UNION ALL SELECT x+1 FROM c)";
    check(&format!("{endless} SELECT count(*) FROM c"), 200, Limit::Time);
    let bomb = "SELECT count(*) FROM tables a, tables b, tables c, tables d, tables e, tables f";
    check(bomb, 200, Limit::Time);
}

#[test]
fn a_process_that_is_stopped_from_elsewhere_is_gone_at_once() {
    let endless = "WITH RECURSIVE c(x) AS (VALUES(1) UNION ALL SELECT x+1 FROM c)
                   SELECT count(*) FROM c";
    let (mut worker, brake) = start(endless, 60_000);
    assert!(matches!(worker.read(), Frame::Columns(_)));
    brake.pull();
    let before = Clock::start();
    assert!(matches!(worker.read(), Frame::End(_)));
    assert!(before.now() < Duration::from_secs(30), "it waited for the query's own end");
    brake.pull();
}

#[test]
fn nothing_is_written_and_no_other_database_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    for sql in [
        format!("ATTACH DATABASE '{}' AS a", path.display()),
        format!("VACUUM INTO '{}'", path.display()),
    ] {
        let (_, ended) = ask(&sql, 60_000);
        assert!(ended.error.is_some(), "{sql}: {ended:?}");
        assert!(!path.exists(), "{sql}");
    }
}

#[test]
fn a_program_that_is_no_agent_is_told_as_such() {
    let asked = request("SELECT 1", 1000);
    let mut worker = Worker::start(Path::new("/bin/true"), &asked, Clock::start()).unwrap().0;
    let Frame::End(ended) = worker.read() else { panic!("it answered") };
    let sentence = ended.error.unwrap().sentence;
    assert!(sentence.starts_with("the process of the query did not finish"), "{sentence}");
    assert!(Worker::start(Path::new("/nonexistent"), &asked, Clock::start()).is_err());
}
