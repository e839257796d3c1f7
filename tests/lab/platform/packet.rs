//! A packet socket that sends frames as they are, as an intruder with root would.
#![allow(unsafe_code, reason = "rustix knows no addresses of packet sockets")]

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::net::netdevice::name_to_index;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

/// Sends on one device of the namespace of the thread that opened it.
#[derive(Debug)]
pub(crate) struct Sender {
    socket: OwnedFd,
    index: i32,
}

impl Sender {
    pub(crate) fn open(device: &str) -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC;
        // Protocol 0 hears nothing: this one only sends.
        let socket = socket_with(AddressFamily::PACKET, SocketType::RAW, flags, None)?;
        let index = name_to_index(&socket, device)?;
        let index = i32::try_from(index).map_err(io::Error::other)?;
        Ok(Self { socket, index })
    }

    /// Sends a frame and tells the kernel that it is of `protocol`, whatever is in it.
    pub(crate) fn send(&self, frame: &[u8], protocol: u16) -> io::Result<()> {
        // SAFETY: all zeros is a valid sockaddr_ll.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = u16::try_from(libc::AF_PACKET).map_err(io::Error::other)?;
        address.sll_protocol = protocol.to_be();
        address.sll_ifindex = self.index;
        address.sll_halen = 6;
        let length = libc::socklen_t::try_from(size_of_val(&address)).map_err(io::Error::other)?;
        // SAFETY: frame and address live through the call and the lengths are their own.
        let sent = unsafe {
            libc::sendto(
                self.socket.as_raw_fd(),
                frame.as_ptr().cast(),
                frame.len(),
                0,
                (&raw const address).cast(),
                length,
            )
        };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}
