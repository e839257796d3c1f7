//! Which process sends datagrams to which address. Pure.
//!
//! The first datagram of a process to an address is told at once; the kernel counts the others,
//! and what it counted is told when none came for a while. A flow is a process and a remote
//! address: that each question to a resolver comes from another local port makes no event more.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use cordon_proto::event::NetworkEvent;
use cordon_proto::event::network::{Connection, Direction, Means, Opened, Traffic, Transport};

use super::programs::{KEY_BYTES, Key, Wanted};
use super::record::Named;
use super::table::Naming;
use crate::sensor::dns::{Asker, PORTS};

/// Flows that are known at once, in the kernel and here, some 200 bytes each. While there are as
/// many, further ones are counted as lost.
pub(super) const FLOWS_MAX: usize = 4096;

/// Processes that ask name servers, as far as they are told to who hears the answers.
const ASKERS_MAX: usize = 256;

/// A flow that never falls silent is told anew after so long.
const AGE_MAX_NS: u64 = 3600 * 1_000_000_000;

/// A flow as the kernel's map knows it.
pub(super) type KeyBytes = [u8; KEY_BYTES as usize];

/// How often a process named the address, and when last.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Count {
    pub(super) sends: u64,
    pub(super) last_ns: u64,
}

/// What a new flow means.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Told {
    /// It is known already, or of no interest.
    Nothing,
    Event(Box<NetworkEvent>),
    /// There is no room.
    Lost,
}

/// The flows that are under way.
#[derive(Debug)]
pub(super) struct Flows {
    own_netns: u32,
    wanted: Wanted,
    idle_ns: u64,
    flows: HashMap<KeyBytes, Flow>,
}

#[derive(Clone, Debug)]
struct Flow {
    began_ns: u64,
    connection: Connection,
    /// It is counted only so that its owner is known.
    is_quiet: bool,
}

impl Flows {
    /// Flows of an agent in the network namespace of that number; they end after `idle_ns`.
    pub(super) fn new(own_netns: u32, wanted: Wanted, idle_ns: u64) -> Self {
        Self { own_netns, wanted, idle_ns, flows: HashMap::new() }
    }

    /// A process named an address. `served` tells whether the local port is one that others come
    /// to.
    pub(super) fn handle(&mut self, named: Named, served: bool, naming: Naming<'_>) -> Told {
        let key = key(&named);
        let Named { boot_ns, netns, local, remote, owner, .. } = named;
        let is_same = |flow: &Flow| {
            let known = flow.connection.owner.as_ref();
            known.is_some_and(|known| known.start_boot_ns == owner.start_boot_ns)
        };
        if self.flows.get(&key).is_some_and(is_same) {
            return Told::Nothing;
        }
        if self.flows.len() >= FLOWS_MAX && !self.flows.contains_key(&key) {
            return Told::Lost;
        }
        let connection = Connection {
            means: Means::Bpf,
            transport: Transport::Udp,
            direction: Some(if served { Direction::Inbound } else { Direction::Outbound }),
            local,
            remote,
            owner: Some(Arc::unwrap_or_clone(owner)),
            host_name: naming(remote.ip),
            netns: (netns != self.own_netns).then_some(u64::from(netns)),
        };
        let within = remote.ip.is_loopback() || remote.ip == local.ip;
        let foreign = self.wanted.only_netns.is_some_and(|only| only != netns);
        let is_quiet = foreign || within && !self.wanted.loopback;
        let opened = Opened { connection: connection.clone(), existing: false };
        self.flows.insert(key, Flow { began_ns: boot_ns, connection, is_quiet });
        if is_quiet { Told::Nothing } else { Told::Event(Box::new(NetworkEvent::Opened(opened))) }
    }

    /// Whether there is anything to look after.
    pub(super) fn is_empty(&self) -> bool {
        self.flows.is_empty()
    }

    /// Ends the flows that have fallen silent; gives their keys, so that the kernel forgets them
    /// too. `counted` asks the kernel; it may have had to forget a flow for want of room.
    pub(super) fn sweep<E>(
        &mut self,
        now_ns: u64,
        mut counted: impl FnMut(&KeyBytes) -> Result<Option<Count>, E>,
    ) -> Result<(Vec<NetworkEvent>, Vec<KeyBytes>), E> {
        let mut events = Vec::new();
        let mut ended = Vec::new();
        for (key, flow) in &self.flows {
            let count = counted(key)?;
            let last_ns = count.map_or(flow.began_ns, |count| count.last_ns).max(flow.began_ns);
            let silent = now_ns.saturating_sub(last_ns) >= self.idle_ns;
            let old = now_ns.saturating_sub(flow.began_ns) >= AGE_MAX_NS;
            if !(silent || old || count.is_none()) {
                continue;
            }
            ended.push(*key);
            if let Some(Count { sends, .. }) = count.filter(|count| count.sends > 1)
                && !flow.is_quiet
            {
                let connection = flow.connection.clone();
                let duration_ns = last_ns.saturating_sub(flow.began_ns);
                events.push(NetworkEvent::Traffic(Traffic { connection, duration_ns, sends }));
            }
        }
        for key in &ended {
            self.flows.remove(key);
        }
        Ok((events, ended))
    }

    /// Which processes ask name servers, as far as the agent's own network namespace goes.
    pub(super) fn askers(&self) -> Vec<Asker> {
        let here = self.flows.values().map(|flow| &flow.connection);
        let asks = here.filter(|known| PORTS.contains(&known.remote.port) && known.netns.is_none());
        let asker = |known: &Connection| {
            let owner = known.owner.clone()?;
            Some(Asker { server: known.remote, port: known.local.port, owner })
        };
        asks.filter_map(asker).take(ASKERS_MAX).collect()
    }
}

/// The key under which the kernel counts.
fn key(named: &Named) -> KeyBytes {
    let mut key = [0; KEY_BYTES as usize];
    let mut put = |place: i16, bytes: &[u8]| {
        let place = usize::from(place.unsigned_abs());
        if let Some(room) = key.get_mut(place..place + bytes.len()) {
            room.copy_from_slice(bytes);
        }
    };
    put(Key::PID, &named.owner.pid.to_ne_bytes());
    let family: u32 = if named.six { 10 } else { 2 };
    put(Key::FAMILY, &family.to_ne_bytes());
    match named.remote.ip {
        IpAddr::V4(ip) if named.six => put(Key::IP, &ip.to_ipv6_mapped().octets()),
        IpAddr::V4(ip) => put(Key::IP, &ip.octets()),
        IpAddr::V6(ip) => put(Key::IP, &ip.octets()),
    }
    put(Key::PORT, &u32::from(named.remote.port.to_be()).to_ne_bytes());
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use cordon_proto::event::network::{Owner, Peer};
    use std::convert::Infallible;

    const OWN: u32 = 1;
    const IDLE_NS: u64 = 60;

    fn peer(text: &str) -> Peer {
        let address: std::net::SocketAddr = text.parse().unwrap();
        Peer { ip: address.ip(), port: address.port() }
    }

    fn owner(pid: u32, start: u64) -> Owner {
        let (start_boot_ns, name) = (Some(start), None);
        Owner { pid, start_boot_ns, uid: None, cgroup_id: None, name }
    }

    fn named(pid: u32, start: u64, local: &str, remote: &str) -> Named {
        let owner = owner(pid, start);
        let (local, remote) = (peer(local), peer(remote));
        let six = remote.ip.is_ipv6();
        Named { boot_ns: 100, netns: OWN, six, local, remote, owner: Arc::new(owner) }
    }

    fn flows() -> Flows {
        Flows::new(OWN, Wanted { only_netns: Some(OWN), loopback: false }, IDLE_NS)
    }

    fn is_told(told: &Told) -> bool {
        matches!(told, Told::Event(event) if matches!(**event, NetworkEvent::Opened(_)))
    }

    fn nobody(_: IpAddr) -> Option<cordon_proto::Text> {
        None
    }

    #[test]
    fn the_first_datagram_is_told_and_the_rest_is_counted() {
        let mut flows = flows();
        let one = named(7, 1, "0.0.0.0:4000", "192.0.2.1:123");
        assert!(is_told(&flows.handle(one.clone(), false, &nobody)));
        assert_eq!(flows.handle(one.clone(), false, &nobody), Told::Nothing);
        let counted = |sends, last_ns| {
            move |_: &KeyBytes| Ok::<_, Infallible>(Some(Count { sends, last_ns }))
        };
        assert_eq!(flows.sweep(170, counted(5, 150)).unwrap().0, []);
        let (events, ended) = flows.sweep(210, counted(5, 150)).unwrap();
        let [NetworkEvent::Traffic(Traffic { duration_ns: 50, sends: 5, .. })] = events.as_slice()
        else {
            panic!("{events:?}");
        };
        assert_eq!(ended, [key(&one)]);
        assert!(flows.is_empty() && is_told(&flows.handle(one, false, &nobody)));
    }

    #[test]
    fn a_single_datagram_and_one_the_kernel_forgot_end_without_a_word() {
        let mut flows = flows();
        for count in [Some(Count { sends: 1, last_ns: 100 }), None] {
            flows.handle(named(7, 1, "0.0.0.0:4000", "192.0.2.1:123"), false, &nobody);
            let (events, ended) = flows.sweep(200, |_| Ok::<_, Infallible>(count)).unwrap();
            assert_eq!((events.len(), ended.len()), (0, 1));
        }
    }

    #[test]
    fn another_namespace_is_not_told_where_only_one_is_wanted() {
        let mut flows = flows();
        let foreign = Named { netns: 9, ..named(7, 1, "0.0.0.0:0", "192.0.2.1:53") };
        assert_eq!(flows.handle(foreign.clone(), false, &nobody), Told::Nothing);
        flows.wanted.only_netns = None;
        let foreign = Named { owner: Arc::new(owner(8, 1)), ..foreign };
        let told = flows.handle(foreign, false, &nobody);
        let Told::Event(event) = told else { panic!("{told:?}") };
        let NetworkEvent::Opened(opened) = *event else { panic!("{event:?}") };
        assert_eq!(opened.connection.netns, Some(9));
    }

    #[test]
    fn another_process_with_the_same_number_is_another_flow() {
        let mut flows = flows();
        assert!(is_told(&flows.handle(named(7, 1, "0.0.0.0:0", "192.0.2.1:53"), false, &nobody)));
        assert!(is_told(&flows.handle(named(7, 2, "0.0.0.0:0", "192.0.2.1:53"), false, &nobody)));
        assert!(is_told(&flows.handle(named(8, 1, "0.0.0.0:0", "192.0.2.1:53"), false, &nobody)));
    }

    #[test]
    fn what_finds_no_room_is_counted() {
        let mut flows = flows();
        for pid in 0..u32::try_from(FLOWS_MAX).unwrap() {
            assert!(is_told(&flows.handle(
                named(pid, 1, "0.0.0.0:0", "192.0.2.1:53"),
                false,
                &nobody
            )));
        }
        let more = named(u32::MAX, 1, "0.0.0.0:0", "192.0.2.1:53");
        assert_eq!(flows.handle(more, false, &nobody), Told::Lost);
    }

    #[test]
    fn who_asks_a_name_server_is_known_though_loopback_is_not_told() {
        let mut flows = flows();
        let quiet = flows.handle(named(7, 1, "0.0.0.0:0", "127.0.0.53:53"), false, &nobody);
        assert_eq!(quiet, Told::Nothing);
        assert!(is_told(&flows.handle(named(8, 1, "0.0.0.0:4", "192.0.2.1:123"), false, &nobody)));
        let askers = flows.askers();
        let [Asker { server, port: 0, owner }] = askers.as_slice() else { panic!("{askers:?}") };
        assert_eq!((*server, owner.pid), (peer("127.0.0.53:53"), 7));
    }

    #[test]
    fn the_key_is_the_one_that_the_program_writes() {
        let four = key(&named(7, 1, "0.0.0.0:0", "192.0.2.1:53"));
        assert_eq!(four[..4], 7u32.to_ne_bytes());
        assert_eq!(four[4..8], 2u32.to_ne_bytes());
        assert_eq!(four[8..12], [192, 0, 2, 1]);
        assert_eq!(four[24..28], u32::from(53u16.to_be()).to_ne_bytes());
        let six = key(&named(7, 1, "[::]:0", "[2001:db8::1]:53"));
        assert_eq!(six[8..12], [0x20, 0x01, 0x0d, 0xb8]);
    }
}
