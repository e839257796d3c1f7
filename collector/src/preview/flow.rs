//! An endpoint's connections and listeners, gathered from what it told: grouped, counted, named,
//! each with what an isolation would do to it.
//!
//! Pure. Events come the newest first, so that what ended is known before what began.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;

use cordon_proto::Text;
use cordon_proto::event::dns::{DnsEvent, Says};
use cordon_proto::event::network::{
    Connection, Direction, Ended, Listener, NetworkEvent, Opened, Peer, Transport,
};
use serde::Serialize;

use super::fate::{Fate, Verdict, Ways};
use crate::time::Time;

/// Groups of connections, and listeners, kept in memory; what comes beyond is counted.
const GROUPS_MAX: usize = 4096;

/// Connections followed from their end to their beginning; beyond these nothing is called open.
const FOLLOWED_MAX: usize = 65_536;

/// Addresses that names are remembered for, and names of each.
const NAMED_MAX: usize = 4096;
const NAMES_MAX: usize = 3;

/// The first UDP port that is more often the near end of a question than a service.
const UDP_PASSING_FIRST: u16 = 32_768;

/// Connections of one kind.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Flow {
    /// Who began; none where that is not known.
    pub direction: Option<Direction>,
    /// Over which protocol.
    pub transport: Transport,
    /// The other end.
    pub address: IpAddr,
    /// The port of whoever was asked: the other end's, or of what came in the endpoint's own.
    pub port: u16,
    /// Names that the other end's address had in answers that the endpoint saw.
    pub names: Vec<Text>,
    /// The program, as the kernel names it; what is not UTF-8 is replaced.
    pub program: Option<Text>,
    /// Its user.
    pub uid: Option<u32>,
    /// How many.
    pub count: u64,
    /// How many of them stand, as far as was told.
    pub open: u64,
    /// How many attempts came to nothing.
    pub failed: u64,
    /// Bytes sent by those that ended, where that was told.
    pub bytes_sent: Option<u64>,
    /// Bytes received by those that ended, where that was told.
    pub bytes_received: Option<u64>,
    /// When one was last told of, by the endpoint's clock.
    pub last: Time,
    /// What an isolation does to them.
    pub fate: Fate,
    /// Why.
    pub why: &'static str,
}

/// Somebody who waits for others.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Port {
    /// Over which protocol.
    pub transport: Transport,
    /// Where.
    pub address: IpAddr,
    /// On which port.
    pub port: u16,
    /// The program; a path, or the name that the kernel keeps.
    pub program: Option<Text>,
    /// What an isolation does to it.
    pub fate: Fate,
    /// Why.
    pub why: &'static str,
}

#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Group {
    direction: Option<Direction>,
    transport: Transport,
    address: IpAddr,
    port: u16,
    program: Option<Text>,
    uid: Option<u32>,
    verdict: Verdict,
}

#[derive(Clone, Debug, Default)]
struct Sum {
    count: u64,
    open: u64,
    failed: u64,
    bytes_sent: Option<u64>,
    bytes_received: Option<u64>,
    last: Time,
}

type Ends = (Option<u64>, Transport, Peer, Peer);
type Place = (Option<u64>, Transport, Peer);

/// Everything gathered so far.
#[derive(Debug, Default)]
pub struct Flows {
    ways: Ways,
    groups: BTreeMap<Group, Sum>,
    left_out: u64,
    ended: HashSet<Ends>,
    begun: HashMap<Ends, (Group, Time)>,
    names: BTreeMap<IpAddr, BTreeSet<Text>>,
    places: BTreeMap<Place, (bool, Option<Text>, Time)>,
}

/// What was gathered.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Gathered {
    /// Connections: what stands first, then what is used most.
    pub flows: Vec<Flow>,
    /// Listeners, those that are cut first.
    pub ports: Vec<Port>,
    /// Connections and listeners that were told of and are in neither, because there were too many.
    pub left_out: u64,
}

impl Flows {
    /// Nothing yet; what is kept is judged by these ways.
    #[must_use]
    pub fn new(ways: Ways) -> Self {
        Self { ways, ..Self::default() }
    }

    /// Takes the next older event of a socket.
    pub fn handle_network(&mut self, event: &NetworkEvent, at: Time) {
        match event {
            NetworkEvent::Opened(Opened { connection, .. }) => self.opened(connection, at),
            NetworkEvent::Closed(ended) => self.ended(ended, at, false),
            NetworkEvent::Failed(ended) => self.ended(ended, at, true),
            NetworkEvent::Traffic(traffic) => {
                self.sum(&traffic.connection, at);
            }
            NetworkEvent::Listening(listener) => self.place(listener, at, true),
            NetworkEvent::ListeningEnded(listener) => self.place(listener, at, false),
        }
    }

    /// Takes the names of an answer.
    pub fn handle_dns(&mut self, answer: &DnsEvent) {
        for one in &answer.answers {
            if let Says::Address(ip) = &one.says {
                self.name(ip.to_canonical(), &answer.query);
            }
        }
    }

    /// Takes a listener of the endpoint's inventory; what events told of it goes before.
    pub fn handle_listed(&mut self, transport: Transport, local: Peer, program: Option<Text>) {
        let room = self.places.len() < GROUPS_MAX;
        match self.places.get_mut(&(None, transport, local)) {
            // The inventory knows the whole path.
            Some((true, known, _)) => *known = program.or_else(|| known.take()),
            Some((false, ..)) => {}
            None if room => {
                let listed = (true, program, Time(u64::MAX));
                self.places.insert((None, transport, local), listed);
            }
            None => self.left_out += 1,
        }
    }

    /// All of it; what stood before `from` (the agent or the machine started then) and was not told
    /// of again stands no longer.
    #[must_use]
    pub fn finish(mut self, from: Time) -> Gathered {
        for (group, at) in std::mem::take(&mut self.begun).into_values() {
            if let Some(sum) = self.groups.get_mut(&group) {
                sum.count += 1;
                sum.open += u64::from(at >= from);
            }
        }
        let names = &self.names;
        let flow = |(group, sum): (Group, Sum)| {
            let Group { direction, transport, address, port, program, uid, verdict } = group;
            let Sum { count, open, failed, bytes_sent, bytes_received, last } = sum;
            let names = names.get(&address).into_iter().flatten().cloned().collect();
            let (fate, why) = (verdict.fate(), verdict.why());
            Flow {
                direction,
                transport,
                address,
                port,
                names,
                program,
                uid,
                count,
                open,
                failed,
                bytes_sent,
                bytes_received,
                last,
                fate,
                why,
            }
        };
        let mut flows: Vec<Flow> = self.groups.into_iter().map(flow).collect();
        flows.sort_by_key(|flow| {
            let weight = (flow.open > 0, flow.count.saturating_add(flow.failed), flow.last);
            (flow.fate == Fate::Kept, std::cmp::Reverse(weight))
        });
        let stands = |(_, (stands, _, at)): &(Place, (bool, _, Time))| *stands && *at >= from;
        let ways = &self.ways;
        let port = |((netns, transport, local), (_, program, _)): (Place, _)| {
            let verdict = ways.listener(local, netns);
            let (fate, why) = (verdict.fate(), verdict.why());
            Port { transport, address: local.ip, port: local.port, program, fate, why }
        };
        let mut ports: Vec<Port> = self.places.into_iter().filter(stands).map(port).collect();
        ports.sort_by_key(|port| (port.fate, port.port, port.transport, port.address));
        // Two namespaces may have the same, which looks as if it were told twice.
        ports.dedup();
        Gathered { flows, ports, left_out: self.left_out }
    }

    fn opened(&mut self, connection: &Connection, at: Time) {
        let Some((group, _)) = self.sum(connection, at) else { return };
        if connection.transport == Transport::Udp {
            // Datagrams have no end; that they were sent is all there is to say.
            if let Some(sum) = self.groups.get_mut(&group) {
                sum.count += 1;
            }
            return;
        }
        let ends = ends(connection);
        if self.ended.remove(&ends) || self.begun.contains_key(&ends) {
            return;
        }
        if self.begun.len() < FOLLOWED_MAX && self.ended.len() < FOLLOWED_MAX {
            self.begun.insert(ends, (group, at));
        } else if let Some(sum) = self.groups.get_mut(&group) {
            sum.count += 1;
        }
    }

    fn ended(&mut self, ended: &Ended, at: Time, failed: bool) {
        let Some((_, sum)) = self.sum(&ended.connection, at) else { return };
        if failed {
            sum.failed += 1;
            return;
        }
        sum.count += 1;
        add(&mut sum.bytes_sent, ended.bytes_sent);
        add(&mut sum.bytes_received, ended.bytes_received);
        if self.ended.len() < FOLLOWED_MAX {
            self.ended.insert(ends(&ended.connection));
        }
    }

    /// The sum of the group that a connection belongs to, where there is room for it.
    fn sum(&mut self, connection: &Connection, at: Time) -> Option<(Group, &mut Sum)> {
        let Connection { transport, direction, local, remote, owner, host_name, .. } = connection;
        let address = remote.ip.to_canonical();
        if let Some(name) = host_name {
            self.name(address, name);
        }
        let inbound = *direction == Some(Direction::Inbound);
        let group = Group {
            direction: *direction,
            transport: *transport,
            address,
            port: if inbound { local.port } else { remote.port },
            program: owner.as_ref().and_then(|owner| owner.name.clone()),
            uid: owner.as_ref().and_then(|owner| owner.uid),
            verdict: self.ways.connection(connection),
        };
        if self.groups.len() >= GROUPS_MAX && !self.groups.contains_key(&group) {
            self.left_out += 1;
            return None;
        }
        let sum = self.groups.entry(group.clone()).or_default();
        sum.last = sum.last.max(at);
        Some((group, sum))
    }

    fn place(&mut self, listener: &Listener, at: Time, stands: bool) {
        let Listener { transport, local, owner, netns, .. } = listener;
        if *transport == Transport::Udp && local.port >= UDP_PASSING_FIRST {
            return;
        }
        let place = (*netns, *transport, *local);
        if self.places.contains_key(&place) {
            return;
        }
        if self.places.len() >= GROUPS_MAX {
            self.left_out += 1;
            return;
        }
        let program = owner.as_ref().and_then(|owner| owner.name.clone());
        self.places.insert(place, (stands, program, at));
    }

    fn name(&mut self, ip: IpAddr, name: &Text) {
        if self.names.len() >= NAMED_MAX && !self.names.contains_key(&ip) {
            return;
        }
        let names = self.names.entry(ip).or_default();
        if names.len() < NAMES_MAX {
            names.insert(name.clone());
        }
    }
}

fn ends(connection: &Connection) -> Ends {
    (connection.netns, connection.transport, connection.local, connection.remote)
}

fn add(sum: &mut Option<u64>, bytes: Option<u64>) {
    if let Some(bytes) = bytes {
        *sum = Some(sum.unwrap_or(0).saturating_add(bytes));
    }
}

#[cfg(test)]
mod tests {
    use cordon_proto::event::dns::Answer;
    use cordon_proto::event::network::{Means, Owner};

    use super::*;

    fn peer(text: &str) -> Peer {
        let at: std::net::SocketAddr = text.parse().unwrap();
        Peer { ip: at.ip(), port: at.port() }
    }

    fn connection(program: &str, local: &str, way: &str, remote: &str) -> Connection {
        let owner = Owner {
            pid: 7,
            start_boot_ns: None,
            uid: Some(33),
            cgroup_id: None,
            name: Some(program.into()),
        };
        let direction = if way == ">" { Direction::Outbound } else { Direction::Inbound };
        Connection {
            means: Means::Bpf,
            transport: Transport::Tcp,
            direction: Some(direction),
            local: peer(local),
            remote: peer(remote),
            owner: Some(owner),
            host_name: None,
            netns: None,
        }
    }

    /// One event a line, the oldest first: `SECOND WHAT PROGRAM LOCAL WAY REMOTE [SENT]`.
    fn event(line: &str) -> (Time, NetworkEvent) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let at = Time(0).plus_secs(words[0].parse().unwrap());
        if words[1].starts_with("listen") {
            let owner = connection(words[2], "0.0.0.0:1", ">", "0.0.0.0:1").owner;
            let transport = if words.len() > 4 { Transport::Udp } else { Transport::Tcp };
            let (local, means) = (peer(words[3]), Means::Bpf);
            let listener =
                Listener { means, transport, local, owner, netns: None, existing: false };
            let ends = words[1] == "listened";
            let event = if ends { NetworkEvent::ListeningEnded } else { NetworkEvent::Listening };
            return (at, event(listener));
        }
        let mut connection = connection(words[2], words[3], words[4], words[5]);
        let sent = words.get(6).and_then(|word| word.parse().ok());
        if words.last() == Some(&"udp") {
            connection.transport = Transport::Udp;
        }
        let existing = words[1] == "stands";
        let ended = Ended {
            connection: connection.clone(),
            duration_ns: None,
            bytes_sent: sent,
            bytes_received: None,
            error: None,
        };
        let event = match words[1] {
            "open" | "stands" => NetworkEvent::Opened(Opened { connection, existing }),
            "close" => NetworkEvent::Closed(ended),
            _ => NetworkEvent::Failed(ended),
        };
        (at, event)
    }

    fn gather(lines: &str) -> Flows {
        let mut flows = Flows::new(Ways::default());
        for line in lines.lines().rev() {
            let (at, event) = event(line);
            flows.handle_network(&event, at);
        }
        flows
    }

    #[track_caller]
    fn check(lines: &str, from_secs: u64, says: &[&str]) {
        let gathered = gather(lines).finish(Time(0).plus_secs(from_secs));
        let flow = |flow: &Flow| {
            let Flow { address, port, count, open, failed, bytes_sent, fate, .. } = flow;
            let program = flow.program.as_ref().unwrap().to_lossy();
            let sent = bytes_sent.map_or("?".to_owned(), |sent| sent.to_string());
            format!(
                "{program} {address} {port}: {count} open {open} failed {failed} sent {sent} {fate:?}"
            )
        };
        let port = |port: &Port| {
            let program = port.program.as_ref().unwrap().to_lossy();
            format!("{program} waits at {}:{} {:?}", port.address, port.port, port.fate)
        };
        let said: Vec<String> =
            gathered.flows.iter().map(flow).chain(gathered.ports.iter().map(port)).collect();
        assert_eq!(said, says);
    }

    #[test]
    fn connections_of_one_kind_are_one_line_that_says_how_many_stand() {
        check(
            "1 open curl 192.0.2.5:1000 > 192.0.2.9:443
             2 open curl 192.0.2.5:1001 > 192.0.2.9:443
             3 close curl 192.0.2.5:1000 > 192.0.2.9:443 100
             4 fail curl 192.0.2.5:1002 > 192.0.2.9:443
             5 close curl 192.0.2.5:1003 > 192.0.2.9:443 11
             6 open psql 127.0.0.1:9 > 127.0.0.1:5432",
            0,
            &[
                "curl 192.0.2.9 443: 3 open 1 failed 1 sent 111 Cut",
                "psql 127.0.0.1 5432: 1 open 1 failed 0 sent ? Kept",
            ],
        );
    }

    #[test]
    fn what_comes_in_is_told_by_the_port_that_was_asked() {
        check(
            "1 open sshd 192.0.2.5:22 < 192.0.2.9:50001
             2 open sshd 192.0.2.5:22 < 192.0.2.9:50002
             3 close sshd 192.0.2.5:22 < 192.0.2.9:50001",
            0,
            &["sshd 192.0.2.9 22: 2 open 1 failed 0 sent ? Cut"],
        );
    }

    #[test]
    fn a_port_that_is_used_again_is_another_connection() {
        check(
            "1 open curl 192.0.2.5:1000 > 192.0.2.9:443
             2 close curl 192.0.2.5:1000 > 192.0.2.9:443 5
             3 open curl 192.0.2.5:1000 > 192.0.2.9:443",
            0,
            &["curl 192.0.2.9 443: 2 open 1 failed 0 sent 5 Cut"],
        );
    }

    #[test]
    fn what_was_not_told_of_again_after_a_start_does_not_stand() {
        check(
            "1 open curl 192.0.2.5:1000 > 192.0.2.9:443
             1 open curl 192.0.2.5:1001 > 192.0.2.9:443
             1 listen nc 0.0.0.0:99
             1 listen sshd 0.0.0.0:22
             9 stands curl 192.0.2.5:1001 > 192.0.2.9:443
             9 listen sshd 0.0.0.0:22",
            8,
            &["curl 192.0.2.9 443: 2 open 1 failed 0 sent ? Cut", "sshd waits at 0.0.0.0:22 Cut"],
        );
    }

    #[test]
    fn datagrams_are_counted_and_never_open() {
        check(
            "1 open dig 192.0.2.5:1000 > 192.0.2.9:53 udp
             2 open dig 192.0.2.5:1001 > 192.0.2.9:53 udp",
            0,
            &["dig 192.0.2.9 53: 2 open 0 failed 0 sent ? Cut"],
        );
    }

    #[test]
    fn who_listens_is_known_by_its_last_word() {
        check(
            "1 listen nc 0.0.0.0:99
             2 listened nc 0.0.0.0:99
             3 listen redis 127.0.0.1:6379
             4 listen dig 0.0.0.0:40000 udp",
            0,
            &["redis waits at 127.0.0.1:6379 Kept"],
        );
    }

    #[test]
    fn an_inventory_adds_what_events_did_not_tell_and_contradicts_none() {
        let mut flows = gather("1 listened nc 0.0.0.0:99\n2 listen sshd 0.0.0.0:22");
        for (at, program) in [("0.0.0.0:99", "/nc"), ("0.0.0.0:22", "/sshd"), ("[::]:25", "/mta")] {
            flows.handle_listed(Transport::Tcp, peer(at), Some(program.into()));
        }
        let ports = flows.finish(Time(0)).ports;
        let said: Vec<_> = ports.iter().map(|port| (port.port, port.program.clone())).collect();
        assert_eq!(said, [(22, Some("/sshd".into())), (25, Some("/mta".into()))]);
    }

    #[test]
    fn addresses_get_the_names_that_answers_gave_them() {
        let mut flows = gather("1 open curl 192.0.2.5:1000 > 192.0.2.9:443");
        let says = Says::Address("192.0.2.9".parse().unwrap());
        flows.handle_dns(&DnsEvent {
            query: "cdn.example".into(),
            query_type: 1,
            rcode: 0,
            answers: vec![Answer { ttl_secs: 1, says }],
            records: 1,
            server: peer("192.0.2.53:53"),
            client: peer("192.0.2.5:4000"),
            owner: None,
            repeats: 0,
        });
        assert_eq!(flows.finish(Time(0)).flows[0].names, ["cdn.example".into()]);
    }

    #[test]
    fn more_groups_than_fit_are_counted_and_not_kept() {
        let mut flows = Flows::new(Ways::default());
        for number in 0..u32::try_from(GROUPS_MAX + 9).unwrap() {
            let remote = format!("{}:443", std::net::Ipv4Addr::from(0x0a00_0000 + number));
            let connection = connection("scan", "192.0.2.5:1000", ">", &remote);
            let opened = Opened { connection, existing: false };
            flows.handle_network(&NetworkEvent::Opened(opened), Time(1));
        }
        let gathered = flows.finish(Time(0));
        assert_eq!((gathered.flows.len(), gathered.left_out), (GROUPS_MAX, 9));
    }
}
