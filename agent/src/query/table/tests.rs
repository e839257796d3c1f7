//! Each table answers on the machine that the tests run on.

use std::process;

use cordon_proto::command::{ActionKind, Nonce};
use cordon_proto::event::agent::Standing;
use cordon_proto::event::{Health, SensorHealth, SensorState};
use cordon_proto::id::{CommandId, EndpointId};
use cordon_proto::policy::Budget;
use cordon_proto::query::{Query, read_chunk};
use cordon_proto::roster::RosterRef;
use serde_json::json;

use super::*;
use crate::clock::Clock;
use crate::query::frame::{Ended, Frame};
use crate::query::{engine, functions};

fn facts() -> Facts {
    let sensor = SensorHealth {
        name: "process".to_owned(),
        state: SensorState::Degraded,
        reason: Some("no BTF".to_owned()),
        tier: None,
        seen: 7,
        dropped: 1,
        proved_secs: Some(30),
        dropped_why: None,
    };
    let command = CommandId(uuid::Uuid::from_u128(1));
    let standing =
        Standing { command, action: ActionKind::Isolate, until_secs: Some(9), proved: true };
    let health = Health {
        agent_version: "1.2.3".to_owned(),
        endpoint_secs: 100,
        nonce: Nonce { boot_count: 1, endpoint_secs: 60, mac: [9; 16] },
        roster: RosterRef { version: 4, ..RosterRef::default() },
        policy_version: 2,
        cpu_us: 3000,
        rss_bytes: 4096,
        uptime_secs: 5,
        lanes: vec![],
        sensors: vec![sensor],
        dropped: vec![],
        containments: vec![standing],
        given_up: Some("forks".to_owned()),
        budget: Some(Budget { cpu_percent: Some(10), ..Budget::default() }),
        sent_bytes: Some(77),
    };
    Facts {
        endpoint: EndpointId::of(b"own"),
        client: "acme".parse().unwrap(),
        health,
        redactions: None,
    }
}

fn ask(sql: &str) -> (Vec<Row>, Ended) {
    let (mut rows, mut end) = (Vec::new(), Ended::default());
    let sql = sql.to_owned();
    let query = Query { sql, rows_max: 100_000, bytes_max: 8 << 20, time_ms_max: 60_000 };
    let answered = engine::answer(&query, all(&facts()), &Clock::start(), &mut |frame| {
        match frame {
            Frame::Columns(_) => {}
            Frame::Rows { content, .. } => rows.extend(read_chunk(&content).unwrap()),
            Frame::End(ended) => end = ended,
        }
        Ok(())
    });
    answered.unwrap();
    (rows, end)
}

#[track_caller]
fn check(sql: &str, rows: &[Row]) {
    assert_eq!(ask(sql), (rows.to_vec(), Ended::default()), "{sql}");
}

#[test]
fn every_table_that_wants_no_key_answers_with_all_its_columns() {
    for table in all(&facts()) {
        let (name, columns) = (table.name(), table.columns());
        let keyed = columns.iter().any(|column| column.key != Key::No);
        let sql = format!("SELECT * FROM {name} LIMIT 3");
        let (rows, ended) = ask(&sql);
        if keyed {
            assert!(ended.error.unwrap().sentence.contains("needs to know which"), "{name}");
        } else {
            assert_eq!(ended, Ended::default(), "{name}");
            assert!(rows.iter().all(|row| row.len() == columns.len()), "{name}");
        }
        assert!(columns.iter().all(|column| !column.about.is_empty()), "{name}");
    }
}

#[test]
fn this_process_is_listed_with_what_it_is() {
    let pid = process::id();
    let sql = format!(
        "SELECT parent_pid, uid, path, rss_bytes > 1000000, cmdline LIKE '%' FROM processes
         WHERE pid = {pid}"
    );
    let program = std::env::current_exe().unwrap();
    let parent = std::os::unix::process::parent_id();
    let uid = rustix::process::getuid().as_raw();
    let path = word(program.to_str().unwrap());
    check(&sql, &[vec![number(parent), number(uid), path, flag(true), flag(true)]]);
}

#[test]
fn a_port_that_is_open_is_listed_with_its_process() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let address = word("127.0.0.1");
    check(
        &format!("SELECT protocol, address, pid FROM listeners WHERE port = {port}"),
        &[vec![word("tcp"), address, number(process::id())]],
    );
    let stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    let own = stream.local_addr().unwrap().port();
    check(
        &format!(
            "SELECT s.state, p.pid FROM sockets s JOIN processes p USING (pid)
             WHERE s.local_port = {own} AND s.remote_port = {port}"
        ),
        &[vec![word("established"), number(process::id())]],
    );
}

#[test]
fn files_are_found_by_path_folder_and_pattern() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().to_str().unwrap();
    std::fs::create_dir_all(folder.path().join("sub/deep")).unwrap();
    for (name, content) in [("a.conf", "abc"), ("sub/b.conf", "bc"), ("sub/deep/c.txt", "c")] {
        std::fs::write(folder.path().join(name), content).unwrap();
    }
    std::os::unix::fs::symlink("a.conf", folder.path().join("link")).unwrap();
    let names = |names: &[&str]| names.iter().map(|name| vec![word(*name)]).collect::<Vec<_>>();
    check(
        &format!("SELECT name FROM files WHERE directory = '{root}' ORDER BY name"),
        &names(&["a.conf", "link", "sub"]),
    );
    check(
        &format!("SELECT name FROM files WHERE path LIKE '{root}/%.conf' ORDER BY name"),
        &names(&["a.conf", "b.conf"]),
    );
    check(
        &format!("SELECT name FROM files WHERE path GLOB '{root}/sub/*' ORDER BY name"),
        &names(&["b.conf", "c.txt", "deep"]),
    );
    check(
        &format!("SELECT type, size_bytes, link_target FROM files WHERE path = '{root}/link'"),
        &[vec![word("link"), number(6), word("a.conf")]],
    );
    check(&format!("SELECT name FROM files WHERE path = '{root}/nothing'"), &[]);
    check(&format!("SELECT name FROM files WHERE directory = '{root}/a.conf'"), &[]);
    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    check(
        &format!(
            "SELECT name, sha256 FROM files JOIN hashes USING (path)
             WHERE files.directory = '{root}' AND type = 'file'"
        ),
        &[vec![word("a.conf"), word(abc)]],
    );
}

#[test]
fn paths_that_are_not_whole_are_refused() {
    for sql in ["SELECT * FROM files WHERE path = 'etc'", "SELECT * FROM files WHERE path LIKE '%'"]
    {
        let (_, ended) = ask(sql);
        assert!(ended.error.unwrap().sentence.contains("whole paths"), "{sql}");
    }
}

#[test]
fn what_the_agent_says_of_itself_is_told_and_its_nonce_is_not() {
    check(
        "SELECT agent_version, roster_version, cpu_ms FROM health",
        &[vec![word("1.2.3"), number(4), number(3)]],
    );
    check(
        "SELECT name, state, reason, tier, dropped, proved_secs FROM sensors",
        &[vec![
            word("process"),
            word("degraded"),
            word("no BTF"),
            Value::Null,
            number(1),
            number(30),
        ]],
    );
    check(
        "SELECT action, until_secs, proved FROM containments",
        &[vec![word("isolate"), number(9), number(1)]],
    );
    check("SELECT client, endpoint = 'x' FROM os", &[vec![word("acme"), flag(false)]]);
    check("SELECT count(*) FROM tables WHERE column_name LIKE '%nonce%'", &[vec![number(0)]]);
}

#[test]
fn the_tables_are_listed_in_a_table() {
    let (rows, _) = ask("SELECT DISTINCT table_name FROM tables ORDER BY table_name");
    let mut names: Vec<_> = all(&facts()).iter().map(|table| vec![word(table.name())]).collect();
    names.sort_by_key(|row| format!("{row:?}"));
    assert_eq!(rows, names);
}

/// What the console's editor completes from. Whoever changes a table writes it anew:
/// `CORDON_WRITE_TABLES=1 cargo test -p cordon-agent tables_that_the_consoles`.
#[test]
fn the_tables_that_the_consoles_editor_knows_are_these() {
    let tables = all(&facts()).into_iter().map(|table| {
        let columns = table.columns().iter().map(|column| {
            let key = match column.key {
                Key::No => None,
                Key::Equal => Some("equal"),
                Key::Pattern => Some("pattern"),
            };
            json!({ "name": column.name, "type": column.kind, "about": column.about, "key": key })
        });
        let columns: Vec<_> = columns.collect();
        json!({ "name": table.name(), "about": table.about(), "columns": columns })
    });
    let functions: Vec<_> = functions::names().collect();
    let known = json!({ "tables": tables.collect::<Vec<_>>(), "functions": functions });
    let now = format!("{known:#}\n");
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let file = folder.join("../collector/console/web/tables.json");
    if std::env::var_os("CORDON_WRITE_TABLES").is_some() {
        std::fs::write(&file, &now).unwrap();
    }
    let held = std::fs::read_to_string(&file).unwrap();
    assert!(held == now, "collector/console/web/tables.json is old: write it anew");
}
