//! Deeds as they are asked for and answered, a sample each.

use cordon_proto::command::{
    Action, Block, BlockStorage, Command, Direction, LockAccount, Network, Peer, Ports, Quarantine,
    Rule, Snapshot, StopService,
};
use cordon_proto::event::receipt::{Outcome, Probe, Receipt, SnapshotState};
use cordon_proto::event::{Body, Event, Severity};
use cordon_proto::id::Hash;
use cordon_proto::policy::Transport;
use cordon_proto::sign::command::SignedCommand;

use super::{check, codec, command, key};

/// What can be asked for, with the name of its sample.
fn actions() -> Vec<(&'static str, Action)> {
    let lock = LockAccount { user: "eve".to_owned(), end_sessions: true, lease_secs: Some(86_400) };
    let quarantine = Quarantine { path: "/tmp/x".into(), sha256: Some(Hash::of(b"x")) };
    let stop = StopService { unit: "nginx.service".to_owned(), disable: true, lease_secs: None };
    vec![
        ("undo", Action::Undo { of: command().command().id }),
        ("release-all", Action::ReleaseAll),
        ("quarantine", Action::Quarantine(quarantine)),
        ("block", Action::Block(block())),
        ("block-groups", Action::Block(segment())),
        ("lock-account", Action::LockAccount(lock)),
        ("stop-service", Action::StopService(stop)),
        ("block-storage", Action::BlockStorage(BlockStorage { lease_secs: Some(3600) })),
    ]
}

/// Every kind of peer, with and without ports.
fn block() -> Block {
    let ports = Ports { transport: Transport::Udp, first: 137, last: 139 };
    let rule = |peer, direction, ports| Rule { peer, direction, ports, at: None };
    let network = Peer::Network { address: [192, 0, 2, 0].into(), bits: 24 };
    let rules = vec![
        rule(Peer::Anyone, Direction::In, Some(ports)),
        rule(network, Direction::Both, None),
        rule(Peer::Name("*.evil.example".to_owned()), Direction::Out, Some(ports)),
    ];
    Block { rules, lease_secs: Some(3600), except: None, groups: None }
}

/// A group of one endpoint, and who is left out.
fn segment() -> Block {
    let peer = Peer::Network { address: "2001:db8::7".parse().unwrap(), bits: 128 };
    let rules = vec![Rule { peer, direction: Direction::Both, ports: None, at: Some(0) }];
    let except = Some(vec![Network { address: [192, 0, 2, 9].into(), bits: 32 }]);
    let targets = command().command().targets.clone();
    let groups = Some(vec![targets.iter().map(|target| target.endpoint).collect()]);
    Block { rules, lease_secs: None, except, groups }
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

fn snapshot_outcome() -> Outcome {
    let detail = "sockets: not read within 20 ms".to_owned();
    Outcome::Snapshot { state: SnapshotState::Cut, waited_us: 20_000, detail }
}

#[test]
fn what_is_taken_first() {
    let isolate = command().command().action.clone();
    let snapshot = Some(Snapshot { wait_ms: Snapshot::WAIT_MS_DEFAULT });
    let asked = Command { action: isolate, snapshot, ..command().command().clone() };
    asked.check_form().unwrap();
    let bytes = SignedCommand::sign(asked.clone(), &key(2)).to_bytes();
    check("command-snapshot.cose", &bytes);
    assert_eq!(*SignedCommand::read(&bytes).unwrap().command(), asked);
    let released = Command { action: Action::Release, ..asked.clone() };
    assert!(released.check_form().is_err(), "nothing is taken before what lets back");
    let endless = Command { snapshot: Some(Snapshot { wait_ms: 10_001 }), ..asked };
    assert!(endless.check_form().is_err(), "nothing waits for so long");
}

#[test]
fn what_is_answered() {
    let probe = Probe { what: "the process".to_owned(), passed: true, seen: "gone".to_owned() };
    let (done, missing) = (vec!["one".to_owned()], vec!["two: no such file".to_owned()]);
    let outcomes = [
        ("observed", Outcome::Observed { probes: vec![probe] }),
        ("partial", Outcome::Partial { done, missing }),
        ("snapshot", snapshot_outcome()),
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
