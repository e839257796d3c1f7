//! The follower against receipts really signed, and against a collector that lies.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cordon_proto::codec;
use cordon_proto::command::{Action, Isolate, Nonce, Target};
use cordon_proto::event::receipt::{EndCause, Probe, Proof, Receipt};
use cordon_proto::event::{Body, Event, Lane, Severity};
use cordon_proto::id::CommandId;
use cordon_proto::roster::RosterRef;
use cordon_proto::sign::SigningKey;
use cordon_proto::sign::batch::{self, EventProof, Place};
use serde_json::json;

use super::*;

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32]).unwrap()
}

fn endpoint() -> EndpointId {
    EndpointId(key(1).id().0)
}

fn signed(action: Action) -> SignedCommand {
    let nonce = Nonce { boot_count: 1, endpoint_secs: 60, mac: [0; 16] };
    let command = Command {
        id: CommandId(uuid::Uuid::from_u128(7)),
        client: "acme".parse().unwrap(),
        targets: vec![Target { endpoint: endpoint(), host_name: "web-01".to_owned(), nonce }],
        action,
        age_max_secs: 900,
        queued: false,
        roster_min: RosterRef::default(),
        reason: "beacon".to_owned(),
        incident: None,
        snapshot: None,
    };
    SignedCommand::sign(command, &key(2))
}

fn record(signed: &SignedCommand, authorised: bool, receipts: usize) -> CommandRecord {
    let fact = |on: bool, by: &str| on.then(|| json!({ "at": "2026-11-21T03:00:00Z", "by": by }));
    let receipts: Vec<_> =
        (1..=receipts).map(|seq| json!({ "lane": "control", "epoch": 1, "seq": seq })).collect();
    serde_json::from_value(json!({
        "id": signed.command().id,
        "client": "acme",
        "command": URL_SAFE_NO_PAD.encode(signed.to_bytes()),
        "targets": [{
            "endpoint": endpoint(),
            "facts": {
                "requested": fact(true, "ann"),
                "authorised": fact(authorised, "ann"),
                "delivered": fact(receipts.len() > 1, ""),
            },
            "receipts": receipts,
        }],
    }))
    .unwrap()
}

fn proof(passed: bool) -> Proof {
    Proof {
        ruleset: Hash::default(),
        ruleset_equal: true,
        probes: vec![Probe { what: "DNS".to_owned(), passed, seen: "timeout".to_owned() }],
        sockets_residual: 0,
        packets_dropped: 4,
    }
}

fn outcome(word: &str) -> Outcome {
    match word {
        "accepted" => Outcome::Accepted { signers: vec!["ann".parse().unwrap()] },
        "applied" => Outcome::Applied { change_us: 1900, until_secs: None, stood_already: false },
        "stood" => Outcome::Applied { change_us: 0, until_secs: None, stood_already: true },
        "proved" => Outcome::Proved(proof(true)),
        "proved falsely" => Outcome::Proved(proof(false)),
        "unproved" => Outcome::Unproved(proof(false)),
        "failed" => Outcome::Failed { reason: "no nftables".to_owned() },
        "stale" => Outcome::Refused { check: Check::Freshness, reason: "an hour old".to_owned() },
        "replay" => Outcome::Refused { check: Check::Replay, reason: "again".to_owned() },
        "gone" => Outcome::Ended { cause: EndCause::Released, observed_gone: true },
        "ended unseen" => Outcome::Ended { cause: EndCause::Released, observed_gone: false },
        other => panic!("{other}"),
    }
}

/// The proof of a receipt, as an endpoint with this key would have signed it.
fn receipt(
    at: ReceiptAt,
    outcome: Outcome,
    command: &SignedCommand,
    key: &SigningKey,
) -> ProofRecord {
    let receipt = Receipt {
        command: Some(command.command().id),
        command_hash: Hash::of(&command.to_bytes()),
        action: Some(command.command().action.kind()),
        endpoint_secs: 60,
        outcome,
        repeated: 0,
    };
    let body = Body::Receipt(Box::new(receipt));
    let event = Event { seq: at.seq, time_ns: 0, boot_ns: 0, severity: Severity::default(), body };
    let events = vec![codec::encode(&event)];
    let place = Place {
        endpoint: EndpointId(key.id().0),
        lane: at.lane,
        epoch: at.epoch,
        first: at.seq,
        previous: Hash::default(),
        cause: None,
    };
    let (batch, _) = batch::seal(place, &events, 0, key).unwrap();
    let proof = EventProof::of(&batch.header, &events, 0).unwrap();
    ProofRecord {
        proof: URL_SAFE_NO_PAD.encode(codec::encode(&proof)),
        key: URL_SAFE_NO_PAD.encode(key.verifying().0),
    }
}

/// Lets the endpoint answer with these outcomes; tells what was said, and how it stands.
#[track_caller]
fn check(action: Action, authorised: bool, outcomes: &[&str], says: &str) {
    let signed = signed(action);
    let mut follow = Follow::new(&signed);
    follow.handle_record(&record(&signed, authorised, outcomes.len()));
    let mut said = Vec::new();
    while let Some(effect) = follow.poll_effect() {
        match effect {
            Effect::Fetch(endpoint, at) => {
                let index = usize::try_from(at.seq).unwrap() - 1;
                let proof = receipt(at, outcome(outcomes[index]), &signed, &key(1));
                follow.handle_proof(endpoint, at, &proof);
            }
            Effect::Say(line) => {
                let mark = if line.verified { "" } else { "?" };
                said.push(format!("{}{mark}", line.fact));
            }
        }
    }
    let settled = if follow.settled().is_some() { "" } else { "still " };
    assert_eq!(format!("{}; {settled}{:?}", said.join(" "), follow.standing()), says);
}

fn isolate() -> Action {
    Action::Isolate(Isolate::default())
}

#[test]
fn an_isolation_is_done_when_a_receipt_that_verifies_proves_it() {
    check(isolate(), false, &[], "requested?; still NotAuthorised");
    check(isolate(), true, &[], "requested? authorised?; still Unproved");
    check(
        isolate(),
        true,
        &["accepted", "applied"],
        "requested? authorised? delivered? accepted applied; still Unproved",
    );
    check(
        isolate(),
        true,
        &["accepted", "applied", "proved", "proved"],
        "requested? authorised? delivered? accepted applied proved; Done",
    );
}

#[test]
fn what_is_not_proved_is_told_apart() {
    check(isolate(), true, &["stale"], "requested? authorised? refused; Refused");
    check(isolate(), true, &["failed"], "requested? authorised? failed; ActionFailed");
    check(isolate(), true, &["unproved"], "requested? authorised? unproved; Unproved");
    check(isolate(), true, &["proved falsely"], "requested? authorised? unproved; Unproved");
}

#[test]
fn a_replay_refused_after_it_was_applied_takes_nothing_back() {
    check(
        isolate(),
        true,
        &["applied", "replay", "proved"],
        "requested? authorised? delivered? applied refused proved; Done",
    );
}

#[test]
fn a_release_is_done_when_the_rules_were_seen_to_be_gone() {
    let release = || Action::Release;
    check(release(), true, &["applied"], "requested? authorised? applied; still Unproved");
    check(
        release(),
        true,
        &["applied", "gone"],
        "requested? authorised? delivered? applied ended; Done",
    );
    check(release(), true, &["ended unseen"], "requested? authorised? ended; Unproved");
    check(release(), true, &["stood"], "requested? authorised? applied; Done");
}

/// Hands over one proof for a receipt said to be at control/1/1.
#[track_caller]
fn check_lie(lie: impl FnOnce(&SignedCommand, ReceiptAt) -> ProofRecord, says: &str) {
    let signed = signed(isolate());
    let mut follow = Follow::new(&signed);
    let at = ReceiptAt { lane: Lane::Control, epoch: 1, seq: 1 };
    follow.handle_proof(endpoint(), at, &lie(&signed, at));
    assert_eq!(follow.settled(), Some(Exit::DoesNotHold));
    let Some(Effect::Say(line)) = follow.poll_effect() else { panic!("nothing was said") };
    assert_eq!(line.fact, "NOT VERIFIED");
    assert!(line.words.contains(says), "{}", line.words);
}

#[test]
fn a_collector_cannot_make_a_proof() {
    check_lie(|signed, at| receipt(at, outcome("proved"), signed, &key(9)), "another endpoint");
    check_lie(
        |signed, at| {
            // Somebody else's signature under the endpoint's own name.
            let forged = receipt(at, outcome("proved"), signed, &key(9));
            ProofRecord { key: URL_SAFE_NO_PAD.encode(key(1).verifying().0), ..forged }
        },
        "does not verify",
    );
    check_lie(
        |_, at| {
            let other = self::signed(Action::Release);
            receipt(at, outcome("proved"), &other, &key(1))
        },
        "another command",
    );
    check_lie(
        |signed, at| {
            // A genuine proof of an earlier time.
            let earlier = ReceiptAt { seq: 2, ..at };
            receipt(earlier, outcome("proved"), signed, &key(1))
        },
        "another place",
    );
    check_lie(|_, _| ProofRecord { proof: "!".to_owned(), key: "!".to_owned() }, "cannot be read");
}

#[test]
fn a_copy_with_more_signatures_is_the_same_command_and_other_bytes_are_not() {
    let first = signed(isolate());
    let mut second = SignedCommand::read(&first.to_bytes()).unwrap();
    second.add(&key(3));
    let at = ReceiptAt { lane: Lane::Control, epoch: 1, seq: 1 };
    let proof = receipt(at, outcome("proved"), &second, &key(1));

    let mut follow = Follow::new(&first);
    follow.handle_record(&record(&second, true, 0));
    follow.handle_proof(endpoint(), at, &proof);
    assert_eq!(follow.settled(), Some(Exit::Done));

    let mut follow = Follow::new(&first);
    follow.handle_record(&record(&signed(Action::Release), true, 0));
    let said: Vec<_> = std::iter::from_fn(|| follow.poll_effect())
        .filter_map(|effect| match effect {
            Effect::Say(line) => Some(line.fact),
            Effect::Fetch(..) => None,
        })
        .collect();
    assert!(said.contains(&"NOT VERIFIED"), "{said:?}");
}

/// A release that was applied, and what is then told about the isolation that it was to end.
#[track_caller]
fn check_end(told: &str, by: &SigningKey, says: Exit) {
    let (isolation, release) = (signed(isolate()), signed(Action::Release));
    let mut follow = Follow::new(&release);
    follow.expect_end(endpoint(), &isolation);
    assert!(follow.isolations().is_empty(), "nothing is asked before the release was applied");
    let at = |seq| ReceiptAt { lane: Lane::Control, epoch: 1, seq };
    follow.handle_proof(endpoint(), at(1), &receipt(at(1), outcome("applied"), &release, &key(1)));
    assert_eq!(follow.settled(), None);
    assert_eq!(follow.isolations().len(), 1);
    let mut record = record(&isolation, true, 9);
    for receipt in &mut record.targets[0].receipts {
        receipt.outcome = if receipt.at.seq == 9 { "ended" } else { "proved" }.to_owned();
    }
    follow.handle_isolation(&record);
    let mut asked = Vec::new();
    while let Some(effect) = follow.poll_effect() {
        if let Effect::Fetch(endpoint, at) = effect {
            asked.push(at.seq);
            follow.handle_proof(endpoint, at, &receipt(at, outcome(told), &isolation, by));
        }
    }
    assert_eq!(asked, [9], "only the end is asked for");
    assert_eq!(follow.standing(), says);
}

#[test]
fn a_release_is_done_when_the_isolation_that_it_ends_says_so() {
    check_end("gone", &key(1), Exit::Done);
    check_end("ended unseen", &key(1), Exit::Unproved);
    check_end("proved", &key(1), Exit::Unproved);
    check_end("gone", &key(9), Exit::DoesNotHold);
}
