//! What the agent's sensors read: the kernel's messages, records of programs, packets, lines of
//! logs. Much of it is written by whoever it speaks of.

use cordon_agent::redact::Redactor;
use cordon_agent::sensor::Sample;
use cordon_agent::sensor::device::uevent::Uevent;
use cordon_agent::sensor::dns::message::{Datagram, Message};
use cordon_agent::sensor::file::notice::notices;
use cordon_agent::sensor::journal::reader::Reader;
use cordon_agent::sensor::kernel_log::record::Record;
use cordon_agent::sensor::login::record::{RECORD_BYTES, read};
use cordon_agent::sensor::parse::{Assumed, Head, head, interpret};
use cordon_agent::sensor::process::audit_record::Assembly;
use cordon_proto::event::{Body, LogLine, Observation, Severity};

use crate::Target;

pub(crate) const TARGETS: [Target; 9] = [
    ("name server's answer", answer),
    ("packet of a name server", packet),
    ("record of the kernel's log", kernel_record),
    ("message on a device", device),
    ("messages of fanotify", changes),
    ("entries of the journal", journal),
    ("records of logins", logins),
    ("records of audit", audit),
    ("line of a log", line),
];

fn answer(bytes: &[u8]) {
    if let Ok(message) = Message::parse(bytes) {
        assert!(message.answers.len() <= usize::from(message.records));
    }
}

fn packet(bytes: &[u8]) {
    if let Ok(datagram) = Datagram::parse(bytes) {
        assert!(datagram.content.len() < bytes.len());
        answer(datagram.content);
    }
}

fn kernel_record(bytes: &[u8]) {
    if let Some(record) = Record::parse(bytes) {
        assert!(record.level <= 7 && record.text.len() < bytes.len());
    }
}

fn device(bytes: &[u8]) {
    if let Some(event) = Uevent::parse(bytes) {
        assert!(event.path.starts_with("/devices/") && !event.path.contains("/../"));
    }
}

fn changes(bytes: &[u8]) {
    for notice in notices(bytes).0 {
        for name in [notice.name, notice.from].into_iter().flatten() {
            assert!(name.name.len() + name.directory.len() < bytes.len());
            assert!(name.split().is_none_or(|(_, handle)| handle.len() < name.directory.len()));
        }
    }
}

/// Where a read happens to end must not matter.
fn journal(bytes: &[u8]) {
    let (mut whole, mut single) = (Vec::new(), Vec::new());
    let lost = Reader::default().feed(bytes, &mut whole);
    let mut reader = Reader::default();
    let lost_singly = bytes.chunks(1).map(|byte| reader.feed(byte, &mut single)).sum::<u64>();
    assert_eq!((whole, lost), (single, lost_singly));
}

fn logins(bytes: &[u8]) {
    for record in bytes.chunks_exact(RECORD_BYTES).filter_map(<[u8]>::first_chunk) {
        let read = read(record);
        assert!(read.user.len() + read.line.len() + read.host.len() < RECORD_BYTES);
    }
}

/// Lines `KIND TEXT`, as the kernel would send them one by one.
fn audit(bytes: &[u8]) {
    let mut assembly = Assembly::default();
    for line in bytes.split(|byte| *byte == b'\n') {
        let (kind, text) = line.split_at(line.len().min(4));
        let kind = std::str::from_utf8(kind).ok().and_then(|kind| kind.parse().ok());
        if let Some(exec) = assembly.take(kind.unwrap_or(1300), text) {
            assert!(exec.args.is_none_or(|args| args.len() <= bytes.len()));
        }
    }
}

/// What is found in a line, what it means, and what is taken out of it.
fn line(bytes: &[u8]) {
    let assumed = Assumed { now_ns: 1_800_000_000_000_000_000, offset_secs: 3600 };
    let parsed = head(bytes, &assumed).as_ref().map(Head::to_parsed);
    let line = LogLine { line: bytes.into(), parsed, ..LogLine::default() };
    drop(interpret(&line));
    let (body, severity) = (Body::Log(line), Severity::Informational);
    let observations = vec![Observation { time_ns: 0, boot_ns: 0, severity, body }];
    Redactor::default().sample(&mut Sample { observations, ..Sample::default() });
}

/// What is mutated must be something to begin with.
#[test]
fn each_reader_understands_its_own_part_of_the_corpus() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let file = |name: &str| std::fs::read(folder.join(name)).unwrap();
    assert_eq!(Message::parse(&file("dns-answer.bin")).unwrap().answers.len(), 2);
    assert!(Message::parse(&file("dns-pointer-loop.bin")).is_err());
    assert_eq!(Datagram::parse(&file("dns-packet.bin")).unwrap().from.port, 53);
    assert_eq!(Record::parse(&file("kmsg.txt")).unwrap().sequence, 1187);
    assert_eq!(Uevent::parse(&file("uevent.bin")).unwrap().variables.numbers(), Some((189, 3)));
    assert_eq!(notices(&file("fanotify.bin")).0.len(), 3);
    let mut entries = Vec::new();
    assert_eq!(
        (Reader::default().feed(&file("journal.json"), &mut entries), entries.len()),
        (1, 2)
    );
    assert_eq!(read(file("wtmp.bin").first_chunk().unwrap()).user.as_str(), Some("ann"));
    let (mut assembly, records) = (Assembly::default(), file("audit.txt"));
    let mut records = records.split(|byte| *byte == b'\n').filter_map(|line| {
        let (kind, text) = line.split_at_checked(4)?;
        assembly.take(std::str::from_utf8(kind).ok()?.parse().ok()?, text)
    });
    assert_eq!(records.next().unwrap().pid, 3538);
    let line = LogLine { line: file("sshd-forged.log").into(), ..LogLine::default() };
    assert!(interpret(&line).is_some());
}
