//! What came with break-glass codes: an operator's sealing key in a roster, and a code sealed to it.

use cordon_proto::codec;
use cordon_proto::event::way_out::{CODE_BYTES, MadeFor, SealedCode, WayOut};
use cordon_proto::event::{Body, Class, Event, Severity};
use cordon_proto::id::Hash;
use cordon_proto::roster::{Roster, RosterRef};
use cordon_proto::sign::SealingKey;
use cordon_proto::sign::document::{self, Kind};

use super::{check, key, roster};

const SEALING: SealingKey = SealingKey([9; 32]);

#[test]
fn a_roster_with_a_sealing_key_encodes_to_the_same_bytes_for_ever() {
    let mut roster = roster();
    roster.operators[0].sealing = Some(SEALING);
    let bytes = document::sign(Kind::Roster, &roster, b"", &key(9));
    check("roster-sealing.cose", &bytes);
    let read: Roster = document::verify(Kind::Roster, &bytes, b"", &key(9).verifying()).unwrap();
    assert_eq!(read, roster);
}

#[test]
fn a_way_out_encodes_to_the_same_bytes_for_ever() {
    let sealed = SealedCode {
        operator: "ann".parse().unwrap(),
        key: SEALING.id(),
        encapsulated: [5; 32],
        text: vec![6; CODE_BYTES + 16],
    };
    let body = Body::WayOut(Box::new(WayOut {
        serial: 2,
        roster: RosterRef { version: 3, hash: Hash::of(b"roster") },
        endpoint_secs: 3600,
        made_for: MadeFor::Roster,
        boxes: vec![sealed],
    }));
    assert_eq!(body.class(), Class::Lifecycle);
    assert_eq!(Class::number_of_body(16), Class::Lifecycle.number());
    let (time_ns, severity) = (1_795_000_000_000_000_000, Severity::Informational);
    let made = Event { seq: 1, time_ns, boot_ns: 9, severity, body };
    let bytes = codec::encode(&made);
    check("event-way-out.cbor", &bytes);
    assert_eq!(codec::decode_strict::<Event>(&bytes).unwrap(), made);
}
