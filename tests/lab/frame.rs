//! Frames as they are on the wire: written by hand, and told apart by what an isolated endpoint may
//! send.
//!
//! Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Result, ensure};

use crate::address;
use crate::place::{Family, Place};
use crate::trial::AGENTS_PORT;

pub(crate) const IPV4: u16 = 0x0800;
pub(crate) const ARP: u16 = 0x0806;
const IPV6: u16 = 0x86dd;

const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;

/// A hardware address.
pub(crate) type Mac = [u8; 6];

/// A datagram from the endpoint, or from behind it, written by hand.
pub(crate) fn datagram(
    [source, target]: [Mac; 2],
    ether_type: u16,
    [from, to]: [Ipv4Addr; 2],
    port: u16,
    payload: &[u8],
) -> Vec<u8> {
    let udp_bytes = u16::try_from(8 + payload.len()).unwrap_or(u16::MAX - 20);
    let mut ip = vec![0x45, 0];
    ip.extend((20 + udp_bytes).to_be_bytes());
    ip.extend([0, 0, 0, 0, 64, UDP, 0, 0]);
    ip.extend(from.octets());
    ip.extend(to.octets());
    let sum = checksum(&ip);
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    // Without a checksum, which IPv4 allows.
    let udp = [port.to_be_bytes(), port.to_be_bytes(), udp_bytes.to_be_bytes(), [0, 0]].concat();
    [&target, &source, &ether_type.to_be_bytes()[..], &ip, &udp, payload].concat()
}

/// The sum of the internet's headers (RFC 1071).
pub(crate) fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| match *pair {
        [high, low] => u32::from(u16::from_be_bytes([high, low])),
        [high] => u32::from(high) << 8,
        _ => 0,
    });
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or_default()
}

/// By what frames of the endpoint, and of what is behind it, are known.
#[derive(Clone, Debug, Default)]
pub(crate) struct Endpoint {
    /// Hardware addresses of its devices.
    pub(crate) macs: Vec<Mac>,
}

impl Endpoint {
    /// What a frame is that it may not send while isolated; none for one that it may send, or that
    /// is somebody else's.
    pub(crate) fn stray(&self, at: Place, frame: &[u8]) -> Option<String> {
        let (header, rest) = frame.split_at_checked(14)?;
        let ether_type = u16::from_be_bytes([header[12], header[13]]);
        let packet = Packet::read(ether_type, rest);
        let own_device = self.macs.iter().any(|mac| header[6..12] == *mac);
        // The container sees what it sends itself, which has not come past the endpoint yet.
        let own_address =
            at != Place::Container && packet.as_ref().is_some_and(|packet| is_own(packet.from));
        if !(own_device || own_address) {
            return None;
        }
        match packet {
            Some(packet) if packet.may_leave() => None,
            Some(packet) => Some(packet.to_string()),
            None if ether_type == ARP && rest.len() >= 28 => None,
            None => Some(format!("a frame of type {ether_type:#06x}, {} bytes", frame.len())),
        }
    }
}

fn is_own(address: IpAddr) -> bool {
    let places = [Place::Endpoint, Place::Container];
    let mut all = places.iter().flat_map(|place| Family::BOTH.map(|it| address::of(*place, it)));
    all.any(|own| own == address)
}

#[derive(Clone, Copy, Debug)]
struct Packet {
    from: IpAddr,
    to: IpAddr,
    hops: u8,
    protocol: u8,
    /// The first four bytes after the header of IP.
    start: [u8; 4],
}

impl Packet {
    fn read(ether_type: u16, bytes: &[u8]) -> Option<Self> {
        let at = |at: usize| bytes.get(at).copied();
        let start = |at: usize| bytes.get(at..at + 4)?.try_into().ok();
        match ether_type {
            IPV4 => {
                let four = |at| <[u8; 4]>::try_from(bytes.get(at..at + 4)?).ok();
                let (from, to) = (Ipv4Addr::from(four(12)?), Ipv4Addr::from(four(16)?));
                let header = usize::from(at(0)? & 0x0f) * 4;
                let (hops, protocol) = (at(8)?, at(9)?);
                let start = start(header)?;
                Some(Self { from: from.into(), to: to.into(), hops, protocol, start })
            }
            IPV6 => {
                let all = |at| <[u8; 16]>::try_from(bytes.get(at..at + 16)?).ok();
                let (from, to) = (Ipv6Addr::from(all(8)?), Ipv6Addr::from(all(24)?));
                let (hops, protocol) = (at(7)?, at(6)?);
                let start = start(40)?;
                Some(Self { from: from.into(), to: to.into(), hops, protocol, start })
            }
            _ => None,
        }
    }

    fn ports(&self) -> [u16; 2] {
        let [a, b, c, d] = self.start;
        [u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])]
    }

    /// The agent to its door, DHCP to the server on record and to all, neighbour discovery.
    fn may_leave(&self) -> bool {
        let door = Family::BOTH.map(|family| address::of(Place::Collector, family));
        let dhcp_v4 = [address::of(Place::Router, Family::V4), Ipv4Addr::BROADCAST.into()];
        let dhcp_v6 = IpAddr::V6(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2));
        match (self.protocol, self.ports()) {
            (TCP, [_, AGENTS_PORT]) => door.contains(&self.to),
            (UDP, [68, 67]) => dhcp_v4.contains(&self.to),
            (UDP, [546, 547]) => dhcp_v6 == self.to,
            (ICMPV6, _) => matches!(self.start[0], 133 | 135 | 136) && self.hops == 255,
            _ => false,
        }
    }
}

impl std::fmt::Display for Packet {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { from, to: target, hops, protocol, start } = self;
        let ports = self.ports();
        write!(
            to,
            "{from} to {target}, protocol {protocol}, ports {ports:?} ({start:?}), {hops} hops"
        )
    }
}

/// A test: frames of the endpoint and of others, and which of them are strays.
pub(crate) fn allowed_kinds() -> Result<()> {
    let (own, other) = ([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
    let endpoint = Endpoint { macs: vec![own] };
    let v4 = |place| match address::of(place, Family::V4) {
        IpAddr::V4(address) => address,
        IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
    };
    let frame = |mac, from, to, port: u16| datagram([mac, other], IPV4, [from, to], port, b"x");
    let (here, peer, router) = (v4(Place::Endpoint), v4(Place::Peer), v4(Place::Router));
    let mut dhcp = frame(own, here, router, 67);
    dhcp[34..36].copy_from_slice(&68u16.to_be_bytes());
    let mut tunnel = dhcp.clone();
    tunnel[30..34].copy_from_slice(&peer.octets());
    let mut neighbour = vec![0; 14 + 40 + 24];
    neighbour[6..12].copy_from_slice(&own);
    neighbour[12..14].copy_from_slice(&IPV6.to_be_bytes());
    (neighbour[14 + 6], neighbour[14 + 7], neighbour[14 + 40]) = (ICMPV6, 255, 135);
    let mut routed = neighbour.clone();
    routed[14 + 7] = 254;
    let mut arp = vec![0; 42];
    arp[6..12].copy_from_slice(&own);
    arp[12..14].copy_from_slice(&ARP.to_be_bytes());
    let expected: [(&str, &[u8], bool); 9] = [
        ("a datagram of the endpoint", &frame(own, here, peer, 9001), true),
        ("the same through a router", &frame(other, here, peer, 9001), true),
        ("with a false sender", &frame(own, Ipv4Addr::new(10, 9, 9, 9), peer, 9001), true),
        ("a datagram between others", &frame(other, router, peer, 9001), false),
        ("a renewal", &dhcp, false),
        ("ports of DHCP to somebody else", &tunnel, true),
        ("a neighbour solicitation", &neighbour, false),
        ("one that a router passed on", &routed, true),
        ("ARP", &arp, false),
    ];
    for (what, frame, stray) in expected {
        ensure!(endpoint.stray(Place::Peer, frame).is_some() == stray, "{what}");
    }
    // Cut short anywhere, a frame of the endpoint is a stray or nobody's, and nothing breaks.
    for length in 0..dhcp.len() {
        drop(endpoint.stray(Place::Peer, &dhcp[..length]));
    }
    Ok(())
}
