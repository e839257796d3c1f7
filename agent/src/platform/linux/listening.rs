//! The sockets of this network namespace that wait for somebody: TCP listeners, and UDP sockets
//! that are not connected.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use rustix::net::netlink::SOCK_DIAG;

use super::netlink::wire::{Malformed, Message};
use super::netlink::{Netlink, NetlinkError};

const BY_FAMILY: u16 = 20;
/// Bytes of `struct inet_diag_msg`.
const ANSWER_BYTES: usize = 72;
const ID_BYTES: usize = 48;
const FAMILY_IPV4: u8 = 2;
const FAMILY_IPV6: u8 = 10;
const TCP: u8 = 6;
const UDP: u8 = 17;
/// What the kernel calls a TCP listener, and a UDP socket without a peer.
const STATE_LISTEN: u32 = 1 << 10;
const STATE_CLOSE: u32 = 1 << 7;

/// A socket that waits.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Listening {
    /// `tcp` or `udp`.
    pub protocol: &'static str,
    /// Where.
    pub local: SocketAddr,
    /// The user that made it.
    pub uid: u32,
    /// By which the process is found that holds it.
    pub inode: u32,
}

/// All of them, at most `count_max`; asked of the namespace of the calling thread.
pub fn listening(count_max: usize) -> Result<Vec<Listening>, NetlinkError> {
    let mut socket = Netlink::open(Some(SOCK_DIAG), 0)?;
    let mut all = Vec::new();
    for (protocol, name, states) in [(TCP, "tcp", STATE_LISTEN), (UDP, "udp", STATE_CLOSE)] {
        for family in [FAMILY_IPV4, FAMILY_IPV6] {
            socket.dump(
                "list the sockets that wait",
                BY_FAMILY,
                |encoder| {
                    encoder.raw(&[family, protocol, 0, 0]);
                    encoder.raw(&states.to_ne_bytes());
                    encoder.raw(&[0; ID_BYTES]);
                },
                |message| {
                    if all.len() < count_max {
                        all.push(read(message, name)?);
                    }
                    Ok(())
                },
            )?;
        }
    }
    Ok(all)
}

fn read(message: &Message<'_>, protocol: &'static str) -> Result<Listening, Malformed> {
    let answer: [u8; ANSWER_BYTES] =
        message.body.first_chunk().copied().ok_or(Malformed::CutShort {
            what: "socket",
            needed: ANSWER_BYTES,
            left: message.body.len(),
        })?;
    let number = |at: usize| {
        u32::from_ne_bytes([answer[at], answer[at + 1], answer[at + 2], answer[at + 3]])
    };
    let mut octets = [0; 16];
    octets.copy_from_slice(&answer[8..24]);
    let [a, b, c, d, ..] = octets;
    let ip = match answer[0] {
        FAMILY_IPV6 => IpAddr::V6(Ipv6Addr::from(octets)),
        _ => IpAddr::V4(Ipv4Addr::new(a, b, c, d)),
    };
    let local = SocketAddr::new(ip, u16::from_be_bytes([answer[4], answer[5]]));
    Ok(Listening { protocol, local, uid: number(64), inode: number(68) })
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream, UdpSocket};

    use super::*;

    #[test]
    fn what_waits_is_listed_and_what_is_connected_is_not() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let waiting = UdpSocket::bind("127.0.0.1:0").unwrap();
        let all = listening(100_000).unwrap();
        let has = |protocol, local| {
            all.iter().any(|socket| (socket.protocol, socket.local) == (protocol, local))
        };
        assert!(has("tcp", listener.local_addr().unwrap()));
        assert!(has("udp", waiting.local_addr().unwrap()));
        assert!(!has("tcp", stream.local_addr().unwrap()));
        assert_eq!(listening(1).unwrap().len(), 1);
    }

    #[test]
    fn an_answer_cut_short_is_refused() {
        let message = Message { kind: BY_FAMILY, flags: 0, sequence: 1, port: 0, body: &[0; 71] };
        assert!(read(&message, "tcp").is_err());
    }
}
