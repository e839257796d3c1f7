//! Every TCP and UDP socket of this network namespace, listeners and ended connections too.

use std::net::SocketAddr;

use super::{ID_BYTES, Malformed, Message, NetlinkError, Sockets, Transport, fixed, ip};

/// A socket as the kernel lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Socket {
    pub transport: Transport,
    pub local: SocketAddr,
    /// Port 0 where it has no other end.
    pub remote: SocketAddr,
    /// The kernel's number; see [`Self::state_name`].
    pub state: u8,
    pub uid: u32,
    /// 0 where no process has it any more.
    pub inode: u32,
}

impl Socket {
    /// The state of a TCP socket by its usual name.
    pub fn state_name(&self) -> &'static str {
        match self.state {
            1 => "established",
            2 => "syn_sent",
            3 | 12 => "syn_received",
            4 => "fin_wait_1",
            5 => "fin_wait_2",
            6 => "time_wait",
            7 => "closed",
            8 => "close_wait",
            9 => "last_ack",
            10 => "listen",
            11 => "closing",
            _ => "unknown",
        }
    }
}

impl Sockets {
    /// Every socket, up to as many as a look is worth.
    pub fn every(&mut self) -> Result<Vec<Socket>, NetlinkError> {
        self.listed(&[Transport::Tcp, Transport::Udp], |message, transport| {
            read(message, transport).map(Some)
        })
    }
}

fn read(message: &Message<'_>, transport: Transport) -> Result<Socket, Malformed> {
    let answer = fixed(message)?;
    let (family, id) = (answer[0], &answer[4..4 + ID_BYTES]);
    let number = |at: usize| {
        u32::from_ne_bytes([answer[at], answer[at + 1], answer[at + 2], answer[at + 3]])
    };
    Ok(Socket {
        transport,
        local: SocketAddr::new(ip(family, &id[4..20]), u16::from_be_bytes([id[0], id[1]])),
        remote: SocketAddr::new(ip(family, &id[20..36]), u16::from_be_bytes([id[2], id[3]])),
        state: answer[1],
        uid: number(64),
        inode: number(68),
    })
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};
    use std::os::fd::AsRawFd;

    use super::super::BY_FAMILY;
    use super::*;

    #[test]
    fn a_listener_is_listed_with_its_inode_and_its_owner() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let open = UdpSocket::bind("127.0.0.1:0").unwrap();
        let all = Sockets::open().unwrap().every().unwrap();
        let found = |transport, local| {
            all.iter().find(|one| (one.transport, one.local) == (transport, local)).unwrap()
        };
        let tcp = found(Transport::Tcp, listener.local_addr().unwrap());
        assert_eq!((tcp.state_name(), tcp.remote.port()), ("listen", 0));
        let link = std::fs::read_link(format!("/proc/self/fd/{}", listener.as_raw_fd())).unwrap();
        assert_eq!(link.to_str().unwrap(), format!("socket:[{}]", tcp.inode));
        assert_eq!(tcp.uid, rustix::process::getuid().as_raw());
        assert_eq!(found(Transport::Udp, open.local_addr().unwrap()).remote.port(), 0);
    }

    #[test]
    fn an_answer_cut_short_is_refused() {
        let message = Message { kind: BY_FAMILY, flags: 0, sequence: 1, port: 0, body: &[0; 71] };
        assert!(read(&message, Transport::Tcp).is_err());
    }
}
