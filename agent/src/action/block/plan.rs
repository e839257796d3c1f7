//! From what commands asked for to what the kernel is told: all blocks that stand, added up. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use cordon_proto::command::{Direction, Network, Peer, Ports, Rule};
use cordon_proto::policy;
use minicbor::{Decode, Encode};

use super::known::NAMES_MAX;
use crate::platform::linux::nft::fence::{At, Strip, What};
use crate::platform::linux::nft::span::Addresses;
use crate::platform::linux::nft::wall::Transport;

/// Rules of all commands together.
pub const RULES_MAX: usize = 4096;
/// Different runs of ports: each packet is held against all of them, one after the other.
pub const STRIPS_MAX: usize = 128;
/// Runs of addresses in all sets: some 200 KiB in the kernel.
pub const RUNS_MAX: usize = 4096;

/// What one command blocks on this endpoint; kept on disk as what was there before.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub struct Stand {
    /// Two commands may ask for the same while one is being undone: each has a name of its own.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub key: [u8; 16],
    /// The rules that are for this endpoint.
    #[n(1)]
    pub rules: Vec<Rule>,
    /// Who is left out of them.
    #[n(2)]
    pub except: Vec<Network>,
}

/// Why no more can be blocked.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{found} {what} would be blocked, {max} at most can be; undo a block first")]
pub struct TooMany {
    what: &'static str,
    found: usize,
    max: usize,
}

impl Stand {
    /// The names that it blocks.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().filter_map(|rule| match &rule.peer {
            Peer::Name(name) => Some(name.as_str()),
            Peer::Anyone | Peer::Network { .. } => None,
        })
    }

    /// Whom a rule is about, without those who are left out.
    pub fn addresses(&self, rule: &Rule, of_name: &dyn Fn(&str) -> Vec<IpAddr>) -> Addresses {
        let mut addresses = Addresses::default();
        match &rule.peer {
            Peer::Anyone => addresses = Addresses::all(),
            Peer::Network { address, bits } => addresses.add(*address, *bits),
            Peer::Name(name) => of_name(name).into_iter().for_each(|ip| addresses.add(ip, 128)),
        }
        self.except.iter().for_each(|except| addresses.remove(except.address, except.bits));
        addresses
    }
}

/// Everything that stands as one. An address that one command leaves out and another blocks is
/// blocked.
pub fn strips<'a>(
    stands: impl Iterator<Item = &'a Stand> + Clone,
    of_name: &dyn Fn(&str) -> Vec<IpAddr>,
) -> Result<Vec<Strip>, TooMany> {
    let names: BTreeSet<_> = stands.clone().flat_map(Stand::names).collect();
    within("names", names.len(), NAMES_MAX)?;
    within("rules", stands.clone().map(|stand| stand.rules.len()).sum(), RULES_MAX)?;
    let mut strips = BTreeMap::<What, Addresses>::new();
    for stand in stands {
        for rule in &stand.rules {
            let addresses = stand.addresses(rule, of_name);
            for what in whats(rule) {
                strips.entry(what).or_default().merge(&addresses);
            }
        }
    }
    strips.retain(|_, addresses| addresses.runs() > 0);
    within("runs of ports", strips.len(), STRIPS_MAX)?;
    within("runs of addresses", strips.values().map(Addresses::runs).sum(), RUNS_MAX)?;
    Ok(strips.into_iter().map(|(what, addresses)| Strip { what, addresses }).collect())
}

/// What of the traffic a rule is about.
pub fn whats(rule: &Rule) -> Vec<What> {
    let Some(Ports { transport, first, last }) = rule.ports else { return vec![What::All] };
    let transport = match transport {
        policy::Transport::Tcp => Transport::Tcp,
        policy::Transport::Udp => Transport::Udp,
    };
    let at = |at| What::Ports { transport, first, last, at };
    match rule.direction {
        Direction::Both => vec![at(At::Here), at(At::Peer)],
        Direction::In => vec![at(At::Here)],
        Direction::Out => vec![at(At::Peer)],
    }
}

fn within(what: &'static str, found: usize, max: usize) -> Result<(), TooMany> {
    if found > max { Err(TooMany { what, found, max }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stand(rules: Vec<Rule>, except: &[&str]) -> Stand {
        let network = |text: &&str| Network { address: text.parse().unwrap(), bits: 32 };
        Stand { key: [0; 16], rules, except: except.iter().map(network).collect() }
    }

    fn rule(peer: Peer, direction: Direction, port: Option<u16>) -> Rule {
        let ports = |port| Ports { transport: policy::Transport::Tcp, first: port, last: port };
        Rule { peer, direction, ports: port.map(ports), at: None }
    }

    fn network(address: &str, bits: u8) -> Peer {
        Peer::Network { address: address.parse().unwrap(), bits }
    }

    fn planned(stands: &[Stand]) -> Result<Vec<Strip>, TooMany> {
        strips(stands.iter(), &|name| match name {
            "evil.example" => vec![[192, 0, 2, 7].into(), "2001:db8::7".parse().unwrap()],
            _ => Vec::new(),
        })
    }

    fn blocked(stands: &[Stand], what: What, ip: &str) -> bool {
        let strips = planned(stands).unwrap();
        let ip = ip.parse().unwrap();
        strips.iter().any(|strip| strip.what == what && strip.addresses.contains(ip))
    }

    const SSH: What = What::Ports { transport: Transport::Tcp, first: 22, last: 22, at: At::Here };

    #[test]
    fn who_one_command_leaves_out_is_blocked_all_the_same_by_another() {
        let lateral = stand(vec![rule(Peer::Anyone, Direction::In, Some(22))], &["192.0.2.9"]);
        let one = std::slice::from_ref(&lateral);
        assert!(blocked(one, SSH, "192.0.2.8"));
        assert!(blocked(one, SSH, "2001:db8::1"));
        assert!(!blocked(one, SSH, "192.0.2.9"));
        let other = stand(vec![rule(network("192.0.2.0", 24), Direction::In, Some(22))], &[]);
        assert!(blocked(&[lateral, other], SSH, "192.0.2.9"));
    }

    #[test]
    fn a_name_is_its_addresses_and_one_without_any_blocks_nothing() {
        let name =
            |name: &str| stand(vec![rule(Peer::Name(name.to_owned()), Direction::Both, None)], &[]);
        assert!(blocked(&[name("evil.example")], What::All, "192.0.2.7"));
        assert!(blocked(&[name("evil.example")], What::All, "2001:db8::7"));
        assert_eq!(planned(&[name("other.example")]), Ok(Vec::new()));
    }

    #[test]
    fn both_directions_of_a_port_are_two() {
        let both = stand(vec![rule(network("192.0.2.1", 32), Direction::Both, Some(22))], &[]);
        assert_eq!(planned(&[both]).unwrap().len(), 2);
    }

    #[test]
    fn there_is_an_end_to_everything() {
        let scattered = |count: u32| {
            let address = |at: u32| network(&std::net::Ipv4Addr::from(2 * at).to_string(), 32);
            let rules = (0..count).map(|at| rule(address(at), Direction::Both, None));
            stand(rules.collect(), &[])
        };
        assert_eq!(planned(&[scattered(4096)]).unwrap()[0].addresses.runs(), RUNS_MAX);
        let error = planned(&[scattered(4097)]).unwrap_err().to_string();
        assert_eq!(error, "4097 rules would be blocked, 4096 at most can be; undo a block first");
        let ports = (1..=129).map(|port| rule(Peer::Anyone, Direction::In, Some(port)));
        assert!(planned(&[stand(ports.collect(), &[])]).is_err());
        let named =
            (0..65).map(|at| rule(Peer::Name(format!("a{at}.example")), Direction::Both, None));
        assert!(planned(&[stand(named.collect(), &[])]).is_err());
    }
}
