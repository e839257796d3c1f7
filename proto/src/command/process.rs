//! Ending processes and stopping them where they are (D3FEND D3-PT, D3-PS).

use minicbor::{Decode, Encode};
use serde::Serialize;

use super::{CommandFormError, range};
use crate::id::Hash;

/// The largest process id that Linux gives.
const PID_MAX: u64 = 1 << 22;

/// One process, by what it is: a number alone may be another's by the time it is read.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Encode, Decode, Serialize)]
pub struct ProcessTarget {
    /// Its number.
    #[n(0)]
    pub pid: u32,
    /// When it was started, on the boot-time clock in nanoseconds, as its events tell; compared as
    /// exactly as the kernel lists it (hundredths of a second).
    #[n(1)]
    pub start_boot_ns: u64,
    /// SHA-256 of its executable, where the operator knows it.
    #[n(2)]
    pub sha256: Option<Hash>,
}

impl ProcessTarget {
    pub(super) fn check(&self) -> Result<(), CommandFormError> {
        range("pid", u64::from(self.pid), PID_MAX)
    }
}

/// End a process.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Encode, Decode, Serialize)]
pub struct Kill {
    /// Which.
    #[n(0)]
    pub process: ProcessTarget,
    /// Whether all that it started, and what those started, ends too.
    #[n(1)]
    pub tree: bool,
}

/// Stop a process where it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Encode, Decode, Serialize)]
pub struct Suspend {
    /// Which.
    #[n(0)]
    pub process: ProcessTarget,
    /// Whether all that it started, and what those started, stops too.
    #[n(1)]
    pub tree: bool,
    /// How long it stands, in seconds of endpoint time; none until it is undone.
    #[n(2)]
    pub lease_secs: Option<u64>,
}
