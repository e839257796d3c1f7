//! The rules of an isolated endpoint: everything is dropped but what is listed here.
//!
//! Stateless on purpose: at priority −310 connection tracking has not looked yet, and a rule that
//! let "established" pass would keep an intruder's session alive.
//!
//! Known limits, because root on the endpoint can write any packet: root that sets the agent's
//! mark reaches the collector's address and port; root can send neighbour discovery, DHCP
//! broadcasts and ARP frames of its own making, one way; XDP sockets pass below every chain, and so
//! does a device that root moves into another network namespace. What arrives can be heard, not
//! answered: by packet sockets, which see it before any rule, and at the port of a DHCP client, as a
//! renewal that was broadcast is answered by whoever serves. Multicast listener reports are dropped,
//! so a switch that prunes multicast by them may in time stop passing on neighbour solicitations.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::expr::{Base, Expr, Meta};
use super::ruleset::{Chain, Family, Hook, Policy, Ruleset, Table};
use crate::platform::linux::route::Link;

/// After defragmentation, before raw, connection tracking and whatever rewrites marks.
pub(super) const PRIORITY: i32 = -310;
/// The kernel's own bound on the devices of one chain.
const CHAIN_DEVICES_MAX: usize = 256;
/// The loopback device has this index in every network namespace.
pub(super) const LOOPBACK: u32 = 1;

pub(super) const INPUT: u32 = 1;
pub(super) const FORWARD: u32 = 2;
pub(super) const OUTPUT: u32 = 3;
pub(super) const EGRESS: u32 = 1;

pub(super) const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;

const ETHER_IPV4: u16 = 0x0800;
const ETHER_ARP: u16 = 0x0806;
pub(super) const ETHER_VLAN: u16 = 0x8100;
const ETHER_IPV6: u16 = 0x86dd;

const LINK_LOCAL: [u8; 8] = [0xfe, 0x80, 0, 0, 0, 0, 0, 0];
const DHCPV6_SERVERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2);

/// What stays open on an isolated endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wall {
    /// The mark on the agent's own packets; policy routing uses marks too, so it is a setting.
    pub mark: u32,
    pub collectors: Vec<SocketAddr>,
    pub exemptions: Vec<Exemption>,
    /// The servers that gave this endpoint its addresses.
    pub dhcp_servers: Vec<IpAddr>,
}

/// A peer that signed policy keeps reachable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exemption {
    pub transport: Transport,
    pub peer: SocketAddr,
    /// Only for this user's sockets, out of which packets leave; what arrives from the peer has
    /// no user yet, and an answer of anybody else is dropped.
    #[serde(default)]
    pub uid: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Transport {
    Tcp,
    Udp,
}

impl Wall {
    /// The tables that do it, under `table`'s name. With `egress`, packet sockets on `links` are
    /// closed too: they bypass every inet chain.
    pub fn ruleset(&self, table: &[u8], links: &[Link], egress: bool) -> Ruleset {
        let inet = |name: &str, number, rules| chain(name, number, Vec::new(), rules);
        let chains = vec![
            inet("input", INPUT, self.input()),
            inet("forward", FORWARD, Vec::new()),
            inet("output", OUTPUT, self.output()),
        ];
        let named = |family, chains| {
            let (name, sets) = (table.into(), Vec::new());
            Table { family, name, dormant: false, sets, chains }
        };
        let mut tables = vec![named(Family::Inet, chains)];
        let chains = self.egress(links);
        if egress && !chains.is_empty() {
            tables.push(named(Family::Netdev, chains));
        }
        Ruleset { tables }
    }

    fn output(&self) -> Vec<Vec<Expr>> {
        let loopback = vec![Expr::Meta(Meta::Out), number(LOOPBACK)];
        let inet = |(family, matches): (Ip, Vec<Expr>)| [family.inet(), matches].concat();
        [loopback].into_iter().chain(self.outgoing().into_iter().map(inet)).collect()
    }

    fn input(&self) -> Vec<Vec<Expr>> {
        let loopback = vec![Expr::Meta(Meta::In), number(LOOPBACK)];
        let inet = |(family, matches): (Ip, Vec<Expr>)| [family.inet(), matches].concat();
        [loopback].into_iter().chain(self.incoming().into_iter().map(inet)).collect()
    }

    /// One chain for each kind of device, as the frames they carry are told apart differently.
    fn egress(&self, links: &[Link]) -> Vec<Chain> {
        let chains = Framing::of_devices(links).into_iter();
        let made = chains
            .map(|(name, framing, devices)| chain(&name, EGRESS, devices, self.frames(framing)));
        made.collect()
    }

    fn frames(&self, framing: Framing) -> Vec<Vec<Expr>> {
        let mut rules = framing.alternatives(ETHER_ARP, false);
        for (family, matches) in self.outgoing() {
            for frame in framing.alternatives(family.ether(), true) {
                rules.push([frame, matches.clone()].concat());
            }
        }
        rules
    }

    /// What may leave, without the match on the IP version.
    fn outgoing(&self) -> Vec<(Ip, Vec<Expr>)> {
        let mut rules = Vec::new();
        for collector in &self.collectors {
            let mark = vec![Expr::Meta(Meta::Mark), number(self.mark)];
            let (family, peer) = peer(TCP, *collector, Side::Destination);
            rules.push((family, [mark, peer].concat()));
        }
        for exemption in &self.exemptions {
            let (family, peer) =
                peer(exemption.transport.number(), exemption.peer, Side::Destination);
            let user = exemption.uid.map(|uid| vec![Expr::Meta(Meta::SocketUser), number(uid)]);
            rules.push((family, [user.unwrap_or_default(), peer].concat()));
        }
        // Router solicitation, neighbour solicitation and advertisement.
        rules.extend([133, 135, 136].map(neighbour));
        let broadcast = IpAddr::V4(Ipv4Addr::BROADCAST);
        for server in [broadcast, IpAddr::V6(DHCPV6_SERVERS)].iter().chain(&self.dhcp_servers) {
            let (family, ports) = match server {
                IpAddr::V4(_) => (Ip::V4, [68, 67]),
                IpAddr::V6(_) => (Ip::V6, [546, 547]),
            };
            let address = address(*server, Side::Destination);
            rules.push((family, [transport(UDP), address, both_ports(ports)].concat()));
        }
        rules
    }

    /// What may come in, without the match on the IP version.
    fn incoming(&self) -> Vec<(Ip, Vec<Expr>)> {
        let mut rules = Vec::new();
        for collector in &self.collectors {
            let mark = vec![Expr::SocketMark, number(self.mark)];
            let (family, peer) = peer(TCP, *collector, Side::Source);
            rules.push((family, [mark, peer].concat()));
        }
        for exemption in &self.exemptions {
            rules.push(peer(exemption.transport.number(), exemption.peer, Side::Source));
        }
        // Router advertisement, neighbour solicitation and advertisement.
        rules.extend([134, 135, 136].map(neighbour));
        // "Packet too big" and "fragmentation needed": without them a stream can stall for ever.
        rules.push((Ip::V6, [transport(ICMPV6), header(Base::Transport, 0, &[2])].concat()));
        rules.push((Ip::V4, [transport(ICMP), header(Base::Transport, 0, &[3, 4])].concat()));
        rules.push((Ip::V4, [transport(UDP), both_ports([67, 68])].concat()));
        let link_local = header(Base::Network, 8, &LINK_LOCAL);
        rules.push((Ip::V6, [transport(UDP), link_local, both_ports([547, 546])].concat()));
        rules
    }
}

impl Transport {
    pub(super) fn number(self) -> u8 {
        match self {
            Self::Tcp => TCP,
            Self::Udp => UDP,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ip {
    V4,
    V6,
}

impl Ip {
    pub(super) fn inet(self) -> Vec<Expr> {
        let family = match self {
            Self::V4 => 2,
            Self::V6 => 10,
        };
        vec![Expr::Meta(Meta::Family), Expr::Equal(vec![family])]
    }

    pub(super) fn ether(self) -> u16 {
        match self {
            Self::V4 => ETHER_IPV4,
            Self::V6 => ETHER_IPV6,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// No link header at all (tunnels, PPP).
    Bare,
    Ethernet,
    /// Ethernet that also carries VLANs of this endpoint.
    Tagged,
}

impl Framing {
    /// What leaves by packet sockets is looked at in these chains: name, framing, devices.
    pub(super) fn of_devices(links: &[Link]) -> Vec<(String, Self, Vec<Vec<u8>>)> {
        let lower: BTreeSet<u32> = links
            .iter()
            .filter(|link| link.kind.as_deref() == Some(b"vlan"))
            .filter_map(|link| link.lower)
            .collect();
        let framing = |link: &Link| match (link.ethernet, lower.contains(&link.index)) {
            (false, _) => Self::Bare,
            (true, false) => Self::Ethernet,
            (true, true) => Self::Tagged,
        };
        let mut chains = Vec::new();
        for (name, wanted) in
            [("bare", Self::Bare), ("ethernet", Self::Ethernet), ("tagged", Self::Tagged)]
        {
            let devices: Vec<Vec<u8>> = links
                .iter()
                .filter(|link| !link.loopback && framing(link) == wanted)
                .map(|link| link.name.clone())
                .collect();
            for (at, devices) in devices.chunks(CHAIN_DEVICES_MAX).enumerate() {
                chains.push((format!("egress-{name}-{at}"), wanted, devices.to_vec()));
            }
        }
        chains
    }

    /// The ways a frame of `protocol` looks. The type in the frame itself is compared as well
    /// as what the stack says: a packet socket may declare one and write the other.
    fn alternatives(self, protocol: u16, on_bare: bool) -> Vec<Vec<Expr>> {
        let ether = |offset, value: u16| header(Base::Link, offset, &value.to_be_bytes());
        let stack = vec![Expr::Meta(Meta::Protocol), Expr::Equal(protocol.to_be_bytes().to_vec())];
        let plain = [stack.clone(), ether(12, protocol)].concat();
        let tagged = [stack.clone(), ether(12, ETHER_VLAN), ether(16, protocol)].concat();
        match self {
            Self::Bare if on_bare => vec![stack],
            Self::Bare => Vec::new(),
            Self::Ethernet => vec![plain],
            Self::Tagged => vec![plain, tagged],
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Source,
    Destination,
}

/// A chain that lets `allowed` pass, counts the rest and drops it.
fn chain(name: &str, hook: u32, devices: Vec<Vec<u8>>, allowed: Vec<Vec<Expr>>) -> Chain {
    let accept = |matches: Vec<Expr>| [matches, vec![Expr::Accept]].concat();
    let mut rules: Vec<_> = allowed.into_iter().map(accept).collect();
    rules.push(vec![Expr::Count]);
    let hook = Hook {
        number: hook,
        priority: PRIORITY,
        policy: Policy::Drop,
        kind: b"filter".to_vec(),
        devices,
    };
    Chain { name: name.into(), hook: Some(hook), rules }
}

fn peer(protocol: u8, peer: SocketAddr, side: Side) -> (Ip, Vec<Expr>) {
    let ip = peer.ip().to_canonical();
    let family = if ip.is_ipv4() { Ip::V4 } else { Ip::V6 };
    let offset = if side == Side::Source { 0 } else { 2 };
    let port = header(Base::Transport, offset, &peer.port().to_be_bytes());
    (family, [transport(protocol), address(ip, side), port].concat())
}

pub(super) fn address(ip: IpAddr, side: Side) -> Vec<Expr> {
    match (ip, side) {
        (IpAddr::V4(ip), Side::Source) => header(Base::Network, 12, &ip.octets()),
        (IpAddr::V4(ip), Side::Destination) => header(Base::Network, 16, &ip.octets()),
        (IpAddr::V6(ip), Side::Source) => header(Base::Network, 8, &ip.octets()),
        (IpAddr::V6(ip), Side::Destination) => header(Base::Network, 24, &ip.octets()),
    }
}

/// Neighbour discovery of one type; hop limit 255 says that no router has passed it on.
fn neighbour(kind: u8) -> (Ip, Vec<Expr>) {
    let on_link = header(Base::Network, 7, &[255]);
    (Ip::V6, [transport(ICMPV6), on_link, header(Base::Transport, 0, &[kind])].concat())
}

pub(super) fn transport(protocol: u8) -> Vec<Expr> {
    vec![Expr::Meta(Meta::Transport), Expr::Equal(vec![protocol])]
}

fn both_ports([source, destination]: [u16; 2]) -> Vec<Expr> {
    let ports = [source.to_be_bytes(), destination.to_be_bytes()].concat();
    header(Base::Transport, 0, &ports)
}

pub(super) fn header(base: Base, offset: u32, value: &[u8]) -> Vec<Expr> {
    let bytes = u32::try_from(value.len()).unwrap_or(u32::MAX);
    vec![Expr::Payload { base, offset, bytes }, Expr::Equal(value.to_vec())]
}

pub(super) fn number(value: u32) -> Expr {
    Expr::Equal(value.to_ne_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wall() -> Wall {
        Wall {
            mark: 0x00c0_4d01,
            collectors: vec![
                "192.0.2.7:7443".parse().unwrap(),
                "[2001:db8::7]:7443".parse().unwrap(),
            ],
            exemptions: Vec::new(),
            dhcp_servers: vec!["192.0.2.1".parse().unwrap()],
        }
    }

    fn link(index: u32, name: &str, kind: Option<&str>, lower: Option<u32>) -> Link {
        Link {
            index,
            name: name.into(),
            kind: kind.map(Into::into),
            loopback: name == "lo",
            ethernet: !matches!(name, "lo" | "tun0"),
            lower,
        }
    }

    #[track_caller]
    fn chain_named(ruleset: &Ruleset, name: &str) -> Chain {
        let all = ruleset.tables.iter().flat_map(|table| &table.chains);
        let text = ruleset.to_string();
        all.into_iter().find(|chain| chain.name == name.as_bytes()).expect(&text).clone()
    }

    #[test]
    fn every_chain_drops_by_default_and_counts_at_its_end() {
        let links = [link(1, "lo", None, None), link(2, "eth0", None, None)];
        let ruleset = wall().ruleset(b"cordon", &links, true);
        assert_eq!(ruleset.tables.len(), 2);
        for chain in ruleset.tables.iter().flat_map(|table| &table.chains) {
            let hook = chain.hook.as_ref().unwrap();
            assert_eq!((hook.policy, hook.priority), (Policy::Drop, -310), "{chain}");
            assert_eq!(chain.rules.last().unwrap(), &[Expr::Count], "{chain}");
            let open = |rule: &Vec<Expr>| rule.len() < 2 && rule.contains(&Expr::Accept);
            assert!(!chain.rules.iter().any(open), "{chain}");
        }
        assert_eq!(chain_named(&ruleset, "forward").rules.len(), 1);
    }

    #[test]
    fn the_collector_is_open_to_the_mark_only() {
        let ruleset = wall().ruleset(b"cordon", &[], true);
        for (name, first) in [("output", Expr::Meta(Meta::Mark)), ("input", Expr::SocketMark)] {
            let chain = chain_named(&ruleset, name);
            let port = Expr::Equal(7443u16.to_be_bytes().to_vec());
            let to_collector: Vec<_> =
                chain.rules.iter().filter(|rule| rule.contains(&port)).collect();
            assert_eq!(to_collector.len(), 2, "{chain}");
            for rule in to_collector {
                let at = rule.iter().position(|expr| *expr == first).unwrap();
                assert_eq!(rule[at + 1], number(0x00c0_4d01), "{chain}");
            }
        }
    }

    #[test]
    fn a_mapped_address_is_the_ipv4_address_it_stands_for() {
        let mapped =
            Wall { collectors: vec!["[::ffff:192.0.2.7]:7443".parse().unwrap()], ..wall() };
        let plain = Wall { collectors: vec!["192.0.2.7:7443".parse().unwrap()], ..wall() };
        let ruleset = |wall: &Wall| wall.ruleset(b"cordon", &[], true);
        assert_eq!(ruleset(&mapped), ruleset(&plain));
    }

    #[test]
    fn frames_are_told_apart_by_the_kind_of_device() {
        let links = [
            link(1, "lo", None, None),
            link(2, "eth0", None, None),
            link(3, "eth0.7", Some("vlan"), Some(2)),
            link(4, "tun0", Some("tun"), None),
        ];
        let ruleset = wall().ruleset(b"cordon", &links, true);
        let devices = |name| chain_named(&ruleset, name).hook.unwrap().devices;
        assert_eq!(devices("egress-tagged-0"), [b"eth0"]);
        assert_eq!(devices("egress-ethernet-0"), [b"eth0.7"]);
        assert_eq!(devices("egress-bare-0"), [b"tun0"]);
    }

    #[test]
    fn more_devices_than_a_chain_may_have_take_another_chain() {
        let links: Vec<_> = (2..302).map(|at| link(at, &format!("eth{at}"), None, None)).collect();
        let ruleset = wall().ruleset(b"cordon", &links, true);
        let devices = |name| chain_named(&ruleset, name).hook.unwrap().devices.len();
        assert_eq!((devices("egress-ethernet-0"), devices("egress-ethernet-1")), (256, 44));
    }
}
