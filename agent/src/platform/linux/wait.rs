//! Waits in the event loop until the kernel has something to be read.
#![allow(unsafe_code, reason = "the event loop must be promised that descriptors stay open")]

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::bpf::ring::Ring;
use super::netlink::Netlink;
use super::nft::Watch;

/// Something that owns one descriptor, the same from when it is made until it is dropped.
///
/// # Safety
///
/// `as_raw_fd` always gives that descriptor, and it is open all the time.
pub unsafe trait Owner: AsRawFd {}

// SAFETY: it is the owner of its descriptor and never changes it.
unsafe impl Owner for OwnedFd {}
// SAFETY: it owns the map that it was made with, and never changes it.
unsafe impl Owner for Ring {}
// SAFETY: it owns the socket that it was opened with, and never changes it.
unsafe impl Owner for Netlink {}
// SAFETY: it owns one netlink socket, and never changes it.
unsafe impl Owner for Watch {}

/// Puts a descriptor under the event loop's eyes. The owner inside must not be exchanged.
pub fn readable<T: Owner>(owner: T) -> io::Result<AsyncFd<T>> {
    watched(owner, Interest::READABLE)
}

/// The same for one that is always readable and tells of changes as urgent (POLLPRI), as a table
/// of mounts does.
pub fn changing<T: Owner>(owner: T) -> io::Result<AsyncFd<T>> {
    watched(owner, Interest::PRIORITY)
}

fn watched<T: Owner>(owner: T, interest: Interest) -> io::Result<AsyncFd<T>> {
    // SAFETY: `Owner` promises what is asked for.
    let watched = unsafe { AsyncFd::register_with_interest(owner, interest) };
    watched.map_err(io::Error::from)
}
