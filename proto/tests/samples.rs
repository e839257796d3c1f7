//! Golden bytes: one encoded message per kind, as the first protocol version wrote it.
//!
//! Samples are only ever added to: bytes that were once on the wire must stay readable, and what
//! is signed must encode to the very same bytes. `CORDON_SAMPLES=write` adds the missing ones.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what went wrong by panicking")]

#[path = "samples/inventory.rs"]
mod inventory;
#[path = "samples/login_record.rs"]
mod login_record;

use std::path::PathBuf;

use cordon_proto::Text;
use cordon_proto::codec;
use cordon_proto::command::{Action, Command, Isolate, Nonce, Target};
use cordon_proto::event::log::{Journal, LogFormat, LogSource, Pair, Parsed, Zone};
use cordon_proto::event::login::{
    AccountActivity, AccountChange, AuthActivity, Authentication, FileOrigin, JournalOrigin,
    Origin, Status,
};
use cordon_proto::event::process::{Exec, Exit, ProcessEvent, Tier};
use cordon_proto::event::{Body, Class, Event, Lane, LogLine, Notice, Redaction, Severity};
use cordon_proto::evidence::{self, Bundle, EndpointEvidence};
use cordon_proto::id::{CommandId, EndpointId, Hash};
use cordon_proto::message::{
    Ack, AgentMessage, CollectorMessage, Complaint, Hello, Ping, Refusal, RefusalReason, Signed,
    Welcome,
};
use cordon_proto::policy::{Policy, Redactions, SecretPattern};
use cordon_proto::roster::{Ceilings, Grant, Operator, OperatorKey, Role, Roster, RosterRef};
use cordon_proto::sign::SigningKey;
use cordon_proto::sign::batch::{self, Batch, EpochCause, Place};
use cordon_proto::sign::command::SignedCommand;
use cordon_proto::sign::document::{self, Kind};
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
        tier: Tier::Bpf,
        pid: 4242,
        start_boot_ns: Some(1_000_000_007),
        parent_pid: Some(1),
        uid: Some(1000),
        euid: Some(0),
        cgroup_id: Some(77),
        image: Some("/bin/sh".into()),
        image_resolved: None,
        args: Some(Text::from(&b"sh\0-c\0\xff\0"[..])),
        args_bytes: Some(8),
        redacted: None,
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
        Body::Process(ProcessEvent::Exec(exec)),
        Body::Process(ProcessEvent::Exit(exit)),
        Body::Log(line),
    ];
    let event = |(seq, body)| {
        let severity = Severity::Informational;
        codec::encode(&Event {
            seq,
            time_ns: 1_795_000_000_000_000_000,
            boot_ns: 9,
            severity,
            body,
        })
    };
    (1..).zip(bodies).map(event).collect()
}

/// Events with what came later; the numbers of their samples go on from those of [`events`].
fn later_events() -> Vec<(&'static str, Vec<u8>)> {
    let redacted = || {
        let rule = "password-assignment".to_owned();
        Some(vec![Redaction { rule, times: 1, bytes: 7 }])
    };
    let journal = Journal {
        cursor: "s=4a;i=5;b=00;m=3ec;t=66;x=a4".to_owned(),
        unit: Some("ssh.service".into()),
        identifier: Some("sshd".into()),
        pid: Some(812),
        uid: Some(0),
        priority: Some(6),
        boot_id: Some("00112233445566778899aabbccddeeff".to_owned()),
        comm: Some("sshd".into()),
        time_ns: Some(1_795_000_000_000_000_000),
    };
    let parsed = Parsed {
        facility: Some(10),
        severity: Some(6),
        host: Some("web-01".into()),
        app: Some("sshd".into()),
        pid: Some(812),
        msgid: Some("ID47".into()),
        time_ns: Some(1_795_000_000_000_000_000),
        zone: Some(Zone { offset_secs: -3600, assumed: true }),
        structured: Some(vec![Pair { name: "a@1.b".into(), value: "c".into() }]),
        ..Parsed::new(LogFormat::Rfc5424)
    };
    let line = LogLine {
        line: "password=[redacted]".into(),
        source: Some(LogSource::Journal(Box::new(journal))),
        parsed: Some(parsed),
        redacted: redacted(),
        ..LogLine::default()
    };
    let authentication = Authentication {
        origin: Origin::Journal(JournalOrigin {
            cursor: "s=4a;i=5;b=00;m=3ec;t=66;x=a4".to_owned(),
            uid: Some(0),
            attested: Some(true),
        }),
        activity: AuthActivity::AccountSwitch,
        status: Status::Success,
        service: "sudo".into(),
        user: Some("root".into()),
        actor: Some("ann".into()),
        user_exists: Some(true),
        method: Some("publickey".into()),
        from: Some("2001:db8::1".into()),
        from_port: Some(50_022),
        terminal: Some("pts/0".into()),
        command: Some("/usr/bin/env password=[redacted]".into()),
        key: Some("ED25519 SHA256:x".into()),
        detail: Some("d".into()),
        pid: Some(812),
        tries: Some(3),
        redacted: redacted(),
    };
    let account = account_change();
    let bodies = [
        ("event-journal.cbor", Body::Log(line)),
        ("event-authentication.cbor", Body::Authentication(Box::new(authentication))),
        ("event-account.cbor", Body::Account(Box::new(account))),
    ];
    let (time_ns, boot_ns, severity) = (1_795_000_000_000_000_000, 9, Severity::Informational);
    let event =
        |(name, body)| (name, codec::encode(&Event { seq: 1, time_ns, boot_ns, severity, body }));
    bodies.map(event).into()
}

fn account_change() -> AccountChange {
    let (path, device, inode, offset) = ("/var/log/auth.log".into(), 2049, 131, 4096);
    AccountChange {
        origin: Origin::File(FileOrigin { path, device, inode, offset }),
        activity: AccountActivity::UserCreated,
        status: Status::Success,
        service: "useradd".into(),
        user: Some("ann".into()),
        group: Some("staff".into()),
        actor: Some("root".into()),
        uid: Some(1000),
        gid: Some(1000),
        home: Some("/home/ann".into()),
        shell: Some("/bin/bash".into()),
        detail: Some("d".into()),
        pid: Some(900),
    }
}

fn policy(redactions: Option<Redactions>) -> Policy {
    let (version, exemptions, critical) = (4, Vec::new(), vec![endpoint()]);
    Policy { client: "acme".parse().unwrap(), version, exemptions, critical, redactions }
}

fn redactions() -> Redactions {
    let (name, regex) = ("badge".to_owned(), "badge ([0-9]{8})".to_owned());
    let literal = Some("badge ".to_owned());
    let patterns = vec![SecretPattern { name, regex, literal }];
    Redactions { patterns, off: vec!["jwt".to_owned()] }
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
    };
    let action = Action::Release.kind();
    Roster {
        client: "acme".parse().unwrap(),
        version: 3,
        made_ns: 1,
        operators: vec![operator("ann", 2), operator("bob", 3)],
        grants: vec![Grant { action, role: Role::Responder, approvals: 2, targets_max: 5 }],
        ceilings: Ceilings { lease_secs_max: 86_400, exemptions_max: 8, policy_min: 0 },
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
    };
    let mut signed = SignedCommand::sign(command, &key(2));
    signed.add(&key(3));
    signed
}

#[test]
fn signed_documents_encode_to_the_same_bytes_for_ever() {
    for (index, event) in events().iter().enumerate() {
        check(&format!("event-{index}.cbor"), event);
    }
    for (name, event) in later_events() {
        check(name, &event);
    }
    check("policy.cbor", &codec::encode(&policy(None)));
    check("policy-redactions.cbor", &codec::encode(&policy(Some(redactions()))));
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
fn events_and_policies_are_read_as_they_were_made() {
    for (name, event) in later_events() {
        let read: Event = codec::decode_strict(&sample(name, &event)).unwrap();
        assert_eq!(codec::encode(&read), event, "{name}");
    }
    let read =
        |name, made: Vec<u8>| -> Policy { codec::decode_strict(&sample(name, &made)).unwrap() };
    let (plain, full) = (policy(None), policy(Some(redactions())));
    assert_eq!(read("policy.cbor", codec::encode(&plain)), plain);
    assert_eq!(read("policy-redactions.cbor", codec::encode(&full)), full);
    assert_eq!(redactions().check(), Ok(()));
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
    let from_agent = [
        ("agent-hello.cbor", AgentMessage::Hello(signed())),
        ("agent-pong.cbor", AgentMessage::Pong(Ping { number: 1 })),
        ("agent-complaint.cbor", AgentMessage::Complaint(complaint())),
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
