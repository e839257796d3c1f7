//! Leaves the mount namespace of the machine, so that nothing mounted by a test is seen outside.
#![allow(unsafe_code, reason = "a thread must leave its mount namespace")]

use rustix::mount::MountPropagationFlags;
use rustix::thread::UnshareFlags;

/// Gives this thread, and those that it starts, a mount namespace of its own.
pub(crate) fn leave_mount_namespace() -> std::io::Result<()> {
    // SAFETY: only the mount namespace and the working directory are left, no descriptors.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) }?;
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    Ok(rustix::mount::mount_change("/", private)?)
}
