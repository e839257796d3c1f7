//! All blocks of this endpoint as one fence in the kernel: put up, looked at, taken down.
//!
//! Blocks add up, and each is undone alone; so every change makes the whole anew from all that
//! stand, in one transaction. Every call may block and belongs on a helper thread, in the network
//! namespace of the first one.

use std::collections::BTreeMap;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use cordon_proto::codec;
use cordon_proto::command::Action;

use super::known::{Kept, Known};
use super::plan::{Stand, TooMany, strips};
use super::vital::{Vital, is_vital};
use crate::action::isolate::drift::{Drift, compare};
use crate::clock;
use crate::identity::StateDir;
use crate::ledger;
use crate::platform::linux::netlink::NetlinkError;
use crate::platform::linux::netns::{Netns, NetnsError};
use crate::platform::linux::nft::fence::Fence;
use crate::platform::linux::nft::ruleset::Digest;
use crate::platform::linux::nft::wall::Transport;
use crate::platform::linux::nft::{self, NftError, Nftables, Raised};
use crate::platform::linux::route::{self, Link, RouteError};
use crate::platform::linux::sock_diag::{Connected, Sockets};
use crate::sensor::dns::Names;

/// What blocked names stood for when the agent last ran.
const FILE: &str = "blocked-names.cbor";
/// Names are asked for this often.
const ASK_EVERY_NS: u64 = 60 * 1_000_000_000;
/// No further name is asked for after this long; it is the first the next time. One that nobody
/// answers takes as long as the system's resolver waits.
const ASK_MAX_NS: u64 = 10 * 1_000_000_000;
/// A session may be made between our look and the fence; later ones never get a packet through.
const ENDING_ROUNDS_MAX: usize = 3;

/// Why a fence could not be changed or looked at.
#[derive(Debug, thiserror::Error)]
pub enum FenceError {
    /// This machine is none to try things out on.
    #[error(
        "refused: this agent may block only outside the initial network namespace, and it is in it"
    )]
    InitialNetns,
    /// The thread has moved.
    #[error("refused: the network namespace is not the one in which the fence was put up")]
    OtherNetns,
    /// There is an end to everything.
    #[error(transparent)]
    TooMany(#[from] TooMany),
    /// Where are we?
    #[error(transparent)]
    Netns(#[from] NetnsError),
    /// The kernel.
    #[error(transparent)]
    Nft(#[from] NftError),
    /// The devices.
    #[error(transparent)]
    Route(#[from] RouteError),
    /// The sockets.
    #[error("cannot look at the sockets: {0}")]
    Sockets(NetlinkError),
}

/// What the fence is made with beside the blocks.
#[derive(Clone, Debug, Default)]
pub struct Ground {
    /// The mark of the agent's own packets.
    pub mark: u32,
    /// The TCP ports that they go to.
    pub ports: Vec<u16>,
    /// What must not be blocked because of what a name claims.
    pub vital: Vital,
}

/// What was seen of the fence.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Look {
    /// What is otherwise than it must be.
    pub drifted: Option<String>,
    /// As the kernel has it.
    pub digest: Digest,
    /// Packets dropped since the agent started.
    pub dropped: u64,
    /// Other processes cannot edit it.
    pub owned: bool,
    /// Packet sockets are closed too.
    pub egress: bool,
}

/// Asks for a name's addresses; blocks for as long as that takes.
pub type Ask = fn(&str) -> Vec<IpAddr>;

/// All blocks.
#[derive(Debug)]
pub struct Blocks {
    dir: StateDir,
    lab: bool,
    names: Names,
    ask: Ask,
    /// Whether to own the table where the kernel can.
    owning: bool,
    inner: Mutex<Inner>,
    /// Whether any name is blocked, and when names are to be asked for: read by the event loop,
    /// which must not wait for a helper thread.
    named: AtomicBool,
    ask_at_ns: AtomicU64,
    asking: AtomicBool,
}

#[derive(Debug, Default)]
struct Inner {
    stands: BTreeMap<[u8; 16], Stand>,
    known: Known,
    up: Option<Up>,
    /// The name that is asked for first.
    next: usize,
}

/// The fence as it was put up.
#[derive(Debug)]
struct Up {
    netns: Netns,
    nft: Nftables,
    fence: Option<(Fence, Raised)>,
    links: Vec<Link>,
    /// Packets that fences before this one have dropped.
    dropped: u64,
}

impl Blocks {
    /// Takes up what stood when the agent last ran. Nothing is changed yet; but whatever is done
    /// first is done with all of it, so that nothing opens because one block is seen to before
    /// another.
    #[must_use]
    pub fn resume(dir: StateDir, lab: bool, names: Names, ask: Ask, kept: &ledger::Kept) -> Self {
        let blocks = kept.deeds.iter().filter(|deed| matches!(deed.action, Action::Block(_)));
        let stands = blocks.filter_map(|deed| codec::decode_strict::<Stand>(&deed.before).ok());
        let stands = stands.map(|stand| (stand.key, stand)).collect();
        let kept = dir.read_secret(FILE).ok().flatten();
        let kept = kept.and_then(|bytes| codec::decode_strict::<Kept>(&bytes).ok());
        let known = Known::resume(kept.unwrap_or_default(), clock::boot_ns());
        let inner = Inner { stands, known, ..Inner::default() };
        let (named, ask_at_ns, asking) = (false.into(), 0.into(), false.into());
        let blocks = Self {
            dir,
            lab,
            names,
            ask,
            owning: true,
            inner: inner.into(),
            named,
            ask_at_ns,
            asking,
        };
        blocks.watch(&blocks.lock());
        blocks
    }

    /// Does not own its table, as on a kernel that cannot.
    #[must_use]
    pub fn plain(self) -> Self {
        Self { owning: false, ..self }
    }

    /// Whether this could be blocked beside what stands. Changes nothing.
    pub fn check(&self, stand: &Stand) -> Result<(), FenceError> {
        let inner = self.lock();
        self.allowed(&inner)?;
        Nftables::open_for(nft::FENCE, self.owning)?;
        let all = inner.stands.values().chain([stand]);
        strips(all, &|name| inner.known.addresses(name).collect())?;
        Ok(())
    }

    /// Puts up what stands and this, anew if it stands already. With an error it is as it was.
    pub fn add(&self, stand: &Stand, ground: &Ground) -> Result<(), FenceError> {
        let mut inner = self.lock();
        let before = inner.stands.insert(stand.key, stand.clone());
        let put_up = self.put_up(&mut inner, ground);
        if put_up.is_err() && before.is_none() {
            inner.stands.remove(&stand.key);
        }
        self.watch(&inner);
        put_up
    }

    /// Takes this away from what stands; the fence goes with the last.
    pub fn remove(&self, stand: &Stand, ground: &Ground) -> Result<(), FenceError> {
        let mut inner = self.lock();
        let before = inner.stands.remove(&stand.key);
        let gone = if inner.stands.is_empty() {
            self.take_down(&mut inner)
        } else {
            self.put_up(&mut inner, ground)
        };
        if gone.is_err() {
            inner.stands.extend(before.map(|stand| (stand.key, stand)));
        }
        self.watch(&inner);
        gone
    }

    /// How many blocks stand.
    pub fn count(&self) -> usize {
        self.lock().stands.len()
    }

    /// Compares what the kernel has with what must be there. After a restart it is put up first:
    /// one transaction that changes nothing where it still stands.
    pub fn look(&self, stand: &Stand, ground: &Ground) -> Result<Look, FenceError> {
        let mut inner = self.lock();
        let is_new = inner.stands.insert(stand.key, stand.clone()).is_none();
        let is_up = inner.up.as_ref().is_some_and(|up| up.fence.is_some());
        if is_new || !is_up {
            self.put_up(&mut inner, ground)?;
            self.watch(&inner);
        }
        let mut look = self.compared(&mut inner)?;
        if look.drifted.is_none() && self.is_outdated(&inner, ground)? {
            self.put_up(&mut inner, ground)?;
            look = self.compared(&mut inner)?;
        }
        Ok(look)
    }

    /// Sessions with whom this blocks that believe to be connected.
    pub fn residual(&self) -> Result<usize, FenceError> {
        let mut inner = self.lock();
        let Some((fence, _)) = inner.up.as_mut().and_then(|up| up.fence.as_ref()) else {
            return Ok(0);
        };
        let all = Sockets::open().and_then(|mut sockets| sockets.connected());
        let all = all.map_err(FenceError::Sockets)?;
        Ok(all.iter().filter(|socket| socket.established && is_blocked(fence, socket)).count())
    }

    /// The addresses of a blocked name.
    pub fn addresses(&self, name: &str) -> Vec<IpAddr> {
        self.lock().known.addresses(name).collect()
    }

    /// Whether [`Self::refresh`] has something to do. Cheap, and waits for nothing.
    pub fn is_stirred(&self, now_ns: u64) -> bool {
        let due = || self.ask_at_ns.load(Ordering::Relaxed) <= now_ns;
        self.named.load(Ordering::Relaxed)
            && !self.asking.load(Ordering::Relaxed)
            && (due() || self.names.has_heard())
    }

    /// Takes note of where blocked names lead now, and moves the fence with them. What cannot be
    /// asked stays as it is known.
    pub fn refresh(&self, ground: &Ground) {
        if self.asking.swap(true, Ordering::Relaxed) {
            return;
        }
        if self.ask_at_ns.load(Ordering::Relaxed) <= clock::boot_ns() {
            self.ask_names(ground);
        }
        self.learn(self.names.heard(), ground);
        self.asking.store(false, Ordering::Relaxed);
    }

    /// Asks for every name in turn, outside the lock: an answer may take its time.
    fn ask_names(&self, ground: &Ground) {
        let began = clock::boot_ns();
        let (names, next) = {
            let inner = self.lock();
            (inner.names(), inner.next)
        };
        let mut asked = 0;
        for at in 0..names.len() {
            if at > 0 && clock::boot_ns().saturating_sub(began) > ASK_MAX_NS {
                break;
            }
            let Some(name) = names.get(next.wrapping_add(at) % names.len()) else { continue };
            if !name.starts_with('*') {
                let found = (self.ask)(name).into_iter().map(|ip| (name.clone(), ip)).collect();
                self.learn(found, ground);
            }
            asked += 1;
        }
        let mut inner = self.lock();
        inner.next = next.wrapping_add(asked) % names.len().max(1);
        // One that came meanwhile is asked for at once.
        if inner.names() == names {
            let again_ns = clock::boot_ns().saturating_add(ASK_EVERY_NS);
            self.ask_at_ns.store(again_ns, Ordering::Relaxed);
        }
    }

    fn learn(&self, heard: Vec<(String, IpAddr)>, ground: &Ground) {
        let (mut inner, now_ns) = (self.lock(), clock::boot_ns());
        let blocked = inner.names();
        let mut changed = inner.known.forget(&blocked, now_ns);
        for (name, ip) in heard {
            match is_vital(ip, &ground.vital) {
                // Whoever answers for the name could cut the endpoint off with it.
                Some(what) => tracing::warn!(%ip, what, "a blocked name leads to what is needed"),
                None if blocked.contains(&name) => changed |= inner.known.learn(&name, ip, now_ns),
                None => {}
            }
        }
        if !changed || inner.stands.is_empty() {
            return;
        }
        let bytes = codec::encode(&inner.known.kept());
        if let Err(error) = self.dir.write(FILE, &bytes) {
            tracing::warn!(%error, "where blocked names lead could not be written down");
        }
        // Told by the next look, which tries again.
        if let Err(error) = self.put_up(&mut inner, ground) {
            tracing::warn!(%error, "blocked names could not be followed");
        }
    }

    /// Tells the sensor which names are waited for, and the event loop whether there are any.
    fn watch(&self, inner: &Inner) {
        let names = inner.names();
        self.named.store(!names.is_empty(), Ordering::Relaxed);
        self.ask_at_ns.store(0, Ordering::Relaxed);
        self.names.watch(names);
    }

    fn put_up(&self, inner: &mut Inner, ground: &Ground) -> Result<(), FenceError> {
        let netns = self.allowed(inner)?;
        let fence = inner.fence(ground)?;
        let links = route::links(&mut route::open(0)?)?;
        let up = inner.opened(netns, self.owning)?;
        if let Some((_, raised)) = &up.fence {
            // What the old one counted since the last look is lost where it cannot be read.
            let standing = up.nft.read(&raised.table).ok();
            let dropped = standing.map_or(0, |standing| standing.dropped.values().sum());
            up.dropped = up.dropped.saturating_add(dropped);
        }
        let raised = up.nft.put_up(&|name, egress| fence.ruleset(name, &links, egress))?;
        end_blocked(&fence).unwrap_or_else(|error| {
            // Their packets are dropped all the same; the look counts what is left.
            tracing::warn!(%error, "sessions with whom is blocked could not be ended");
        });
        (up.fence, up.links) = (Some((fence, raised)), links);
        Ok(())
    }

    fn take_down(&self, inner: &mut Inner) -> Result<(), FenceError> {
        let netns = self.allowed(inner)?;
        let up = inner.opened(netns, self.owning)?;
        up.nft.take_down()?;
        (up.fence, up.dropped) = (None, 0);
        Ok(())
    }

    fn compared(&self, inner: &mut Inner) -> Result<Look, FenceError> {
        self.allowed(inner)?;
        let Some(up) = &mut inner.up else { return Err(NftError::StillThere.into()) };
        let Some((fence, raised)) = &up.fence else { return Err(NftError::StillThere.into()) };
        let links = route::links(&mut route::open(0)?)?;
        let expected = fence.ruleset(&raised.table, &links, raised.egress);
        let standing = up.nft.read(&raised.table)?;
        let drifted = match compare(&raised.ruleset, &expected, &standing.ruleset, &links) {
            Some(Drift::Rules(difference)) => Some(difference),
            // Nobody's doing; whoever looks puts it up with the devices of now.
            Some(Drift::Devices) | None => None,
        };
        let dropped = up.dropped.saturating_add(standing.dropped.values().sum());
        let (digest, owned, egress) = (standing.digest, raised.owned, raised.egress);
        Ok(Look { drifted, digest, dropped, owned, egress })
    }

    /// Whether the fence would now be another: devices came, doors moved.
    fn is_outdated(&self, inner: &Inner, ground: &Ground) -> Result<bool, FenceError> {
        let Some(up) = &inner.up else { return Ok(false) };
        let fence = inner.fence(ground)?;
        let links = route::links(&mut route::open(0)?)?;
        Ok(up.links != links || up.fence.as_ref().is_none_or(|(before, _)| *before != fence))
    }

    /// May we touch this namespace?
    fn allowed(&self, inner: &Inner) -> Result<Netns, FenceError> {
        let own = Netns::own()?;
        if self.lab && own.is_initial()? {
            return Err(FenceError::InitialNetns);
        }
        if inner.up.as_ref().is_some_and(|up| up.netns != own) {
            return Err(FenceError::OtherNetns);
        }
        Ok(own)
    }

    /// A panic elsewhere leaves nothing half done here: every call makes the whole anew.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> =
            self.stands.values().flat_map(Stand::names).map(str::to_owned).collect();
        names.sort();
        names.dedup();
        names
    }

    fn fence(&self, ground: &Ground) -> Result<Fence, TooMany> {
        let strips = strips(self.stands.values(), &|name| self.known.addresses(name).collect())?;
        Ok(Fence { mark: ground.mark, ports: ground.ports.clone(), strips })
    }

    fn opened(&mut self, netns: Netns, owning: bool) -> Result<&mut Up, FenceError> {
        let up = match self.up.take() {
            Some(up) => up,
            None => {
                let nft = Nftables::open_for(nft::FENCE, owning)?;
                Up { netns, nft, fence: None, links: Vec::new(), dropped: 0 }
            }
        };
        Ok(self.up.insert(up))
    }
}

/// What the system's resolver says. Blocks for as long as it waits.
pub fn ask(name: &str) -> Vec<IpAddr> {
    let found = (name, 0).to_socket_addrs().map(|all| all.map(|address| address.ip()).collect());
    found.unwrap_or_default()
}

/// Ends TCP sessions with whom is blocked: their programs get an error at once instead of hanging.
fn end_blocked(fence: &Fence) -> Result<(), NetlinkError> {
    let mut sockets = Sockets::open()?;
    for _ in 0..ENDING_ROUNDS_MAX {
        let mut blocked = sockets.connected()?;
        blocked.retain(|socket| is_blocked(fence, socket));
        if blocked.is_empty() || sockets.end(&blocked)?.ended == 0 {
            break;
        }
    }
    Ok(())
}

fn is_blocked(fence: &Fence, socket: &Connected) -> bool {
    let Connected { local, remote, .. } = socket;
    let own = socket.mark == fence.mark && fence.ports.contains(&remote.port());
    let covers = |strip: &crate::platform::linux::nft::fence::Strip| {
        strip.what.covers(socket.transport, local.port(), remote.port())
            && strip.addresses.contains(remote.ip())
    };
    socket.transport == Transport::Tcp
        && !(own || socket.is_local())
        && fence.strips.iter().any(covers)
}
