//! The rules of what is blocked: everything passes but what is listed here.
//!
//! Nothing here accepts for others: chains at one hook add their drops up, so that no other table
//! can let pass what is dropped here, at whatever priority it accepts. Stateless, before connection
//! tracking: a session that stood before is dropped as a new one is.
//!
//! Known limits. Root that sets the agent's mark reaches the ports of the collectors' doors
//! anywhere. A packet socket that lies about its frame's protocol passes rules about ports. Packet
//! sockets see what comes in before any rule does.

use super::expr::{Base, Expr, Meta};
use super::ruleset::{Chain, Family, Hook, Policy, Ruleset, Table};
use super::set::Set;
use super::span::{Addresses, Spans};
use super::wall::{
    EGRESS, ETHER_VLAN, FORWARD, Framing, INPUT, Ip, LOOPBACK, OUTPUT, PRIORITY, Side, TCP,
    Transport, header, number, transport,
};
use crate::platform::linux::route::Link;

/// What may not pass, and the agent's own way through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fence {
    /// The mark on the agent's own packets.
    pub mark: u32,
    /// The TCP ports that they go to, wherever that is: a collector that moves must be found again.
    pub ports: Vec<u16>,
    pub strips: Vec<Strip>,
}

/// Addresses that are blocked alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Strip {
    pub what: What,
    pub addresses: Addresses,
}

/// What of the traffic with an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    All,
    Ports { transport: Transport, first: u16, last: u16, at: At },
}

/// On whose side the ports are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum At {
    Here,
    Peer,
}

impl Fence {
    /// The tables that do it, under `table`'s name. With `egress`, packet sockets on `links` are
    /// closed too.
    pub fn ruleset(&self, table: &[u8], links: &[Link], egress: bool) -> Ruleset {
        let loopback = |meta| vec![vec![Expr::Meta(meta), number(LOOPBACK)]];
        let incoming = [loopback(Meta::In), self.own(Expr::SocketMark, Side::Source)].concat();
        let outgoing =
            [loopback(Meta::Out), self.own(Expr::Meta(Meta::Mark), Side::Destination)].concat();
        let inet = |ip: Ip| vec![ip.inet()];
        let [from, to] = [Side::Source, Side::Destination].map(|side| self.dropped(side, &inet));
        let forwarded = [from.clone(), to.clone()].concat();
        let chains = vec![
            chain("input", INPUT, Vec::new(), incoming, from),
            chain("forward", FORWARD, Vec::new(), Vec::new(), forwarded),
            chain("output", OUTPUT, Vec::new(), outgoing, to),
        ];
        let sets = self.sets();
        let named = |family, sets, chains| Table {
            family,
            name: table.into(),
            dormant: false,
            sets,
            chains,
        };
        let mut tables = vec![named(Family::Inet, sets.clone(), chains)];
        let chains = self.egress(links);
        if egress && !chains.is_empty() {
            // Names of sets' makers are one transaction's: they must differ between tables.
            let apart = |set: Set| Set { id: set.id + (1 << 16), ..set };
            tables.push(named(Family::Netdev, sets.into_iter().map(apart).collect(), chains));
        }
        Ruleset { tables }
    }

    fn egress(&self, links: &[Link]) -> Vec<Chain> {
        let devices = Framing::of_devices(links).into_iter();
        let chains = devices.map(|(name, framing, devices)| {
            let own = self.own(Expr::Meta(Meta::Mark), Side::Destination);
            let dropped = self.dropped(Side::Destination, &|ip| frames(framing, ip));
            chain(&name, EGRESS, devices, own, dropped)
        });
        chains.collect()
    }

    /// The agent's own packets.
    fn own(&self, mark: Expr, side: Side) -> Vec<Vec<Expr>> {
        let rule = |port: &u16| {
            let marked = vec![mark.clone(), number(self.mark)];
            let port = header(Base::Transport, offset(side), &port.to_be_bytes());
            [marked, transport(TCP), port].concat()
        };
        self.ports.iter().map(rule).collect()
    }

    /// What is dropped where the peer is the packets' source, or their destination. `family` says
    /// how packets of one family are known: in several ways, in some places.
    fn dropped(&self, peer: Side, family: &dyn Fn(Ip) -> Vec<Vec<Expr>>) -> Vec<Vec<Expr>> {
        let mut rules = Vec::new();
        for (at, strip) in self.strips.iter().enumerate() {
            let Addresses { v4, v6 } = &strip.addresses;
            for (ip, spans) in [(Ip::V4, v4), (Ip::V6, v6)] {
                if spans.is_empty() {
                    continue;
                }
                for prefix in family(ip) {
                    rules.push([prefix, strip.what.matches(peer), among(at, spans, peer)].concat());
                }
            }
        }
        rules
    }

    fn sets(&self) -> Vec<Set> {
        let mut sets = Vec::new();
        for (at, strip) in self.strips.iter().enumerate() {
            for spans in [&strip.addresses.v4, &strip.addresses.v6] {
                if !spans.is_empty() && !spans.is_all() {
                    let id = u32::try_from(sets.len()).unwrap_or(u32::MAX).saturating_add(1);
                    sets.push(Set::of(&set_name(at, spans), id, spans));
                }
            }
        }
        sets
    }
}

impl What {
    fn matches(self, peer: Side) -> Vec<Expr> {
        let Self::Ports { transport: protocol, first, last, at } = self else {
            return Vec::new();
        };
        let other = if peer == Side::Source { Side::Destination } else { Side::Source };
        let side = if at == At::Peer { peer } else { other };
        let port = vec![Expr::Payload { base: Base::Transport, offset: offset(side), bytes: 2 }];
        let [first, last] = [first, last].map(|port| port.to_be_bytes().to_vec());
        let run = if first == last {
            vec![Expr::Equal(first)]
        } else {
            vec![Expr::AtLeast(first), Expr::AtMost(last)]
        };
        [transport(protocol.number()), port, run].concat()
    }

    /// Whether a connection is of it.
    pub fn covers(self, transport: Transport, local: u16, remote: u16) -> bool {
        match self {
            Self::All => true,
            Self::Ports { transport: of, first, last, at } => {
                let port = if at == At::Here { local } else { remote };
                of == transport && (first..=last).contains(&port)
            }
        }
    }
}

/// The peer's address is among these.
fn among(strip: usize, spans: &Spans, side: Side) -> Vec<Expr> {
    if spans.is_all() {
        return Vec::new();
    }
    let (offset, bytes) = match (spans.is_ipv4(), side) {
        (true, Side::Source) => (12, 4),
        (true, Side::Destination) => (16, 4),
        (false, Side::Source) => (8, 16),
        (false, Side::Destination) => (24, 16),
    };
    let address = Expr::Payload { base: Base::Network, offset, bytes };
    vec![address, Expr::In(set_name(strip, spans).into_bytes())]
}

fn set_name(strip: usize, spans: &Spans) -> String {
    format!("strip-{strip}-{}", if spans.is_ipv4() { "4" } else { "6" })
}

/// Where a packet's port of this side stands.
fn offset(side: Side) -> u32 {
    if side == Side::Source { 0 } else { 2 }
}

/// How frames of a family are known by what is on the wire: what a packet socket says beside it may
/// be a lie.
fn frames(framing: Framing, ip: Ip) -> Vec<Vec<Expr>> {
    let ether = |offset, value: u16| header(Base::Link, offset, &value.to_be_bytes());
    let stack = || vec![Expr::Meta(Meta::Protocol), Expr::Equal(ip.ether().to_be_bytes().to_vec())];
    let tagged = || [ether(12, ETHER_VLAN), ether(16, ip.ether())].concat();
    match framing {
        Framing::Bare => vec![stack()],
        Framing::Ethernet => vec![ether(12, ip.ether())],
        Framing::Tagged => vec![ether(12, ip.ether()), tagged()],
    }
}

/// A chain that lets `own` pass, counts and drops what is `dropped`, and leaves the rest to others.
fn chain(
    name: &str,
    hook: u32,
    devices: Vec<Vec<u8>>,
    own: Vec<Vec<Expr>>,
    dropped: Vec<Vec<Expr>>,
) -> Chain {
    let own = own.into_iter().map(|matches| [matches, vec![Expr::Accept]].concat());
    let dropped = dropped.into_iter();
    let dropped = dropped.map(|matches| [matches, vec![Expr::Count, Expr::Drop]].concat());
    let hook = Hook {
        number: hook,
        priority: PRIORITY,
        policy: Policy::Accept,
        kind: b"filter".to_vec(),
        devices,
    };
    Chain { name: name.into(), hook: Some(hook), rules: own.chain(dropped).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strip(what: What, networks: &[(&str, u8)]) -> Strip {
        let mut addresses = Addresses::default();
        for (address, bits) in networks {
            addresses.add(address.parse().unwrap(), *bits);
        }
        Strip { what, addresses }
    }

    fn ssh(at: At) -> What {
        What::Ports { transport: Transport::Tcp, first: 22, last: 22, at }
    }

    #[track_caller]
    fn check(strips: Vec<Strip>, chain: &str, expected: &[&str]) {
        let fence = Fence { mark: 7, ports: Vec::new(), strips };
        let text = fence.ruleset(b"t", &[], true).to_string();
        let of = text.split(" chain ").find(|part| part.starts_with(chain)).unwrap();
        let rules: Vec<_> = of.lines().skip(1).filter(|rule| rule.contains("drop")).collect();
        assert_eq!(rules.iter().map(|rule| rule.trim()).collect::<Vec<_>>(), expected, "{text}");
    }

    #[test]
    fn an_address_is_the_source_of_what_comes_in_and_the_destination_of_what_goes_out() {
        let strips = || vec![strip(What::All, &[("192.0.2.1", 32)])];
        let from = "meta 15; = 02; payload 1 12 4; in strip-0-4; count; drop";
        let to = "meta 15; = 02; payload 1 16 4; in strip-0-4; count; drop";
        check(strips(), "input", &[from]);
        check(strips(), "output", &[to]);
        check(strips(), "forward", &[from, to]);
    }

    #[test]
    fn ports_are_those_of_the_side_that_the_rule_names() {
        let rule = |port: u32| {
            format!("meta 15; = 0a; meta 16; = 06; payload 2 {port} 2; = 00 16")
                + "; payload 1 8 16; in strip-0-6; count; drop"
        };
        let strips = |at| vec![strip(ssh(at), &[("2001:db8::", 32)])];
        check(strips(At::Here), "input", &[&rule(2)]);
        check(strips(At::Peer), "input", &[&rule(0)]);
    }

    #[test]
    fn everybody_needs_no_set_and_a_run_of_ports_two_comparisons() {
        let what = What::Ports { transport: Transport::Udp, first: 137, last: 139, at: At::Here };
        let strips = vec![Strip { what, addresses: Addresses::all() }];
        let rule = |family| {
            format!(
                "meta 15; = {family}; meta 16; = 11; payload 2 2 2; >= 00 89; <= 00 8b; count; drop"
            )
        };
        check(strips, "input", &[&rule("02"), &rule("0a")]);
    }

    #[test]
    fn only_loopback_and_the_agents_marked_packets_to_a_door_are_let_pass() {
        let strips = vec![strip(What::All, &[("192.0.2.0", 24)])];
        let fence = Fence { mark: 7, ports: vec![7443], strips };
        let text = fence.ruleset(b"t", &[], true).to_string();
        let passes: Vec<_> = text.lines().filter(|line| line.contains("accept")).collect();
        let rules: Vec<_> = passes.iter().filter(|line| !line.contains("hook")).collect();
        let mark = crate::platform::linux::nft::expr::Expr::Equal(7_u32.to_ne_bytes().to_vec());
        assert_eq!(rules.len(), 4, "{text}");
        let marked = rules.iter().filter(|rule| rule.contains(&mark.to_string()));
        let door = "meta 16; = 06; payload 2";
        assert_eq!(marked.filter(|rule| rule.contains(door)).count(), 2, "{text}");
    }
}
