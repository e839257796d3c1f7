//! What must stay open while an endpoint is cut off, from what policy signs and the event loop
//! knows at the moment.
//!
//! Pure.

use std::net::{IpAddr, SocketAddr};

use cordon_proto::policy::{self, Policy};

use crate::action::isolate::record::Plan;
use crate::platform::linux::nft::wall::{Exemption, Transport};

/// Addresses of collectors that stay reachable.
pub(crate) const COLLECTORS_MAX: usize = 16;

/// The ways that must stay open, as the event loop knows them at this moment.
#[derive(Clone, Debug, Default)]
pub struct Ways {
    /// The mark of the agent's own packets.
    pub mark: u32,
    /// The addresses of the agents' doors, or of the proxy on the way.
    pub collectors: Vec<SocketAddr>,
    /// These may not be all: a door is known by name, or there is a proxy. An address that stays
    /// reachable now then stays so, because no name can be resolved while cut off.
    pub by_name: bool,
    /// Who gave this endpoint its addresses.
    pub dhcp_servers: Vec<IpAddr>,
    /// The numbers of the users that policy names, as far as they are known here.
    pub users: Vec<(String, u32)>,
}

impl Ways {
    /// The plan that these ways and the policy make; `standing` is the one that is to be changed.
    pub(super) fn plan(self, policy: Option<&Policy>, standing: Option<&Plan>) -> Plan {
        let Self { mark, collectors, by_name, dhcp_servers, users } = self;
        let mut all: Vec<SocketAddr> = Vec::new();
        // Those that stand first, so that the same set in another order is the same plan.
        let keeps =
            |door: &&SocketAddr| by_name || collectors.is_empty() || collectors.contains(door);
        let kept = standing.into_iter().flat_map(|plan| &plan.collectors).filter(keeps);
        for door in kept.chain(&collectors) {
            if !all.contains(door) && all.len() < COLLECTORS_MAX {
                all.push(*door);
            }
        }
        let signed = policy.map(|policy| policy.exemptions.as_slice()).unwrap_or_default();
        let exemptions = signed.iter().filter_map(|one| exemption(one, &users)).collect();
        Plan { mark, collectors: all, exemptions, dhcp_servers }
    }
}

/// None for a user who is not known here: closed is the safe side.
fn exemption(signed: &policy::Exemption, users: &[(String, u32)]) -> Option<Exemption> {
    let transport = match signed.transport {
        policy::Transport::Tcp => Transport::Tcp,
        policy::Transport::Udp => Transport::Udp,
    };
    let uid = match &signed.user {
        None => None,
        Some(user) => Some(users.iter().find(|(name, _)| name == user)?.1),
    };
    Some(Exemption { transport, peer: SocketAddr::new(signed.address, signed.port), uid })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(text: &str) -> Vec<SocketAddr> {
        text.split_whitespace()
            .map(|host| format!("192.0.2.{host}:7443").parse().unwrap())
            .collect()
    }

    #[track_caller]
    fn check(standing: Option<&str>, now: &str, by_name: bool, expected: &str) {
        let plan = |hosts: &str| Plan {
            mark: 7,
            collectors: addresses(hosts),
            exemptions: Vec::new(),
            dhcp_servers: Vec::new(),
        };
        let standing = standing.map(plan);
        let ways = Ways { mark: 7, collectors: addresses(now), by_name, ..Ways::default() };
        assert_eq!(ways.plan(None, standing.as_ref()), plan(expected));
    }

    #[test]
    fn what_the_roster_no_longer_names_is_closed_unless_names_are_in_play() {
        check(None, "1 2", false, "1 2");
        check(Some("1 2"), "2 1", false, "1 2");
        check(Some("1 2"), "2 3", false, "2 3");
        check(Some("1 2"), "2 3", true, "1 2 3");
        check(Some("1 2"), "", true, "1 2");
    }

    #[test]
    fn a_plan_without_any_collector_is_never_made_of_one_that_has_some() {
        check(Some("1"), "", false, "1");
    }

    #[test]
    fn an_exemption_for_a_user_opens_for_that_user_or_for_nobody() {
        let signed = |user: Option<&str>| policy::Exemption {
            address: "192.0.2.9".parse().unwrap(),
            port: 22,
            transport: policy::Transport::Tcp,
            process: None,
            user: user.map(str::to_owned),
        };
        let users = [("rmm".to_owned(), 998)];
        let uid = |user| exemption(&signed(user), &users).map(|exemption| exemption.uid);
        assert_eq!(uid(None), Some(None));
        assert_eq!(uid(Some("rmm")), Some(Some(998)));
        assert_eq!(uid(Some("other")), None);
    }
}
