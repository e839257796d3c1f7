//! What rustix does not ask of a pidfd: whether the process is still in the table of processes.
#![allow(unsafe_code, reason = "rustix has no name for signal 0")]

use std::os::fd::{AsRawFd, BorrowedFd};

/// Whether the process is alive, or has ended and was not waited for. So long nobody else can have
/// its number.
#[must_use]
pub fn is_there(pidfd: BorrowedFd<'_>) -> bool {
    let no_info = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: signal 0 is only asked whether it could be sent; no information is handed over.
    let answer =
        unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), 0, no_info, 0) };
    // One that may not be signalled is there.
    answer == 0 || std::io::Error::last_os_error().raw_os_error() == Some(libc::EPERM)
}
