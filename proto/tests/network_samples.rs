//! Golden bytes of connections and of name servers' answers, as they were first written; read for
//! ever, and signed bytes must come out the same. `CORDON_SAMPLES=write` adds the missing ones.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what went wrong by panicking")]

use std::path::PathBuf;

use cordon_proto::codec;
use cordon_proto::event::dns::{Answer, DnsEvent, Says};
use cordon_proto::event::network::{
    Connection, Direction, Ended, Means, NetworkEvent, Owner, Peer, Transport,
};
use cordon_proto::event::{Body, Event, Severity};

#[track_caller]
fn check(name: &str, body: Body) {
    let (time_ns, boot_ns) = (1_795_000_000_000_000_000, 9);
    let event = Event { seq: 1, time_ns, boot_ns, severity: Severity::Low, body };
    let made = codec::encode(&event);
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("samples").join(name);
    if !path.exists() && std::env::var("CORDON_SAMPLES").is_ok_and(|value| value == "write") {
        std::fs::write(&path, &made).unwrap();
    }
    let kept =
        std::fs::read(&path).unwrap_or_else(|error| panic!("reading {}: {error}", path.display()));
    assert_eq!(made, kept, "{name}");
    assert_eq!(codec::decode_strict::<Event>(&kept).unwrap(), event, "{name}");
}

#[test]
fn connections_and_answers_encode_to_the_same_bytes_for_ever() {
    let [ended, answer] = network();
    check("event-network.cbor", ended);
    check("event-dns.cbor", answer);
}

/// A connection that ended, and an answer of a name server.
fn network() -> [Body; 2] {
    let owner = Owner {
        pid: 4242,
        start_boot_ns: Some(1_000_000_007),
        uid: Some(1000),
        cgroup_id: Some(77),
        name: Some("curl".into()),
    };
    let client = Peer { ip: [192, 0, 2, 9].into(), port: 40_000 };
    let server = Peer { ip: [0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x35].into(), port: 53 };
    let connection = Connection {
        means: Means::Bpf,
        transport: Transport::Tcp,
        direction: Some(Direction::Outbound),
        local: client,
        remote: Peer { ip: [192, 0, 2, 1].into(), port: 443 },
        owner: Some(owner.clone()),
        host_name: Some("example.com".into()),
        netns: None,
    };
    let ended = Ended {
        connection,
        duration_ns: Some(5_000_000),
        bytes_sent: Some(517),
        bytes_received: Some(1 << 40),
        error: Some(104),
    };
    let says = [Says::Name("www.example.net".into()), Says::Address([192, 0, 2, 1].into())];
    let answer = DnsEvent {
        query: "example.com".into(),
        query_type: 1,
        rcode: 0,
        answers: says.map(|says| Answer { ttl_secs: 300, says }).into(),
        records: 3,
        server,
        client,
        owner: Some(owner),
        repeats: 2,
    };
    let ended = Box::new(NetworkEvent::Closed(ended));
    [Body::Network(ended), Body::Dns(Box::new(answer))]
}
