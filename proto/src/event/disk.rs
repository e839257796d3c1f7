//! File systems and the disks below them: space, state, presence, errors, load and health (class of
//! Cordon's own OCSF extension).

mod health;
mod io;

use minicbor::{Decode, Encode};

pub use health::{DiskHealth, HealthMeans, HealthProblem};
pub use io::{IoError, IoErrorKind, Load, LoadState};

use crate::Text;

/// What happened to a file system or a disk.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub enum DiskEvent {
    /// How full it is: at the start, at each threshold crossed, and once an hour.
    #[n(0)]
    Space(#[n(0)] Space),
    /// It appeared.
    #[n(1)]
    Mounted(#[n(0)] Mount),
    /// It went.
    #[n(2)]
    Unmounted(#[n(0)] Mount),
    /// It turned read-only, or writable again.
    #[n(3)]
    AccessChanged(#[n(0)] Mount),
    /// It did not answer within the deadline (a dead network mount, for one).
    #[n(4)]
    Unresponsive(#[n(0)] Mount),
    /// When it will be full came within three days, one day or four hours, or went beyond again.
    #[n(5)]
    Forecast(#[n(0)] Forecast),
    /// The kernel reported errors of a disk or a file system.
    #[n(6)]
    IoError(#[n(0)] IoError),
    /// What a disk had to do, and whether it could: each report period, and when it is overloaded.
    #[n(7)]
    Load(#[n(0)] Load),
    /// What a disk says of its own health: at the start, when it changes, and once a day.
    #[n(8)]
    Health(#[n(0)] Box<DiskHealth>),
}

/// A mounted file system.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub struct Mount {
    /// Where it is mounted.
    #[n(0)]
    pub path: Text,
    /// What is mounted: a device, an export, or a name.
    #[n(1)]
    pub source: Text,
    /// The file system's type.
    #[n(2)]
    pub fs_type: Text,
    /// Whether it refuses writes.
    #[n(3)]
    pub read_only: bool,
}

/// How full a file system is.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub struct Space {
    /// Which.
    #[n(0)]
    pub mount: Mount,
    /// Size in bytes.
    #[n(1)]
    pub bytes_total: u64,
    /// Bytes that an ordinary user may still write.
    #[n(2)]
    pub bytes_available: u64,
    /// Inodes in all; 0 where the file system has no such limit.
    #[n(3)]
    pub inodes_total: u64,
    /// Inodes still free.
    #[n(4)]
    pub inodes_free: u64,
    /// The threshold crossed, in percent used; none for the regular report.
    #[n(5)]
    pub threshold_percent: Option<u8>,
    /// In how many seconds it is full if it goes on like this; none where it does not fill
    /// steadily, or too little is known yet.
    #[n(6)]
    pub full_in_secs: Option<u64>,
    /// How steadily it fills, 0 to 100; there with `full_in_secs`.
    #[n(7)]
    pub confidence_percent: Option<u8>,
}

/// When a file system will be full.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub struct Forecast {
    /// Which.
    #[n(0)]
    pub mount: Mount,
    /// In how many seconds; none where it does not fill steadily any more.
    #[n(1)]
    pub full_in_secs: Option<u64>,
    /// How steadily it fills, 0 to 100.
    #[n(2)]
    pub confidence_percent: Option<u8>,
    /// How near this is: the threshold reached, in seconds; none when all are left behind.
    #[n(3)]
    pub within_secs: Option<u64>,
    /// Whether it runs out of inodes rather than of bytes.
    #[n(4)]
    pub of_inodes: bool,
    /// Bytes, or inodes, that an ordinary user may still take.
    #[n(5)]
    pub left: u64,
}
