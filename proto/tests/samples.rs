//! Golden bytes: one encoded message per kind, as the first protocol version wrote it.
//!
//! Samples are only ever added to: bytes that were once on the wire must stay readable, and what
//! is signed must encode to the very same bytes. `CORDON_SAMPLES=write` adds the missing ones.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what went wrong by panicking")]

#[path = "samples/collection.rs"]
mod collection;
#[path = "samples/deeds.rs"]
mod deeds;
#[path = "samples/inventory.rs"]
mod inventory;
#[path = "samples/login_record.rs"]
mod login_record;
#[path = "samples/logins.rs"]
mod logins;
#[path = "samples/processes.rs"]
mod processes;
#[path = "samples/responses.rs"]
mod responses;
#[path = "samples/way_out.rs"]
mod way_out;

use std::path::PathBuf;

use cordon_proto::Text;
use cordon_proto::codec;
use cordon_proto::command::{Action, Command, Isolate, Nonce, Target};
use cordon_proto::event::actor::Actor;
use cordon_proto::event::file::{FileActivity, FileEvent, FileKind, FileMeans, FileState};
use cordon_proto::event::finding::{Finding, FindingCount};
use cordon_proto::event::process::{
    Exec, Exit, FileId, Fork, ImageHash, ProcessEvent, ProcessId, Tier,
};
use cordon_proto::event::{Body, Class, Event, Lane, LogLine, Notice, Severity};
use cordon_proto::evidence::{self, Bundle, EndpointEvidence};
use cordon_proto::id::{CommandId, EndpointId, Hash};
use cordon_proto::message::{
    Ack, AgentMessage, CollectorMessage, Complaint, Hello, Ping, Refusal, RefusalReason, Signed,
    Welcome,
};
use cordon_proto::query::{Limit, Query, QueryError, Row, Rows, Summary, Value, write_chunk};
use cordon_proto::roster::{Ceilings, Grant, Operator, OperatorKey, Role, Roster, RosterRef};
use cordon_proto::sign::SigningKey;
use cordon_proto::sign::batch::{self, Batch, EpochCause, Place};
use cordon_proto::sign::command::SignedCommand;
use cordon_proto::sign::document::{self, Kind};
use cordon_proto::sign::merkle;
use cordon_proto::token::EnrolmentString;

fn key(number: u8) -> SigningKey {
    SigningKey::from_seed(&[number; 32]).unwrap()
}

fn endpoint() -> EndpointId {
    EndpointId(key(1).id().0)
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("samples")
}

/// Reads a sample; writes it first where it is missing and that was asked for.
fn sample(name: &str, made: &[u8]) -> Vec<u8> {
    let path = folder().join(name);
    if !path.exists() && std::env::var("CORDON_SAMPLES").is_ok_and(|value| value == "write") {
        std::fs::write(&path, made).unwrap();
    }
    std::fs::read(&path).unwrap_or_else(|error| panic!("reading {}: {error}", path.display()))
}

/// What is made now must be the very bytes of the sample.
#[track_caller]
fn check(name: &str, made: &[u8]) {
    assert_eq!(made, sample(name, made), "{name}");
}

fn events() -> Vec<Vec<u8>> {
    let exec = Exec {
        start_boot_ns: Some(1_000_000_007),
        parent_pid: Some(1),
        uid: Some(1000),
        euid: Some(0),
        cgroup_id: Some(77),
        image: Some("/bin/sh".into()),
        args: Some(Text::from(&b"sh\0-c\0\xff\0"[..])),
        args_bytes: Some(8),
        ..Exec::new(Tier::Bpf, 4242)
    };
    let exit = Exit {
        tier: Tier::Bpf,
        pid: 4242,
        start_boot_ns: Some(1_000_000_007),
        parent_pid: Some(1),
        uid: Some(1000),
        wait_status: Some(256),
    };
    let line = LogLine {
        path: "/var/log/auth.log".into(),
        device: 2049,
        inode: 131,
        offset: 4096,
        line: "Accepted publickey for ann".into(),
        line_bytes: None,
        ..LogLine::default()
    };
    let bodies = [
        Body::Process(ProcessEvent::Exec(Box::new(exec))),
        Body::Process(ProcessEvent::Exit(exit)),
        Body::Log(line),
    ];
    (1..).zip(bodies).map(|(seq, body)| event(seq, body)).collect()
}

fn event(seq: u64, body: Body) -> Vec<u8> {
    let severity = Severity::Informational;
    let time_ns = 1_795_000_000_000_000_000;
    codec::encode(&Event { seq, time_ns, boot_ns: 9, severity, body })
}

/// What a process sensor tells since it also tells of surroundings and hashes.
fn process_events() -> [(&'static str, ProcessEvent); 3] {
    let file = FileId {
        device: 64_769,
        inode: 131,
        bytes: 125_640,
        modified_ns: 1_700_000_000_000_000_001,
        changed_ns: 1_700_000_000_000_000_002,
    };
    let parent = |pid| ProcessId { pid, start_boot_ns: Some(u64::from(pid) * 1_000_000_001) };
    let exec = Exec {
        start_boot_ns: Some(1_000_000_007),
        parent_pid: Some(41),
        uid: Some(1000),
        euid: Some(0),
        cgroup_id: Some(77),
        image: Some("./run".into()),
        image_resolved: Some("/srv/run".into()),
        args: Some(Text::from(&b"./run\0-x\0"[..])),
        args_bytes: Some(9),
        parent_start_boot_ns: parent(41).start_boot_ns,
        ancestors: Some(vec![parent(41), ProcessId { pid: 1, start_boot_ns: None }]),
        cwd: Some(Text::from(&b"/srv/\xff"[..])),
        session: Some(41),
        tty: Some("pts/0".into()),
        login_uid: Some(1000),
        audit_session: Some(3),
        cgroup: Some("/system.slice/ssh.service".into()),
        file: Some(file),
        sha256: Some(Hash::of(b"run")),
        ..Exec::new(Tier::Audit, 4242)
    };
    let hash = ImageHash { file, path: Some("./run".into()), sha256: None };
    let fork = Fork {
        tier: Tier::Bpf,
        pid: 4242,
        start_boot_ns: Some(1_000_000_007),
        parent_pid: Some(41),
        uid: Some(1000),
    };
    [
        ("event-exec-whole.cbor", ProcessEvent::Exec(Box::new(exec))),
        ("event-fork.cbor", ProcessEvent::Fork(fork)),
        ("event-image-hash.cbor", ProcessEvent::ImageHash(hash)),
    ]
}

/// Events of classes that came later, one in each file.
#[test]
fn events_of_every_later_class() {
    let bodies = [("notice", Body::Notice(Notice::Woke { slept_secs: 3600 }))];
    for (name, body) in bodies {
        let class = body.class();
        let (time_ns, boot_ns) = (1_795_000_000_000_000_000, 9);
        let made = Event { seq: 1, time_ns, boot_ns, severity: Severity::Low, body };
        let bytes = codec::encode(&made);
        check(&format!("event-{name}.cbor"), &bytes);
        assert_eq!(codec::decode_strict::<Event>(&bytes).unwrap(), made);
        // What an index reads of it without knowing it: the number of its class.
        let mut decoder = minicbor::Decoder::new(&bytes);
        decoder.array().unwrap();
        (0..4).for_each(|_| decoder.skip().unwrap());
        decoder.array().unwrap();
        assert_eq!(Class::number_of_body(decoder.u32().unwrap()), class.number());
    }
}

fn batch() -> Batch {
    let place = Place {
        endpoint: endpoint(),
        lane: Lane::Telemetry,
        epoch: 1,
        first: 1,
        previous: Hash::default(),
        cause: Some(EpochCause::Enrolled),
    };
    batch::seal(place, &events(), 1_795_000_000_000_000_001, &key(1)).unwrap().0
}

fn roster() -> Roster {
    let operator = |name: &str, number| Operator {
        id: name.parse().unwrap(),
        keys: vec![OperatorKey::File(key(number).verifying())],
        roles: vec![Role::Responder],
        sealing: None,
    };
    let action = Action::Release.kind();
    Roster {
        client: "acme".parse().unwrap(),
        version: 3,
        made_ns: 1,
        operators: vec![operator("ann", 2), operator("bob", 3)],
        grants: vec![Grant { action, role: Role::Responder, approvals: 2, targets_max: 5 }],
        ceilings: Ceilings {
            lease_secs_max: 86_400,
            exemptions_max: 8,
            policy_min: 0,
            autonomy: None,
        },
        ca_pins: vec![Hash::of(b"ca")],
        collectors: vec!["collector.example:7443".to_owned()],
    }
}

fn command() -> SignedCommand {
    let nonce = Nonce { boot_count: 2, endpoint_secs: 3600, mac: [7; 16] };
    let command = Command {
        id: CommandId("0190f7e4-5c00-7000-8000-000000000001".parse().unwrap()),
        client: "acme".parse().unwrap(),
        targets: vec![Target { endpoint: endpoint(), host_name: "web-01".to_owned(), nonce }],
        action: Action::Isolate(Isolate::default()),
        age_max_secs: 900,
        queued: false,
        roster_min: RosterRef { version: 3, hash: Hash::of(b"roster") },
        reason: "beacon to a known bad address".to_owned(),
        incident: None,
        snapshot: None,
    };
    let mut signed = SignedCommand::sign(command, &key(2));
    signed.add(&key(3));
    signed
}

fn query() -> Command {
    let query = Query {
        sql: "SELECT pid, name FROM processes".to_owned(),
        rows_max: 1000,
        bytes_max: 1 << 20,
        time_ms_max: 10_000,
    };
    Command { action: Action::Query(query), ..command().command().clone() }
}

fn rows() -> Vec<Row> {
    let name = Value::Bytes(b"\xff\x00".to_vec());
    let first = vec![Value::Integer(1), Value::Text("init".to_owned())];
    vec![first, vec![Value::Real(0.5), Value::Null], vec![Value::Integer(-7), name]]
}

fn summary() -> Summary {
    Summary {
        endpoint: endpoint(),
        key: key(1).verifying(),
        command: command().command().id,
        command_hash: Hash::of(b"command"),
        sql_hash: Hash::of(b"SELECT pid, name FROM processes"),
        columns: vec!["pid".to_owned(), "name".to_owned()],
        rows: 3,
        parts: 1,
        root: merkle::root(&[merkle::leaf(&write_chunk(&rows()))]),
        cut: Some(Limit::Time),
        error: Some(QueryError { sentence: "no such column".to_owned(), offset: Some(7) }),
        time_ns: 1_795_000_000_000_000_000,
        took_ms: 12,
    }
}

#[test]
fn signed_documents_encode_to_the_same_bytes_for_ever() {
    for (index, event) in events().iter().enumerate() {
        check(&format!("event-{index}.cbor"), event);
    }
    for (name, process) in process_events() {
        check(name, &event(1, Body::Process(process)));
    }
    check("header.cose", &batch().header);
    check("roster.cose", &document::sign(Kind::Roster, &roster(), b"", &key(9)));
    check("command.cose", &command().to_bytes());
    let hello = Hello {
        protocol: 1,
        protocol_oldest: 1,
        endpoint: endpoint(),
        client: "acme".parse().unwrap(),
        agent_version: "0.1.0".to_owned(),
        host_name: "web-01".to_owned(),
        os: "Debian GNU/Linux 12".to_owned(),
        kernel: "6.1.0".to_owned(),
        machine_id: "m".to_owned(),
        boot_id: "b".to_owned(),
        time_ns: 1,
        roster: RosterRef::default(),
    };
    check("rows.cose", &summary().sign(&key(1)).bytes);
    check("query.cose", &SignedCommand::sign(query(), &key(2)).to_bytes());
    check("hello.cose", &document::sign(Kind::Hello, &hello, b"exporter", &key(1)));
    let token = EnrolmentString {
        collectors: vec!["collector.example:7443".to_owned()],
        ca_pin: Hash::of(b"ca"),
        authority: key(9).verifying(),
        recovery: key(8).verifying(),
        roster_min: RosterRef::default(),
        client: "acme".parse().unwrap(),
        secret: vec![5; 16],
        expires_secs: 1_795_000_000,
    };
    check("enrolment-string.txt", token.to_text().as_bytes());
}

#[test]
fn events_of_files_encode_to_the_same_bytes_for_ever() {
    let actor = Actor {
        pid: 4242,
        start_boot_ns: Some(1_000_000_000),
        parent_pid: Some(1),
        uid: Some(0),
        name: Some("vi".into()),
        image: Some("/usr/bin/vim.basic".into()),
    };
    let state = |content: &[u8]| FileState {
        kind: FileKind::Regular,
        bytes: 3,
        mode: 0o640,
        uid: 0,
        gid: 42,
        modified_ns: 1_795_000_000_000_000_000,
        sha256: Some(Hash::of(content)),
        capabilities: None,
    };
    let change = FileEvent {
        means: FileMeans::Fanotify,
        activity: FileActivity::Renamed,
        path: "/etc/shadow".into(),
        path_before: Some(Text::from(&b"/etc/\xff"[..])),
        actor: Some(actor.clone()),
        before: Some(state(b"old")),
        after: Some(state(b"new")),
        times: 3,
        by_package_manager: false,
    };
    let finding = Finding {
        rule: "files.mass_change".to_owned(),
        uid: "4242-1000000000-1".to_owned(),
        repeated: false,
        title: "many files are being made unreadable".to_owned(),
        detail: "12 files".to_owned(),
        techniques: vec!["T1486".to_owned()],
        actor: Some(actor),
        counts: vec![FindingCount { name: "renamed".to_owned(), count: 12 }],
        paths: vec!["/home/ann/a.odt.locked".into()],
        first_ns: 1,
        last_ns: 2,
    };
    let bodies = [
        ("event-file.cbor", Severity::Medium, Body::File(Box::new(change))),
        ("event-finding.cbor", Severity::High, Body::Finding(Box::new(finding))),
    ];
    for (name, severity, body) in bodies {
        let event =
            Event { seq: 1, time_ns: 1_795_000_000_000_000_000, boot_ns: 9, severity, body };
        let bytes = codec::encode(&event);
        check(name, &bytes);
        assert_eq!(codec::decode_strict::<Event>(&bytes).unwrap(), event);
    }
}

#[test]
fn messages_of_the_first_version_are_read_for_ever() {
    let signed = || Signed { bytes: vec![1, 2, 3] };
    let (lane, epoch) = (Lane::Control, 1);
    let refusal = Refusal {
        lane,
        epoch,
        first: 5,
        reason: RefusalReason::BrokenChain,
        sentence: "numbers are missing".to_owned(),
        stored: Some(signed()),
    };
    let complaint = || Complaint { sentence: "kind 9 is not known".to_owned(), fatal: false };
    let id = command().command().id;
    let content = write_chunk(&rows());
    let rows = Rows { command: id, index: 0, content, last: None };
    let last = Rows { command: id, index: 1, content: Vec::new(), last: Some(signed()) };
    let from_agent = [
        ("agent-rows.cbor", AgentMessage::Rows(rows)),
        ("agent-rows-last.cbor", AgentMessage::Rows(last)),
        ("agent-hello.cbor", AgentMessage::Hello(signed())),
        ("agent-pong.cbor", AgentMessage::Pong(Ping { number: 1 })),
        ("agent-complaint.cbor", AgentMessage::Complaint(complaint())),
        ("agent-piece.cbor", AgentMessage::Piece(collection::piece())),
        ("agent-piece-offer.cbor", AgentMessage::Piece(collection::offer())),
    ];
    for (name, message) in from_agent {
        let bytes = sample(name, &message.encode());
        assert_eq!(AgentMessage::decode(&bytes).unwrap(), message, "{name}");
    }
    let welcome = Welcome { protocol: 1, time_ns: 2, heads: vec![signed()] };
    let from_collector = [
        ("collector-welcome.cbor", CollectorMessage::Welcome(welcome)),
        ("collector-ack.cbor", CollectorMessage::Ack(Ack { lane, epoch, last: 9 })),
        ("collector-refusal.cbor", CollectorMessage::Refusal(refusal)),
        ("collector-command.cbor", CollectorMessage::Command(signed())),
        ("collector-roster.cbor", CollectorMessage::Roster(signed())),
        ("collector-ping.cbor", CollectorMessage::Ping(Ping { number: 1 })),
        ("collector-complaint.cbor", CollectorMessage::Complaint(complaint())),
        ("collector-have.cbor", CollectorMessage::Have(collection::have())),
        ("collector-have-refused.cbor", CollectorMessage::Have(collection::refused())),
    ];
    for (name, message) in from_collector {
        let bytes = sample(name, &message.encode());
        assert_eq!(CollectorMessage::decode(&bytes).unwrap(), message, "{name}");
    }
}

#[test]
fn a_batch_and_a_bundle_of_the_first_version_still_verify() {
    // Compressed bytes may differ between versions of zstd; what they hold may not.
    let bytes = sample("agent-batch.cbor", &AgentMessage::Batch(batch()).encode());
    let AgentMessage::Batch(stored) = AgentMessage::decode(&bytes).unwrap() else {
        panic!("not a batch")
    };
    assert_eq!(batch::open(&stored, &key(1).verifying()).unwrap().events, events());
    let bundle = Bundle {
        magic: evidence::MAGIC.to_owned(),
        client: "acme".parse().unwrap(),
        made_ns: 1,
        rosters: vec![Signed { bytes: document::sign(Kind::Roster, &roster(), b"", &key(9)) }],
        endpoints: vec![EndpointEvidence {
            endpoint: endpoint(),
            key: key(1).verifying(),
            host_name: "web-01".to_owned(),
            batches: vec![batch()],
        }],
    };
    let bytes = sample("bundle.cbor", &bundle.encode());
    let report = evidence::verify(&bytes, Some(&[key(9).verifying()])).unwrap();
    assert!(report.holds(), "{report:?}");
    assert_eq!(report.events, 3);
}

#[test]
fn a_command_counts_only_whole() {
    let roster = roster();
    let bytes = command().to_bytes();
    let signers = |bytes: &[u8]| {
        let read = SignedCommand::read(bytes).ok()?;
        Some(read.signers(&roster).ok()?.len())
    };
    assert_eq!(signers(&bytes), Some(2));
    for bit in 0..bytes.len() * 8 {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(signers(&changed), None, "bit {bit}");
    }
}

#[test]
fn any_single_bit_of_a_batch_changed_is_refused() {
    let key = key(1).verifying();
    let good = batch();
    for bit in 0..good.header.len() * 8 {
        let mut changed = good.clone();
        changed.header[bit / 8] ^= 1 << (bit % 8);
        assert!(batch::open(&changed, &key).is_err(), "header bit {bit}");
    }
    let count = u32::try_from(events().len()).unwrap();
    let events = batch::unpack(&good.events, count).unwrap();
    let proof = batch::EventProof::of(&good.header, &events, 1).unwrap();
    assert!(proof.verify(&key).is_ok());
    for bit in 0..proof.event.len() * 8 {
        let mut changed = proof.clone();
        changed.event[bit / 8] ^= 1 << (bit % 8);
        assert!(changed.verify(&key).is_err(), "event bit {bit}");
    }
    // A bit of the compressed frame may be one that zstd does not look at; then nothing changed.
    for bit in 0..good.events.len() * 8 {
        let mut changed = good.clone();
        changed.events[bit / 8] ^= 1 << (bit % 8);
        if let Ok(opened) = batch::open(&changed, &key) {
            assert_eq!(opened.events, events, "frame bit {bit}");
        }
    }
}
