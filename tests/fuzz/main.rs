//! Everything that reads bytes from outside, fed with what nobody meant.
//!
//! First what the two ends send each other, then what the agent's sensors read (`sensors`). Each
//! target takes any bytes and must neither panic nor accept what it should not. Plain
//! `cargo test` replays the golden samples and `corpus/`, and mutates them at random;
//! `CORDON_FUZZ_CASES` says how often.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failing case ends with its bytes shown")]

mod sensors;

use std::path::Path;

use cordon_proto::collection::{self, Collected, sealed, tar};
use cordon_proto::command::Command;
use cordon_proto::id::EndpointId;
use cordon_proto::message::{AgentMessage, CollectorMessage, Hello};
use cordon_proto::query::{self, Summary};
use cordon_proto::roster::Roster;
use cordon_proto::sign::batch::{self, Batch};
use cordon_proto::sign::command::SignedCommand;
use cordon_proto::sign::document::{self, Kind};
use cordon_proto::sign::{SealingKey, SigningKey};
use cordon_proto::token::EnrolmentString;
use cordon_proto::{codec, evidence};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// A reader of bytes from outside, by name.
type Target = (&'static str, fn(&[u8]));

const TARGETS: [Target; 10] = [
    ("agent message", agent_message),
    ("collector message", collector_message),
    ("rows of an answer", rows),
    ("piece of an archive", piece),
    ("sealed archive", sealed_archive),
    ("event", event),
    ("document", signed_document),
    ("command", command),
    ("enrolment string", enrolment_string),
    ("evidence", bundle),
];

fn agent_message(bytes: &[u8]) {
    if let Ok(message) = AgentMessage::decode(bytes) {
        assert_eq!(AgentMessage::decode(&message.encode()).unwrap(), message);
        if let AgentMessage::Batch(batch) = message {
            batch_of_a_stranger(&batch);
        }
    }
}

fn batch_of_a_stranger(batch: &Batch) {
    let stranger = SigningKey::from_seed(&[99; 32]).unwrap().verifying();
    assert!(batch::open(batch, &stranger).is_err());
    for count in [1, 3, 1024, u32::MAX] {
        drop(batch::unpack(&batch.events, count));
    }
}

fn collector_message(bytes: &[u8]) {
    if let Ok(message) = CollectorMessage::decode(bytes) {
        assert_eq!(CollectorMessage::decode(&message.encode()).unwrap(), message);
    }
}

fn piece(bytes: &[u8]) {
    if let Ok(AgentMessage::Piece(piece)) = AgentMessage::decode(bytes) {
        piece.check_form().ok();
        if let Some(offer) = &piece.offer {
            assert!(Collected::verify(offer, EndpointId::of(b"nobody")).is_err());
        }
    }
    drop(collection::read_manifest(bytes));
    drop(tar::read_extension(bytes));
    if let Some(block) = bytes.first_chunk() {
        drop(tar::read_head(block));
    }
}

fn sealed_archive(bytes: &[u8]) {
    let Some((lead, rest)) = bytes.split_first_chunk() else { return };
    let Ok(length) = sealed::header_bytes(lead) else { return };
    let header = rest.get(..length).map(sealed::Header::from_bytes);
    if let Some(Ok(header)) = header {
        assert!(bytes.starts_with(&header.to_bytes().unwrap()));
        assert!(header.sealed_to(&SealingKey([0; 32])).is_none());
    }
}

fn rows(bytes: &[u8]) {
    if let Ok(rows) = query::read_chunk(bytes) {
        assert_eq!(query::write_chunk(&rows), bytes);
    }
    if let Ok(AgentMessage::Rows(rows)) = AgentMessage::decode(bytes) {
        drop(rows.check_form());
        if let Some(last) = &rows.last {
            let stranger = EndpointId::of(b"stranger");
            assert!(Summary::verify(last, stranger).is_err());
        }
    }
}

fn event(bytes: &[u8]) {
    if let Ok(event) = batch::read_event(bytes) {
        assert_eq!(batch::read_event(&codec::encode(&event)).unwrap(), event);
    }
}

fn signed_document(bytes: &[u8]) {
    // What is read strictly is the one encoding of itself, whatever the signature says.
    drop(document::peek::<batch::Header>(Kind::Batch, bytes));
    drop(document::peek::<Hello>(Kind::Hello, bytes));
    drop(document::peek::<Roster>(Kind::Roster, bytes));
    drop(document::peek::<Summary>(Kind::Rows, bytes));
    if let Ok(roster) = codec::decode_strict::<Roster>(bytes) {
        assert_eq!(codec::encode(&roster), bytes);
    }
}

fn command(bytes: &[u8]) {
    if let Ok(read) = SignedCommand::read(bytes) {
        assert_eq!(read.to_bytes(), bytes);
        drop(read.command().check_form());
    }
    if let Ok(read) = codec::decode_strict::<Command>(bytes) {
        assert_eq!(codec::encode(&read), bytes);
    }
}

fn enrolment_string(bytes: &[u8]) {
    if let Ok(read) = EnrolmentString::from_text(&String::from_utf8_lossy(bytes)) {
        assert_eq!(EnrolmentString::from_text(&read.to_text()).unwrap(), read);
    }
}

fn bundle(bytes: &[u8]) {
    drop(evidence::verify(bytes, None));
}

fn seeds() -> Vec<Vec<u8>> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = [here.join("../proto/samples"), here.join("fuzz/corpus")];
    let files = folders.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten();
    let seeds: Vec<_> = files.map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect();
    assert!(seeds.len() > 10, "the samples were not found");
    seeds
}

#[test]
fn samples_and_corpus_are_read_or_refused_by_every_target() {
    for bytes in seeds() {
        for (_, target) in TARGETS.into_iter().chain(sensors::TARGETS) {
            target(&bytes);
        }
    }
}

#[test]
fn mutated_samples_and_any_bytes_are_read_or_refused_by_every_target() {
    let cases = std::env::var("CORDON_FUZZ_CASES").ok().and_then(|text| text.parse().ok());
    let cases = cases.unwrap_or(3000);
    let seeds = seeds();
    let mutation = (any::<prop::sample::Index>(), any::<u8>(), 0..4_u8);
    let mutated = (0..seeds.len(), prop::collection::vec(mutation, 1..6)).prop_map(
        move |(seed, mutations)| {
            let mut bytes = seeds[seed].clone();
            for (at, byte, how) in mutations {
                if bytes.is_empty() {
                    break;
                }
                let at = at.index(bytes.len());
                match how {
                    0 => bytes[at] = byte,
                    1 => bytes[at] ^= 1 << (byte % 8),
                    2 => bytes.insert(at, byte),
                    _ => bytes.truncate(at),
                }
            }
            bytes
        },
    );
    let anything = prop::collection::vec(any::<u8>(), 0..300);
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new(config);
    let tried = runner.run(&prop_oneof![mutated, anything], |bytes| {
        for (_, target) in TARGETS.into_iter().chain(sensors::TARGETS) {
            target(&bytes);
        }
        Ok(())
    });
    tried.unwrap_or_else(|error| panic!("{error}"));
}
