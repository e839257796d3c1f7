//! Leaves the network namespace of the machine.
#![allow(unsafe_code, reason = "a thread must leave its network namespace")]

use rustix::thread::UnshareFlags;

/// Gives this thread, and those that it starts, a network namespace of its own.
pub(crate) fn leave_network_namespace() -> std::io::Result<()> {
    // SAFETY: only the network namespace is left; no descriptor is shared by it.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }?;
    Ok(())
}
