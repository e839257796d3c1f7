//! A line was appended to a log (OCSF Base Event with `raw_data`; parsed classes come on top).

use minicbor::{Decode, Encode};

use crate::Text;

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

/// One line of a log file, and exactly where it stood; or several that belong together.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub struct LogLine {
    /// The file's path as watched.
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
    /// The line without its end; lines that belong together with `\n` between them.
    #[n(4)]
    pub line: Text,
    /// How long the line was in full in the file, where `line` was cut.
    #[n(5)]
    pub line_bytes: Option<u64>,
    /// What the file says of its text.
    #[n(6)]
    pub encoding: Option<Encoding>,
    /// How many lines of the file these are, where they are several.
    #[n(7)]
    pub lines: Option<u32>,
}
