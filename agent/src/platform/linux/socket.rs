//! Sockets with and without the agent's mark, and attempts to reach somebody that end in time.
#![allow(unsafe_code, reason = "rustix has no call for SO_MARK")]

use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, SendFlags, SocketFlags, SocketType, connect, sendto, socket_with,
};
use thiserror::Error;

#[derive(Debug, Error)]
pub enum SocketError {
    #[error("cannot set mark {mark:#x} on a socket: {source}")]
    Mark { mark: u32, source: Errno },
    #[error("cannot open a socket towards {to}: {source}")]
    Open { to: SocketAddr, source: Errno },
}

/// How an attempt to reach somebody ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// It answered, or (for a datagram) the packet left this endpoint.
    Reached,
    /// The firewall of this endpoint refused the packet.
    Refused,
    /// Nothing came back in time.
    Silent,
    /// This endpoint has no way there at all (no route, no address of this family).
    NoRoute,
}

/// Sets the mark by which the isolation knows the agent's own packets. Works on a connected
/// socket too: the next packet carries it. Needs CAP_NET_ADMIN.
pub fn mark_socket(socket: impl AsFd, mark: u32) -> Result<(), SocketError> {
    let size = libc::socklen_t::try_from(size_of::<u32>()).unwrap_or(4);
    // SAFETY: the descriptor is borrowed for the length of the call; the pointer is to a live
    // u32 and the length is that of a u32; the kernel only reads it.
    let answer = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MARK,
            std::ptr::from_ref(&mark).cast(),
            size,
        )
    };
    if answer == 0 {
        return Ok(());
    }
    let source = Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::INVAL);
    Err(SocketError::Mark { mark, source })
}

/// Opens a TCP connection to `to` and closes it again, within `wait`.
pub fn try_stream(to: SocketAddr, mark: Option<u32>, wait: Duration) -> Result<Reach, SocketError> {
    let socket = open(to, SocketType::STREAM, mark)?;
    // A blocking connect ends at the send timeout, with EINPROGRESS.
    set_socket_timeout(&socket, Timeout::Send, Some(wait))
        .map_err(|source| SocketError::Open { to, source })?;
    Ok(reach(connect(&socket, &to)))
}

/// Sends one datagram to `to`. [`Reach::Reached`] means that it left, not that it arrived.
pub fn try_datagram(to: SocketAddr, payload: &[u8]) -> Result<Reach, SocketError> {
    let socket = open(to, SocketType::DGRAM, None)?;
    Ok(reach(sendto(&socket, payload, SendFlags::DONTWAIT, &to).map(|_sent| ())))
}

fn open(to: SocketAddr, kind: SocketType, mark: Option<u32>) -> Result<OwnedFd, SocketError> {
    let family = match to.ip() {
        IpAddr::V4(_) => AddressFamily::INET,
        IpAddr::V6(_) => AddressFamily::INET6,
    };
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC, None)
        .map_err(|source| SocketError::Open { to, source })?;
    if let Some(mark) = mark {
        mark_socket(&socket, mark)?;
    }
    Ok(socket)
}

fn reach(result: Result<(), Errno>) -> Reach {
    match result {
        // A refusal by the other end is an answer too: packets went there and back.
        Ok(()) | Err(Errno::CONNREFUSED | Errno::CONNRESET) => Reach::Reached,
        Err(Errno::PERM | Errno::ACCESS) => Reach::Refused,
        Err(
            Errno::NETUNREACH
            | Errno::HOSTUNREACH
            | Errno::ADDRNOTAVAIL
            | Errno::AFNOSUPPORT
            | Errno::NETDOWN,
        ) => Reach::NoRoute,
        Err(_) => Reach::Silent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_reached_and_so_is_a_closed_port() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let open = listener.local_addr().unwrap();
        assert_eq!(try_stream(open, None, Duration::from_secs(1)).unwrap(), Reach::Reached);
        drop(listener);
        assert_eq!(try_stream(open, None, Duration::from_secs(1)).unwrap(), Reach::Reached);
    }

    #[test]
    fn what_the_firewall_refuses_is_told_from_silence() {
        assert_eq!(reach(Err(Errno::PERM)), Reach::Refused);
        assert_eq!(reach(Err(Errno::INPROGRESS)), Reach::Silent);
        assert_eq!(reach(Err(Errno::TIMEDOUT)), Reach::Silent);
        assert_eq!(reach(Err(Errno::NETUNREACH)), Reach::NoRoute);
    }
}
