//! The two listening sockets: handed over by whoever started us, or bound here for IPv6 and IPv4.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV6, TcpListener};

use listenfd::ListenFd;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use crate::config::Config;

/// Connections that wait to be taken in: a fleet that comes back all at once.
const BACKLOG: i32 = 4096;

/// Both doors' sockets.
#[derive(Debug)]
pub struct Listeners {
    /// Where agents connect.
    pub agents: TcpListener,
    /// Where people connect.
    pub people: TcpListener,
}

/// Why a door cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Somebody else has the port.
    #[error(
        "port {port} for {door} is in use by another program; is another cordon-collector \
         running? (`ss -ltnp 'sport = :{port}'` says which; `{door}` in the settings changes it)"
    )]
    InUse {
        /// Which door.
        door: &'static str,
        /// Which port.
        port: u16,
    },
    /// Something else.
    #[error("cannot listen on {address} for {door}: {cause}")]
    Bind {
        /// Which door.
        door: &'static str,
        /// Where.
        address: SocketAddr,
        /// Why.
        cause: std::io::Error,
    },
    /// What was handed over is no listening TCP socket.
    #[error("the socket handed over for {door} cannot be used: {cause}")]
    HandedOver {
        /// Which door.
        door: &'static str,
        /// Why.
        cause: std::io::Error,
    },
}

impl Listeners {
    /// Takes what was handed over (`LISTEN_FDS`; by name, or agents first) and binds the rest.
    /// Call it before any thread is started: it takes variables out of the environment.
    pub fn open(config: &Config) -> Result<Self, ListenError> {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut handed = ListenFd::from_env();
        let places = places(handed.len(), &names);
        let mut open = |door, place: Option<usize>, address| match place {
            Some(place) => take(&mut handed, place, door),
            None => bind(door, address),
        };
        Ok(Self {
            agents: open("agents", places[0], config.agents)?,
            people: open("people", places[1], config.people)?,
        })
    }
}

/// Which of the sockets handed over is whose: agents', people's.
fn places(count: usize, names: &str) -> [Option<usize>; 2] {
    let names: Vec<&str> = names.split(':').take(count).collect();
    let named = |door| names.iter().position(|name| *name == door);
    let by_name = [named("agents"), named("people")];
    if by_name.iter().any(Option::is_some) {
        return by_name;
    }
    [(count > 0).then_some(0), (count > 1).then_some(1)]
}

fn take(
    handed: &mut ListenFd,
    place: usize,
    door: &'static str,
) -> Result<TcpListener, ListenError> {
    let failed = |cause| ListenError::HandedOver { door, cause };
    let taken = handed.take_tcp_listener(place).map_err(failed)?;
    let listener = taken.ok_or_else(|| failed(std::io::ErrorKind::NotFound.into()))?;
    listener.set_nonblocking(true).map_err(failed)?;
    Ok(listener)
}

fn bind(door: &'static str, address: SocketAddr) -> Result<TcpListener, ListenError> {
    let listener = match try_bind(address) {
        // A machine without IPv6: what would have been dual is IPv4 alone.
        Err(Errno::AFNOSUPPORT) if address.ip().is_unspecified() => {
            try_bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port())))
        }
        tried => tried,
    };
    listener.map_err(|errno| match errno {
        Errno::ADDRINUSE => ListenError::InUse { door, port: address.port() },
        errno => ListenError::Bind { door, address, cause: errno.into() },
    })
}

fn try_bind(address: SocketAddr) -> Result<TcpListener, Errno> {
    let family = if address.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    match address {
        SocketAddr::V4(address) => rustix::net::bind(&socket, &address)?,
        SocketAddr::V6(address) => {
            sockopt::set_ipv6_v6only(&socket, !SocketAddrV6::ip(&address).is_unspecified())?;
            rustix::net::bind(&socket, &address)?;
        }
    }
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(TcpListener::from(socket))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(count: usize, names: &str, says: [Option<usize>; 2]) {
        assert_eq!(places(count, names), says);
    }

    #[test]
    fn sockets_are_told_apart_by_name_or_else_by_order() {
        check(0, "", [None, None]);
        check(1, "", [Some(0), None]);
        check(2, "", [Some(0), Some(1)]);
        check(2, "people:agents", [Some(1), Some(0)]);
        check(1, "people", [None, Some(0)]);
        check(1, "connection", [Some(0), None]);
        check(1, "other:agents", [Some(0), None]);
    }

    #[test]
    fn one_socket_takes_both_families_and_a_second_is_told_who_has_the_port() {
        let config = SocketAddr::from(([0; 8], 0));
        let listener = bind("agents", config).unwrap();
        let port = listener.local_addr().unwrap().port();
        for address in ["127.0.0.1", "::1"] {
            let address: std::net::IpAddr = address.parse().unwrap();
            std::net::TcpStream::connect((address, port)).unwrap();
        }
        let error = bind("agents", SocketAddr::from(([0; 8], port))).unwrap_err();
        assert!(error.to_string().contains(&format!("port {port} for agents is in use")));
    }
}
