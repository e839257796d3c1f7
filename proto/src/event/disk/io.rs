//! What disks had to do, and where they failed.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::Text;

/// What kind of error it was.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum IoErrorKind {
    /// A read or a write failed.
    #[n(0)]
    Io,
    /// The medium cannot be read or written there.
    #[n(1)]
    Medium,
    /// The kernel lost a page that was to be written, or could not read one.
    #[n(2)]
    Buffer,
    /// A file system found itself inconsistent.
    #[n(3)]
    FileSystem,
    /// A file system or its journal stopped taking writes.
    #[n(4)]
    ReadOnly,
    /// A command took too long.
    #[n(5)]
    Timeout,
    /// The kernel reset a controller or a link.
    #[n(6)]
    Reset,
    /// A controller or link reported an exception.
    #[n(7)]
    Link,
    /// A member of a redundant array failed.
    #[n(8)]
    Degraded,
    /// The device went away while it was used.
    #[n(9)]
    Gone,
}

impl IoErrorKind {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Io,
        Self::Medium,
        Self::Buffer,
        Self::FileSystem,
        Self::ReadOnly,
        Self::Timeout,
        Self::Reset,
        Self::Link,
        Self::Degraded,
        Self::Gone,
    ];
}

/// Errors of one kind on one device within a second or so.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub struct IoError {
    /// Which device, as the kernel names it: `sda`, `nvme0n1`, `md0`, `ata1.00`.
    #[n(0)]
    pub device: Text,
    /// What kind.
    #[n(1)]
    pub kind: IoErrorKind,
    /// The sector of the first of them, in units of 512 bytes, where the kernel named one.
    #[n(2)]
    pub sector: Option<u64>,
    /// How many there were.
    #[n(3)]
    pub count: u64,
    /// What the kernel said of the first.
    #[n(4)]
    pub line: Text,
}

/// Why a disk's load is told.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum LoadState {
    /// The regular report.
    #[n(0)]
    Regular,
    /// It had no pause for longer than the settings allow.
    #[n(1)]
    Saturated,
    /// It has pauses again.
    #[n(2)]
    Relieved,
    /// Requests wait longer for it than the settings allow.
    #[n(3)]
    Slow,
    /// They do not any more.
    #[n(4)]
    Recovered,
}

/// What a disk did in a stretch of time; counted by the kernel, not sampled.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub struct Load {
    /// Which device: `sda`, `nvme0n1`.
    #[n(0)]
    pub device: Text,
    /// Why it is told.
    #[n(1)]
    pub state: LoadState,
    /// How long the stretch was, in milliseconds.
    #[n(2)]
    pub period_ms: u64,
    /// Reads completed.
    #[n(3)]
    pub reads: u64,
    /// Writes completed.
    #[n(4)]
    pub writes: u64,
    /// Bytes read.
    #[n(5)]
    pub read_bytes: u64,
    /// Bytes written.
    #[n(6)]
    pub written_bytes: u64,
    /// How long a request took on average, from being queued until done, in microseconds; none
    /// where there was none.
    #[n(7)]
    pub wait_us: Option<u64>,
    /// Nineteen of twenty short stretches (ten seconds) had a better average than this, as far as
    /// powers of two tell; none where there was no request.
    #[n(8)]
    pub wait_us_p95: Option<u64>,
    /// How much of the time it had something to do, in thousandths.
    #[n(9)]
    pub busy_permille: u16,
}
