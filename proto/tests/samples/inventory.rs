//! An inventory's event: golden bytes.

use cordon_proto::codec;
use cordon_proto::event::inventory::{Change, Field, Inventory, Subject};
use cordon_proto::event::{Body, Event, Severity};
use cordon_proto::id::Hash;

fn fields(pairs: &[(&str, &[u8])]) -> Vec<Field> {
    pairs
        .iter()
        .map(|(name, value)| Field { name: (*name).into(), value: (*value).into() })
        .collect()
}

#[test]
fn an_inventory_encodes_to_the_same_bytes_for_ever() {
    let changed = Change {
        key: "eve".into(),
        before: Some(fields(&[("uid", b"1000")])),
        after: Some(fields(&[("uid", b"0"), ("full_name", b"\xff")])),
        warning: Some("an account with all rights".into()),
    };
    let removed = Change {
        key: "bob".into(),
        before: Some(fields(&[("uid", b"1001")])),
        after: None,
        warning: None,
    };
    let inventory = Inventory {
        subject: Subject::Users,
        version: 7,
        is_base: false,
        part: 0,
        parts: 1,
        changes: vec![removed, changed],
        items: 30,
        hash: Hash::of(b"whole"),
        left_out: 0,
    };
    let event = Event {
        seq: 12,
        time_ns: 1_795_000_000_000_000_000,
        boot_ns: 9,
        severity: Severity::High,
        body: Body::Inventory(inventory),
    };
    let bytes = codec::encode(&event);
    super::check("event-inventory.cbor", &bytes);
    assert_eq!(codec::decode_strict::<Event>(&bytes).unwrap(), event);
}
