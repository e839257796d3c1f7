//! The head of a line: traditional syslog (RFC 3164), RFC 5424, or one JSON object.

use std::borrow::Cow;

use cordon_proto::event::log::{LogFormat, Pair, Parsed, Zone};

use super::cut::{name, number};
use super::{json, when};
use crate::platform::linux::zone;

/// What heads do not say themselves.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Assumed {
    /// About when the line was written.
    pub now_ns: u64,
    /// The zone of the machine, east of UTC.
    pub offset_secs: i32,
}

impl Assumed {
    /// For lines written about now on this machine.
    #[must_use]
    pub fn at(now_ns: u64) -> Self {
        let secs = i64::try_from(now_ns / 1_000_000_000).unwrap_or(0);
        Self { now_ns, offset_secs: zone::offset_secs(secs) }
    }
}

/// A line's head, and what it stands before.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Head<'a> {
    /// The form.
    pub format: LogFormat,
    /// Facility times eight plus severity.
    pub priority: Option<u8>,
    /// The line's own time, and the zone it was read in.
    pub time: Option<(u64, Zone)>,
    /// The host that wrote it.
    pub host: Option<Cow<'a, [u8]>>,
    /// The program that wrote it.
    pub app: Option<Cow<'a, [u8]>>,
    /// Its process id.
    pub pid: Option<u32>,
    /// RFC 5424's kind of message.
    pub msgid: Option<&'a [u8]>,
    /// RFC 5424's structured data, as it stands there.
    pub structured: Option<&'a [u8]>,
    /// Severity, where there is no priority.
    pub severity: Option<u8>,
    /// What the line says.
    pub message: Cow<'a, [u8]>,
}

/// Longer than any tag, host or message kind in use.
const WORD_BYTES_MAX: usize = 255;

/// Parameters of structured data that are kept.
const PAIRS_MAX: usize = 32;

/// A parameter's value; longer ones are cut.
const VALUE_BYTES_MAX: usize = 1024;

impl<'a> Head<'a> {
    pub(super) fn new(format: LogFormat) -> Self {
        Self {
            format,
            priority: None,
            time: None,
            host: None,
            app: None,
            pid: None,
            msgid: None,
            structured: None,
            severity: None,
            message: Cow::Borrowed(b""),
        }
    }

    /// The line's own time.
    #[must_use]
    pub fn time_ns(&self) -> Option<u64> {
        self.time.map(|(ns, _)| ns)
    }

    /// Whether it differs in nothing but the time from another, as they go into an event. Whoever has
    /// structured data is like nobody.
    #[must_use]
    pub fn is_alike(&self, other: &Head<'_>) -> bool {
        let zone = |time: Option<(u64, Zone)>| time.map(|(_, zone)| zone);
        self.app == other.app
            && self.pid == other.pid
            && self.host == other.host
            && self.format == other.format
            && self.priority == other.priority
            && self.severity == other.severity
            && self.msgid == other.msgid
            && zone(self.time) == zone(other.time)
            && self.structured.is_none()
            && other.structured.is_none()
    }

    /// As it goes into an event.
    #[must_use]
    pub fn to_parsed(&self) -> Parsed {
        let structured = self.structured.map(pairs).filter(|pairs| !pairs.is_empty());
        Parsed {
            facility: self.priority.map(|priority| priority >> 3),
            severity: self.priority.map(|priority| priority & 7).or(self.severity),
            host: self.host.as_deref().map(name),
            app: self.app.as_deref().map(name),
            pid: self.pid,
            msgid: self.msgid.map(name),
            time_ns: self.time_ns(),
            zone: self.time.map(|(_, zone)| zone),
            structured,
            ..Parsed::new(self.format)
        }
    }
}

/// Reads a line's head; none where it has none of a known form.
#[must_use]
pub fn head<'a>(line: &'a [u8], assumed: &Assumed) -> Option<Head<'a>> {
    match line.first()? {
        b'{' => json::head(line),
        b'<' => {
            let (priority, rest) = priority(line)?;
            let head = match rest.strip_prefix(b"1 ") {
                Some(rest) => rfc5424(rest),
                None => rfc3164(rest, assumed),
            };
            Some(Head { priority: Some(priority), ..head? })
        }
        _ => rfc3164(line, assumed),
    }
}

/// `<34>`: up to three digits, up to 191.
fn priority(line: &[u8]) -> Option<(u8, &[u8])> {
    let end = line.iter().take(5).position(|byte| *byte == b'>')?;
    let priority = number::<u8>(&line[1..end]).filter(|priority| *priority <= 191)?;
    Some((priority, &line[end + 1..]))
}

/// `Oct 11 22:14:15 host app[pid]: message`, and the same with ISO time, as files have it.
fn rfc3164<'a>(line: &'a [u8], assumed: &Assumed) -> Option<Head<'a>> {
    let (time, rest, format) = if line.first()?.is_ascii_digit() {
        let (time, rest) = word(line)?;
        (when::iso(time)?, rest, LogFormat::Rfc5424)
    } else {
        let rest = line.get(15..)?.strip_prefix(b" ")?;
        (when::traditional(&line[..15], assumed)?, rest, LogFormat::Rfc3164)
    };
    let (host, rest) = word(rest)?;
    let mut head = Head { time: Some(time), ..Head::new(format) };
    head.host = Some(Cow::Borrowed(host));
    head.message = Cow::Borrowed(rest);
    if let Some((app, pid, message)) = tag(rest) {
        head.app = Some(Cow::Borrowed(app));
        head.pid = pid;
        head.message = Cow::Borrowed(message);
    }
    Some(head)
}

/// `app[pid]: `; none where the message begins at once.
fn tag(rest: &[u8]) -> Option<(&[u8], Option<u32>, &[u8])> {
    let ends = |byte: &u8| matches!(byte, b':' | b'[' | b' ');
    let end = rest.iter().take(WORD_BYTES_MAX).position(ends).filter(|end| *end > 0)?;
    let (app, rest) = rest.split_at(end);
    let (pid, rest) = match rest.strip_prefix(b"[") {
        Some(inner) => {
            let close = inner.iter().take(WORD_BYTES_MAX).position(|byte| *byte == b']')?;
            (number(&inner[..close]), &inner[close + 1..])
        }
        None => (None, rest),
    };
    let message = rest.strip_prefix(b":")?;
    Some((app, pid, message.strip_prefix(b" ").unwrap_or(message)))
}

/// Behind the version: `TIME HOST APP PID MSGID DATA MESSAGE`, `-` for what is not known.
fn rfc5424(rest: &[u8]) -> Option<Head<'_>> {
    let known = |word: &'_ [u8]| word != b"-";
    let (time, rest) = word(rest)?;
    let (host, rest) = word(rest)?;
    let (app, rest) = word(rest)?;
    let (pid, rest) = word(rest)?;
    let (msgid, rest) = word(rest)?;
    let (data, message) = data(rest)?;
    let message = message.strip_prefix(b" ").unwrap_or(message);
    let time = if known(time) { Some(when::iso(time)?) } else { None };
    Some(Head {
        time,
        host: known(host).then_some(Cow::Borrowed(host)),
        app: known(app).then_some(Cow::Borrowed(app)),
        pid: number(pid),
        msgid: known(msgid).then_some(msgid),
        structured: known(data).then_some(data),
        message: Cow::Borrowed(message.strip_prefix(b"\xef\xbb\xbf").unwrap_or(message)),
        ..Head::new(LogFormat::Rfc5424)
    })
}

/// A word and what follows its space.
fn word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr(b' ', &text[..text.len().min(WORD_BYTES_MAX + 1)]);
    let end = end.filter(|end| *end > 0)?;
    Some((&text[..end], &text[end + 1..]))
}

/// Structured data and what follows: `-`, or elements `[id name="value" …]` one after another.
fn data(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    if rest.first() == Some(&b'-') {
        return Some(rest.split_at(1));
    }
    let mut at = 0;
    while rest.get(at) == Some(&b'[') {
        at += element_end(&rest[at..])?;
    }
    (at > 0).then(|| rest.split_at(at))
}

/// Where an element ends that begins here; a bracket inside quotes does not end it.
fn element_end(element: &[u8]) -> Option<usize> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    for (at, byte) in element.iter().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_quoted => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            b']' if !is_quoted => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// The parameters of structured data, each named `id.name`.
fn pairs(mut data: &[u8]) -> Vec<Pair> {
    let mut pairs = Vec::new();
    while let Some(end) = element_end(data) {
        let element = &data[1..end - 1];
        data = &data[end..];
        let id_end = element.iter().position(|byte| *byte == b' ').unwrap_or(element.len());
        let (id, mut rest) = element.split_at(id_end);
        while let Some((param, value, after)) = param(rest) {
            if pairs.len() == PAIRS_MAX {
                return pairs;
            }
            let full = [id, b".", param].concat();
            pairs.push(Pair { name: name(&full), value: value.into() });
            rest = after;
        }
    }
    pairs
}

/// ` name="value"`, the value without its escapes.
fn param(rest: &[u8]) -> Option<(&[u8], Vec<u8>, &[u8])> {
    let rest = rest.strip_prefix(b" ")?;
    let equals = rest.iter().position(|byte| *byte == b'=')?;
    let quoted = rest[equals + 1..].strip_prefix(b"\"")?;
    let (mut value, mut is_escaped) = (Vec::new(), false);
    for (at, byte) in quoted.iter().enumerate() {
        match byte {
            b'\\' if !is_escaped => is_escaped = true,
            b'"' if !is_escaped => return Some((&rest[..equals], value, &quoted[at + 1..])),
            _ => {
                if is_escaped && !matches!(byte, b'"' | b'\\' | b']') {
                    value.push(b'\\');
                }
                is_escaped = false;
                value.push(*byte);
                value.truncate(VALUE_BYTES_MAX);
            }
        }
    }
    None
}
