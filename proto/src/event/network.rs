//! Connections, listeners and datagrams, with the process behind them (OCSF Network Activity, 4001).

use std::net::IpAddr;

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::Text;

/// By which means the agent saw a socket; each misses something else.
#[derive(
    Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash, Encode, Decode, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum Means {
    /// BPF, at the moment itself: complete, however short.
    #[n(1)]
    Bpf,
    /// Differences between lists of sockets: short-lived ones are not seen at all, and times are
    /// those of the list.
    #[n(2)]
    Sampled,
}

/// The protocol above IP.
#[derive(
    Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash, Encode, Decode, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum Transport {
    /// TCP.
    #[n(6)]
    Tcp,
    /// UDP.
    #[n(17)]
    Udp,
}

/// Who began.
#[derive(
    Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash, Encode, Decode, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum Direction {
    /// The other end.
    #[n(1)]
    Inbound,
    /// This endpoint.
    #[n(2)]
    Outbound,
}

/// One end of a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash, Encode, Decode)]
pub struct Peer {
    /// Its address; an IPv4 address mapped into IPv6 is told as the IPv4 address it is.
    #[n(0)]
    pub ip: IpAddr,
    /// Its port; 0 where it is not known.
    #[n(1)]
    pub port: u16,
}

/// The process behind a socket.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub struct Owner {
    /// Process id, in the initial pid namespace.
    #[n(0)]
    pub pid: u32,
    /// When the process was made, boot-time clock in nanoseconds: with the pid, its identity.
    #[n(1)]
    pub start_boot_ns: Option<u64>,
    /// Real user id.
    #[n(2)]
    pub uid: Option<u32>,
    /// Control group, by its cgroup-v2 id.
    #[n(3)]
    pub cgroup_id: Option<u64>,
    /// Its name as the kernel keeps it (`comm`, at most 15 bytes).
    #[n(4)]
    pub name: Option<Text>,
}

/// A connection, or the datagrams between two ends.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub struct Connection {
    /// How it was seen.
    #[n(0)]
    pub means: Means,
    /// Over which protocol.
    #[n(1)]
    pub transport: Transport,
    /// Who began; none where that was before the agent looked and cannot be told any more.
    #[n(2)]
    pub direction: Option<Direction>,
    /// This endpoint's end.
    #[n(3)]
    pub local: Peer,
    /// The other end.
    #[n(4)]
    pub remote: Peer,
    /// The process that opened it or, of an accepted one, the process that opened the listener.
    #[n(5)]
    pub owner: Option<Owner>,
    /// The name that a DNS answer gave the remote address shortly before.
    #[n(6)]
    pub host_name: Option<Text>,
    /// The inode of its network namespace, where that is not the agent's own.
    #[n(7)]
    pub netns: Option<u64>,
}

/// A connection that was opened.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub struct Opened {
    /// Which.
    #[n(0)]
    pub connection: Connection,
    /// Whether it was there already when the agent began to look.
    #[n(1)]
    pub existing: bool,
}

/// A connection that ended, or an attempt that came to nothing.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub struct Ended {
    /// Which.
    #[n(0)]
    pub connection: Connection,
    /// From the first packet to the last, nanoseconds; none where its beginning was not seen.
    #[n(1)]
    pub duration_ns: Option<u64>,
    /// Bytes of content sent, those that were sent again not counted.
    #[n(2)]
    pub bytes_sent: Option<u64>,
    /// Bytes of content received.
    #[n(3)]
    pub bytes_received: Option<u64>,
    /// Linux' number of the error that ended it; none where it ended in order.
    #[n(4)]
    pub error: Option<u32>,
}

/// A socket that waits for others to begin.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub struct Listener {
    /// How it was seen.
    #[n(0)]
    pub means: Means,
    /// Over which protocol.
    #[n(1)]
    pub transport: Transport,
    /// Where it waits.
    #[n(2)]
    pub local: Peer,
    /// The process that opened it.
    #[n(3)]
    pub owner: Option<Owner>,
    /// The inode of its network namespace, where that is not the agent's own.
    #[n(4)]
    pub netns: Option<u64>,
    /// Whether it was there already when the agent began to look.
    #[n(5)]
    pub existing: bool,
}

/// Datagrams that a process sent to one address, after the first of them was told.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub struct Traffic {
    /// Between whom.
    #[n(0)]
    pub connection: Connection,
    /// From the first datagram to when none came for a while, nanoseconds.
    #[n(1)]
    pub duration_ns: u64,
    /// How often the process named the address, the first included; a datagram each on a socket
    /// that is not connected, one connection each on one that is.
    #[n(2)]
    pub sends: u64,
}

/// What happened to a socket.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub enum NetworkEvent {
    /// A connection stands; of UDP, a process named an address for the first time in a while.
    #[n(0)]
    Opened(#[n(0)] Opened),
    /// A connection ended.
    #[n(1)]
    Closed(#[n(0)] Ended),
    /// An attempt to connect came to nothing.
    #[n(2)]
    Failed(#[n(0)] Ended),
    /// A process waits for others.
    #[n(3)]
    Listening(#[n(0)] Listener),
    /// It waits no longer.
    #[n(4)]
    ListeningEnded(#[n(0)] Listener),
    /// Datagrams went on and have now ceased.
    #[n(5)]
    Traffic(#[n(0)] Traffic),
}
