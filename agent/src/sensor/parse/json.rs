//! Lines that are one JSON object: time, level, program, host and message by their common names.

use std::borrow::Cow;
use std::fmt;

use cordon_proto::event::log::{LogFormat, Zone};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::head::Head;
use super::when;

/// Fields of one object that are looked at.
const FIELDS_MAX: usize = 256;

/// Reads the object's known fields; none where the line is no whole object, or has none of them.
pub(super) fn head(line: &[u8]) -> Option<Head<'_>> {
    let Object(head) = serde_json::from_slice(line).ok()?;
    let known = head.time.is_some() || head.severity.is_some() || !head.message.is_empty();
    known.then_some(head)
}

struct Object<'a>(Head<'a>);

/// A value that may be one of those looked for.
enum Scalar<'a> {
    Text(Cow<'a, str>),
    Number(f64),
    Other,
}

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor)
    }
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Object<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut head = Head::new(LogFormat::Json);
        let mut fields = 0;
        while let Some(key) = map.next_key::<Scalar<'de>>()? {
            fields += 1;
            let key = if let Scalar::Text(key) = key { key } else { Cow::default() };
            match field(&key).filter(|_field| fields <= FIELDS_MAX) {
                Some(field) => note(&mut head, field, map.next_value()?),
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(Object(head))
    }
}

#[derive(Clone, Copy)]
enum Field {
    Time,
    Level,
    Message,
    Host,
    App,
    Pid,
}

fn field(key: &str) -> Option<Field> {
    Some(match key {
        "time" | "timestamp" | "@timestamp" | "ts" | "t" | "datetime" => Field::Time,
        "level" | "severity" | "lvl" | "log.level" | "levelname" => Field::Level,
        "message" | "msg" | "@message" => Field::Message,
        "host" | "hostname" | "host.name" => Field::Host,
        "app" | "service" | "program" | "syslog_identifier" | "service.name" => Field::App,
        "pid" | "process.pid" => Field::Pid,
        _ => return None,
    })
}

/// The first of several is taken: whoever adds to an object adds behind.
fn note<'a>(head: &mut Head<'a>, field: Field, value: Scalar<'a>) {
    match (field, value) {
        (Field::Time, value) if head.time.is_none() => head.time = time(&value),
        (Field::Level, value) if head.severity.is_none() => head.severity = severity(&value),
        (Field::Message, Scalar::Text(text)) if head.message.is_empty() => {
            head.message = bytes(text);
        }
        (Field::Host, Scalar::Text(text)) if head.host.is_none() => head.host = Some(bytes(text)),
        (Field::App, Scalar::Text(text)) if head.app.is_none() => head.app = Some(bytes(text)),
        (Field::Pid, Scalar::Number(number)) if head.pid.is_none() => head.pid = whole(number),
        (Field::Pid, Scalar::Text(text)) if head.pid.is_none() => head.pid = text.parse().ok(),
        (_, Scalar::Text(_) | Scalar::Number(_) | Scalar::Other) => {}
    }
}

fn bytes(text: Cow<'_, str>) -> Cow<'_, [u8]> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    }
}

fn whole(number: f64) -> Option<u32> {
    let text = format!("{number:.0}");
    text.parse().ok()
}

/// RFC 3339, or a number of seconds, milliseconds, microseconds or nanoseconds since 1970, told
/// apart by their size.
fn time(value: &Scalar<'_>) -> Option<(u64, Zone)> {
    let utc = Zone { offset_secs: 0, assumed: false };
    match value {
        Scalar::Text(text) => when::iso(text.as_bytes()),
        Scalar::Number(number) => {
            let to_ns = match number {
                n if *n < 0.0 || !n.is_finite() => return None,
                n if *n < 1e11 => 1e9,
                n if *n < 1e14 => 1e6,
                n if *n < 1e17 => 1e3,
                _ => 1.0,
            };
            format!("{:.0}", number * to_ns).parse().ok().map(|ns| (ns, utc))
        }
        Scalar::Other => None,
    }
}

/// As syslog counts; numbers from ten on as bunyan and pino count.
fn severity(value: &Scalar<'_>) -> Option<u8> {
    match value {
        Scalar::Number(number) => match whole(*number)? {
            severity @ 0..=7 => u8::try_from(severity).ok(),
            10 | 20 => Some(7),
            30 => Some(6),
            40 => Some(4),
            50 => Some(3),
            60 => Some(2),
            _ => None,
        },
        Scalar::Text(text) => Some(match text.to_ascii_lowercase().as_str() {
            "emergency" | "emerg" | "panic" => 0,
            "alert" => 1,
            "critical" | "crit" | "fatal" => 2,
            "error" | "err" => 3,
            "warning" | "warn" => 4,
            "notice" => 5,
            "info" | "information" | "informational" => 6,
            "debug" | "trace" => 7,
            _ => return None,
        }),
        Scalar::Other => None,
    }
}

impl<'de> Deserialize<'de> for Scalar<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl<'de> Visitor<'de> for ScalarVisitor {
    type Value = Scalar<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        #[allow(clippy::cast_precision_loss, reason = "a time; its last digits are noise")]
        Ok(Scalar::Number(number as f64))
    }

    fn visit_i64<E>(self, _negative: i64) -> Result<Self::Value, E> {
        Ok(Scalar::Other)
    }

    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Scalar::Number(number))
    }

    fn visit_bool<E>(self, _value: bool) -> Result<Self::Value, E> {
        Ok(Scalar::Other)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Scalar::Other)
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Scalar::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar::Other)
    }
}
