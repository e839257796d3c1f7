//! Blocking addresses, names and ports, in one direction or both; by it also the traffic between
//! two groups of endpoints, and the ports that intruders move along.

use std::net::IpAddr;

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use super::{CommandFormError, Target, range, text};
use crate::id::EndpointId;
use crate::limits;
use crate::policy::{Transport, address};

/// Rules in one command.
pub(super) const RULES_MAX: usize = 512;

/// Networks that one command leaves out.
const EXCEPT_MAX: usize = 64;

/// Groups of endpoints in one command.
const GROUPS_MAX: usize = 16;

/// Who is on the other side.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Peer {
    /// Everybody.
    #[n(0)]
    Anyone,
    /// An address, or all that begin alike.
    #[n(1)]
    Network {
        /// The address.
        #[cbor(n(0), with = "address")]
        address: IpAddr,
        /// How many bits count.
        #[n(1)]
        bits: u8,
    },
    /// Whatever a name stands for, now and while the rule stands; `*.example.com` is every name
    /// below `example.com` that this endpoint sees an answer for.
    #[n(2)]
    Name(#[n(0)] String),
}

/// An address, or all that begin alike.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Encode, Decode, Serialize)]
pub struct Network {
    /// The address.
    #[cbor(n(0), with = "address")]
    pub address: IpAddr,
    /// How many bits count.
    #[n(1)]
    pub bits: u8,
}

/// On whose side the ports of a rule are.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum Direction {
    /// On either; without ports, nothing passes at all.
    #[n(0)]
    Both,
    /// Here: what the peer begins to a port of this endpoint.
    #[n(1)]
    In,
    /// At the peer: what this endpoint begins to a port of the peer.
    #[n(2)]
    Out,
}

/// A run of ports of one protocol.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Encode, Decode, Serialize)]
pub struct Ports {
    /// TCP or UDP.
    #[n(0)]
    pub transport: Transport,
    /// The first.
    #[n(1)]
    pub first: u16,
    /// The last.
    #[n(2)]
    pub last: u16,
}

/// One thing that may not pass.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode, Serialize)]
pub struct Rule {
    /// Who is on the other side.
    #[n(0)]
    pub peer: Peer,
    /// On whose side the ports are.
    #[n(1)]
    pub direction: Direction,
    /// Which ports; none for everything between the two, which then is of both directions.
    #[n(2)]
    pub ports: Option<Ports>,
    /// Which of the command's groups of endpoints it is for; none for all that the command names.
    #[n(3)]
    pub at: Option<u8>,
}

/// Block addresses, names or ports.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode, Serialize)]
pub struct Block {
    /// What may not pass.
    #[n(0)]
    pub rules: Vec<Rule>,
    /// How long it stands, in seconds of endpoint time; none until it is undone.
    #[n(1)]
    pub lease_secs: Option<u64>,
    /// Who is left out of every rule.
    #[n(2)]
    pub except: Option<Vec<Network>>,
    /// Groups of the command's endpoints, for rules that are for one of them. So one command can
    /// shut the traffic between two groups, each endpoint its own side.
    #[n(3)]
    pub groups: Option<Vec<Vec<EndpointId>>>,
}

impl Block {
    pub(super) fn check(&self, targets: &[Target]) -> Result<(), CommandFormError> {
        count("count of rules", self.rules.len(), RULES_MAX)?;
        if let Some(except) = &self.except {
            count("count of exceptions", except.len(), EXCEPT_MAX)?;
            except.iter().try_for_each(Network::check)?;
        }
        let groups = self.groups.as_deref().unwrap_or_default();
        if self.groups.is_some() {
            count("count of groups", groups.len(), GROUPS_MAX)?;
        }
        for endpoint in groups.iter().flatten() {
            if !targets.iter().any(|target| target.endpoint == *endpoint) {
                return Err(CommandFormError::Parameter {
                    field: "a group with",
                    found: format!("{endpoint:?}"),
                    what: "target of the command",
                });
            }
        }
        for rule in &self.rules {
            rule.check()?;
            if let Some(at) = rule.at.filter(|at| usize::from(*at) >= groups.len()) {
                let found = at.to_string();
                return Err(CommandFormError::Parameter { field: "at", found, what: "group" });
            }
        }
        // An endpoint that nothing is for was named by mistake.
        let idle = targets.iter().find(|target| self.rules_at(target.endpoint).next().is_none());
        match idle {
            Some(target) => Err(CommandFormError::Parameter {
                field: "nothing about",
                found: format!("{:?}", target.endpoint),
                what: "target that a rule is for",
            }),
            None => Ok(()),
        }
    }

    /// The rules that are for an endpoint.
    pub fn rules_at(&self, endpoint: EndpointId) -> impl Iterator<Item = &Rule> {
        let groups = self.groups.as_deref().unwrap_or_default();
        let of = move |at: u8| groups.get(usize::from(at)).is_some_and(|g| g.contains(&endpoint));
        self.rules.iter().filter(move |rule| rule.at.is_none_or(of))
    }
}

impl Network {
    fn check(&self) -> Result<(), CommandFormError> {
        let bits_max = if self.address.is_ipv4() { 32 } else { 128 };
        // Everybody is no network; whoever means that says so.
        range("count of bits", u64::from(self.bits), bits_max)
    }
}

impl Rule {
    fn check(&self) -> Result<(), CommandFormError> {
        if self.ports.is_none() && self.direction != Direction::Both {
            // What comes in from a peer is also the answer to what was begun here.
            return Err(CommandFormError::Parameter {
                field: "direction",
                found: format!("{:?}", self.direction).to_lowercase(),
                what: "direction for a rule without ports; it is both",
            });
        }
        match &self.peer {
            // Everything from and to everybody is an isolation, and not this.
            Peer::Anyone if self.ports.is_none() => {
                return Err(CommandFormError::Parameter {
                    field: "peer",
                    found: "anyone".to_owned(),
                    what: "peer for a rule without ports; isolate instead",
                });
            }
            Peer::Anyone => {}
            Peer::Network { address, bits } => {
                Network { address: *address, bits: *bits }.check()?;
            }
            Peer::Name(name) => {
                text("name", name, limits::HOST_NAME_BYTES_MAX)?;
                if !is_name(name) {
                    let found = name.chars().take(256).collect();
                    let what = "host name of two labels or more, nor *. before one";
                    return Err(CommandFormError::Parameter { field: "name", found, what });
                }
            }
        }
        match self.ports {
            Some(Ports { first, last, .. }) if first == 0 || first > last => {
                let found = format!("{first} to {last}");
                Err(CommandFormError::Parameter { field: "ports", found, what: "run of ports" })
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// Letters, digits, hyphens and underscores between dots, as resolvers write names; two labels at
/// least, because nobody means a whole top-level domain.
fn is_name(name: &str) -> bool {
    let plain = name.strip_prefix("*.").unwrap_or(name);
    let label = |label: &str| {
        let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
        (1..=63).contains(&label.len()) && label.bytes().all(fits)
    };
    plain.contains('.') && plain.split('.').all(label) && plain.parse::<IpAddr>().is_err()
}

fn count(field: &'static str, found: usize, max: usize) -> Result<(), CommandFormError> {
    let number = |count| u64::try_from(count).unwrap_or(u64::MAX);
    range(field, number(found), number(max))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Nonce;

    fn endpoint(number: u8) -> EndpointId {
        EndpointId([number; 32])
    }

    fn target(number: u8) -> Target {
        let nonce = Nonce { boot_count: 1, endpoint_secs: 1, mac: [0; 16] };
        Target { endpoint: endpoint(number), host_name: "web".to_owned(), nonce }
    }

    fn rule(peer: Peer) -> Rule {
        Rule { peer, direction: Direction::Both, ports: None, at: None }
    }

    fn network(address: &str, bits: u8) -> Peer {
        Peer::Network { address: address.parse().unwrap(), bits }
    }

    /// Two endpoints that are to hear nothing of each other.
    fn segment() -> Block {
        let one = Rule { at: Some(0), ..rule(network("192.0.2.2", 32)) };
        let other = Rule { at: Some(1), ..rule(network("192.0.2.1", 32)) };
        let groups = Some(vec![vec![endpoint(1)], vec![endpoint(2)]]);
        Block { rules: vec![one, other], lease_secs: None, except: None, groups }
    }

    #[track_caller]
    fn check(change: impl FnOnce(&mut Block), expected: Result<(), &str>) {
        let mut block = segment();
        change(&mut block);
        let checked = block.check(&[target(1), target(2)]).map_err(|error| error.to_string());
        match (&checked, expected) {
            (Ok(()), Ok(())) => {}
            (Err(found), Err(part)) if found.contains(part) => {}
            _ => panic!("{checked:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn each_group_has_rules_of_its_own_and_nobody_is_named_for_nothing() {
        check(|_| {}, Ok(()));
        let rules = |number| segment().rules_at(endpoint(number)).cloned().collect::<Vec<_>>();
        assert_eq!(rules(1), segment().rules[..1]);
        assert_eq!(rules(2), segment().rules[1..]);
        assert!(rules(3).is_empty());
        check(|block| block.rules.truncate(1), Err("nothing about"));
        check(|block| block.rules[0].at = Some(2), Err("at 2"));
        check(|block| block.groups = None, Err("at 0"));
        check(|block| block.groups.as_mut().unwrap()[0].push(endpoint(3)), Err("a group with"));
    }

    #[test]
    fn a_direction_needs_ports_to_be_told_by() {
        let ports = Some(Ports { transport: Transport::Tcp, first: 22, last: 22 });
        check(|block| block.rules[0].direction = Direction::In, Err("direction in"));
        check(
            |block| {
                let (direction, at) = (Direction::In, None);
                block.rules.push(Rule { peer: Peer::Anyone, direction, ports, at });
            },
            Ok(()),
        );
        check(|block| block.rules[0].peer = Peer::Anyone, Err("isolate instead"));
        let backwards = Ports { transport: Transport::Tcp, first: 9, last: 8 };
        check(|block| block.rules[0].ports = Some(backwards), Err("9 to 8"));
    }

    #[test]
    fn everybody_is_no_network_and_a_top_level_domain_no_name() {
        check(|block| block.rules[0].peer = network("0.0.0.0", 0), Err("count of bits is 0"));
        check(|block| block.rules[0].peer = network("192.0.2.0", 33), Err("count of bits is 33"));
        for name in ["evil.example", "*.evil.example", "a-b_c.xn--bcher-kva.example"] {
            check(|block| block.rules[0].peer = Peer::Name(name.to_owned()), Ok(()));
        }
        for name in ["com", "*.com", "Evil.example", "a..b", "*.*.b", ".a.b", "a b.c", "192.0.2.1"]
        {
            check(|block| block.rules[0].peer = Peer::Name(name.to_owned()), Err("host name"));
        }
        check(|block| block.rules[0].peer = Peer::Name(String::new()), Err("name"));
        let except = |bits| Some(vec![Network { address: [192, 0, 2, 9].into(), bits }]);
        check(|block| block.except = except(32), Ok(()));
        check(|block| block.except = except(0), Err("count of bits"));
    }
}
