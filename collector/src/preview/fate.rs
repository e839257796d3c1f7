//! Whether a connection would outlive an isolation: what the endpoint's wall does, foretold from
//! what an event tells of the connection.
//!
//! Pure. It is a forecast: who sends is judged by the name of a program, where the wall judges by a
//! mark that only the agent's own sockets carry.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use cordon_proto::Text;
use cordon_proto::event::network::{Connection, Direction, Peer, Transport};
use cordon_proto::policy::{self, Exemption};
use serde::Serialize;

/// The agent's name as the kernel keeps it.
const AGENT: &[u8] = b"cordon-agent";

/// Both ends of a DHCP renewal, the endpoint's first.
const DHCP_PORTS: [(u16, u16); 2] = [(68, 67), (546, 547)];

/// Where DHCP is asked of anybody on the link.
const DHCP_V6_SERVERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2);

/// What becomes of it.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It ends.
    Cut,
    /// It cannot be told from here.
    Unknown,
    /// It goes on.
    Kept,
}

/// What becomes of a connection, and why.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Verdict {
    /// Nothing keeps it.
    NotExempt,
    /// It is another network namespace's: what is forwarded is closed whoever is exempt.
    Forwarded,
    /// Its peer is exempt, for another user.
    OtherUser,
    /// The peer of what arrives is exempt only where it answers.
    WaitsForOthers,
    /// Its peer is exempt, for a user who cannot be compared here.
    UserUnknown,
    /// It goes to the collector, and not from the agent as far as is known.
    DoorUnknown,
    /// It is the agent's own, and not to an address of the roster: a proxy, or an old one.
    OwnElsewhere,
    /// It stays on the endpoint.
    Loopback,
    /// Its peer is exempt.
    Exempt,
    /// It is the agent's way to the collector.
    Door,
    /// It renews the endpoint's address.
    Dhcp,
}

impl Verdict {
    /// What becomes of it.
    #[must_use]
    pub fn fate(self) -> Fate {
        match self {
            Self::NotExempt | Self::Forwarded | Self::OtherUser | Self::WaitsForOthers => Fate::Cut,
            Self::UserUnknown | Self::DoorUnknown | Self::OwnElsewhere => Fate::Unknown,
            Self::Loopback | Self::Exempt | Self::Door | Self::Dhcp => Fate::Kept,
        }
    }

    /// Why, for a person.
    #[must_use]
    pub fn why(self) -> &'static str {
        match self {
            Self::NotExempt => "nothing exempts it",
            Self::Forwarded => "of a container or another network namespace: forwarding is closed",
            Self::OtherUser => "exempt for another user only",
            Self::WaitsForOthers => "open to others; only answers of exempt peers still come in",
            Self::UserUnknown => "exempt for one user, and whose it is cannot be told",
            Self::DoorUnknown => "the collector's address, kept for the agent only",
            Self::OwnElsewhere => "the agent's own; kept if it is its way to the collector",
            Self::Loopback => "loopback",
            Self::Exempt => "exempt by policy",
            Self::Door => "the agent's way to the collector",
            Self::Dhcp => "renews the address; kept towards the server on record",
        }
    }
}

/// What stays open, as policy and roster say.
#[derive(Clone, Debug, Default)]
pub struct Ways {
    /// What the signed policy exempts.
    pub exemptions: Vec<Exemption>,
    /// The agents' doors, `host:port`.
    pub doors: Vec<String>,
    /// The endpoint's users by name; none where its inventory of them is not here.
    pub users: Option<BTreeMap<Text, u32>>,
}

impl Ways {
    /// What becomes of a connection.
    #[must_use]
    pub fn connection(&self, connection: &Connection) -> Verdict {
        let Connection { transport, direction, local, remote, owner, host_name, netns, .. } =
            connection;
        if remote.ip.to_canonical().is_loopback() || (local.ip == remote.ip && netns.is_none()) {
            return Verdict::Loopback;
        }
        if netns.is_some() {
            return Verdict::Forwarded;
        }
        if let Some(verdict) = self.exempt(*transport, *remote, owner.as_ref().map(|o| o.uid)) {
            return verdict;
        }
        if *transport == Transport::Udp && is_dhcp(*local, *remote) {
            return Verdict::Dhcp;
        }
        let own = owner.as_ref().and_then(|owner| owner.name.as_ref());
        let own = own.map(|name| name.as_bytes() == AGENT);
        let name = host_name.as_ref().map(Text::to_lossy);
        let outbound = *direction != Some(Direction::Inbound) && *transport == Transport::Tcp;
        match (outbound && self.is_door(*remote, name.as_deref()), own) {
            (true, Some(true)) => Verdict::Door,
            (true, None) => Verdict::DoorUnknown,
            (false, Some(true)) if outbound => Verdict::OwnElsewhere,
            (true | false, _) => Verdict::NotExempt,
        }
    }

    /// What becomes of somebody who waits for others at an address.
    #[must_use]
    pub fn listener(&self, local: Peer, netns: Option<u64>) -> Verdict {
        match (local.ip.to_canonical().is_loopback(), netns) {
            (true, _) => Verdict::Loopback,
            (false, Some(_)) => Verdict::Forwarded,
            (false, None) => Verdict::WaitsForOthers,
        }
    }

    /// By what policy exempts; the wall opens for both directions of exactly this peer.
    fn exempt(
        &self,
        transport: Transport,
        remote: Peer,
        uid: Option<Option<u32>>,
    ) -> Option<Verdict> {
        let fits = |one: &&Exemption| {
            let same = matches!(
                (one.transport, transport),
                (policy::Transport::Tcp, Transport::Tcp) | (policy::Transport::Udp, Transport::Udp)
            );
            same && one.port == remote.port && one.address == remote.ip.to_canonical()
        };
        let verdict = |one: &Exemption| {
            let Some(user) = &one.user else { return Verdict::Exempt };
            let Some(users) = &self.users else { return Verdict::UserUnknown };
            // A user who is not known there keeps nothing open.
            let named = users.get(&Text::from(user.as_str()));
            match (named, uid.flatten()) {
                (None, _) => Verdict::OtherUser,
                (Some(_), None) => Verdict::UserUnknown,
                (Some(named), Some(uid)) if *named == uid => Verdict::Exempt,
                (Some(_), Some(_)) => Verdict::OtherUser,
            }
        };
        self.exemptions.iter().filter(fits).map(verdict).max()
    }

    fn is_door(&self, remote: Peer, name: Option<&str>) -> bool {
        self.doors.iter().any(|door| {
            let Some((host, port)) = door.rsplit_once(':') else { return false };
            let host = host.trim_start_matches('[').trim_end_matches(']');
            let here = match host.parse::<IpAddr>() {
                Ok(ip) => ip.to_canonical() == remote.ip.to_canonical(),
                Err(_) => name.is_some_and(|name| name.eq_ignore_ascii_case(host)),
            };
            here && port.parse() == Ok(remote.port)
        })
    }
}

fn is_dhcp(local: Peer, remote: Peer) -> bool {
    let asks = DHCP_PORTS.contains(&(local.port, remote.port));
    let everybody = [IpAddr::V4(Ipv4Addr::BROADCAST), IpAddr::V6(DHCP_V6_SERVERS)];
    asks && (everybody.contains(&remote.ip) || !remote.ip.is_multicast())
}

#[cfg(test)]
mod tests {
    use cordon_proto::event::network::{Means, Owner};

    use super::*;

    fn peer(text: &str) -> Peer {
        let at: std::net::SocketAddr = text.parse().unwrap();
        Peer { ip: at.ip(), port: at.port() }
    }

    /// `OWNER[=UID] LOCAL >|<|? REMOTE`, with `udp`, a name of the peer and a namespace after it.
    fn connection(text: &str) -> Connection {
        let words: Vec<&str> = text.split(' ').collect();
        let (name, uid) = words[0].split_once('=').unwrap_or((words[0], ""));
        let owner = (name != "?").then(|| Owner {
            pid: 7,
            start_boot_ns: None,
            uid: uid.parse().ok(),
            cgroup_id: None,
            name: Some(name.into()),
        });
        let udp = words.contains(&"udp");
        let named = words.iter().find_map(|word| word.strip_prefix("name="));
        Connection {
            means: Means::Bpf,
            transport: if udp { Transport::Udp } else { Transport::Tcp },
            direction: match words[2] {
                ">" => Some(Direction::Outbound),
                "<" => Some(Direction::Inbound),
                _ => None,
            },
            local: peer(words[1]),
            remote: peer(words[3]),
            owner,
            host_name: named.map(Text::from),
            netns: words.contains(&"netns").then_some(4_026_532_000),
        }
    }

    fn exempt(address: &str, port: u16, transport: policy::Transport, user: &str) -> Exemption {
        let user = (!user.is_empty()).then(|| user.to_owned());
        let address = address.parse().unwrap();
        Exemption { address, port, transport, process: None, user }
    }

    #[track_caller]
    fn check(text: &str, verdict: Verdict) {
        let tcp = policy::Transport::Tcp;
        let ways = Ways {
            exemptions: vec![
                exempt("192.0.2.9", 22, tcp, ""),
                exempt("192.0.2.8", 443, tcp, "rmm"),
                exempt("192.0.2.7", 443, tcp, "nobody-here"),
                exempt("2001:db8::5", 514, policy::Transport::Udp, ""),
            ],
            doors: ["192.0.2.1:7443", "[2001:db8::1]:7443", "door.example:7443"]
                .map(str::to_owned)
                .into(),
            users: Some([(Text::from("rmm"), 998)].into()),
        };
        assert_eq!(ways.connection(&connection(text)), verdict, "{text}");
    }

    #[test]
    fn what_policy_exempts_is_kept_by_address_port_transport_and_user() {
        check("ssh=0 192.0.2.5:40000 > 192.0.2.9:22", Verdict::Exempt);
        check("ssh=0 192.0.2.5:40000 > 192.0.2.9:23", Verdict::NotExempt);
        check("ssh=0 192.0.2.5:40000 > 192.0.2.99:22", Verdict::NotExempt);
        check("ssh=0 192.0.2.5:40000 > 192.0.2.9:22 udp", Verdict::NotExempt);
        check("logger=0 [2001:db8::9]:9 > [2001:db8::5]:514 udp", Verdict::Exempt);
        check("rmm=998 192.0.2.5:40000 > 192.0.2.8:443", Verdict::Exempt);
        check("curl=0 192.0.2.5:40000 > 192.0.2.8:443", Verdict::OtherUser);
        check("? 192.0.2.5:40000 > 192.0.2.8:443", Verdict::UserUnknown);
        check("rmm=998 192.0.2.5:40000 > 192.0.2.7:443", Verdict::OtherUser);
    }

    #[test]
    fn who_connects_from_an_exempt_address_is_cut_unless_its_port_is_exempt_too() {
        check("sshd=0 192.0.2.5:22 < 192.0.2.9:50000", Verdict::NotExempt);
        check("sshd=0 192.0.2.5:22 < 192.0.2.9:22", Verdict::Exempt);
    }

    #[test]
    fn the_collectors_address_is_kept_for_the_agent_alone() {
        check("cordon-agent=0 192.0.2.5:40000 > 192.0.2.1:7443", Verdict::Door);
        check("cordon-agent=0 [2001:db8::2]:40000 > [2001:db8::1]:7443", Verdict::Door);
        check("cordon-agent=0 192.0.2.5:4 > 192.0.2.3:7443 name=Door.example", Verdict::Door);
        check("curl=0 192.0.2.5:40000 > 192.0.2.1:7443", Verdict::NotExempt);
        check("? 192.0.2.5:40000 > 192.0.2.1:7443", Verdict::DoorUnknown);
        check("cordon-agent=0 192.0.2.5:40000 > 192.0.2.20:3128", Verdict::OwnElsewhere);
        check("cordon-agent=0 192.0.2.5:40000 > 192.0.2.1:7443 udp", Verdict::NotExempt);
    }

    #[test]
    fn loopback_stays_and_containers_are_closed_whoever_is_exempt() {
        check("psql=5 127.0.0.1:40000 > 127.0.0.1:5432", Verdict::Loopback);
        check("psql=5 192.0.2.5:40000 > 192.0.2.5:5432", Verdict::Loopback);
        check("x=0 [::ffff:127.0.0.1]:40000 > [::ffff:127.0.0.1]:80", Verdict::Loopback);
        check("app=0 172.17.0.2:40000 > 192.0.2.9:22 netns", Verdict::Forwarded);
        check("app=0 127.0.0.1:40000 > 127.0.0.1:80 netns", Verdict::Loopback);
        check("dhclient=0 192.0.2.5:68 > 192.0.2.254:67 udp", Verdict::Dhcp);
        check("dhclient=0 0.0.0.0:68 > 255.255.255.255:67 udp", Verdict::Dhcp);
        check("x=0 192.0.2.5:68 > 192.0.2.254:53 udp", Verdict::NotExempt);
    }

    #[test]
    fn without_the_endpoints_users_an_exemption_for_one_is_not_guessed() {
        let tcp = policy::Transport::Tcp;
        let exemptions = vec![exempt("192.0.2.8", 443, tcp, "rmm")];
        let ways = Ways { exemptions, ..Ways::default() };
        let said = ways.connection(&connection("rmm=998 192.0.2.5:40000 > 192.0.2.8:443"));
        assert_eq!((said, said.fate()), (Verdict::UserUnknown, Fate::Unknown));
    }

    #[test]
    fn who_waits_for_others_waits_in_vain_but_on_loopback() {
        let ways = Ways::default();
        let fate = |at, netns| ways.listener(peer(at), netns).fate();
        assert_eq!(fate("127.0.0.1:5432", None), Fate::Kept);
        assert_eq!(fate("[::]:22", None), Fate::Cut);
        assert_eq!(fate("172.17.0.2:80", Some(7)), Fate::Cut);
    }
}
