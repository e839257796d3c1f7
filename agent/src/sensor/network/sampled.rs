//! What differs from one list of sockets to the next. Pure.
//!
//! For kernels where BPF does not work, and for UDP listeners everywhere. What comes and goes
//! between two lists is not seen.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use cordon_proto::event::NetworkEvent;
use cordon_proto::event::network::{
    Connection, Direction, Ended, Listener, Means, Opened, Owner, Peer, Transport,
};

use super::survey::Survey;
use super::table::Naming;
use crate::platform::linux::nft::wall;
use crate::platform::linux::sock_diag::{Listed, Standing};

/// Sockets that are known at once; the rest is told when there is room again.
const SOCKETS_MAX: usize = 16 * 1024;

/// What is looked for in the lists.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Look {
    /// UDP sockets that wait for others; BPF sees everything else.
    UdpListeners,
    /// Connections and listeners of TCP too.
    Everything,
}

/// The sockets of the last list.
#[derive(Debug)]
pub(super) struct Lists {
    look: Look,
    loopback: bool,
    known: HashMap<Id, Seen>,
    /// Owners of all sockets of the last list, by inode.
    owners: HashMap<u32, Arc<Owner>>,
    is_first: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
struct Id {
    transport: Transport,
    local: Peer,
    /// None of a listener.
    remote: Option<Peer>,
    /// Several may listen side by side; a connection loses its inode before it ends.
    inode: u32,
}

#[derive(Clone, Debug)]
struct Seen {
    since_ns: u64,
    existing: bool,
    owner: Option<Arc<Owner>>,
    direction: Option<Direction>,
    host_name: Option<cordon_proto::Text>,
}

impl Lists {
    pub(super) fn new(look: Look, loopback: bool) -> Self {
        let (known, owners) = (HashMap::new(), HashMap::new());
        Self { look, loopback, known, owners, is_first: true }
    }

    /// Owners that need not be looked for again.
    pub(super) fn owners(&self) -> HashMap<u32, Arc<Owner>> {
        self.owners.clone()
    }

    /// Whether others come to that UDP port.
    pub(super) fn is_served(&self, port: u16) -> bool {
        let served = |id: &Id| (id.transport, id.local.port) == (Transport::Udp, port);
        self.known.keys().any(served)
    }

    /// What has come and gone since the last list.
    pub(super) fn handle(
        &mut self,
        survey: Survey,
        now_ns: u64,
        naming: Naming<'_>,
    ) -> Vec<NetworkEvent> {
        let Survey { sockets, owners, ephemeral } = survey;
        let listening: Vec<SocketAddr> = sockets
            .iter()
            .filter(|listed| listed.standing == Standing::Listening)
            .map(|listed| listed.local)
            .collect();
        let mut events = Vec::new();
        let mut now = HashMap::new();
        for listed in sockets {
            let Some(id) = self.id(&listed, &ephemeral) else { continue };
            if let Some(seen) = self.known.remove(&id) {
                now.insert(id, seen);
                continue;
            }
            if now.len() >= SOCKETS_MAX {
                continue;
            }
            let direction = id.remote.map(|_| direction(listed.local, &listening));
            let host_name = id.remote.and_then(|remote| naming(remote.ip));
            let owner = owners.get(&listed.inode).cloned();
            let existing = self.is_first;
            let seen = Seen { since_ns: now_ns, existing, owner, direction, host_name };
            events.push(came(&id, &seen));
            now.insert(id, seen);
        }
        events.extend(self.known.drain().map(|(id, seen)| went(&id, &seen, now_ns)));
        (self.known, self.owners, self.is_first) = (now, owners, false);
        events
    }

    /// What is known of a listed socket from one list to the next; none if it is not wanted.
    fn id(&self, listed: &Listed, ephemeral: &std::ops::RangeInclusive<u16>) -> Option<Id> {
        let local = peer(listed.local);
        let (remote, inode) = match listed.standing {
            Standing::Listening => (None, listed.inode),
            Standing::Connected => (Some(peer(listed.remote)), 0),
            Standing::Passing => return None,
        };
        let (transport, wanted) = match listed.transport {
            wall::Transport::Udp => {
                // A socket that asked for no port waits for nobody but whom it asks.
                let fixed = !ephemeral.contains(&local.port);
                (Transport::Udp, remote.is_none() && fixed && inode != 0)
            }
            wall::Transport::Tcp => (Transport::Tcp, self.look == Look::Everything),
        };
        let within = remote.is_some_and(|to| to.ip.is_loopback() || to.ip == local.ip);
        (wanted && (self.loopback || !within)).then_some(Id { transport, local, remote, inode })
    }
}

/// Whoever listens on the local port was called.
fn direction(local: SocketAddr, listening: &[SocketAddr]) -> Direction {
    let is_called = |at: &SocketAddr| {
        at.port() == local.port() && (at.ip().is_unspecified() || at.ip() == local.ip())
    };
    if listening.iter().any(is_called) { Direction::Inbound } else { Direction::Outbound }
}

fn peer(address: SocketAddr) -> Peer {
    Peer { ip: address.ip(), port: address.port() }
}

fn came(id: &Id, seen: &Seen) -> NetworkEvent {
    match id.remote {
        None => NetworkEvent::Listening(listener(id, seen, seen.existing)),
        Some(remote) => {
            let connection = connection(id, remote, seen);
            NetworkEvent::Opened(Opened { connection, existing: seen.existing })
        }
    }
}

fn went(id: &Id, seen: &Seen, now_ns: u64) -> NetworkEvent {
    let Some(remote) = id.remote else {
        return NetworkEvent::ListeningEnded(listener(id, seen, false));
    };
    let age_ns = now_ns.saturating_sub(seen.since_ns);
    NetworkEvent::Closed(Ended {
        connection: connection(id, remote, seen),
        duration_ns: (!seen.existing).then_some(age_ns),
        bytes_sent: None,
        bytes_received: None,
        error: None,
    })
}

fn connection(id: &Id, remote: Peer, seen: &Seen) -> Connection {
    let Seen { owner, direction, host_name, .. } = seen.clone();
    Connection {
        means: Means::Sampled,
        transport: id.transport,
        direction,
        local: id.local,
        remote,
        owner: owner.map(Arc::unwrap_or_clone),
        host_name,
        netns: None,
    }
}

fn listener(id: &Id, seen: &Seen, existing: bool) -> Listener {
    Listener {
        means: Means::Sampled,
        transport: id.transport,
        local: id.local,
        owner: seen.owner.clone().map(Arc::unwrap_or_clone),
        netns: None,
        existing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `tcp|udp listening|connected local remote inode`, separated by commas.
    fn survey(text: &str) -> Survey {
        let socket = |text: &str| {
            let words: Vec<&str> = text.split_whitespace().collect();
            let [transport, standing, local, remote, inode] = words.as_slice() else {
                panic!("{text}")
            };
            let transport =
                if *transport == "udp" { wall::Transport::Udp } else { wall::Transport::Tcp };
            let standing = match *standing {
                "listening" => Standing::Listening,
                "connected" => Standing::Connected,
                _ => Standing::Passing,
            };
            let (local, remote) = (local.parse().unwrap(), remote.parse().unwrap());
            let inode = inode.parse().unwrap();
            Listed { transport, standing, local, remote, inode, uid: 0 }
        };
        let sockets: Vec<Listed> =
            text.split(',').map(str::trim).filter(|text| !text.is_empty()).map(socket).collect();
        let owner = |listed: &Listed| {
            let (start_boot_ns, uid, cgroup_id, name) = (None, Some(0), None, None);
            let pid = listed.inode + 1000;
            (listed.inode, Arc::new(Owner { pid, start_boot_ns, uid, cgroup_id, name }))
        };
        let owners = sockets.iter().filter(|listed| listed.inode != 0).map(owner).collect();
        Survey { sockets, owners, ephemeral: EPHEMERAL }
    }

    const EPHEMERAL: std::ops::RangeInclusive<u16> = 32768..=60999;

    #[track_caller]
    fn check(look: Look, lists: &[&str], expected: &[&str]) {
        let mut known = Lists::new(look, false);
        let mut said = Vec::new();
        for (at, list) in (1..).zip(lists) {
            let events = known.handle(survey(list), at * 10, &|_| None);
            let mut words: Vec<String> = events.iter().map(word).collect();
            words.sort();
            said.push(words.join("; "));
        }
        assert_eq!(said, expected);
    }

    fn word(event: &NetworkEvent) -> String {
        let pid = |owner: &Option<Owner>| owner.as_ref().map(|owner| owner.pid);
        match event {
            NetworkEvent::Opened(Opened { connection, existing }) => {
                let Connection { direction, local, owner, .. } = connection;
                let direction = direction.unwrap();
                format!("open {direction:?} {} {:?} {existing}", local.port, pid(owner))
            }
            NetworkEvent::Closed(Ended { connection, duration_ns, .. }) => {
                format!("close {} {duration_ns:?}", connection.local.port)
            }
            NetworkEvent::Listening(listener) => {
                format!("listen {} {:?}", listener.local.port, pid(&listener.owner))
            }
            NetworkEvent::ListeningEnded(listener) => format!("no more {}", listener.local.port),
            NetworkEvent::Failed(_) | NetworkEvent::Traffic(_) => panic!("{event:?}"),
        }
    }

    #[test]
    fn connections_and_listeners_come_and_go() {
        check(
            Look::Everything,
            &[
                "tcp listening 0.0.0.0:80 0.0.0.0:0 1, tcp connected 192.0.2.9:80 192.0.2.1:5 2",
                "tcp listening 0.0.0.0:80 0.0.0.0:0 1, tcp connected 192.0.2.9:4000 192.0.2.1:443 3",
                "tcp passing 192.0.2.9:4000 192.0.2.1:443 0",
            ],
            &[
                "listen 80 Some(1001); open Inbound 80 Some(1002) true",
                "close 80 None; open Outbound 4000 Some(1003) false",
                "close 4000 Some(10); no more 80",
            ],
        );
    }

    #[test]
    fn a_udp_socket_is_a_listener_where_it_asked_for_its_port() {
        let list = "udp listening 0.0.0.0:53 0.0.0.0:0 1, udp listening 0.0.0.0:40000 0.0.0.0:0 2,
                    udp connected 192.0.2.9:123 192.0.2.1:123 3, tcp listening 0.0.0.0:80 0.0.0.0:0 4";
        check(Look::UdpListeners, &[list, ""], &["listen 53 Some(1001)", "no more 53"]);
        let mut known = Lists::new(Look::UdpListeners, false);
        known.handle(survey(list), 1, &|_| None);
        assert!(known.is_served(53) && !known.is_served(40_000) && !known.is_served(80));
    }

    #[test]
    fn what_stays_within_the_machine_is_left_out_but_its_listeners() {
        check(
            Look::Everything,
            &["tcp listening 127.0.0.1:80 0.0.0.0:0 1, tcp connected 127.0.0.1:80 127.0.0.1:5 2"],
            &["listen 80 Some(1001)"],
        );
    }
}
