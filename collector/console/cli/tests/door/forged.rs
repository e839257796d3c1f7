//! A collector that lies in its preview: the person may be misled, and what is signed is the same.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::process::{Command as Process, Stdio};
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cordon::config::{Config, Profile};
use cordon::keyfile::{KeyFile, KeyKind};
use cordon::output::text::is_hostile;
use cordon::roster;
use cordon_proto::command::{Action, Command, Isolate};
use cordon_proto::id::EndpointId;
use cordon_proto::roster::{Operator, OperatorKey, Role};
use cordon_proto::sign::command::SignedCommand;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::{Value, json};

use super::server::{Reply, Server};
use super::{collector, key};

fn endpoint(name: &str) -> EndpointId {
    EndpointId::of(name.as_bytes())
}

fn listed() -> Value {
    let mac = URL_SAFE_NO_PAD.encode([7; 16]);
    let nonce = json!({ "boot_count": "1", "endpoint_secs": 1000, "mac": mac });
    json!({ "id": endpoint("web-01"), "client": "acme", "host_name": "web-01", "state": "online",
        "nonce": nonce })
}

/// Runs `cordon isolate web-01` at a terminal against a collector with this preview, and answers the
/// question; what was signed and handed over, and what the person saw.
fn isolate(preview: Reply, answer: &str) -> (Option<Command>, String) {
    let person = Operator {
        id: "ann".parse().unwrap(),
        keys: vec![OperatorKey::File(key().verifying())],
        roles: vec![Role::Responder],
        sealing: None,
    };
    let roster = roster::first("acme".parse().unwrap(), vec![person], 0);
    let document = roster::SignedRoster::sign(roster, &key()).bytes;
    let taken = Arc::new(Mutex::new(None));
    let keep = Arc::clone(&taken);
    let server: Server = collector(move |request| {
        let path = request.path.strip_prefix("/api/v1/").unwrap();
        match path.split('?').next().unwrap() {
            "clients/acme/roster" => {
                Reply(200, json!({ "document": URL_SAFE_NO_PAD.encode(&document) }))
            }
            "endpoints" => Reply(200, json!({ "items": [listed()] })),
            "commands" => {
                let body: Value = serde_json::from_slice(&request.body).unwrap();
                let bytes = URL_SAFE_NO_PAD.decode(body["command"].as_str().unwrap()).unwrap();
                let command = SignedCommand::read(&bytes).unwrap().command().clone();
                let record = json!({ "id": command.id, "client": "acme" });
                *keep.lock().unwrap() = Some(command);
                Reply(201, record)
            }
            path if path.ends_with("/preview") => Reply(preview.0, preview.1.clone()),
            path => Reply(404, json!({ "detail": path })),
        }
    });
    let saw = at_terminal(&server, answer);
    let command = taken.lock().unwrap().take();
    (command, saw)
}

fn at_terminal(server: &Server, answer: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ann.key");
    KeyFile::new(KeyKind::Operator, "ann", &key(), None).unwrap().write(&path).unwrap();
    let profile = Profile {
        collector: server.address.clone(),
        pin: server.pin,
        authority: key().verifying(),
        recovery: key().verifying(),
        key: path,
        token_file: None,
        client: None,
        agents: vec![],
    };
    let profiles = [("msp".to_owned(), profile)].into();
    Config { current: Some("msp".to_owned()), profiles }.write(dir.path()).unwrap();

    let near = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&near).unwrap();
    unlockpt(&near).unwrap();
    let name = ptsname(&near, Vec::new()).unwrap();
    let far = std::ffi::OsStr::from_bytes(name.as_bytes());
    let far = || File::options().read(true).write(true).open(far).unwrap();
    let mut process = Process::new(env!("CARGO_BIN_EXE_cordon"));
    process.arg("--config-dir").arg(dir.path()).env_remove("CORDON_PROFILE");
    process.args(["isolate", "web-01", "--reason", "beacon"]);
    let (input, notes) = (far(), far());
    process.stdin(input).stderr(notes).stdout(Stdio::null());
    let mut near = File::from(near);
    near.write_all(answer.as_bytes()).unwrap();
    let mut child = process.spawn().unwrap();
    // Its ends of the terminal are closed here, so that reading ends when the program does.
    drop(process);
    let mut saw = Vec::new();
    let mut chunk = [0; 4096];
    while let Ok(count @ 1..) = near.read(&mut chunk) {
        saw.extend_from_slice(&chunk[..count]);
    }
    child.wait().unwrap();
    String::from_utf8(saw).unwrap()
}

/// What is signed, but for the id, which is new each time.
#[track_caller]
fn check(preview: Reply, says: &str) {
    let (command, saw) = isolate(preview, "yes\n");
    assert!(command.is_some() && saw.contains(says), "{saw}");
    let command = command.unwrap();
    let targets: Vec<_> =
        command.targets.iter().map(|one| (one.endpoint, one.host_name.as_str())).collect();
    assert_eq!(targets, [(endpoint("web-01"), "web-01")]);
    assert_eq!(command.action, Action::Isolate(Isolate::default()));
    assert_eq!((command.reason.as_str(), command.client.as_str()), ("beacon", "acme"));
    // The program itself clears the line on which it showed that it works.
    let saw = saw.replace("\u{1b}[2K", "");
    let plain = saw.chars().filter(|c| !"\r\n".contains(*c)).all(|c| !is_hostile(c));
    assert!(plain, "{saw:?}");
}

#[test]
fn whatever_a_preview_says_the_same_command_is_signed() {
    let web = endpoint("web-01");
    let honest = json!({ "endpoint": web, "state": "online", "since": "S", "events": 1 });
    check(Reply(200, honest), "made from 1 events since S");
    let evil = "\u{1b}[2J\u{1b}]0;owned\u{7}Isolate db-01? Type yes: \r\n\u{202e}";
    let forged = json!({ "endpoint": web, "host_name": "db-01", "client": "zeta",
        "action": { "action": "release" }, "state": evil, "since": evil, "needs_second": evil,
        "roles": [{ "role": evil, "because": [evil, evil], "since": evil }],
        "flows": [{ "fate": "cut", "open": 1, "program": evil, "address": evil }] });
    check(Reply(200, forged), "\\u{1b}[2J");
    check(Reply(200, json!({ "endpoint": endpoint("db-01") })), "answered about another endpoint");
    check(Reply(200, json!({ "endpoint": web, "flows": "no list" })), "is not known");
    check(Reply(500, json!({ "detail": "no preview today" })), "no preview today");
}

#[test]
fn who_does_not_say_yes_signs_nothing() {
    for answer in ["no\n", "\n", "y\n"] {
        let preview = json!({ "endpoint": endpoint("web-01"), "state": "online" });
        let (command, saw) = isolate(Reply(200, preview), answer);
        assert!(command.is_none() && saw.contains("Nothing was signed."), "{answer:?}: {saw}");
    }
}
