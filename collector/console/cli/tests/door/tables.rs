//! Every table that `cordon` prints, from answers that never change, at 80 columns and at 140, held
//! against what was printed when it was last read.
//!
//! What changed on purpose is written anew with `CORDON_WRITE_PAGES=1 cargo test -p cordon --test door
//! tables`, and read before it is committed.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::rc::Rc;

use clap::Parser;
use cordon::cli::Cli;
use cordon::command::run_telling;
use cordon::config::{Config, Profile};
use cordon::keyfile::{KeyFile, KeyKind};
use cordon::output::Output;
use cordon_proto::command::{Action, Command, Isolate, Nonce, Target};
use cordon_proto::id::{CommandId, EndpointId};
use cordon_proto::policy::Policy;
use cordon_proto::roster::{Ceilings, Grant, Operator, OperatorKey, Role, Roster, RosterRef};
use cordon_proto::sign::SigningKey;
use cordon_proto::sign::command::SignedCommand;
use cordon_proto::sign::document::{self, Kind};
use cordon_proto::time::rfc3339;
use serde_json::{Value, json};

use crate::server::{Reply, Request, Server};
use crate::{collector, key, printed};

/// What is asked for, in the order of the pages.
const COMMANDS: [&str; 28] = [
    "client list",
    "site list",
    "endpoint list",
    "endpoint count",
    "endpoint show web-01",
    "token list",
    "command list",
    "command show 0198f6a0-7c1e-7000-8000-000000000001",
    "containment list",
    "collection list",
    "isolate web-01 --reason beacon --dry-run",
    "policy list",
    "policy status",
    "policy show",
    "roster list",
    "roster status",
    "roster show",
    "roster diff 2",
    "operator list",
    "account show",
    "account list",
    "account list --invitations",
    "session show",
    "session list",
    "session list --client acme",
    "api-token list",
    "api-token list --client acme",
    "audit list",
];

const WIDTHS: [u16; 2] = [80, 140];

fn b64(bytes: impl AsRef<[u8]>) -> String {
    use base64::Engine;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

/// So long ago that it is told in hours, and stays so while the test runs.
fn hours_ago(hours: u64) -> String {
    rfc3339(cordon::clock::now_ns() - (hours * 3600 + 1800) * 1_000_000_000)
}

fn endpoint(number: u8) -> EndpointId {
    EndpointId::of(&[number])
}

fn command_id(number: u128) -> CommandId {
    CommandId(uuid::Uuid::from_u128(0x0198_f6a0_7c1e_7000_8000_0000_0000_0000 + number))
}

fn roster() -> (Vec<u8>, RosterRef) {
    let operator = |name: &str, seed: u8, roles: &[Role]| Operator {
        id: name.parse().unwrap(),
        keys: vec![OperatorKey::File(SigningKey::from_seed(&[seed; 32]).unwrap().verifying())],
        roles: roles.to_vec(),
        sealing: None,
    };
    let grant =
        |action, role, approvals, targets_max| Grant { action, role, approvals, targets_max };
    use cordon_proto::command::ActionKind as Kind_;
    let roster = Roster {
        operators: vec![
            operator("ann", 4, &[Role::Administrator, Role::Responder]),
            operator("bob", 5, &[Role::Responder]),
        ],
        grants: vec![
            grant(Kind_::Isolate, Role::Responder, 1, 5),
            grant(Kind_::Isolate, Role::Responder, 2, 100),
            grant(Kind_::SetPolicy, Role::Administrator, 1, 256),
        ],
        ceilings: Ceilings { lease_secs_max: 604_800, exemptions_max: 32, ..Ceilings::default() },
        collectors: vec!["collector.example:7443".to_owned()],
        ..Roster::new("acme".parse().unwrap(), 2)
    };
    let bytes = document::sign(Kind::Roster, &roster, b"", &key());
    let hash = cordon_proto::id::Hash::of(&bytes);
    (bytes, RosterRef { version: 2, hash })
}

fn signed(number: u128, action: Action, targets: &[(u8, &str)]) -> String {
    let target = |(number, name): &(u8, &str)| Target {
        endpoint: endpoint(*number),
        host_name: (*name).to_owned(),
        nonce: Nonce { boot_count: 1, endpoint_secs: 5000, mac: [7; 16] },
    };
    let command = Command {
        id: command_id(number),
        client: "acme".parse().unwrap(),
        targets: targets.iter().map(target).collect(),
        action,
        age_max_secs: 900,
        queued: false,
        roster_min: roster().1,
        reason: "beaconing to 203.0.113.7".to_owned(),
        incident: Some("case-7".to_owned()),
        snapshot: None,
    };
    b64(SignedCommand::sign(command, &key()).to_bytes())
}

fn command(number: u128, action: &str, targets: &[(u8, &str)], facts: &Value) -> Value {
    let asks = match action {
        "set_policy" => Action::SetPolicy(Policy::new("acme".parse().unwrap(), 3)),
        _ => Action::Isolate(Isolate::default()),
    };
    let target = |(endpoint_number, name): &(u8, &str)| {
        json!({ "endpoint": endpoint(*endpoint_number), "host_name": name, "facts": facts,
            "observed": null, "receipts": [] })
    };
    json!({
        "id": command_id(number), "client": "acme", "action": action, "parameters": {},
        "reason": "beaconing to 203.0.113.7", "incident": "case-7", "queued": false,
        "age_max_secs": 900, "requested_at": "2026-11-21T03:04:05.000000000Z",
        "signed_by": ["ann"], "waits_for": null, "command": signed(number, asks, targets),
        "targets": targets.iter().map(target).collect::<Vec<_>>(),
    })
}

fn facts(last: &[&str]) -> Value {
    let mut facts = json!({ "requested": { "at": "2026-11-21T03:04:05.000000000Z", "by": "ann" } });
    for (second, name) in (6..).zip(last) {
        let at = format!("2026-11-21T03:04:{second:02}.000000000Z");
        facts[*name] = json!({ "at": at, "by": ["ann"], "change_us": 1500, "until_secs": 87_400,
            "stood_already": false, "reason": "the nonce is 1000 s old; the command allows 900 s",
            "check": "freshness" });
    }
    facts
}

const HOSTS: [(u8, &str); 3] =
    [(1, "web-01"), (2, "db-01"), (3, "a-long-host-name-of-a-till-in-a-branch")];

/// What the collector answers: lists and things as they lie in a file, what is signed as it is made.
fn answers() -> BTreeMap<String, Value> {
    let mut text = include_str!("answers.json").to_owned();
    for number in 1..10 {
        text = text.replace(&format!("$ENDPOINT_{number}"), &endpoint(number).to_string());
        text = text.replace(&format!("$COMMAND_{number}"), &command_id(number.into()).to_string());
    }
    for hours in [3, 2, 1] {
        text = text.replace(&format!("$HOURS_{hours}"), &hours_ago(hours));
    }
    let mut answers: BTreeMap<String, Value> = serde_json::from_str(&text).unwrap();
    let first = command(1, "isolate", &HOSTS[..2], &facts(&["authorised", "delivered", "applied"]));
    answers.insert(format!("/commands/{}", command_id(1)), first.clone());
    let everywhere = facts(&["authorised", "delivered", "applied"]);
    let commands = json!([
        command(3, "set_policy", &HOSTS, &everywhere),
        command(2, "isolate", &HOSTS[2..], &facts(&["authorised", "refused"])),
        first,
    ]);
    answers.insert("/commands".to_owned(), json!({ "items": commands, "next": null }));
    let laggards =
        json!([{ "endpoint": endpoint(3), "host_name": HOSTS[2].1, "roster_version": 1 }]);
    let roster = json!({ "document": b64(roster().0), "laggards": laggards });
    answers.insert("/clients/acme/roster".to_owned(), roster);
    answers
}

fn answer(answers: &BTreeMap<String, Value>, request: &Request) -> Reply {
    let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
    let path = path.strip_prefix("/api/v1").unwrap();
    let named = query.split('&').find(|asked| asked.starts_with("name=")).unwrap_or("");
    let found = answers.get(&format!("{path}?{named}")).or_else(|| answers.get(path));
    let unknown = || Reply(404, json!({ "detail": format!("the test knows no {path}") }));
    found.map_or_else(unknown, |found| Reply(200, found.clone()))
}

/// A folder of settings with one profile for this server.
fn settle(dir: &Path, server: &Server) {
    let file = KeyFile::new(KeyKind::Operator, "ann", &key(), None).unwrap();
    let path = dir.join("operator.key");
    std::fs::write(&path, toml::to_string(&file).unwrap()).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let profile = Profile {
        collector: server.address.clone(),
        pin: server.pin,
        authority: key().verifying(),
        recovery: key().verifying(),
        key: path,
        token_file: None,
        client: Some("acme".parse().unwrap()),
        agents: vec!["collector.example:7443".to_owned()],
    };
    let mut config = Config::default();
    config.profiles.insert("acme".to_owned(), profile);
    config.current = Some("acme".to_owned());
    config.write(dir).unwrap();
}

/// What is told, kept.
#[derive(Clone, Default)]
struct Told(Rc<RefCell<Vec<u8>>>);

impl Write for Told {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What a command prints at a width, results and notes together.
fn print(dir: &Path, words: &str, width: u16) -> String {
    let dir = dir.display().to_string();
    let program = ["cordon", "--config-dir", &dir].into_iter();
    let cli = Cli::try_parse_from(program.chain(words.split(' '))).unwrap();
    let told = Told::default();
    let output = Output::to(Box::new(told.clone()), Box::new(told.clone()), width);
    if let Err(error) = run_telling(cli, output, None) {
        writeln!(told.clone(), "ERROR {error:#}").unwrap();
    }
    String::from_utf8(told.0.borrow().clone()).unwrap()
}

#[test]
fn the_tables_are_those_that_were_read() {
    let answers = answers();
    let server = collector(move |request| answer(&answers, request));
    let dir = tempfile::tempdir().unwrap();
    settle(dir.path(), &server);
    let mut pages = String::new();
    for words in COMMANDS {
        for width in WIDTHS {
            let said = print(dir.path(), words, width);
            assert!(!said.contains("ERROR"), "cordon {words}: {said}");
            let long = |line: &&str| line.chars().count() > usize::from(width);
            // A sentence may be longer, and wraps where it must; a row of a table may not.
            if words.contains(" list")
                && let Some(line) = said.lines().find(long)
            {
                assert!(!line.contains("  "), "cordon {words} at {width} columns: {line}");
            }
            pages.push_str(&format!("━━━ cordon {words} · {width} columns\n"));
            // Each command that is composed has an id of its own.
            let composed =
                |line: &&str| words.contains("--dry-run") && line.starts_with("command ");
            let said: Vec<_> = said.lines().filter(|line| !composed(line)).collect();
            pages.extend(said.iter().flat_map(|line| [line.trim_end(), "\n"]));
        }
    }
    printed::check("tables.txt", &pages);
}
