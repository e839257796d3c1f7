//! What logs, logins, accounts and policies looked like when they came.

use cordon_proto::codec;
use cordon_proto::event::log::{Journal, LogFormat, LogSource, Pair, Parsed, Zone};
use cordon_proto::event::login::{
    AccountActivity, AccountChange, AuthActivity, Authentication, FileOrigin, JournalOrigin,
    Origin, Status,
};
use cordon_proto::event::{Body, Event, LogLine, Redaction, Severity};
use cordon_proto::policy::{Exemption, Policy, Redactions, SecretPattern, Transport};

use super::{check, endpoint, sample};

fn redacted() -> Option<Vec<Redaction>> {
    let rule = "password-assignment".to_owned();
    Some(vec![Redaction { rule, times: 1, bytes: 7 }])
}

fn journal_line() -> LogLine {
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
    LogLine {
        line: "password=[redacted]".into(),
        source: Some(LogSource::Journal(Box::new(journal))),
        parsed: Some(parsed),
        redacted: redacted(),
        ..LogLine::default()
    }
}

fn authentication() -> Authentication {
    Authentication {
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
    }
}

fn account() -> AccountChange {
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

/// Events with what came after the first version.
fn later_events() -> Vec<(&'static str, Vec<u8>)> {
    let bodies = [
        ("event-journal.cbor", Body::Log(journal_line())),
        ("event-authentication.cbor", Body::Authentication(Box::new(authentication()))),
        ("event-account.cbor", Body::Account(Box::new(account()))),
    ];
    let (time_ns, boot_ns, severity) = (1_795_000_000_000_000_000, 9, Severity::Informational);
    let event =
        |(name, body)| (name, codec::encode(&Event { seq: 1, time_ns, boot_ns, severity, body }));
    bodies.map(event).into()
}

fn policy(redactions: Option<Redactions>) -> Policy {
    let critical = vec![endpoint()];
    Policy { critical, redactions, ..Policy::new("acme".parse().unwrap(), 4) }
}

fn redactions() -> Redactions {
    let (name, regex) = ("badge".to_owned(), "badge ([0-9]{8})".to_owned());
    let literal = Some("badge ".to_owned());
    let patterns = vec![SecretPattern { name, regex, literal }];
    Redactions { patterns, off: vec!["jwt".to_owned()] }
}

#[test]
fn events_and_policies_are_read_as_they_were_made() {
    for (name, event) in later_events() {
        check(name, &event);
        let read: Event = codec::decode_strict(&sample(name, &event)).unwrap();
        assert_eq!(codec::encode(&read), event, "{name}");
    }
    let read =
        |name, made: Vec<u8>| -> Policy { codec::decode_strict(&sample(name, &made)).unwrap() };
    let (plain, full) = (policy(None), policy(Some(redactions())));
    check("policy.cbor", &codec::encode(&plain));
    check("policy-redactions.cbor", &codec::encode(&full));
    assert_eq!(read("policy.cbor", codec::encode(&plain)), plain);
    assert_eq!(read("policy-redactions.cbor", codec::encode(&full)), full);
    let exemption = |process: Option<&str>, user: Option<&str>| Exemption {
        address: [192, 0, 2, 9].into(),
        port: 443,
        transport: Transport::Tcp,
        process: process.map(str::to_owned),
        user: user.map(str::to_owned),
    };
    let exemptions = vec![
        exemption(None, None),
        exemption(None, Some("rmm")),
        exemption(Some("/opt/rmm/agent"), None),
    ];
    let narrow = Policy { exemptions, ..policy(None) };
    check("policy-exemptions.cbor", &codec::encode(&narrow));
    assert_eq!(read("policy-exemptions.cbor", codec::encode(&narrow)), narrow);
    assert_eq!(redactions().check(), Ok(()));
}
