//! Collected evidence on its way: what an endpoint signs, and the messages.

use cordon_proto::collection::sealed::{
    self, CHUNK_BYTES, Header, KEY_BYTES, LEAD_BYTES, SealedKey, TAG_BYTES,
};
use cordon_proto::collection::{Archive, Collected, Have, Inside, NotTaken, Piece};
use cordon_proto::command::{Action, Collect, Command, Source};
use cordon_proto::id::Hash;
use cordon_proto::message::Signed;
use cordon_proto::roster::RosterRef;
use cordon_proto::sign::SealingKey;
use cordon_proto::sign::command::SignedCommand;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};

use super::{check, command, endpoint, key};

fn collected() -> Collected {
    let archive = Archive {
        bytes: 300_000,
        sha256: Hash::of(b"archive"),
        entries: 3,
        missing: 1,
        cut: false,
        time_ns: 1_795_000_000_000_000_000,
        took_ms: 12,
        inside: None,
    };
    Collected {
        endpoint: endpoint(),
        key: key(1).verifying(),
        command: command().command().id,
        command_hash: Hash::of(b"command"),
        archive,
    }
}

pub(super) fn offer() -> Piece {
    let offer = Some(Signed { bytes: collected().sign(&key(1)).bytes });
    Piece { command: command().command().id, offset: 0, content: Vec::new(), offer }
}

pub(super) fn piece() -> Piece {
    Piece { content: b"bytes".to_vec(), offset: 131_072, offer: None, ..offer() }
}

pub(super) fn have() -> Have {
    Have { command: command().command().id, bytes: 131_072, refused: None }
}

pub(super) fn refused() -> Have {
    let sentence = "there is no room".to_owned();
    Have { bytes: 0, refused: Some(NotTaken { sentence, again: true }), ..have() }
}

#[test]
fn what_an_endpoint_signs_about_an_archive() {
    let signed = collected().sign(&key(1));
    check("collected.cose", &signed.bytes);
    assert_eq!(Collected::verify(&signed, endpoint()).unwrap(), collected());
}

#[test]
fn what_asks_for_an_archive() {
    let sources = vec![Source::Processes, Source::Logs];
    let collect =
        Collect { sources, globs: vec!["/etc/*.conf".into()], bytes_max: 1 << 30, unsealed: None };
    let action = Action::Collect(collect);
    let asked = Command { action, ..command().command().clone() };
    asked.check_form().unwrap();
    let bytes = SignedCommand::sign(asked.clone(), &key(2)).to_bytes();
    check("command-collect.cose", &bytes);
    assert_eq!(*SignedCommand::read(&bytes).unwrap().command(), asked);
}

fn sealed_collected() -> Collected {
    let inside = Some(Inside { bytes: 299_000, sha256: Hash::of(b"inside") });
    let archive = Archive { inside, ..collected().archive };
    Collected { archive, ..collected() }
}

#[test]
fn what_an_endpoint_signs_about_a_sealed_archive() {
    let signed = sealed_collected().sign(&key(1));
    check("collected-sealed.cose", &signed.bytes);
    let read = Collected::verify(&signed, endpoint()).unwrap();
    assert_eq!(read, sealed_collected());
    assert_eq!(Some(read.archive.plain()), read.archive.inside);
    assert_eq!(collected().archive.plain().bytes, 300_000);
}

#[test]
fn what_allows_that_evidence_goes_unsealed() {
    let collect = Collect {
        sources: vec![Source::Sockets],
        globs: vec![],
        bytes_max: 1 << 20,
        unsealed: Some(true),
    };
    let asked = Command { action: Action::Collect(collect), ..command().command().clone() };
    asked.check_form().unwrap();
    let bytes = SignedCommand::sign(asked.clone(), &key(2)).to_bytes();
    check("command-collect-unsealed.cose", &bytes);
    assert_eq!(*SignedCommand::read(&bytes).unwrap().command(), asked);
}

/// Two chunks under a key of 32 times 7: 65,541 bytes that count modulo 251. The readers' boxes are
/// not real ones.
#[test]
fn an_archive_as_it_is_sealed() {
    let reader = |name: &str, byte| SealedKey {
        operator: name.parse().unwrap(),
        key: SealingKey([byte; 32]).id(),
        encapsulated: [byte; 32],
        text: [byte; KEY_BYTES + TAG_BYTES],
    };
    let header = Header {
        endpoint: endpoint(),
        command: command().command().id,
        command_hash: Hash::of(b"command"),
        roster: RosterRef { version: 7, hash: Hash::of(b"roster") },
        readers: vec![reader("ann", 1), reader("cy", 2)],
    };
    let mut sealed = header.to_bytes().unwrap();
    let front = sealed.clone();
    let length = sealed::header_bytes(front.first_chunk().unwrap()).unwrap();
    assert_eq!(Header::from_bytes(&front[LEAD_BYTES..]).unwrap(), header);
    assert_eq!(front.len(), LEAD_BYTES + length);
    let content: Vec<_> = (0..CHUNK_BYTES + 5).map(|at| u8::try_from(at % 251).unwrap()).collect();
    let key = LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, &[7; KEY_BYTES]).unwrap());
    for (chunk, nonce) in content.chunks(CHUNK_BYTES).zip([[0; 12], {
        // Written out, so that what makes nonces is not asked about itself.
        let mut nonce = [0; 12];
        nonce[10..].copy_from_slice(&[1, 1]);
        nonce
    }]) {
        let mut chunk = chunk.to_vec();
        let nonce = Nonce::assume_unique_for_key(nonce);
        let bound = Aad::from(Hash::of(&front).0);
        key.seal_in_place_append_tag(nonce, bound, &mut chunk).unwrap();
        sealed.extend(chunk);
    }
    check("sealed-archive.bin", &sealed);
}
