//! A line was appended to a log (OCSF Base Event with `raw_data`; parsed classes come on top).

mod run;

use minicbor::{Decode, Encode};
use serde::Serialize;

use super::Redaction;
use crate::Text;

pub use run::{Lines, Run};

/// What the mark at a file's beginning says of its text.
///
/// A file without a mark has none: its lines are the bytes as they stand, be they UTF-8, Latin-1
/// or anything else.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Encode, Decode)]
#[cbor(index_only)]
pub enum Encoding {
    /// It is UTF-8, and says so.
    #[n(0)]
    Utf8,
    /// It is UTF-16, the low byte first; `line` is the same text in UTF-8.
    #[n(1)]
    Utf16Le,
    /// It is UTF-16, the high byte first; `line` is the same text in UTF-8.
    #[n(2)]
    Utf16Be,
}

impl Encoding {
    /// The name that people use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Utf8 => "UTF-8",
            Self::Utf16Le => "UTF-16LE",
            Self::Utf16Be => "UTF-16BE",
        }
    }
}

/// One line of a log file, and exactly where it stood; or several that belong together; or a run of
/// lines that only travel together.
#[derive(Clone, Debug, Default, Eq, PartialEq, Encode, Decode)]
pub struct LogLine {
    /// The file's path as watched; empty where the line is not from a file.
    #[n(0)]
    pub path: Text,
    /// The device the file is on.
    #[n(1)]
    pub device: u64,
    /// The file's inode.
    #[n(2)]
    pub inode: u64,
    /// Where in the file the line began, in bytes.
    #[n(3)]
    pub offset: u64,
    /// The line without its end; several lines with `\n` between them.
    #[n(4)]
    pub line: Text,
    /// How long the line was in full in the file, where `line` was cut.
    #[n(5)]
    pub line_bytes: Option<u64>,
    /// Where the line was read, if not from a file.
    #[n(6)]
    pub source: Option<LogSource>,
    /// What stands in the line's head, where it is of a known form.
    #[n(7)]
    pub parsed: Option<Parsed>,
    /// What the file says of its text.
    #[n(8)]
    pub encoding: Option<Encoding>,
    /// How many lines of the file these are, where they are several.
    #[n(9)]
    pub lines: Option<u32>,
    /// That these lines do not belong together: each stands on its own.
    #[n(10)]
    pub run: Option<Run>,
    /// Secrets that were taken out of `line` before it was signed.
    #[n(15)]
    pub redacted: Option<Vec<Redaction>>,
}

/// Where a line was read, if not from a file.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub enum LogSource {
    /// The systemd journal.
    #[n(0)]
    Journal(#[n(0)] Box<Journal>),
}

/// An entry of the systemd journal. What journald itself knows of the sender (unit, pid, user,
/// program) cannot be forged by the sender; its identifier and its text can.
#[derive(Clone, Debug, Default, Eq, PartialEq, Encode, Decode)]
pub struct Journal {
    /// The entry's place.
    #[n(0)]
    pub cursor: String,
    /// The sender's unit.
    #[n(1)]
    pub unit: Option<Text>,
    /// What the sender calls itself.
    #[n(2)]
    pub identifier: Option<Text>,
    /// The sender's process id.
    #[n(3)]
    pub pid: Option<u32>,
    /// The sender's user id.
    #[n(4)]
    pub uid: Option<u32>,
    /// Priority as in syslog, 0 (emergency) to 7 (debug).
    #[n(5)]
    pub priority: Option<u8>,
    /// The boot in which the entry was made.
    #[n(6)]
    pub boot_id: Option<String>,
    /// The sender's program, by the kernel's short name.
    #[n(7)]
    pub comm: Option<Text>,
    /// When journald received it, nanoseconds since 1970 UTC.
    #[n(8)]
    pub time_ns: Option<u64>,
}

/// In which form a line is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Encode, Decode, Serialize)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum LogFormat {
    /// The traditional `Oct 11 22:14:15 host app[pid]: message`.
    #[n(0)]
    Rfc3164,
    /// RFC 5424: a version, ISO time, structured data. Also the file format that keeps ISO time
    /// before a traditional head.
    #[n(1)]
    Rfc5424,
    /// One JSON object.
    #[n(2)]
    Json,
}

/// The zone a time was read in.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Encode, Decode, Serialize)]
pub struct Zone {
    /// East of UTC, in seconds.
    #[n(0)]
    pub offset_secs: i32,
    /// Whether the line did not say so, and the zone of the machine was taken.
    #[n(1)]
    pub assumed: bool,
}

/// What stands in a line's head. The line says it; nobody has checked it.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub struct Parsed {
    /// The form.
    #[n(0)]
    pub format: LogFormat,
    /// Syslog facility, 0 to 23.
    #[n(1)]
    pub facility: Option<u8>,
    /// Syslog severity, 0 (emergency) to 7 (debug).
    #[n(2)]
    pub severity: Option<u8>,
    /// The host that wrote it.
    #[n(3)]
    pub host: Option<Text>,
    /// The program that wrote it.
    #[n(4)]
    pub app: Option<Text>,
    /// Its process id.
    #[n(5)]
    pub pid: Option<u32>,
    /// RFC 5424's kind of message.
    #[n(6)]
    pub msgid: Option<Text>,
    /// The line's own time, nanoseconds since 1970 UTC.
    #[n(7)]
    pub time_ns: Option<u64>,
    /// The zone that time was read in.
    #[n(8)]
    pub zone: Option<Zone>,
    /// RFC 5424's structured data: `id.name` and value.
    #[n(9)]
    pub structured: Option<Vec<Pair>>,
}

/// A name and its value.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub struct Pair {
    /// The name.
    #[n(0)]
    pub name: Text,
    /// The value.
    #[n(1)]
    pub value: Text,
}

impl Parsed {
    /// A head of which nothing but its form is known.
    #[must_use]
    pub fn new(format: LogFormat) -> Self {
        Self {
            format,
            facility: None,
            severity: None,
            host: None,
            app: None,
            pid: None,
            msgid: None,
            time_ns: None,
            zone: None,
            structured: None,
        }
    }
}
