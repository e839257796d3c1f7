//! What was observed of a standing isolation, and the attempts that it is observed by.
//!
//! The attempts that must fail are made by this process on sockets without the agent's mark: the
//! rules know marks and users, not processes. What our rules dropped meanwhile is counted, so that
//! silence can be told from having been stopped here.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use super::Seen;
use super::drift::Drift;
use super::record::Plan;
use super::shell::{self, Look, ShellError};
use crate::platform::linux::nft::ruleset::Digest;
use crate::platform::linux::socket::{Reach, SocketError, try_datagram, try_stream};

/// An attempt that must fail is over after this long.
pub const CLOSED_WAIT: Duration = Duration::from_millis(300);
/// A collector may be far away.
pub const COLLECTOR_WAIT: Duration = Duration::from_secs(2);

/// Where nobody lives (RFC 5737, RFC 3849): for a family in which no collector has an address.
const NOWHERE_IPV4: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 443);
const NOWHERE_IPV6: SocketAddr =
    SocketAddr::new(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)), 443);
const DNS_PORT: u16 = 53;
/// Asks for the name servers of the root.
const DNS_QUESTION: [u8; 17] = [0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1];

/// One look at a standing isolation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    pub expected: Digest,
    pub read_back: Digest,
    /// In what the rules are not as they must be.
    pub drift: Option<Drift>,
    pub owned: bool,
    pub packet_sockets_closed: bool,
    /// The agent's own attempts, until one collector answered.
    pub collectors: Vec<(SocketAddr, Reach)>,
    /// Attempts that must fail.
    pub closed: Vec<Closed>,
    /// Foreign sockets that are still connected; must be none.
    pub residual_sockets: usize,
    pub dropped_packets: u64,
    /// Packets that our rules dropped while the attempts were made.
    pub dropped_meanwhile: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed {
    pub what: Attempt,
    pub to: SocketAddr,
    pub reach: Reach,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    Ipv4,
    Ipv6,
    Dns,
}

struct Probes {
    collectors: Vec<(SocketAddr, Reach)>,
    closed: Vec<Closed>,
}

impl Proof {
    /// Did our own rules drop at least as many packets as attempts were met with silence?
    pub fn stopped_here(&self) -> bool {
        let silent = self.closed.iter().filter(|closed| closed.reach == Reach::Silent).count();
        self.dropped_meanwhile >= u64::try_from(silent).unwrap_or(u64::MAX)
    }

    /// The five questions as one answer; the first "no" is the one that is told.
    pub fn seen(&self) -> Seen {
        let open = |closed: &&Closed| closed.reach == Reach::Reached;
        match &self.drift {
            Some(Drift::Rules(difference)) => return Seen::Drifted(difference.clone()),
            Some(Drift::Devices) => return Seen::Devices,
            None if self.expected != self.read_back => {
                return Seen::Drifted("the rules read back are not those asked for".into());
            }
            None => {}
        }
        if let Some(Closed { what, to, .. }) = self.closed.iter().find(open) {
            return Seen::Open(format!("{what:?} to {to} is open without the agent's mark"));
        }
        if self.residual_sockets != 0 {
            return Seen::Open(format!("{} foreign sockets are connected", self.residual_sockets));
        }
        if !self.collectors.iter().any(|(_, reach)| *reach == Reach::Reached) {
            return Seen::CollectorSilent;
        }
        Seen::Proved
    }
}

/// Looks at the wall from both sides. `look` is called before the attempts and after them, so that
/// whoever holds the wall has it to themselves in between.
pub fn prove(
    mut look: impl FnMut() -> Result<Look, ShellError>,
    plan: &Plan,
    resolvers: &[IpAddr],
) -> Result<Proof, ShellError> {
    let before = look()?;
    let probes = probe(plan, resolvers)?;
    let residual_sockets = shell::residual(plan)?;
    let after = look()?;
    Ok(Proof {
        expected: after.expected,
        read_back: after.read_back,
        drift: after.drift.or(before.drift),
        owned: after.owned,
        packet_sockets_closed: after.packet_sockets_closed,
        collectors: probes.collectors,
        closed: probes.closed,
        residual_sockets,
        dropped_packets: after.dropped_packets,
        dropped_meanwhile: after.dropped_packets.saturating_sub(before.dropped_packets),
    })
}

/// Makes the attempts, one after the other; bounded by the waits above.
fn probe(plan: &Plan, resolvers: &[IpAddr]) -> Result<Probes, SocketError> {
    let mut closed = Vec::new();
    for (what, to) in targets(plan, resolvers) {
        let reach = match what {
            Attempt::Ipv4 | Attempt::Ipv6 => try_stream(to, None, CLOSED_WAIT)?,
            Attempt::Dns => try_datagram(to, &DNS_QUESTION)?,
        };
        closed.push(Closed { what, to, reach });
    }
    let mut collectors = Vec::new();
    for collector in &plan.collectors {
        let reach = try_stream(*collector, Some(plan.mark), COLLECTOR_WAIT)?;
        collectors.push((*collector, reach));
        if reach == Reach::Reached {
            break;
        }
    }
    Ok(Probes { collectors, closed })
}

/// Whom the attempts go to: collectors where possible, as those would surely answer.
fn targets(plan: &Plan, resolvers: &[IpAddr]) -> Vec<(Attempt, SocketAddr)> {
    let of = |wanted: fn(&IpAddr) -> bool, otherwise: SocketAddr| {
        let outside = |peer: &&SocketAddr| {
            let ip = peer.ip().to_canonical();
            wanted(&ip) && !ip.is_loopback()
        };
        plan.collectors.iter().find(outside).copied().unwrap_or(otherwise)
    };
    let ipv4 = of(IpAddr::is_ipv4, NOWHERE_IPV4);
    let ipv6 = of(IpAddr::is_ipv6, NOWHERE_IPV6);
    let mut resolvers: Vec<_> = resolvers.iter().filter(|ip| !ip.is_loopback()).copied().collect();
    if resolvers.is_empty() {
        resolvers.push(ipv4.ip());
    }
    // An exempt resolver is open by order.
    let exempt = |ip: &IpAddr| {
        plan.exemptions.iter().any(|exempt| exempt.peer == SocketAddr::new(*ip, DNS_PORT))
    };
    let dns = resolvers.into_iter().filter(|ip| !exempt(ip)).take(1);
    let dns = dns.map(|ip| (Attempt::Dns, SocketAddr::new(ip, DNS_PORT)));
    [(Attempt::Ipv4, ipv4), (Attempt::Ipv6, ipv6)].into_iter().chain(dns).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proof() -> Proof {
        let collector = SocketAddr::from(([192, 0, 2, 7], 7443));
        Proof {
            expected: [1; 32],
            read_back: [1; 32],
            drift: None,
            owned: true,
            packet_sockets_closed: true,
            collectors: vec![(collector, Reach::Reached)],
            closed: vec![Closed { what: Attempt::Dns, to: collector, reach: Reach::Refused }],
            residual_sockets: 0,
            dropped_packets: 12,
            dropped_meanwhile: 2,
        }
    }

    #[track_caller]
    fn check(change: impl FnOnce(&mut Proof), expected: fn(&Seen) -> bool) {
        let mut proof = proof();
        change(&mut proof);
        let seen = proof.seen();
        assert!(expected(&seen), "{seen:?}");
    }

    #[test]
    fn proved_needs_a_yes_to_every_question() {
        check(|_| {}, |seen| *seen == Seen::Proved);
        check(|proof| proof.read_back = [2; 32], |seen| matches!(seen, Seen::Drifted(_)));
        let changed = |proof: &mut Proof| proof.drift = Some(Drift::Rules("gone".into()));
        check(changed, |seen| *seen == Seen::Drifted("gone".into()));
        check(|proof| proof.drift = Some(Drift::Devices), |seen| *seen == Seen::Devices);
        check(|proof| proof.closed[0].reach = Reach::Reached, |seen| matches!(seen, Seen::Open(_)));
        check(|proof| proof.residual_sockets = 1, |seen| matches!(seen, Seen::Open(_)));
        check(|proof| proof.collectors[0].1 = Reach::Silent, |seen| *seen == Seen::CollectorSilent);
        check(|proof| proof.collectors.clear(), |seen| *seen == Seen::CollectorSilent);
    }

    #[test]
    fn attempts_go_to_the_collector_and_to_a_resolver_outside() {
        let plan = Plan {
            mark: 1,
            collectors: vec!["[2001:db8::7]:7443".parse().unwrap()],
            exemptions: Vec::new(),
            dhcp_servers: Vec::new(),
        };
        let resolvers = ["127.0.0.53".parse().unwrap(), "192.0.2.53".parse().unwrap()];
        let targets = targets(&plan, &resolvers);
        let expected = [
            (Attempt::Ipv4, NOWHERE_IPV4),
            (Attempt::Ipv6, plan.collectors[0]),
            (Attempt::Dns, "192.0.2.53:53".parse().unwrap()),
        ];
        assert_eq!(targets, expected);
    }
}
