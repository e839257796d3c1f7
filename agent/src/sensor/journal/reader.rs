//! Reads what `journalctl -o json` writes: one object a line, its fields in any order, a value that
//! is not text as a list of its bytes, a field that is there twice as a list of its values.
//!
//! Pure, and bounded whatever comes: of each field only so much is kept as an event may hold, and
//! the rest of it is counted and forgotten as it comes in.

use cordon_proto::limits::LOG_LINE_BYTES_MAX;

/// An entry as journalctl writes it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Entry {
    pub values: [Value; FIELDS.len()],
}

/// One field's first value.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Value {
    pub bytes: Vec<u8>,
    /// How long it was in full.
    pub length: u64,
}

/// A field that is looked at.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Field {
    Cursor,
    Realtime,
    Boot,
    Message,
    Priority,
    Identifier,
    Pid,
    SyslogPid,
    Uid,
    Comm,
    Unit,
}

const FIELDS: [(Field, &str); 11] = [
    (Field::Cursor, "__CURSOR"),
    (Field::Realtime, "__REALTIME_TIMESTAMP"),
    (Field::Boot, "_BOOT_ID"),
    (Field::Message, "MESSAGE"),
    (Field::Priority, "PRIORITY"),
    (Field::Identifier, "SYSLOG_IDENTIFIER"),
    (Field::Pid, "_PID"),
    (Field::SyslogPid, "SYSLOG_PID"),
    (Field::Uid, "_UID"),
    (Field::Comm, "_COMM"),
    (Field::Unit, "_SYSTEMD_UNIT"),
];

/// The fields to ask journalctl for; what it always writes need not be.
pub fn output_fields() -> String {
    let asked = FIELDS.iter().map(|(_, name)| *name).filter(|name| !name.starts_with("__"));
    asked.collect::<Vec<_>>().join(",")
}

/// Names of fields; longer ones are not looked for.
const NAME_BYTES_MAX: usize = 64;

/// Values of all fields but the message.
const VALUE_BYTES_MAX: usize = 256;

impl Entry {
    /// A field's value; none where there is none.
    pub fn get(&self, field: Field) -> Option<&[u8]> {
        let value = &self.values[field as usize];
        (value.length > 0).then_some(value.bytes.as_slice())
    }

    pub fn text(&self, field: Field) -> Option<&str> {
        std::str::from_utf8(self.get(field)?).ok()
    }

    pub fn number<T: std::str::FromStr>(&self, field: Field) -> Option<T> {
        self.text(field)?.parse().ok()
    }
}

impl Value {
    fn push(&mut self, bytes: &[u8], bytes_max: usize) {
        let room = bytes_max.saturating_sub(self.bytes.len());
        self.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.length = self.length.saturating_add(bytes.len() as u64);
    }
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum State {
    /// Before an object.
    #[default]
    Start,
    /// Behind `{` or a comma.
    BeforeName,
    InName,
    BehindName,
    BeforeValue,
    InString,
    /// Behind a backslash, in a string or a name.
    Escaped,
    /// In the digits behind `\u`.
    Unicode(u8),
    /// In a number, `null`, `true` or `false`.
    InWord,
    BehindValue,
    /// What was read is no object; until the line ends.
    Lost,
}

/// Where reading stands.
#[derive(Debug, Default)]
pub struct Reader {
    state: State,
    entry: Entry,
    name: Vec<u8>,
    in_name: bool,
    field: Option<Field>,
    /// Lists around the value under way.
    depth: u8,
    /// Whether the field's first value has been read.
    is_full: bool,
    /// The word or the digits under way.
    number: u32,
    /// The first half of a character of two.
    high: u32,
}

/// Lists in lists: a field that is there twice, not being text.
const DEPTH_MAX: u8 = 2;

impl Reader {
    /// Takes bytes and adds the entries that end in them; answers how many lines were none.
    pub fn feed(&mut self, bytes: &[u8], entries: &mut Vec<Entry>) -> u64 {
        let (mut at, mut lost) = (0, 0);
        while let Some(byte) = bytes.get(at) {
            let is_text = matches!(self.state, State::InString | State::InName);
            let plain = |byte: &&u8| !matches!(**byte, b'"' | b'\\' | b'\n');
            let run = if is_text { bytes[at..].iter().take_while(plain).count() } else { 0 };
            if run > 0 {
                self.push(&bytes[at..at + run]);
                at += run;
                continue;
            }
            at += 1;
            if *byte == b'\n' {
                let is_blank = self.state == State::Start && self.name.is_empty();
                lost += u64::from(!is_blank);
                *self = Self::default();
                continue;
            }
            self.state = self.step(*byte);
            if self.state == State::Start && *byte == b'}' {
                entries.push(std::mem::take(&mut self.entry));
                *self = Self::default();
            }
        }
        lost
    }

    fn step(&mut self, byte: u8) -> State {
        match (self.state, byte) {
            (State::Start, b' ') => State::Start,
            (State::Start, b'{') => State::BeforeName,
            (
                State::BeforeName | State::BehindName | State::BeforeValue | State::BehindValue,
                b' ',
            ) => self.state,
            (State::BeforeName, b'"') => self.begin_name(),
            (State::BeforeName | State::BehindValue, b'}') if self.depth == 0 => State::Start,
            (State::InName, b'"') => self.end_name(),
            (State::BehindName, b':') => State::BeforeValue,
            (State::BeforeValue, b'"') => State::InString,
            (State::BeforeValue, b'[') if self.depth < DEPTH_MAX => {
                self.depth += 1;
                State::BeforeValue
            }
            (State::BeforeValue | State::BehindValue, b']') if self.depth > 0 => self.end_list(),
            (State::BeforeValue, b'0'..=b'9' | b'a'..=b'z') => self.begin_word(byte),
            (State::InWord, b'0'..=b'9' | b'a'..=b'z') => self.word(byte),
            (State::InWord, b',' | b']' | b'}' | b' ') => {
                self.end_word();
                self.state = State::BehindValue;
                self.step(byte)
            }
            (State::InString, b'"') => self.end_string(),
            (State::InString | State::InName, b'\\') => State::Escaped,
            (State::Escaped, _) => self.escaped(byte),
            (State::Unicode(digits), _) => self.unicode(digits, byte),
            (State::BehindValue, b',') if self.depth > 0 => State::BeforeValue,
            (State::BehindValue, b',') => State::BeforeName,
            _ => State::Lost,
        }
    }

    fn begin_name(&mut self) -> State {
        self.name.clear();
        self.in_name = true;
        State::InName
    }

    fn end_name(&mut self) -> State {
        let known = FIELDS.iter().find(|(_, name)| name.as_bytes() == self.name);
        self.field = known.map(|(field, _)| *field);
        self.in_name = false;
        self.is_full = false;
        State::BehindName
    }

    fn push(&mut self, bytes: &[u8]) {
        if self.in_name {
            let room = NAME_BYTES_MAX.saturating_sub(self.name.len());
            self.name.extend_from_slice(&bytes[..bytes.len().min(room)]);
        } else if let Some(field) = self.field.filter(|_field| !self.is_full) {
            let is_message = field == Field::Message;
            let bytes_max = if is_message { LOG_LINE_BYTES_MAX } else { VALUE_BYTES_MAX };
            self.entry.values[field as usize].push(bytes, bytes_max);
        }
    }

    /// A text in a list is one of several values.
    fn end_string(&mut self) -> State {
        self.is_full |= self.depth > 0;
        State::BehindValue
    }

    /// A list in a list is one of several values, all of bytes.
    fn end_list(&mut self) -> State {
        self.depth -= 1;
        self.is_full |= self.depth > 0;
        State::BehindValue
    }

    fn begin_word(&mut self, byte: u8) -> State {
        self.number = 0;
        self.word(byte)
    }

    fn word(&mut self, byte: u8) -> State {
        let digit = if byte.is_ascii_digit() { u32::from(byte - b'0') } else { 1 << 8 };
        self.number = self.number.saturating_mul(10).saturating_add(digit);
        State::InWord
    }

    /// A number in a list is a byte; all other words are no text.
    fn end_word(&mut self) {
        if let (1.., Ok(byte)) = (self.depth, u8::try_from(self.number)) {
            self.push(&[byte]);
        }
    }

    fn inside(&self) -> State {
        if self.in_name { State::InName } else { State::InString }
    }

    fn escaped(&mut self, byte: u8) -> State {
        let meant = match byte {
            b'n' => b'\n',
            b't' => b'\t',
            b'r' => b'\r',
            b'b' => 8,
            b'f' => 12,
            b'"' | b'\\' | b'/' => byte,
            b'u' => {
                self.number = 0;
                return State::Unicode(0);
            }
            _ => return State::Lost,
        };
        self.push(&[meant]);
        self.inside()
    }

    fn unicode(&mut self, digits: u8, byte: u8) -> State {
        let Some(digit) = char::from(byte).to_digit(16) else { return State::Lost };
        self.number = self.number << 4 | digit;
        if digits < 3 {
            return State::Unicode(digits + 1);
        }
        let code = match (self.number, std::mem::take(&mut self.high)) {
            (high @ 0xd800..=0xdbff, 0) => {
                self.high = high;
                return self.inside();
            }
            (low @ 0xdc00..=0xdfff, high @ 1..) => 0x10000 + ((high - 0xd800) << 10) + low - 0xdc00,
            (code, _) => code,
        };
        let meant = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
        self.push(meant.encode_utf8(&mut [0; 4]).as_bytes());
        self.inside()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn read(pieces: &[&[u8]]) -> (Vec<Entry>, u64) {
        let (mut reader, mut entries) = (Reader::default(), Vec::new());
        let lost = pieces.iter().map(|piece| reader.feed(piece, &mut entries)).sum();
        (entries, lost)
    }

    #[track_caller]
    fn check(line: &str, field: Field, expected: Option<&[u8]>) {
        let (entries, lost) = read(&[line.as_bytes(), b"\n"]);
        assert_eq!((entries.len(), lost), (1, 0), "{line}");
        assert_eq!(entries[0].get(field), expected, "{line}");
    }

    #[test]
    fn every_way_to_write_a_value_is_read() {
        check(r#"{"MESSAGE":"a \"b\" \\ \n","X":"y"}"#, Field::Message, Some(b"a \"b\" \\ \n"));
        check(r#"{ "X" : "y" , "MESSAGE" : "a" }"#, Field::Message, Some(b"a"));
        check(r#"{"MESSAGE":[104,105,255]}"#, Field::Message, Some(b"hi\xff"));
        check(r#"{"MESSAGE":["one","two"]}"#, Field::Message, Some(b"one"));
        check(r#"{"MESSAGE":[[255,1],[2]]}"#, Field::Message, Some(b"\xff\x01"));
        check(r#"{"MESSAGE":[[255,1],"two"],"PRIORITY":"3"}"#, Field::Priority, Some(b"3"));
        check(r#"{"MESSAGE":null,"_PID":"7"}"#, Field::Message, None);
        check(r#"{"MESSAGE":"","_PID":"7"}"#, Field::Pid, Some(b"7"));
        check(
            r#"{"MESSAGE":"\u001b[2J\u00e4\ud83d\ude00"}"#,
            Field::Message,
            Some("\u{1b}[2Jä😀".as_bytes()),
        );
    }

    #[test]
    fn what_is_no_entry_is_counted_and_the_next_is_read() {
        let (entries, lost) = read(&[b"{\"MESSAGE\":\"a\"\nnothing\n\n{\"MESSAGE\":\"b\"}\n"]);
        assert_eq!((entries.len(), lost), (1, 2));
        assert_eq!(entries[0].get(Field::Message), Some(&b"b"[..]));
    }

    #[test]
    fn a_message_beyond_the_limit_is_cut_and_says_how_long_it_was() {
        let long = "x".repeat(LOG_LINE_BYTES_MAX + 5);
        let line = format!("{{\"MESSAGE\":\"{long}\",\"_COMM\":\"{long}\"}}\n");
        let (entries, _) = read(&[line.as_bytes()]);
        let message = &entries[0].values[Field::Message as usize];
        assert_eq!((message.bytes.len(), message.length), (LOG_LINE_BYTES_MAX, long.len() as u64));
        assert_eq!(entries[0].get(Field::Comm).unwrap().len(), VALUE_BYTES_MAX);
    }

    #[test]
    fn every_field_has_its_place() {
        for (index, (field, _)) in FIELDS.iter().enumerate() {
            assert_eq!(*field as usize, index);
        }
        assert!(output_fields().contains("MESSAGE,PRIORITY") && !output_fields().contains("__"));
    }

    proptest! {
        #[test]
        fn whatever_json_writes_is_read_the_same_in_any_pieces(
            message in "\\PC{0,40}|[\\x00-\\x1f\"\\\\/]{0,9}", comm in "[a-z]{1,20}", cut in 0usize..200,
        ) {
            let line = serde_json::json!({ "MESSAGE": message, "_COMM": comm, "Z": [1, "a"] });
            let line = format!("{line}\n").into_bytes();
            let (first, second) = line.split_at(cut.min(line.len()));
            let (entries, lost) = read(&[first, second]);
            prop_assert_eq!((entries.len(), lost), (1, 0));
            prop_assert_eq!(&entries[0].values[Field::Message as usize].bytes, message.as_bytes());
            prop_assert_eq!(entries[0].get(Field::Comm), Some(comm.as_bytes()));
        }

        #[test]
        fn any_bytes_are_borne(pieces in prop::collection::vec(prop_oneof![
            prop::collection::vec(any::<u8>(), 0..20),
            prop::sample::select(vec!["{\"", "\":\"", "\"}", "\":[", "]", "\\u", "d83d", "1,", "null", "\n", "MESSAGE"])
                .prop_map(|text| text.as_bytes().to_vec()),
        ], 0..20)) {
            let (mut reader, mut entries) = (Reader::default(), Vec::new());
            for piece in &pieces {
                reader.feed(piece, &mut entries);
            }
            reader.feed(b"\n{\"MESSAGE\":\"x\"}\n", &mut entries);
            prop_assert_eq!(entries.last().unwrap().get(Field::Message), Some(&b"x"[..]));
        }
    }
}
