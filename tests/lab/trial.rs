//! One way in which something may pass: from whom, to whom, how.

use std::net::IpAddr;

use crate::address;
use crate::place::{Family, Place};

/// Open at every machine of the lab.
pub(crate) const TCP_PORT: u16 = 9000;
/// Heard at every machine of the lab.
pub(crate) const UDP_PORT: u16 = 9001;
/// Of the endpoint; the container answers behind it.
pub(crate) const PUBLISHED_PORT: u16 = 8080;
pub(crate) const AGENTS_PORT: u16 = 7443;
pub(crate) const DNS_PORT: u16 = 53;
pub(crate) const SSH_PORT: u16 = 22;
pub(crate) const CONTROL_PORT: u16 = 443;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    Tcp,
    Udp,
    Ping,
    /// A name is asked for and answered.
    Dns,
    DnsOverTcp,
    /// A raw socket, with a protocol that nobody knows.
    Raw,
    /// A packet socket, with a datagram written by hand.
    Frame,
    /// The same, and the kernel is told that it is ARP.
    FrameAsArp,
    /// The same, inside a frame whose type says ARP.
    FrameMarkedArp,
    Broadcast,
    Multicast,
    /// A packet socket of the endpoint hears what arrives there, before any rule.
    Overheard,
    /// A datagram between the ports of a DHCP client and a DHCP server.
    DhcpPorts,
    /// A datagram between the ports of a DHCP server and a DHCP client.
    DhcpAnswer,
    /// The lease of a real client is renewed.
    DhcpRenewal,
    /// A router is asked for, and advertises itself.
    RouterDiscovery,
    /// A neighbour is asked for, and answers.
    NeighbourDiscovery,
    /// TCP on a socket with the agent's mark, by somebody else with root.
    AgentsMark,
    /// A signed query is answered by the agent.
    Agent,
    /// A session that stood before the isolation; which one.
    Session(usize),
    Scan(Scan),
}

/// How nmap looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scan {
    Connect,
    /// Half-open TCP, and UDP.
    SynAndUdp,
    Ack,
    /// Half-open, from the port of the agents' door.
    FromAgentsPort,
}

/// Over which devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Over {
    First,
    /// One that appears while the endpoint is isolated.
    Late,
    /// A tunnel that appears while the endpoint is isolated.
    Tunnel,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trial {
    pub(crate) from: Place,
    pub(crate) to: Place,
    pub(crate) how: How,
    pub(crate) family: Family,
    /// The port that is tried, where there is one.
    pub(crate) port: u16,
    pub(crate) over: Over,
}

impl Trial {
    pub(crate) fn new(from: Place, to: Place, how: How, family: Family, port: u16) -> Self {
        Self { from, to, how, family, port, over: Over::First }
    }

    pub(crate) fn over(self, over: Over) -> Self {
        Self { over, ..self }
    }

    pub(crate) fn target(&self) -> IpAddr {
        match self.over {
            Over::First => address::of(self.to, self.family),
            Over::Late => address::late(self.to, self.family),
            Over::Tunnel => address::tunnel(self.to, self.family),
        }
    }

    /// The device on the side of who tries.
    pub(crate) fn device(&self) -> &'static str {
        match self.over {
            Over::First => self.from.device(),
            Over::Late => address::LATE,
            Over::Tunnel => address::TUNNEL,
        }
    }

    /// Does it begin or end at the endpoint, or behind it?
    pub(crate) fn is_of_the_endpoint(&self) -> bool {
        let own = |place| matches!(place, Place::Endpoint | Place::Container);
        own(self.from) || own(self.to)
    }
}

impl std::fmt::Display for How {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.write_str(match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Ping => "ping",
            Self::Dns => "DNS",
            Self::DnsOverTcp => "DNS over TCP",
            Self::Raw => "raw socket, protocol 253",
            Self::Frame => "packet socket",
            Self::FrameAsArp => "packet socket, declared ARP",
            Self::FrameMarkedArp => "packet socket, marked ARP",
            Self::Broadcast => "UDP broadcast",
            Self::Multicast => "UDP multicast",
            Self::Overheard => "heard by a packet socket",
            Self::DhcpPorts => "UDP, DHCP client's ports",
            Self::DhcpAnswer => "UDP, DHCP server's ports",
            Self::DhcpRenewal => "DHCP renewal (dhclient)",
            Self::RouterDiscovery => "router discovery",
            Self::NeighbourDiscovery => "neighbour discovery",
            Self::AgentsMark => "TCP, root with agent's mark",
            Self::Agent => "the agent, a signed query",
            Self::Session(_) => "session that stood before",
            Self::Scan(Scan::Connect) => "nmap -sT",
            Self::Scan(Scan::SynAndUdp) => "nmap -sS -sU",
            Self::Scan(Scan::Ack) => "nmap -sA",
            Self::Scan(Scan::FromAgentsPort) => "nmap -sS -g 7443",
        })
    }
}
