//! A login as the system's own records tell of it: golden bytes.

use cordon_proto::codec;
use cordon_proto::event::login::{
    AuthActivity, Authentication, Origin, RecordOrigin, RecordSource, Status,
};
use cordon_proto::event::{Body, Event, Severity};

#[test]
fn a_record_of_a_login_encodes_to_the_same_bytes_for_ever() {
    let origin = RecordOrigin {
        path: "/var/log/wtmp".into(),
        source: RecordSource::Wtmp,
        place: 384,
        uid: Some(1000),
        session: None,
        lasted_secs: Some(61),
    };
    let authentication = Authentication {
        origin: Origin::Record(origin),
        activity: AuthActivity::Logoff,
        status: Status::Success,
        service: "".into(),
        user: Some("ann".into()),
        actor: None,
        user_exists: Some(true),
        method: None,
        from: Some("192.0.2.7".into()),
        from_port: None,
        terminal: Some("pts/0".into()),
        command: None,
        key: None,
        detail: None,
        pid: Some(4242),
        tries: None,
        redacted: None,
    };
    let event = Event {
        seq: 13,
        time_ns: 1_795_000_000_000_000_000,
        boot_ns: 9,
        severity: Severity::Informational,
        body: Body::Authentication(Box::new(authentication)),
    };
    let bytes = codec::encode(&event);
    super::check("event-login-record.cbor", &bytes);
    assert_eq!(codec::decode_strict::<Event>(&bytes).unwrap(), event);
}
