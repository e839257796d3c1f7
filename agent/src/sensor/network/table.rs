//! Which TCP connections and listeners stand, and whose they are. Pure.
//!
//! A connection is known from its first record to its last by the kernel's address of its socket.
//! An accepted one belongs to the process that opened the listener: which of several processes
//! that share one takes it the kernel does not say at this point, and where processes listen on
//! the same port side by side nobody can tell, so that it has no owner here.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use cordon_proto::Text;
use cordon_proto::event::NetworkEvent;
use cordon_proto::event::network::{
    Connection, Direction, Ended, Listener, Means, Opened, Owner, Peer, Transport,
};

use super::record::{
    Change, STATE_CLOSE, STATE_ESTABLISHED, STATE_LISTEN, STATE_SYN_RECEIVED, STATE_SYN_SENT,
};

/// Connections that are known at once, some 150 bytes each. What comes on top is told as well, but
/// its end has no owner and no length.
const CONNECTIONS_MAX: usize = 16 * 1024;

/// Listeners that are known at once; what is accepted by others has no owner.
const LISTENERS_MAX: usize = 4096;

/// The names of addresses.
pub(super) type Naming<'a> = &'a dyn Fn(IpAddr) -> Option<Text>;

/// What stands.
#[derive(Debug)]
pub(super) struct Table {
    own_netns: u32,
    loopback: bool,
    connections: HashMap<u64, Known>,
    /// Those that stood before the agent looked: no record has told their sockets yet.
    found: HashMap<(Peer, Peer), Known>,
    listeners: Vec<Listening>,
    /// While the list of what stood before is not in yet: what records told meanwhile, which the
    /// list may tell otherwise.
    told: Option<HashSet<(Peer, Option<Peer>)>>,
}

#[derive(Clone, Debug)]
struct Known {
    began_ns: Option<u64>,
    direction: Option<Direction>,
    owner: Option<Arc<Owner>>,
    host_name: Option<Text>,
}

#[derive(Clone, Debug)]
struct Listening {
    /// None for one that was found.
    socket: Option<u64>,
    netns: u32,
    local: Peer,
    owner: Option<Arc<Owner>>,
}

impl Table {
    /// A table of an agent that lives in the network namespace of that number.
    pub(super) fn new(own_netns: u32, loopback: bool) -> Self {
        let (connections, found, listeners) = (HashMap::new(), HashMap::new(), Vec::new());
        let told = Some(HashSet::new());
        Self { own_netns, loopback, connections, found, listeners, told }
    }

    /// A listener that stood before the agent looked; nothing where a record told it meanwhile.
    pub(super) fn find_listener(
        &mut self,
        local: Peer,
        owner: Option<Arc<Owner>>,
    ) -> Option<NetworkEvent> {
        let netns = self.own_netns;
        if self.is_told(local, None) || self.listeners.len() >= LISTENERS_MAX {
            return None;
        }
        let listening = Listening { socket: None, netns, local, owner };
        let event = NetworkEvent::Listening(self.listener(&listening, true));
        self.listeners.push(listening);
        Some(event)
    }

    /// A connection that stood before the agent looked. All listeners must be found before.
    pub(super) fn find_connection(
        &mut self,
        local: Peer,
        remote: Peer,
        owner: Option<Arc<Owner>>,
        naming: Naming<'_>,
    ) -> Option<NetworkEvent> {
        if self.is_unwanted(local, remote) || self.is_told(local, Some(remote)) || self.is_full() {
            return None;
        }
        let accepts = |listening: &Listening| {
            listening.netns == self.own_netns && listening.accepts(local).is_some()
        };
        let direction = if self.listeners.iter().any(accepts) {
            Direction::Inbound
        } else {
            Direction::Outbound
        };
        let (direction, host_name) = (Some(direction), naming(remote.ip));
        let known = Known { began_ns: None, direction, owner, host_name };
        let connection = self.connection(&known, local, remote, self.own_netns);
        self.found.insert((local, remote), known);
        Some(NetworkEvent::Opened(Opened { connection, existing: true }))
    }

    /// The list of what stood before is through.
    pub(super) fn all_found(&mut self) {
        self.told = None;
    }

    /// What a change of a socket means.
    pub(super) fn handle(&mut self, change: Change, naming: Naming<'_>) -> Option<NetworkEvent> {
        let Change { socket, old, new, local, remote, netns, .. } = change;
        let listens = new == STATE_LISTEN || old == STATE_LISTEN;
        if let Some(told) = &mut self.told
            && netns == self.own_netns
            && told.len() < CONNECTIONS_MAX
        {
            told.insert((local, (!listens).then_some(remote)));
        }
        if new == STATE_LISTEN {
            return Some(self.listens(change));
        }
        if old == STATE_LISTEN {
            return Some(self.listens_no_more(socket, netns, local));
        }
        if self.is_unwanted(local, remote) {
            self.connections.remove(&socket);
            return None;
        }
        match (old, new) {
            (_, STATE_SYN_SENT) => {
                self.begins(change, naming);
                None
            }
            (_, STATE_ESTABLISHED) => Some(self.stands(&change, naming)),
            (STATE_SYN_SENT, STATE_CLOSE) => Some(NetworkEvent::Failed(self.ends(&change))),
            // One that never stood: the other end's attempt, unless it was our own that crossed it.
            (STATE_SYN_RECEIVED, STATE_CLOSE) if !self.connections.contains_key(&socket) => None,
            (STATE_SYN_RECEIVED, STATE_CLOSE) => Some(NetworkEvent::Failed(self.ends(&change))),
            (_, STATE_CLOSE) => Some(NetworkEvent::Closed(self.ends(&change))),
            (..) => None,
        }
    }

    fn listens(&mut self, change: Change) -> NetworkEvent {
        let Change { socket, netns, local, owner, .. } = change;
        let listening = Listening { socket: Some(socket), netns, local, owner };
        self.listeners.retain(|known| known.socket != Some(socket));
        let event = NetworkEvent::Listening(self.listener(&listening, false));
        if self.listeners.len() < LISTENERS_MAX {
            self.listeners.push(listening);
        }
        event
    }

    fn listens_no_more(&mut self, socket: u64, netns: u32, local: Peer) -> NetworkEvent {
        let by_socket = self.listeners.iter().position(|known| known.socket == Some(socket));
        let place = by_socket.or_else(|| {
            self.listeners.iter().position(|known| {
                known.socket.is_none() && (known.netns, known.local) == (netns, local)
            })
        });
        let known = match place {
            Some(place) => self.listeners.swap_remove(place),
            None => Listening { socket: None, netns, local, owner: None },
        };
        NetworkEvent::ListeningEnded(self.listener(&known, false))
    }

    fn begins(&mut self, change: Change, naming: Naming<'_>) {
        let Change { socket, boot_ns, owner, remote, .. } = change;
        let known = Known {
            began_ns: Some(boot_ns),
            direction: Some(Direction::Outbound),
            owner,
            host_name: naming(remote.ip),
        };
        if !self.is_full() {
            self.connections.insert(socket, known);
        }
    }

    fn stands(&mut self, change: &Change, naming: Naming<'_>) -> NetworkEvent {
        let Change { socket, boot_ns, netns, local, remote, old, .. } = *change;
        let known = if let Some(known) = self.connections.get(&socket)
            && known.direction == Some(Direction::Outbound)
        {
            known.clone()
        } else {
            let inbound = old != STATE_SYN_SENT;
            let direction = Some(if inbound { Direction::Inbound } else { Direction::Outbound });
            let owner = if inbound { self.accepter(netns, local) } else { None };
            let known =
                Known { began_ns: Some(boot_ns), direction, owner, host_name: naming(remote.ip) };
            if !self.is_full() {
                self.connections.insert(socket, known.clone());
            }
            known
        };
        let connection = self.connection(&known, local, remote, netns);
        NetworkEvent::Opened(Opened { connection, existing: false })
    }

    fn ends(&mut self, change: &Change) -> Ended {
        let Change { socket, boot_ns, netns, local, remote, content, error, .. } = *change;
        let found = || self.found.remove(&(local, remote)).filter(|_| netns == self.own_netns);
        let known = self.connections.remove(&socket).or_else(found);
        let unknown = Known { began_ns: None, direction: None, owner: None, host_name: None };
        let known = known.unwrap_or(unknown);
        Ended {
            connection: self.connection(&known, local, remote, netns),
            duration_ns: known.began_ns.map(|began_ns| boot_ns.saturating_sub(began_ns)),
            bytes_sent: content.map(|(sent, _)| sent),
            bytes_received: content.map(|(_, received)| received),
            error,
        }
    }

    /// Who takes what comes in there: the one process that listens there most exactly.
    fn accepter(&self, netns: u32, local: Peer) -> Option<Arc<Owner>> {
        let here = self.listeners.iter().filter(|listening| listening.netns == netns);
        let fits = here.filter_map(|listening| Some((listening.accepts(local)?, listening)));
        let mut best: Option<(u8, &Listening)> = None;
        let mut is_shared = false;
        for (rank, listening) in fits {
            let pid = |listening: &Listening| listening.owner.as_ref().map(|owner| owner.pid);
            match best {
                Some((better, _)) if better < rank => {}
                Some((same, other)) if same == rank => is_shared |= pid(other) != pid(listening),
                Some(_) | None => (best, is_shared) = (Some((rank, listening)), false),
            }
        }
        best.filter(|_| !is_shared).and_then(|(_, listening)| listening.owner.clone())
    }

    fn is_told(&self, local: Peer, remote: Option<Peer>) -> bool {
        self.told.as_ref().is_some_and(|told| told.contains(&(local, remote)))
    }

    fn is_full(&self) -> bool {
        self.connections.len() + self.found.len() >= CONNECTIONS_MAX
    }

    /// Within the machine, where that is not asked for.
    fn is_unwanted(&self, local: Peer, remote: Peer) -> bool {
        !self.loopback && (remote.ip.is_loopback() || remote.ip == local.ip)
    }

    fn netns(&self, netns: u32) -> Option<u64> {
        (netns != self.own_netns).then_some(u64::from(netns))
    }

    fn connection(&self, known: &Known, local: Peer, remote: Peer, netns: u32) -> Connection {
        let Known { direction, owner, host_name, .. } = known.clone();
        Connection {
            means: Means::Bpf,
            transport: Transport::Tcp,
            direction,
            local,
            remote,
            owner: owner.map(Arc::unwrap_or_clone),
            host_name,
            netns: self.netns(netns),
        }
    }

    fn listener(&self, listening: &Listening, existing: bool) -> Listener {
        let Listening { netns, local, owner, .. } = listening.clone();
        Listener {
            means: Means::Bpf,
            transport: Transport::Tcp,
            local,
            owner: owner.map(Arc::unwrap_or_clone),
            netns: self.netns(netns),
            existing,
        }
    }
}

impl Listening {
    /// How exactly it listens there, the best first; none where it does not.
    fn accepts(&self, at: Peer) -> Option<u8> {
        let Peer { ip, port } = self.local;
        if port != at.port {
            return None;
        }
        match ip {
            _ if ip == at.ip => Some(0),
            _ if !ip.is_unspecified() => None,
            _ if ip.is_ipv4() == at.ip.is_ipv4() => Some(1),
            // A listener of IPv6 takes IPv4 too, unless it says otherwise.
            IpAddr::V6(_) => Some(2),
            IpAddr::V4(_) => None,
        }
    }
}

#[cfg(test)]
mod tests;
