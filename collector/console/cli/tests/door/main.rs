//! The API client against a server on a real socket: pins, clocks, names, sessions, refusals.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up fails there and then")]

mod forged;
mod pages;
mod printed;
mod server;
mod tables;

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use cordon::api::session::SessionStore;
use cordon::api::{Api, ApiError};
use cordon::config::Profile;
use cordon::context::OperatorSigner;
use cordon::keyfile::{KeyFile, KeyKind};
use cordon_proto::id::Hash;
use cordon_proto::sign::SigningKey;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use server::{Certificate, Reply, Request, Server};

fn key() -> SigningKey {
    SigningKey::from_seed(&[4; 32]).unwrap()
}

/// Asks for the list of clients, so many times with one client; tells what came of each.
fn ask(address: &str, pin: Hash, times: usize) -> Vec<Result<Value, ApiError>> {
    ask_with(address, pin, times, None)
}

/// The same with an API token.
fn ask_with(
    address: &str,
    pin: Hash,
    times: usize,
    token: Option<&str>,
) -> Vec<Result<Value, ApiError>> {
    let dir = tempfile::tempdir().unwrap();
    let profile = Profile {
        collector: address.to_owned(),
        pin,
        authority: key().verifying(),
        recovery: key().verifying(),
        key: PathBuf::from("ann.key"),
        token_file: None,
        client: None,
        agents: vec![],
    };
    let file = KeyFile::new(KeyKind::Operator, "ann", &key(), None).unwrap();
    let signer = OperatorSigner::new(file, profile.key.clone(), None);
    let store = SessionStore::at(dir.path().join("session.json"));
    let token = token.map(|token| Zeroizing::new(token.to_owned()));
    let api = Api::new(&profile, &signer, store).unwrap().with_token(token);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    (0..times).map(|_| runtime.block_on(api.get(&["clients"], &[]))).collect()
}

#[track_caller]
fn check_sentence(error: Result<Value, ApiError>, says: &str) {
    let sentence = error.unwrap_err().to_string();
    assert!(sentence.contains(says), "{sentence}");
}

/// Answers as a collector that knows the key and grants sessions; everything else is `then`'s.
fn collector(then: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Server {
    Server::start(Certificate::Good, move |request| match request.path.as_str() {
        "/api/v1/sign-in/challenge" => {
            Reply(200, json!({ "challenge": "A".repeat(43), "expires_secs": 60 }))
        }
        "/api/v1/sign-in" => {
            Reply(200, json!({ "token": "t", "operator": "ann", "expires_secs": 600 }))
        }
        _ => then(request),
    })
}

#[test]
fn a_collector_that_is_not_there_is_said_to_be_unreachable() {
    // Nobody can listen on port 0.
    check_sentence(
        ask("https://localhost:0", Hash::default(), 1).remove(0),
        "cannot be reached; is it running",
    );
}

#[test]
fn only_the_pinned_root_with_a_good_certificate_is_talked_to() {
    #[track_caller]
    fn check(certificate: Certificate, pinned: bool, says: &str) {
        let asked = AtomicUsize::new(0);
        let server = Server::start(certificate, move |_| {
            asked.fetch_add(1, Ordering::Relaxed);
            Reply(500, json!({ "detail": "it was talked to" }))
        });
        let pin = if pinned { server.pin } else { Hash::of(b"another root") };
        check_sentence(ask(&server.address, pin, 1).remove(0), says);
    }
    check(Certificate::Good, true, "it was talked to");
    check(Certificate::Good, false, "is not the collector pinned in this profile");
    check(Certificate::Expired, true, "is expired by this machine's clock");
    check(Certificate::NotYet, true, "is not valid yet by this machine's clock");
    check(Certificate::OtherName, true, "its certificate is not for that name");
    check(Certificate::OtherIssuer, true, "no secure connection");
}

#[test]
fn a_session_is_opened_once_and_again_when_it_is_over() {
    let asked = AtomicUsize::new(0);
    let server = collector(move |request| {
        assert_eq!(request.header("authorization"), Some("Bearer t"));
        match asked.fetch_add(1, Ordering::Relaxed) {
            2 => Reply(401, json!({ "detail": "the session is over" })),
            _ => Reply(200, json!([])),
        }
    });
    let answers = ask(&server.address, server.pin, 4);
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    let opened = server.paths().iter().filter(|path| *path == "/api/v1/sign-in").count();
    assert_eq!(opened, 2, "{:?}", server.paths());
}

#[test]
fn with_an_api_token_nobody_signs_in_and_one_that_is_over_is_told_as_such() {
    let server =
        Server::start(Certificate::Good, |request| match request.header("authorization") {
            Some("Bearer cordon_good") => Reply(200, json!([])),
            _ => Reply(401, json!({ "detail": "because" })),
        });
    let with = |token| ask_with(&server.address, server.pin, 2, Some(token));
    assert!(with("cordon_good").iter().all(Result::is_ok));
    check_sentence(with("cordon_over").remove(0), "does not accept the API token: because");
    assert!(server.paths().iter().all(|path| path == "/api/v1/clients"), "{:?}", server.paths());
}

#[test]
fn what_the_collector_refuses_is_told_in_its_words_and_ours() {
    #[track_caller]
    fn check(status: u16, says: &str) {
        let server = collector(move |_| Reply(status, json!({ "detail": "because" })));
        check_sentence(ask(&server.address, server.pin, 1).remove(0), says);
    }
    check(401, "does not accept the session it has just granted: because");
    check(403, "does not allow this: because");
    check(404, "or does not let you see it: because");
    check(422, "refuses, with status 422: because");
    check(302, "refuses, with status 302: because");
}

#[test]
fn an_operator_in_no_roster_is_told_what_to_do() {
    let server = Server::start(Certificate::Good, |_| Reply(401, json!({ "detail": "unknown" })));
    let sentence = "It must stand in a client's roster: `cordon roster make";
    check_sentence(ask(&server.address, server.pin, 1).remove(0), sentence);
}

#[test]
fn an_answer_that_is_not_a_collectors_is_told_as_one() {
    let server = collector(|_| Reply(200, Value::Null));
    let api = ask(&server.address, server.pin, 1).remove(0);
    assert_eq!(api.unwrap(), Value::Null);
    let server = Server::start(Certificate::Good, |_| Reply(200, json!({ "challenge": "AA" })));
    check_sentence(
        ask(&server.address, server.pin, 1).remove(0),
        "is it a collector of this version?",
    );
}
