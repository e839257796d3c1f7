//! Who is connected: every live session of every endpoint, and how to speak to it.
//!
//! One endpoint may have several at once (a copied image: clones). All stay, all are spoken to.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use cordon_proto::id::{ClientId, EndpointId};
use cordon_proto::message::Hello;
use tokio::sync::{mpsc, oneshot};

/// Words that wait for one link. An agent that does not take so many is not listening.
const WORDS_MAX: usize = 64;

/// What a link is told from the people's side.
#[derive(Debug)]
pub enum Word {
    /// Pass this signed command on; answered once it is written to the socket.
    Command(Arc<[u8]>, oneshot::Sender<()>),
    /// Pass this signed roster on; answered once it is written to the socket.
    Roster(Arc<[u8]>, oneshot::Sender<()>),
    /// End the session; why.
    End(&'static str),
}

/// A session that was welcomed.
#[derive(Clone, Debug)]
pub struct Connected {
    /// Tells this session from every other of this collector's life.
    pub link: u64,
    /// Which endpoint.
    pub endpoint: EndpointId,
    /// Whose.
    pub client: ClientId,
    /// What it said of itself.
    pub hello: Arc<Hello>,
    /// When, nanoseconds since 1970 UTC.
    pub since_ns: u64,
    /// Sessions of the same endpoint, live at that moment, that come from another machine or boot.
    pub clones: usize,
}

/// What is called on every welcome; it must not block for long.
pub type OnConnect = Box<dyn Fn(&Connected) + Send + Sync>;

#[derive(Debug)]
struct Link {
    connected: Connected,
    words: mpsc::Sender<Word>,
}

/// Every live session.
#[derive(Default)]
pub struct Links {
    live: Mutex<Live>,
    on_connect: OnceLock<OnConnect>,
}

#[derive(Debug, Default)]
struct Live {
    next: u64,
    by_endpoint: HashMap<EndpointId, Vec<Link>>,
    count: usize,
}

/// What a link's task holds while it lives; the session leaves the list when this is dropped.
#[derive(Debug)]
pub struct Seat {
    links: Arc<Links>,
    /// The session.
    pub connected: Connected,
    /// What the link is told.
    pub words: mpsc::Receiver<Word>,
    /// Other sessions of the same endpoint that come from another machine or boot.
    pub clones: Vec<Connected>,
}

impl std::fmt::Debug for Links {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Links({} live)", self.count())
    }
}

impl Links {
    /// Sets what is called on every welcome: once, before the doors open.
    pub fn call_on_connect(&self, call: OnConnect) {
        if self.on_connect.set(call).is_err() {
            tracing::error!("what is called on connect was set twice; the first stays");
        }
    }

    /// Takes a session in.
    #[must_use]
    pub fn take_seat(
        self: &Arc<Self>,
        client: &ClientId,
        hello: Arc<Hello>,
        since_ns: u64,
    ) -> Seat {
        let (sender, words) = mpsc::channel(WORDS_MAX);
        let mut live = self.lock();
        live.next += 1;
        live.count += 1;
        let endpoint = hello.endpoint;
        let client = client.clone();
        let link = live.next;
        let mut connected = Connected { link, endpoint, client, hello, since_ns, clones: 0 };
        let links = live.by_endpoint.entry(endpoint).or_default();
        let other = |link: &&Link| is_other_machine(&link.connected.hello, &connected.hello);
        let clones: Vec<_> =
            links.iter().filter(other).map(|link| link.connected.clone()).collect();
        connected.clones = clones.len();
        links.push(Link { connected: connected.clone(), words: sender });
        drop(live);
        if let Some(call) = self.on_connect.get() {
            call(&connected);
        }
        Seat { links: Arc::clone(self), connected, words, clones }
    }

    /// Hands a signed command to every live session of an endpoint. Each answer comes once the
    /// command is written to that session's socket, or is lost with the session.
    pub fn send_command(&self, endpoint: EndpointId, bytes: &[u8]) -> Vec<oneshot::Receiver<()>> {
        self.send(endpoint, bytes, Word::Command)
    }

    /// Hands a signed roster to every live session of an endpoint.
    pub fn send_roster(&self, endpoint: EndpointId, bytes: &[u8]) -> Vec<oneshot::Receiver<()>> {
        self.send(endpoint, bytes, Word::Roster)
    }

    /// Hands a signed roster to every live session of a client.
    pub fn send_roster_to_all(&self, client: &ClientId, bytes: &[u8]) {
        let bytes: Arc<[u8]> = bytes.into();
        for link in self.lock().by_endpoint.values().flatten() {
            if link.connected.client == *client {
                // A link whose queue is full gets the roster when it connects again.
                link.words.try_send(Word::Roster(Arc::clone(&bytes), oneshot::channel().0)).ok();
            }
        }
    }

    /// Tells every session of an endpoint to end.
    pub fn end(&self, endpoint: EndpointId, why: &'static str) {
        for link in self.lock().by_endpoint.get(&endpoint).into_iter().flatten() {
            link.words.try_send(Word::End(why)).ok();
        }
    }

    /// The live sessions of an endpoint; none means that it is offline.
    #[must_use]
    pub fn of(&self, endpoint: EndpointId) -> Vec<Connected> {
        let live = self.lock();
        let links = live.by_endpoint.get(&endpoint).into_iter().flatten();
        links.map(|link| link.connected.clone()).collect()
    }

    /// Whether an endpoint is connected.
    #[must_use]
    pub fn is_online(&self, endpoint: EndpointId) -> bool {
        self.lock().by_endpoint.contains_key(&endpoint)
    }

    /// Live sessions, all told.
    #[must_use]
    pub fn count(&self) -> usize {
        self.lock().count
    }

    fn send(
        &self,
        endpoint: EndpointId,
        bytes: &[u8],
        word: impl Fn(Arc<[u8]>, oneshot::Sender<()>) -> Word,
    ) -> Vec<oneshot::Receiver<()>> {
        let bytes: Arc<[u8]> = bytes.into();
        let live = self.lock();
        let links = live.by_endpoint.get(&endpoint).into_iter().flatten();
        let sent = links.filter_map(|link| {
            let (sender, written) = oneshot::channel();
            link.words.try_send(word(Arc::clone(&bytes), sender)).ok().map(|()| written)
        });
        sent.collect()
    }

    fn leave(&self, connected: &Connected) {
        let mut live = self.lock();
        live.count = live.count.saturating_sub(1);
        if let Some(links) = live.by_endpoint.get_mut(&connected.endpoint) {
            links.retain(|link| link.connected.link != connected.link);
            if links.is_empty() {
                live.by_endpoint.remove(&connected.endpoint);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.links.leave(&self.connected);
    }
}

/// A session left over from a cut line comes from the same machine and boot; a clone does not.
fn is_other_machine(one: &Hello, other: &Hello) -> bool {
    one.machine_id != other.machine_id || one.boot_id != other.boot_id
}

#[cfg(test)]
mod tests {
    use cordon_proto::roster::RosterRef;

    use super::*;

    fn hello(machine: &str, boot: &str) -> Arc<Hello> {
        Arc::new(Hello {
            protocol: 1,
            protocol_oldest: 1,
            endpoint: EndpointId::of(b"key"),
            client: "acme".parse().unwrap(),
            agent_version: String::new(),
            host_name: "web-01".to_owned(),
            os: String::new(),
            kernel: String::new(),
            machine_id: machine.to_owned(),
            boot_id: boot.to_owned(),
            time_ns: 0,
            roster: RosterRef::default(),
        })
    }

    fn sit(links: &Arc<Links>, machine: &str, boot: &str) -> Seat {
        links.take_seat(&"acme".parse().unwrap(), hello(machine, boot), 0)
    }

    #[test]
    fn a_second_session_of_the_same_boot_is_no_clone_and_one_of_another_is() {
        let links = Arc::<Links>::default();
        let first = sit(&links, "m1", "b1");
        let again = sit(&links, "m1", "b1");
        assert!(first.clones.is_empty() && again.clones.is_empty());
        let copy = sit(&links, "m1", "b2");
        assert_eq!(copy.clones.len(), 2);
        assert_eq!(links.of(EndpointId::of(b"key")).len(), 3);
    }

    #[test]
    fn a_command_reaches_every_live_session_and_nobody_once_all_left() {
        let links = Arc::<Links>::default();
        let endpoint = EndpointId::of(b"key");
        let (mut one, two) = (sit(&links, "m1", "b1"), sit(&links, "m2", "b2"));
        assert_eq!(links.send_command(endpoint, b"command").len(), 2);
        assert!(
            matches!(one.words.try_recv(), Ok(Word::Command(bytes, _)) if *bytes == *b"command")
        );
        drop((one, two));
        assert!(links.send_command(endpoint, b"command").is_empty());
        assert!(!links.is_online(endpoint));
        assert_eq!(links.count(), 0);
    }

    #[test]
    fn a_link_that_takes_nothing_is_not_waited_for() {
        let links = Arc::<Links>::default();
        let _seat = sit(&links, "m1", "b1");
        let endpoint = EndpointId::of(b"key");
        let sent = (0..100).filter(|_| !links.send_command(endpoint, b"c").is_empty()).count();
        assert_eq!(sent, WORDS_MAX);
    }

    #[test]
    fn every_welcome_is_told() {
        let links = Arc::<Links>::default();
        let told = Arc::new(Mutex::new(Vec::new()));
        let list = Arc::clone(&told);
        links.call_on_connect(Box::new(move |connected| {
            list.lock().unwrap().push(connected.hello.machine_id.clone());
        }));
        let _seats = (sit(&links, "m1", "b1"), sit(&links, "m2", "b2"));
        assert_eq!(*told.lock().unwrap(), ["m1", "m2"]);
    }
}
