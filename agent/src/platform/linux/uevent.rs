//! Hears from the kernel which devices come and go (uevents, by netlink).
//!
//! The kernel tells devices to every network namespace that belongs to the initial user namespace,
//! and network interfaces only to the namespace that they are in.

use std::io;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::netlink::{KOBJECT_UEVENT, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType};

/// The group that the kernel speaks to; udev speaks to another.
const FROM_KERNEL: u32 = 1;
/// Some hundred devices at once, as when a dock is plugged in; the default holds that many too but
/// the machine's administrator may have lowered it.
const RECEIVE_BYTES: usize = 1 << 20;
/// The kernel's messages are not longer.
const MESSAGE_BYTES_MAX: usize = 8192;
/// The number that the initial user namespace has on every kernel.
const INITIAL_USER_NAMESPACE: u64 = 0xefff_fffd;

/// A socket to hear with.
pub fn open() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (family, kind) = (AddressFamily::NETLINK, SocketType::RAW);
    let socket = rustix::net::socket_with(family, kind, flags, Some(KOBJECT_UEVENT))?;
    rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, RECEIVE_BYTES).or_else(
        |_not_allowed| rustix::net::sockopt::set_socket_recv_buffer_size(&socket, RECEIVE_BYTES),
    )?;
    rustix::net::bind(&socket, &SocketAddrNetlink::new(0, FROM_KERNEL))?;
    Ok(socket)
}

/// One message; none if it is not the kernel's.
pub fn receive(socket: &OwnedFd) -> Result<Option<Vec<u8>>, Errno> {
    let mut bytes = [0; MESSAGE_BYTES_MAX];
    let (length, _whole, from) = rustix::net::recvfrom(socket, &mut bytes, RecvFlags::empty())?;
    let from = from.and_then(|from| SocketAddrNetlink::try_from(from).ok());
    let is_kernel = from.is_some_and(|from| from.pid() == 0);
    Ok(bytes.get(..length).filter(|_| is_kernel).map(<[u8]>::to_vec))
}

/// Whether the kernel tells devices to this user namespace at all.
pub fn is_told() -> io::Result<bool> {
    let namespace = rustix::fs::stat("/proc/thread-self/ns/user")?;
    Ok(namespace.st_ino == INITIAL_USER_NAMESPACE)
}
