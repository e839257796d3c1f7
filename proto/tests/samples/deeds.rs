//! Deeds as they are asked for and answered, a sample each.

use cordon_proto::command::{Action, Command};
use cordon_proto::event::receipt::{Outcome, Probe, Receipt};
use cordon_proto::event::{Body, Event, Severity};
use cordon_proto::id::Hash;
use cordon_proto::sign::command::SignedCommand;

use super::{check, codec, command, key};

/// What can be asked for, with the name of its sample.
fn actions() -> Vec<(&'static str, Action)> {
    vec![("undo", Action::Undo { of: command().command().id }), ("release-all", Action::ReleaseAll)]
}

#[test]
fn what_is_asked_for() {
    for (name, action) in actions() {
        let asked = Command { action, ..command().command().clone() };
        asked.check_form().unwrap();
        let bytes = SignedCommand::sign(asked.clone(), &key(2)).to_bytes();
        check(&format!("command-{name}.cose"), &bytes);
        assert_eq!(*SignedCommand::read(&bytes).unwrap().command(), asked);
    }
}

#[test]
fn what_is_answered() {
    let probe = Probe { what: "the process".to_owned(), passed: true, seen: "gone".to_owned() };
    let (done, missing) = (vec!["one".to_owned()], vec!["two: no such file".to_owned()]);
    let outcomes = [
        ("observed", Outcome::Observed { probes: vec![probe] }),
        ("partial", Outcome::Partial { done, missing }),
    ];
    for (name, outcome) in outcomes {
        let receipt = Receipt {
            command: Some(command().command().id),
            command_hash: Hash::of(b"command"),
            action: Some(Action::ReleaseAll.kind()),
            endpoint_secs: 7,
            outcome,
            repeated: 0,
        };
        let body = Body::Receipt(Box::new(receipt));
        let (time_ns, severity) = (1_795_000_000_000_000_000, Severity::Informational);
        let made = Event { seq: 1, time_ns, boot_ns: 9, severity, body };
        let bytes = codec::encode(&made);
        check(&format!("event-receipt-{name}.cbor"), &bytes);
        assert_eq!(codec::decode_strict::<Event>(&bytes).unwrap(), made);
    }
}
