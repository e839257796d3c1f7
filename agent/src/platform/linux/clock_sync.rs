//! How the kernel's clock is kept: whether something steers it, and how far off it may be.
#![allow(unsafe_code, reason = "the kernel is asked for its clock's state directly")]

use std::io;
use std::time::Duration;

/// What the kernel says of its clock.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ClockSync {
    /// Whether a time service keeps it.
    pub is_synchronised: bool,
    /// How far off it probably is, as the time service believes.
    pub error: Duration,
    /// How far off it is at most.
    pub error_max: Duration,
}

/// What `adjtimex` returns, and sets, of a clock that nobody keeps.
const STATE_ERROR: libc::c_int = 5;
const STATUS_UNSYNCHRONISED: libc::c_int = 0x40;

/// Asks the kernel. Changes nothing.
pub fn clock_sync() -> io::Result<ClockSync> {
    // SAFETY: a structure of numbers, of which all zeros is a valid value.
    let mut told: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: `modes` is 0, which asks for nothing to be set; the kernel fills in the structure,
    // which lives throughout the call.
    let state = unsafe { libc::adjtimex(&raw mut told) };
    if state < 0 {
        return Err(io::Error::last_os_error());
    }
    let micros = |micros: libc::c_long| Duration::from_micros(u64::try_from(micros).unwrap_or(0));
    Ok(ClockSync {
        is_synchronised: state != STATE_ERROR && told.status & STATUS_UNSYNCHRONISED == 0,
        error: micros(told.esterror),
        error_max: micros(told.maxerror),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_says_how_its_clock_is_kept() {
        let told = clock_sync().unwrap();
        // The kernel itself calls a clock unsynchronised once it may be 16 s off.
        assert!(told.error_max <= Duration::from_secs(16) || !told.is_synchronised, "{told:?}");
    }
}
