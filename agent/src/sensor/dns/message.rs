//! Reads answers of the domain name system out of packets that anybody may have made. Pure.
//!
//! Every read is checked against what is there; a name's pointers must lead back and its length is
//! bounded, so that no packet takes more than one pass over its bytes for each of its names.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use cordon_proto::event::network::Peer;

/// Records that are looked at; an answer with more is told in part.
const RECORDS_MAX: u16 = 128;

/// A name's length on the wire, as RFC 1035 bounds it.
const NAME_BYTES_MAX: usize = 255;

/// Pointers that one name may follow; each must lead back.
const POINTERS_MAX: usize = 16;

const TYPE_A: u16 = 1;
const TYPE_CNAME: u16 = 5;
const TYPE_AAAA: u16 = 28;

/// Why a packet is no answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum MessageError {
    /// It ends too early.
    #[error("the packet ends before what it announces")]
    CutOff,
    /// It is not what the filter lets through.
    #[error("the packet is no datagram")]
    NotDatagram,
    /// It asks, or orders something.
    #[error("the message is no answer to a question")]
    NotAnswer,
    /// A name leads in a circle or is too long.
    #[error("a name in the message is too long or leads nowhere")]
    Name,
}

/// A datagram and between whom it went.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Datagram<'a> {
    /// Who sent it.
    pub from: Peer,
    /// Who got it.
    pub to: Peer,
    /// What is in it.
    pub content: &'a [u8],
}

/// An answer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Message {
    /// What was asked for, in lower case.
    pub query: String,
    /// Of which type.
    pub query_type: u16,
    /// How it went.
    pub rcode: u8,
    /// How many records answer, of any type.
    pub records: u16,
    /// Addresses and other names that belong to the question, in order.
    pub answers: Vec<Record>,
}

/// A record that belongs to the question.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Record {
    /// How long it may be kept.
    pub ttl_secs: u32,
    /// What it says.
    pub says: Says,
}

/// What a record says.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub enum Says {
    /// An address.
    Address(IpAddr),
    /// Another name.
    Name(String),
}

impl<'a> Datagram<'a> {
    /// Takes an IP packet apart, from its header on. Headers between IPv6 and UDP are not
    /// followed: answers have none.
    pub fn parse(packet: &'a [u8]) -> Result<Self, MessageError> {
        const UDP: u8 = 17;
        let first = *packet.first().ok_or(MessageError::CutOff)?;
        let at = |place: usize| packet.get(place).copied().ok_or(MessageError::CutOff);
        let (from, to, protocol, header) = match first >> 4 {
            4 => {
                let address = |place| Ok(IpAddr::V4(Ipv4Addr::from(bytes::<4>(packet, place)?)));
                (address(12)?, address(16)?, at(9)?, usize::from(first & 0xf) * 4)
            }
            6 => {
                let address = |place| Ok(IpAddr::V6(Ipv6Addr::from(bytes::<16>(packet, place)?)));
                (address(8)?, address(24)?, at(6)?, 40)
            }
            _ => return Err(MessageError::NotDatagram),
        };
        if protocol != UDP {
            return Err(MessageError::NotDatagram);
        }
        let datagram = packet.get(header..).ok_or(MessageError::CutOff)?;
        let [from_port, to_port, length] =
            [0, 2, 4].map(|place| bytes::<2>(datagram, place).map(u16::from_be_bytes));
        let content = datagram.get(8..usize::from(length?)).ok_or(MessageError::CutOff)?;
        let (from, to) = (Peer { ip: from, port: from_port? }, Peer { ip: to, port: to_port? });
        Ok(Self { from, to, content })
    }
}

impl Message {
    /// Reads an answer. Addresses count only where the names lead to them from the question.
    pub fn parse(message: &[u8]) -> Result<Self, MessageError> {
        const ANSWER: u8 = 0x80;
        const OPCODE: u8 = 0x78;
        let [flags, more_flags] = bytes::<2>(message, 2)?;
        if flags & ANSWER == 0 || flags & OPCODE != 0 {
            return Err(MessageError::NotAnswer);
        }
        let questions = u16::from_be_bytes(bytes(message, 4)?);
        let records = u16::from_be_bytes(bytes(message, 6)?);
        let mut reader = Reader { message, at: 12 };
        let mut asked = None;
        // One question is all that anybody asks; none stands in what is announced by multicast.
        match questions {
            0 => {}
            1 => asked = Some((reader.name()?, reader.number()?, reader.number()?)),
            _ => return Err(MessageError::NotAnswer),
        }
        let mut found = Vec::new();
        for _ in 0..records.min(RECORDS_MAX) {
            let (name, kind, record) = reader.record()?;
            if asked.is_none() {
                asked = Some((name.clone(), kind, 1));
            }
            found.extend(record.map(|record| (name, record)));
        }
        let (query, query_type, _class) = asked.ok_or(MessageError::NotAnswer)?;
        let answers = belonging(&query, found);
        Ok(Self { query, query_type, rcode: more_flags & 0xf, records, answers })
    }
}

/// The records that the question leads to, by way of other names.
fn belonging(query: &str, found: Vec<(String, Record)>) -> Vec<Record> {
    let mut names = vec![query];
    // Each name may lead to one more; a circle ends because no name is followed twice.
    let mut next = 0;
    while let Some(name) = names.get(next).copied() {
        next += 1;
        for (from, record) in &found {
            if let Says::Name(to) = &record.says
                && from == name
                && !names.contains(&to.as_str())
            {
                names.push(to);
            }
        }
    }
    let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
    found.into_iter().filter(|(name, _)| names.contains(name)).map(|(_, record)| record).collect()
}

struct Reader<'a> {
    message: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn number(&mut self) -> Result<u16, MessageError> {
        self.take().map(u16::from_be_bytes)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], MessageError> {
        let taken = bytes(self.message, self.at)?;
        self.at += N;
        Ok(taken)
    }

    /// A record, its name and its type; nothing of those types that say neither name nor address.
    fn record(&mut self) -> Result<(String, u16, Option<Record>), MessageError> {
        const INTERNET: u16 = 1;
        // By multicast the upper bit of the class says that older records are to be forgotten.
        const CLASS: u16 = 0x7fff;
        let name = self.name()?;
        let (kind, class) = (self.number()?, self.number()? & CLASS);
        let ttl_secs = u32::from_be_bytes(self.take()?);
        let length = usize::from(self.number()?);
        let (start, end) = (self.at, self.at + length);
        if end > self.message.len() {
            return Err(MessageError::CutOff);
        }
        let says = match (kind, length) {
            (TYPE_A, 4) => Some(Says::Address(Ipv4Addr::from(self.take::<4>()?).into())),
            (TYPE_AAAA, 16) => Some(Says::Address(Ipv6Addr::from(self.take::<16>()?).into())),
            (TYPE_CNAME, 1..) => {
                let says = Says::Name(self.name()?);
                if self.at != end {
                    return Err(MessageError::Name);
                }
                Some(says)
            }
            (..) => None,
        };
        debug_assert!(start <= self.at);
        self.at = end;
        let says = says.filter(|_| class == INTERNET);
        Ok((name, kind, says.map(|says| Record { ttl_secs, says })))
    }

    /// A name in lower case without its last dot. What could be mistaken (a dot within a label, a
    /// backslash, anything not printable) is written as `\DDD`.
    fn name(&mut self) -> Result<String, MessageError> {
        let mut name = String::new();
        let (mut at, mut after, mut pointers, mut length) = (self.at, None, 0, 0);
        // A pointer must lead to before where the part of the name that it ends began.
        let mut began = at;
        loop {
            let first = *self.message.get(at).ok_or(MessageError::CutOff)?;
            match first >> 6 {
                0 if first == 0 => break,
                0 => {
                    let end = at + 1 + usize::from(first);
                    let label = self.message.get(at + 1..end).ok_or(MessageError::CutOff)?;
                    length += 1 + label.len();
                    if length >= NAME_BYTES_MAX {
                        return Err(MessageError::Name);
                    }
                    write_label(&mut name, label);
                    at = end;
                }
                3 => {
                    let pointer = u16::from_be_bytes(bytes(self.message, at)?) & 0x3fff;
                    let to = usize::from(pointer);
                    pointers += 1;
                    if to >= began || pointers > POINTERS_MAX {
                        return Err(MessageError::Name);
                    }
                    after.get_or_insert(at + 2);
                    (at, began) = (to, to);
                }
                _ => return Err(MessageError::Name),
            }
        }
        self.at = after.unwrap_or(at + 1);
        if name.is_empty() {
            name.push('.');
        }
        Ok(name)
    }
}

fn write_label(name: &mut String, label: &[u8]) {
    if !name.is_empty() {
        name.push('.');
    }
    for byte in label {
        match byte {
            b'.' | b'\\' => name.push_str(&format!("\\{byte:03}")),
            b'!'..=b'~' => name.push(char::from(byte.to_ascii_lowercase())),
            _ => name.push_str(&format!("\\{byte:03}")),
        }
    }
}

fn bytes<const N: usize>(from: &[u8], at: usize) -> Result<[u8; N], MessageError> {
    from.get(at..).and_then(|rest| rest.first_chunk()).copied().ok_or(MessageError::CutOff)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Writes messages as servers do.
    struct Writer(Vec<u8>);

    impl Writer {
        fn answer(questions: u16, records: u16) -> Self {
            let mut bytes = vec![0x12, 0x34, 0x81, 0x80];
            for number in [questions, records, 0, 0] {
                bytes.extend(number.to_be_bytes());
            }
            Self(bytes)
        }

        fn name(mut self, name: &str) -> Self {
            for label in name.split('.').filter(|label| !label.is_empty()) {
                self.0.push(u8::try_from(label.len()).unwrap());
                self.0.extend(label.as_bytes());
            }
            self.0.push(0);
            self
        }

        fn numbers(mut self, numbers: &[u16]) -> Self {
            self.0.extend(numbers.iter().flat_map(|number| number.to_be_bytes()));
            self
        }

        fn pointer(self, to: u16) -> Self {
            self.numbers(&[0xc000 | to])
        }

        fn raw(mut self, bytes: &[u8]) -> Self {
            self.0.extend(bytes);
            self
        }

        /// Everything of a record after its name.
        fn record(self, kind: u16, ttl: u16, content: &[u8]) -> Self {
            let length = u16::try_from(content.len()).unwrap();
            self.numbers(&[kind, 1, 0, ttl, length]).raw(content)
        }
    }

    #[track_caller]
    fn check(writer: &Writer, expected: &str) {
        let said = match Message::parse(&writer.0) {
            Ok(message) => {
                let Message { query, query_type, rcode, records, answers } = message;
                let answer = |record: &Record| match &record.says {
                    Says::Address(ip) => format!(" {ip}/{}", record.ttl_secs),
                    Says::Name(name) => format!(" {name}/{}", record.ttl_secs),
                };
                let answers: String = answers.iter().map(answer).collect();
                format!("{query} {query_type} {rcode} {records}:{answers}")
            }
            Err(error) => error.to_string(),
        };
        assert_eq!(said, expected);
    }

    #[test]
    fn an_address_is_reached_by_way_of_other_names() {
        let writer = Writer::answer(1, 3)
            .name("WWW.Example.com")
            .numbers(&[1, 1])
            .pointer(12)
            .record(5, 300, b"\x01b\xc0\x10")
            .name("b.example.com")
            .record(1, 60, &[192, 0, 2, 1])
            .pointer(12)
            .record(28, 61, &Ipv6Addr::LOCALHOST.octets());
        check(&writer, "www.example.com 1 0 3: b.example.com/300 192.0.2.1/60 ::1/61");
    }

    #[test]
    fn what_the_question_does_not_lead_to_is_left_out() {
        let writer = Writer::answer(1, 3)
            .name("a.example")
            .numbers(&[1, 1])
            .name("bank.example")
            .record(1, 60, &[192, 0, 2, 66])
            .pointer(12)
            .record(16, 60, b"text")
            .pointer(12)
            .record(1, 60, &[192, 0, 2, 1]);
        check(&writer, "a.example 1 0 3: 192.0.2.1/60");
    }

    #[test]
    fn names_in_a_circle_end() {
        let writer = Writer::answer(1, 2)
            .name("a.x")
            .numbers(&[1, 1])
            .name("a.x")
            .record(5, 1, b"\x01b\x01x\0")
            .name("b.x")
            .record(5, 1, b"\x01a\x01x\0");
        check(&writer, "a.x 1 0 2: b.x/1 a.x/1");
    }

    #[test]
    fn pointers_that_do_not_lead_back_are_refused() {
        for to in [12, 13, 14, 40] {
            check(
                &Writer::answer(1, 0).pointer(to),
                "a name in the message is too long or leads nowhere",
            );
        }
        let label = "x".repeat(63);
        let long = [label.as_str(); 4].join(".");
        let writer = Writer::answer(1, 0).name(&long).numbers(&[1, 1]);
        check(&writer, "a name in the message is too long or leads nowhere");
        let chained = Writer::answer(1, 0).raw(b"\x40");
        check(&chained, "a name in the message is too long or leads nowhere");
    }

    #[test]
    fn odd_bytes_of_names_are_written_so_that_nothing_can_be_mistaken() {
        let writer = Writer::answer(1, 0).raw(b"\x06a.b\\ \xff\x02CD\0").numbers(&[255, 1]);
        check(&writer, "a\\046b\\092\\032\\255.cd 255 0 0:");
        check(&Writer::answer(1, 0).raw(b"\0").numbers(&[2, 1]), ". 2 0 0:");
    }

    #[test]
    fn questions_and_what_is_cut_off_are_no_answers() {
        let mut question = Writer::answer(1, 0).name("a").numbers(&[1, 1]);
        let whole = Writer::answer(1, 1)
            .name("a")
            .numbers(&[1, 1])
            .pointer(12)
            .record(1, 60, &[192, 0, 2, 1])
            .0;
        for bytes in 0..whole.len() {
            assert_eq!(Message::parse(&whole[..bytes]), Err(MessageError::CutOff), "{bytes}");
        }
        question.0[2] = 0x01;
        check(&question, "the message is no answer to a question");
    }

    #[test]
    fn an_announcement_without_a_question_is_told_by_its_first_record() {
        let writer = Writer::answer(0, 1)
            .name("printer.local")
            .numbers(&[1, 0x8001, 0, 120, 4])
            .raw(&[192, 0, 2, 8]);
        check(&writer, "printer.local 1 0 1: 192.0.2.8/120");
    }

    #[test]
    fn a_datagram_says_between_whom_it_went() {
        let mut packet = vec![0x45, 0, 0, 31, 0, 0, 0, 0, 64, 17, 0, 0];
        packet.extend([192, 0, 2, 53, 192, 0, 2, 9, 0, 53, 0x9c, 0x40, 0, 11, 0, 0, 1, 2, 3, 9, 9]);
        let datagram = Datagram::parse(&packet).unwrap();
        assert_eq!(datagram.from, Peer { ip: [192, 0, 2, 53].into(), port: 53 });
        assert_eq!(datagram.to, Peer { ip: [192, 0, 2, 9].into(), port: 40_000 });
        assert_eq!(datagram.content, [1, 2, 3], "what follows the datagram is not its content");
        assert_eq!(Datagram::parse(&packet[..30]), Err(MessageError::CutOff));
        packet[9] = 6;
        assert_eq!(Datagram::parse(&packet), Err(MessageError::NotDatagram));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            if let Ok(message) = Message::parse(&bytes) {
                prop_assert!(message.answers.len() <= usize::from(RECORDS_MAX));
                prop_assert!(message.query.len() <= 4 * NAME_BYTES_MAX);
            }
            prop_assert!(Datagram::parse(&bytes).is_err() || bytes.len() >= 28);
        }

        #[test]
        fn an_answer_with_any_bytes_changed_never_panics(
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        ) {
            let mut bytes = Writer::answer(1, 2)
                .name("www.example.com")
                .numbers(&[1, 1])
                .pointer(12)
                .record(5, 300, b"\x01b\xc0\x10")
                .pointer(16)
                .record(1, 60, &[192, 0, 2, 1])
                .0;
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            if let Ok(message) = Message::parse(&bytes) {
                prop_assert!(message.answers.len() <= usize::from(message.records));
            }
        }
    }
}
