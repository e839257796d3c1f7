//! A line was appended to a log (OCSF Base Event with `raw_data`; parsed classes come on top).

use minicbor::{Decode, Encode};

use crate::Text;

/// One line of a log file, and exactly where it stood.
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
    /// The line without its end.
    #[n(4)]
    pub line: Text,
    /// How long the line was in full, where `line` was cut.
    #[n(5)]
    pub line_bytes: Option<u64>,
}
