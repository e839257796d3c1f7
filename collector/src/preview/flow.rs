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
mod tests;
