//! The sockets of this network namespace, and ending those that lead outside.

mod list;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use rustix::io::Errno;
use rustix::net::netlink::SOCK_DIAG;

use super::netlink::wire::{ACK, Encoder, Malformed, Message};
use super::netlink::{Netlink, NetlinkError};
use super::nft::wall::Transport;

pub use list::Socket;

const BY_FAMILY: u16 = 20;
const DESTROY: u16 = 21;
/// Bytes of `struct inet_diag_msg`; its socket id begins at byte 4.
const ANSWER_BYTES: usize = 72;
const ID_BYTES: usize = 48;
const MARK: u16 = 15;
const ALL_STATES: u32 = u32::MAX;
/// One look at more sockets than this is not worth its time; the rest is counted next time.
const SOCKETS_MAX: usize = 256 * 1024;

const FAMILY_IPV4: u8 = 2;
const FAMILY_IPV6: u8 = 10;
const STATE_ESTABLISHED: u8 = 1;
const STATE_SYN_SENT: u8 = 2;
const STATE_SYN_RECEIVED: u8 = 3;
const STATE_NEW_SYN_RECEIVED: u8 = 12;
const STATE_TIME_WAIT: u8 = 6;
const STATE_CLOSE: u8 = 7;
const STATE_LISTEN: u8 = 10;

/// A socket that is connected to somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connected {
    pub transport: Transport,
    pub local: SocketAddr,
    pub remote: SocketAddr,
    /// The socket's mark, where the kernel says it.
    pub mark: u32,
    pub inode: u32,
    pub uid: u32,
    /// Both ends have spoken: TCP past its handshake. Never true of a UDP socket.
    pub established: bool,
    family: u8,
    id: [u8; ID_BYTES],
}

impl Connected {
    /// Does it stay within this endpoint?
    pub fn is_local(&self) -> bool {
        self.remote.ip().is_loopback() || self.remote.ip() == self.local.ip()
    }
}

/// A socket of any state, as the kernel lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    pub transport: Transport,
    pub standing: Standing,
    pub local: SocketAddr,
    pub remote: SocketAddr,
    /// 0 where no process holds it any more.
    pub inode: u32,
    pub uid: u32,
}

/// What a listed socket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It waits for others: a TCP listener, or a UDP socket without a peer.
    Listening,
    /// It has a peer.
    Connected,
    /// It is on the way to its peer or from it.
    Passing,
}

/// What ending sockets came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    pub ended: usize,
    /// The kernel would not; their packets are dropped all the same.
    pub refused: usize,
}

#[derive(Debug)]
pub struct Sockets {
    socket: Netlink,
}

impl Sockets {
    /// Opens the namespace of the calling thread.
    pub fn open() -> Result<Self, NetlinkError> {
        Ok(Self { socket: Netlink::open(Some(SOCK_DIAG), 0)? })
    }

    /// Every connected TCP and UDP socket. Listeners, sockets bound to no peer and connections
    /// that are over are left out: to end those would break a service for ever, or nothing.
    pub fn connected(&mut self) -> Result<Vec<Connected>, NetlinkError> {
        self.listed(&[Transport::Tcp, Transport::Udp], read)
    }

    /// Every socket of these kinds that has a port, listeners too.
    pub fn all(&mut self, transports: &[Transport]) -> Result<Vec<Listed>, NetlinkError> {
        self.listed(transports, list)
    }

    /// What is read of every socket of these kinds, up to as many as a look is worth.
    fn listed<T>(
        &mut self,
        transports: &[Transport],
        read: impl Fn(&Message<'_>, Transport) -> Result<Option<T>, Malformed>,
    ) -> Result<Vec<T>, NetlinkError> {
        let mut all = Vec::new();
        for transport in transports.iter().copied() {
            for family in [FAMILY_IPV4, FAMILY_IPV6] {
                self.socket.dump(
                    "list the sockets",
                    BY_FAMILY,
                    |encoder| ask(encoder, family, transport, &[0; ID_BYTES]),
                    |message| {
                        if all.len() < SOCKETS_MAX {
                            all.extend(read(message, transport)?);
                        }
                        Ok(())
                    },
                )?;
            }
        }
        Ok(all)
    }

    /// Ends these sockets: their programs get an error at once instead of hanging.
    pub fn end(&mut self, sockets: &[Connected]) -> Result<Ended, NetlinkError> {
        let mut count = Ended::default();
        for socket in sockets {
            let result = self.socket.transact("end a socket", |encoder| {
                encoder.message(DESTROY, ACK, |body| {
                    ask(body, socket.family, socket.transport, &socket.id);
                })
            });
            match result {
                Ok(()) => count.ended += 1,
                // Gone by itself meanwhile.
                Err(NetlinkError::Refused { source: Errno::NOENT, .. }) => count.ended += 1,
                Err(NetlinkError::Refused { .. }) => count.refused += 1,
                Err(error) => return Err(error),
            }
        }
        Ok(count)
    }
}

fn ask(encoder: &mut Encoder, family: u8, transport: Transport, id: &[u8; ID_BYTES]) {
    let protocol = match transport {
        Transport::Tcp => 6,
        Transport::Udp => 17,
    };
    encoder.raw(&[family, protocol, 0, 0]);
    encoder.raw(&ALL_STATES.to_ne_bytes());
    encoder.raw(id);
}

fn read(message: &Message<'_>, transport: Transport) -> Result<Option<Connected>, Malformed> {
    let answer = fixed(message)?;
    let mut id = [0; ID_BYTES];
    id.copy_from_slice(&answer[4..4 + ID_BYTES]);
    let family = answer[0];
    let local = SocketAddr::new(ip(family, &id[4..20]), u16::from_be_bytes([id[0], id[1]]));
    let remote = SocketAddr::new(ip(family, &id[20..36]), u16::from_be_bytes([id[2], id[3]]));
    let over = matches!(answer[1], STATE_TIME_WAIT | STATE_CLOSE | STATE_LISTEN);
    if over || remote.ip().is_unspecified() || remote.port() == 0 {
        return Ok(None);
    }
    let mut mark = 0;
    for attribute in message.attributes(ANSWER_BYTES)? {
        let attribute = attribute?;
        if attribute.kind == MARK {
            mark = attribute.ne32()?;
        }
    }
    let [uid, inode] = [64, 68].map(|at| word(&answer, at));
    let established = transport == Transport::Tcp
        && !matches!(answer[1], STATE_SYN_SENT | STATE_SYN_RECEIVED | STATE_NEW_SYN_RECEIVED);
    Ok(Some(Connected { transport, local, remote, mark, inode, uid, established, family, id }))
}

fn list(message: &Message<'_>, transport: Transport) -> Result<Option<Listed>, Malformed> {
    let answer = fixed(message)?;
    let id = &answer[4..4 + ID_BYTES];
    let family = answer[0];
    let local = SocketAddr::new(ip(family, &id[4..20]), u16::from_be_bytes([id[0], id[1]]));
    let remote = SocketAddr::new(ip(family, &id[20..36]), u16::from_be_bytes([id[2], id[3]]));
    let standing = match (transport, answer[1]) {
        (Transport::Tcp, STATE_LISTEN) | (Transport::Udp, STATE_CLOSE) => Standing::Listening,
        (_, STATE_ESTABLISHED) => Standing::Connected,
        (..) => Standing::Passing,
    };
    let [uid, inode] = [64, 68].map(|at| word(&answer, at));
    let listed = Listed { transport, standing, local, remote, inode, uid };
    Ok((local.port() != 0).then_some(listed))
}

fn word(answer: &[u8; ANSWER_BYTES], at: usize) -> u32 {
    u32::from_ne_bytes([answer[at], answer[at + 1], answer[at + 2], answer[at + 3]])
}

fn fixed(message: &Message<'_>) -> Result<[u8; ANSWER_BYTES], Malformed> {
    message.body.first_chunk().copied().ok_or(Malformed::CutShort {
        what: "socket",
        needed: ANSWER_BYTES,
        left: message.body.len(),
    })
}

/// The address in the first 4 or 16 of these 16 bytes; a mapped one as the IPv4 address it is.
fn ip(family: u8, bytes: &[u8]) -> IpAddr {
    let mut octets = [0; 16];
    octets.copy_from_slice(bytes);
    if family == FAMILY_IPV6 {
        return IpAddr::V6(Ipv6Addr::from(octets)).to_canonical();
    }
    let [a, b, c, d, ..] = octets;
    IpAddr::V4(Ipv4Addr::new(a, b, c, d))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream, UdpSocket};

    use super::*;

    #[test]
    fn a_connection_is_listed_with_both_ends_and_a_listener_is_not() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let stream = TcpStream::connect(address).unwrap();
        let own = stream.local_addr().unwrap();
        let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
        datagrams.connect(address).unwrap();

        let all = Sockets::open().unwrap().connected().unwrap();
        let find = |transport, local, remote| {
            all.iter().any(|socket| {
                (socket.transport, socket.local, socket.remote) == (transport, local, remote)
                    && socket.is_local()
            })
        };
        assert!(find(Transport::Tcp, own, address));
        assert!(find(Transport::Tcp, address, own));
        assert!(find(Transport::Udp, datagrams.local_addr().unwrap(), address));
        assert!(all.iter().all(|socket| socket.remote.port() != 0));
        let listed = Sockets::open().unwrap().all(&[Transport::Tcp, Transport::Udp]).unwrap();
        let stands = |transport, standing, local| {
            let one = |found: &&Listed| (found.transport, found.local) == (transport, local);
            listed.iter().filter(one).any(|found| found.standing == standing && found.inode != 0)
        };
        assert!(stands(Transport::Tcp, Standing::Listening, address));
        assert!(stands(Transport::Tcp, Standing::Connected, own));
        let datagrams = datagrams.local_addr().unwrap();
        assert!(stands(Transport::Udp, Standing::Connected, datagrams));
    }

    #[test]
    fn an_answer_cut_short_is_refused() {
        let message = Message { kind: BY_FAMILY, flags: 0, sequence: 1, port: 0, body: &[0; 71] };
        assert!(read(&message, Transport::Tcp).is_err());
    }

    #[test]
    fn a_mapped_address_is_read_as_ipv4() {
        let mapped = Ipv4Addr::new(192, 0, 2, 7).to_ipv6_mapped().octets();
        assert_eq!(ip(FAMILY_IPV6, &mapped), IpAddr::from([192, 0, 2, 7]));
    }
}
