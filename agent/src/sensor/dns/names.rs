//! Answers as they come in, shared by the two sensors that want them: one tells them, the other
//! gives connections their names. Whoever looks first reads what has come in.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cordon_proto::Text;
use cordon_proto::event::dns::{Answer, DnsEvent, Says};
use cordon_proto::event::network::{Owner, Peer};
use cordon_proto::event::{Body, Observation, Severity};
use cordon_proto::limits::DNS_ANSWERS_MAX;

use super::cache::Cache;
use super::message::{self, Datagram, Message};
use super::told::{Tell, Told};
use super::watched::Watched;
use crate::clock::Stamp;
use crate::platform::linux::packet::PacketSocket;

/// As much as is read of one answer; larger ones go over TCP.
pub(super) const ANSWER_BYTES_MAX: usize = 4096 + 128;

/// Answers that wait to be handed over; further ones are counted as lost.
const WAITING_MAX: usize = 1024;

/// Packets that are read at one go, so that a flood holds nobody else up.
const PACKETS_MAX: usize = 4096;

/// Ports at which names are asked for: DNS, and by multicast mDNS and LLMNR.
pub const PORTS: [u16; 3] = [53, 5353, 5355];

/// A process that asks a server.
#[derive(Clone, Debug)]
pub struct Asker {
    /// The server.
    pub server: Peer,
    /// The process's port; 0 where it is not known.
    pub port: u16,
    /// The process.
    pub owner: Owner,
}

/// What answers told.
#[derive(Clone, Debug, Default)]
pub struct Names(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    sockets: Vec<Arc<PacketSocket>>,
    cache: Cache,
    told: Told,
    watched: Watched,
    askers: Vec<Asker>,
    waiting: Vec<(Stamp, DnsEvent)>,
    too_many: u64,
}

/// What has come in.
#[derive(Debug, Default)]
pub(super) struct Arrived {
    pub(super) observations: Vec<Observation>,
    /// Answers that were not told because there were too many.
    pub(super) too_many: u64,
}

impl Names {
    /// Reads what has come in, so that [`Self::name`] knows it.
    pub fn refresh(&self, now: Stamp) -> std::io::Result<()> {
        self.lock().refresh(now)
    }

    /// The name that an answer gave the address, while it may be kept.
    #[must_use]
    pub fn name(&self, ip: IpAddr, now_ns: u64) -> Option<Text> {
        self.lock().cache.name(ip, now_ns)
    }

    /// Says which processes ask which servers.
    pub fn ask(&self, askers: Vec<Asker>) {
        self.lock().askers = askers;
    }

    /// Keeps what answers say of these names from now on: names, or `*.` and a name for all below
    /// it.
    pub fn watch(&self, patterns: Vec<String>) {
        self.lock().watched.set(patterns);
    }

    /// Whether answers said anything of those names since it was fetched.
    #[must_use]
    pub fn has_heard(&self) -> bool {
        self.lock().watched.has_heard()
    }

    /// The addresses that answers gave those names.
    #[must_use]
    pub fn heard(&self) -> Vec<(String, IpAddr)> {
        self.lock().watched.fetch()
    }

    pub(super) fn listen(&self, sockets: Vec<Arc<PacketSocket>>) {
        self.lock().sockets = sockets;
    }

    pub(super) fn arrived(&self) -> Arrived {
        let mut inner = self.lock();
        let waiting = std::mem::take(&mut inner.waiting);
        let observe = |(at, event)| observation(at, event, &inner.askers);
        let observations = waiting.into_iter().map(observe).collect();
        Arrived { observations, too_many: std::mem::take(&mut inner.too_many) }
    }

    /// Nothing that panics leaves it half changed, so a poisoned lock is as good as any.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn refresh(&mut self, now: Stamp) -> std::io::Result<()> {
        let mut buffer = [0; ANSWER_BYTES_MAX];
        for socket in self.sockets.clone() {
            for _ in 0..PACKETS_MAX {
                let Some(length) = socket.receive(&mut buffer)? else { break };
                let packet = buffer.get(..length).unwrap_or_default();
                if let Err(error) = self.handle(packet, now) {
                    tracing::debug!(%error, "a packet from a name server's port was passed over");
                }
            }
        }
        Ok(())
    }

    fn handle(&mut self, packet: &[u8], now: Stamp) -> Result<(), message::MessageError> {
        let Datagram { from, to, content } = Datagram::parse(packet)?;
        let message = Message::parse(content)?;
        self.cache.learn(&message, now.boot_ns);
        self.watched.learn(&message);
        let repeats = match self.told.handle(&message, now.boot_ns) {
            Tell::Now { repeats } => repeats,
            Tell::Repeated => return Ok(()),
            Tell::TooMany => {
                self.too_many += 1;
                return Ok(());
            }
        };
        if self.waiting.len() >= WAITING_MAX {
            self.too_many += 1;
            return Ok(());
        }
        self.waiting.push((now, event(message, from, to, repeats)));
        Ok(())
    }
}

/// Who asked is known only when the other sensor has taken note of the question, a little later.
fn observation(at: Stamp, event: DnsEvent, askers: &[Asker]) -> Observation {
    let owner = asker(askers, event.server, event.client).cloned();
    let Stamp { time_ns, boot_ns } = at;
    let (severity, body) =
        (Severity::Informational, Body::Dns(Box::new(DnsEvent { owner, ..event })));
    Observation { time_ns, boot_ns, severity, body }
}

fn event(message: Message, server: Peer, client: Peer, repeats: u32) -> DnsEvent {
    let Message { query, query_type, rcode, records, answers } = message;
    let answer = |record: message::Record| Answer {
        ttl_secs: record.ttl_secs,
        says: match record.says {
            message::Says::Address(ip) => Says::Address(ip),
            message::Says::Name(name) => Says::Name(Text::from(name.as_str())),
        },
    };
    let answers = answers.into_iter().take(DNS_ANSWERS_MAX).map(answer).collect();
    let query = Text::from(query.as_str());
    let owner = None;
    DnsEvent { query, query_type, rcode, answers, records, server, client, owner, repeats }
}

/// Who asked the server that answered this client: the process whose port it is or, where no
/// process is known by that port, the only one that talks with that server.
fn asker(askers: &[Asker], server: Peer, client: Peer) -> Option<&Owner> {
    let mut asks = askers.iter().filter(|asker| asker.server == server);
    if let Some(exact) = asks.clone().find(|asker| asker.port == client.port) {
        return Some(&exact.owner);
    }
    let only = &asks.next()?.owner;
    asks.all(|asker| asker.owner.pid == only.pid).then_some(only)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(text: &str) -> Peer {
        let address: std::net::SocketAddr = text.parse().unwrap();
        Peer { ip: address.ip(), port: address.port() }
    }

    fn asks(pid: u32, port: u16) -> Asker {
        let (start_boot_ns, name) = (Some(1), None);
        let owner = Owner { pid, start_boot_ns, uid: None, cgroup_id: None, name };
        Asker { server: peer("192.0.2.53:53"), port, owner }
    }

    #[track_caller]
    fn check(askers: &[Asker], server: &str, port: u16, expected: Option<u32>) {
        let client = Peer { ip: [192, 0, 2, 9].into(), port };
        let found = asker(askers, peer(server), client).map(|owner| owner.pid);
        assert_eq!(found, expected);
    }

    #[test]
    fn the_asker_is_the_socket_or_the_only_process_and_never_a_guess() {
        let server = "192.0.2.53:53";
        check(&[], server, 4000, None);
        check(&[asks(7, 0)], server, 4000, Some(7));
        check(&[asks(7, 0)], "192.0.2.54:53", 4000, None);
        check(&[asks(7, 0), asks(7, 4001)], server, 4000, Some(7));
        check(&[asks(7, 0), asks(8, 4001)], server, 4000, None);
        check(&[asks(7, 0), asks(8, 4001)], server, 4001, Some(8));
    }

    /// An answer of 192.0.2.53 to 192.0.2.9: `a.b` is 192.0.2.1.
    fn packet() -> Vec<u8> {
        let mut packet = vec![0x45, 0, 0, 65, 0, 0, 0, 0, 64, 17, 0, 0];
        packet.extend([192, 0, 2, 53, 192, 0, 2, 9, 0, 53, 0x9c, 0x40, 0, 45, 0, 0]);
        packet.extend([0x12, 0x34, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
        packet.extend(b"\x01a\x01b\0\0\x01\0\x01\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04");
        packet.extend([192, 0, 2, 1]);
        packet
    }

    #[test]
    fn an_answer_is_told_once_and_names_its_address() {
        let mut inner = Inner { askers: vec![asks(7, 0)], ..Inner::default() };
        let now = Stamp { time_ns: 5, boot_ns: 1 };
        for _ in 0..3 {
            inner.handle(&packet(), now).unwrap();
        }
        let [(at, event)] = inner.waiting.as_slice() else { panic!("{:?}", inner.waiting) };
        let seen = observation(*at, event.clone(), &inner.askers);
        let Observation { time_ns: 5, boot_ns: 1, body: Body::Dns(event), .. } = seen else {
            panic!("{seen:?}");
        };
        assert_eq!(event.query, "a.b".into());
        assert_eq!(event.client, Peer { ip: [192, 0, 2, 9].into(), port: 40_000 });
        assert_eq!(event.owner.as_ref().map(|owner| owner.pid), Some(7));
        let says = Says::Address([192, 0, 2, 1].into());
        assert_eq!(event.answers, [Answer { ttl_secs: 60, says }]);
        assert_eq!(inner.cache.name([192, 0, 2, 1].into(), 2), Some("a.b".into()));
    }
}
