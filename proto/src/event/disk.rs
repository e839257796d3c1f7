//! A file system's space, state or presence (class of Cordon's own OCSF extension).

use minicbor::{Decode, Encode};

use crate::Text;

/// What happened to a file system.
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
}
