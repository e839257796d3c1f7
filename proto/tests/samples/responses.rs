//! What endpoints do by themselves: policy, roster and event.

use cordon_proto::codec;
use cordon_proto::command::ActionKind;
use cordon_proto::event::{Body, Class, Event, Reacted, Severity};
use cordon_proto::id::CommandId;
use cordon_proto::policy::Policy;
use cordon_proto::policy::responses::{Comparison, Field, Reaction, Response, Test};
use cordon_proto::roster::{Autonomy, Ceilings, Roster};

use super::{check, endpoint, roster};

fn policy() -> Policy {
    let test = |field, comparison, value: &str| Test { field, comparison, value: value.to_owned() };
    let response =
        |name: &str, when, then| Response { name: name.to_owned(), when, then, per_hour_max: 2 };
    let rule = test(Field::FindingRule, Comparison::Is, "files.mass_change");
    let temporary = test(Field::ProcessPath, Comparison::BeginsWith, "/tmp/");
    let not_root = test(Field::ProcessUid, Comparison::IsNot, "0");
    let failed = test(Field::LoginStatus, Comparison::Is, "failure");
    let responses = vec![
        response("mass-change", vec![rule], Reaction::Isolate { lease_secs: 600 }),
        response("dropper", vec![temporary.clone(), not_root], Reaction::Kill { tree: true }),
        response("hold", vec![temporary], Reaction::Suspend { tree: false, lease_secs: 60 }),
        response("guessing", vec![failed.clone()], Reaction::Block { lease_secs: 3600 }),
        response("told", vec![failed], Reaction::Raise),
    ];
    Policy {
        critical: vec![endpoint()],
        responses: Some(responses),
        ..Policy::new("acme".parse().unwrap(), 5)
    }
}

fn reacted(action: Option<ActionKind>, withheld: Option<&str>) -> Event {
    let reacted = Reacted {
        id: CommandId(uuid::Uuid::from_u128(18)),
        response: "mass-change".to_owned(),
        policy_version: 5,
        action,
        withheld: withheld.map(str::to_owned),
        because: "finding files.mass_change: many files are being made unreadable".into(),
        event_ns: 1_795_000_000_000_000_000,
        repeated: 3,
    };
    let body = Body::Response(Box::new(reacted));
    Event { seq: 1, time_ns: 1_795_000_000_000_000_001, boot_ns: 9, severity: Severity::High, body }
}

#[test]
fn what_endpoints_do_by_themselves_is_read_as_it_was_made() {
    let made = codec::encode(&policy());
    check("policy-responses.cbor", &made);
    assert_eq!(codec::decode_strict::<Policy>(&made).unwrap(), policy());
    let autonomy = Some(Autonomy {
        actions: vec![ActionKind::Isolate, ActionKind::Kill],
        lease_secs_max: 3600,
        per_hour_max: 4,
    });
    let before = roster();
    let ceilings = Ceilings { autonomy, ..before.ceilings.clone() };
    let with = Roster { ceilings, ..before };
    let made = codec::encode(&with);
    check("roster-autonomy.cbor", &made);
    assert_eq!(codec::decode_strict::<Roster>(&made).unwrap(), with);
    let events = [
        ("event-response.cbor", reacted(Some(ActionKind::Isolate), None)),
        ("event-response-withheld.cbor", reacted(None, Some("this endpoint is critical"))),
    ];
    for (name, event) in events {
        let made = codec::encode(&event);
        check(name, &made);
        assert_eq!(codec::decode_strict::<Event>(&made).unwrap(), event);
        let mut decoder = minicbor::Decoder::new(&made);
        decoder.array().unwrap();
        (0..4).for_each(|_| decoder.skip().unwrap());
        decoder.array().unwrap();
        let number = Class::number_of_body(decoder.u32().unwrap());
        assert_eq!(number, Class::Finding.number());
    }
}
