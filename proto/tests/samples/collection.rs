//! Collected evidence on its way: what an endpoint signs, and the messages.

use cordon_proto::collection::{Archive, Collected, Have, NotTaken, Piece};
use cordon_proto::command::{Action, Collect, Command, Source};
use cordon_proto::id::Hash;
use cordon_proto::message::Signed;
use cordon_proto::sign::command::SignedCommand;

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
    let collect = Collect { sources, globs: vec!["/etc/*.conf".into()], bytes_max: 1 << 30 };
    let action = Action::Collect(collect);
    let asked = Command { action, ..command().command().clone() };
    asked.check_form().unwrap();
    let bytes = SignedCommand::sign(asked.clone(), &key(2)).to_bytes();
    check("command-collect.cose", &bytes);
    assert_eq!(*SignedCommand::read(&bytes).unwrap().command(), asked);
}
