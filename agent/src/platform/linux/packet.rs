//! A packet socket that gets copies of the few packets a filter lets through, and never more of
//! one than a bound. It only listens.
#![allow(unsafe_code, reason = "rustix has no packet sockets")]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;

use super::wait::Owner;

/// The network protocol whose arriving packets are copied.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Network {
    /// IPv4.
    Ipv4 = 0x0800,
    /// IPv6.
    Ipv6 = 0x86dd,
}

/// One instruction of a classic filter: code, jumps where true and where not, value.
pub type Filter = (u16, u8, u8, u32);

/// A socket that gets every arriving packet of one protocol, from its IP header on, that the
/// filter lets through.
#[derive(Debug)]
pub struct PacketSocket(OwnedFd);

impl PacketSocket {
    /// Opens the namespace of the calling thread. The filter's result is how many bytes of a packet
    /// are copied.
    pub fn open(network: Network, filter: &[Filter]) -> io::Result<Self> {
        // Protocol 0 hears nothing: so no packet comes in before the filter is in its place.
        let kind = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        // SAFETY: takes numbers and gives a number.
        let fd = unsafe { libc::socket(libc::AF_PACKET, kind, 0) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is new, and nobody else owns it.
        let socket = Self(unsafe { OwnedFd::from_raw_fd(fd) });
        socket.filter(filter)?;
        socket.listen(network)?;
        Ok(socket)
    }

    /// One packet, as much of it as fits; none where no more wait.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        loop {
            let fd = self.0.as_raw_fd();
            // SAFETY: the buffer may be written for its length, for as long as the call lasts.
            let length = unsafe { libc::recv(fd, buffer.as_mut_ptr().cast(), buffer.len(), 0) };
            if let Ok(length) = usize::try_from(length) {
                return Ok(Some(length));
            }
            let error = io::Error::last_os_error();
            if error.kind() == io::ErrorKind::WouldBlock {
                return Ok(None);
            }
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
    }

    /// How many packets the kernel had no room for since this was last asked.
    pub fn drops(&self) -> io::Result<u32> {
        const STATISTICS: libc::c_int = 6;
        // Packets in all, and those dropped; asking sets both to zero.
        let mut counts = [0u32; 2];
        let mut bytes = libc::socklen_t::try_from(size_of_val(&counts)).unwrap_or(0);
        // SAFETY: the kernel writes at most `bytes` bytes, which `counts` holds.
        let answer = unsafe {
            libc::getsockopt(
                self.0.as_raw_fd(),
                libc::SOL_PACKET,
                STATISTICS,
                counts.as_mut_ptr().cast(),
                &raw mut bytes,
            )
        };
        if answer == 0 { Ok(counts[1]) } else { Err(io::Error::last_os_error()) }
    }

    fn filter(&self, filter: &[Filter]) -> io::Result<()> {
        let mut code: Vec<libc::sock_filter> = filter
            .iter()
            .map(|(code, jt, jf, k)| libc::sock_filter { code: *code, jt: *jt, jf: *jf, k: *k })
            .collect();
        let length = libc::c_ushort::try_from(code.len()).map_err(io::Error::other)?;
        let program = libc::sock_fprog { len: length, filter: code.as_mut_ptr() };
        let bytes = libc::socklen_t::try_from(size_of_val(&program)).unwrap_or(0);
        // SAFETY: the program points to `length` instructions that outlive the call; the kernel
        // only reads and copies them.
        let answer = unsafe {
            libc::setsockopt(
                self.0.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_ATTACH_FILTER,
                (&raw const program).cast(),
                bytes,
            )
        };
        if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    fn listen(&self, network: Network) -> io::Result<()> {
        let protocol = network as u16;
        // SAFETY: all of the structure's fields are numbers, for which zero is a value.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = libc::c_ushort::try_from(libc::AF_PACKET).unwrap_or(0);
        address.sll_protocol = protocol.to_be();
        let bytes = libc::socklen_t::try_from(size_of_val(&address)).unwrap_or(0);
        let fd = self.0.as_raw_fd();
        // SAFETY: the address is valid for its length; the kernel only reads it.
        let answer = unsafe { libc::bind(fd, (&raw const address).cast(), bytes) };
        if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

impl AsRawFd for PacketSocket {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.0.as_raw_fd()
    }
}

// SAFETY: the socket inside owns its descriptor and never changes it.
unsafe impl Owner for Arc<PacketSocket> {}
