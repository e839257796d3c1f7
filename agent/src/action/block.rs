//! Blocks addresses, names and ports, in and out, and lets them pass again.
//!
//! What is blocked is dropped before any other table's rules count, for sessions that stand as for
//! new ones; TCP sessions are ended. Loopback never is, and neither are the agent's own packets to
//! the ports of its collectors' doors: they are known by its mark. A name is its addresses, asked
//! for each minute and heard from answers as they arrive; between an answer and the fence that
//! follows it lies about a second.

pub mod fences;
pub mod known;
pub mod plan;
pub mod vital;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use cordon_proto::codec;
use cordon_proto::command::{Block, Peer, Rule};
use cordon_proto::event::receipt::Probe;
use cordon_proto::id::Hash;
use ring::rand::{SecureRandom, SystemRandom};

use super::deed::{Deed, Done, Hand, NotDone, Seen};
use crate::platform::linux::nft::fence::{At, What};
use crate::platform::linux::nft::span::Addresses;
use crate::platform::linux::nft::wall::Transport;
use crate::platform::linux::route::{self, Way};
use crate::platform::linux::socket::{Reach, try_datagram, try_stream};
use fences::{Blocks, FenceError, Ground, Look};
use plan::{Stand, whats};
use vital::Vital;

/// Attempts to get through in one look.
const ATTEMPTS_MAX: usize = 3;
/// One that gets through does so well within this.
const ATTEMPT_WAIT: Duration = Duration::from_millis(300);
/// Where nobody lives (RFC 5737), for a rule about everybody.
const NOWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
/// Nobody listens at the port of discarding; it is only tried whether a datagram leaves.
const DISCARD: u16 = 9;

/// Blocking what a command names.
#[derive(Debug)]
pub struct Blocking<'a> {
    block: &'a Block,
    hand: &'a Hand,
}

impl<'a> Blocking<'a> {
    /// What a command asks for, with what it is done with.
    #[must_use]
    pub fn new(block: &'a Block, hand: &'a Hand) -> Self {
        Self { block, hand }
    }

    fn blocks(&self) -> &Blocks {
        &self.hand.tools.blocks
    }

    fn ground(&self) -> Ground {
        ground(self.hand)
    }

    /// What was seen of the fence and of this part of it.
    fn probes(&self, stand: &Stand, look: &Look, ground: &Ground) -> Vec<Probe> {
        let Look { drifted, digest, dropped, owned, egress } = look;
        let edited = if *owned { "nobody else can edit them" } else { "root can edit them" };
        let packet = if *egress { "closed" } else { "NOT closed" };
        let equal = drifted.clone().unwrap_or_else(|| format!("SHA-256 {}", Hash(*digest).short()));
        let seen = format!(
            "{equal}; {dropped} packets dropped since the agent started; {edited}; packet sockets \
             {packet}"
        );
        let what = "the rules read back from the kernel are those asked for".to_owned();
        let mut probes = vec![Probe { what, passed: drifted.is_none(), seen }];
        probes.push(self.sessions());
        probes.extend(stand.names().map(|name| self.name(name)));
        probes.extend(self.attempts(stand));
        let needed = self.needed(stand, ground);
        if !needed.is_empty() {
            let what = "blocked as asked, though this endpoint needs it".to_owned();
            probes.push(Probe { what, passed: true, seen: needed.join(", ") });
        }
        probes
    }

    fn sessions(&self) -> Probe {
        let what = "TCP sessions that stand with whom is blocked".to_owned();
        match self.blocks().residual() {
            Ok(count) => Probe { what, passed: count == 0, seen: count.to_string() },
            Err(error) => Probe { what, passed: false, seen: error.to_string() },
        }
    }

    fn name(&self, name: &str) -> Probe {
        let addresses = self.blocks().addresses(name);
        let shown: Vec<_> = addresses.iter().take(8).map(ToString::to_string).collect();
        let below = name.starts_with('*');
        let seen = match addresses.len() {
            0 if below => "none was heard yet".to_owned(),
            0 => "none is known; nothing is blocked by it yet".to_owned(),
            count => format!("{count}: {}", shown.join(", ")),
        };
        // What is below a name is only heard, and perhaps never asked for.
        let passed = below || !addresses.is_empty();
        Probe { what: format!("addresses of {name}"), passed, seen }
    }

    /// Attempts without the agent's mark, as any program would make them.
    fn attempts(&self, stand: &Stand) -> Vec<Probe> {
        let tried = stand.rules.iter().filter_map(|rule| self.attempt(stand, rule));
        tried.take(ATTEMPTS_MAX).collect()
    }

    fn attempt(&self, stand: &Stand, rule: &Rule) -> Option<Probe> {
        let what = whats(rule)
            .into_iter()
            .find(|what| matches!(what, What::All | What::Ports { at: At::Peer, .. }))?;
        let to = match rule.peer {
            Peer::Anyone => NOWHERE,
            Peer::Network { .. } | Peer::Name(_) => {
                let addresses = stand.addresses(rule, &|name| self.blocks().addresses(name));
                addresses.samples().find(|ip| is_elsewhere(*ip))?
            }
        };
        let (name, to, reach) = match what {
            What::Ports { transport: Transport::Tcp, first, .. } => {
                let to = SocketAddr::new(to, first);
                ("TCP", to, try_stream(to, None, ATTEMPT_WAIT))
            }
            What::Ports { first, .. } => {
                let to = SocketAddr::new(to, first);
                ("a datagram", to, try_datagram(to, b""))
            }
            What::All => {
                let to = SocketAddr::new(to, DISCARD);
                ("a datagram", to, try_datagram(to, b""))
            }
        };
        let what = format!("{name} to {to}, outside the agent");
        Some(match reach {
            Ok(reach) => Probe { what, passed: reach != Reach::Reached, seen: words(reach).into() },
            Err(error) => Probe { what, passed: false, seen: error.to_string() },
        })
    }

    /// What this endpoint needs of that which is blocked whole.
    fn needed(&self, stand: &Stand, ground: &Ground) -> Vec<String> {
        let mut all = Addresses::default();
        for rule in stand.rules.iter().filter(|rule| rule.ports.is_none()) {
            all.merge(&stand.addresses(rule, &|name| self.blocks().addresses(name)));
        }
        ground.vital.among(&all)
    }

    fn looked(&self, stand: &Stand) -> Result<Look, FenceError> {
        self.blocks().look(stand, &self.ground())
    }
}

impl Deed for Blocking<'_> {
    fn prepare(&self) -> Result<Vec<u8>, NotDone> {
        let rules: Vec<_> = self.block.rules_at(self.hand.tools.endpoint).cloned().collect();
        if rules.is_empty() {
            return Err(NotDone::Refused("no rule of it is for this endpoint".to_owned()));
        }
        let mut key = [0; 16];
        let random = SystemRandom::new().fill(&mut key);
        random.map_err(|error| NotDone::Failed(format!("there are no random numbers: {error}")))?;
        let except = self.block.except.clone().unwrap_or_default();
        let stand = Stand { key, rules, except };
        self.blocks().check(&stand).map_err(not_done)?;
        Ok(codec::encode(&stand))
    }

    fn apply(&self, before: &[u8]) -> Result<Done, NotDone> {
        let (stand, ground) = (read(before)?, self.ground());
        self.blocks().add(&stand, &ground).map_err(not_done)?;
        if stand.names().next().is_some() {
            self.blocks().refresh(&ground);
        }
        // It stands from here on; what fails below is told, not taken for failure.
        let probes = match self.looked(&stand) {
            Ok(look) => self.probes(&stand, &look, &ground),
            Err(error) => {
                let what = "the rules read back from the kernel".to_owned();
                vec![Probe { what, passed: false, seen: error.to_string() }]
            }
        };
        Ok(Done { probes, ..Done::default() })
    }

    fn look(&self, before: &[u8]) -> Seen {
        let stand = match read(before) {
            Ok(stand) => stand,
            Err(why) => return Seen::CannotLook(why.to_string()),
        };
        match self.looked(&stand) {
            Ok(Look { drifted: Some(found), .. }) => Seen::Drifted(found),
            Ok(look) => Seen::Holds(self.probes(&stand, &look, &self.ground())),
            Err(error) => Seen::CannotLook(error.to_string()),
        }
    }

    fn undo(&self, before: &[u8]) -> Result<Done, NotDone> {
        let stand = read(before)?;
        self.blocks().remove(&stand, &self.ground()).map_err(not_done)?;
        let left = self.blocks().count();
        let seen = match left {
            0 => "no table of ours is there".to_owned(),
            _ => format!("{left} other blocks stand"),
        };
        let what = "its rules are gone from the kernel".to_owned();
        let probes = vec![Probe { what, passed: true, seen }];
        Ok(Done { probes, ..Done::default() })
    }
}

/// Moves the fence to where blocked names lead now. May block.
pub fn follow_names(hand: &Hand) {
    hand.tools.blocks.refresh(&ground(hand));
}

fn ground(hand: &Hand) -> Ground {
    let vital = Vital::read(&hand.ways, hand.policy.as_ref());
    Ground { mark: hand.ways.mark, ports: hand.door_ports.clone(), vital }
}

fn read(before: &[u8]) -> Result<Stand, NotDone> {
    let read = codec::decode_strict(before);
    read.map_err(|error| NotDone::Failed(format!("what was written down is no block: {error}")))
}

fn not_done(error: FenceError) -> NotDone {
    let words = error.to_string();
    match error {
        FenceError::InitialNetns | FenceError::OtherNetns | FenceError::TooMany(_) => {
            NotDone::Refused(words)
        }
        FenceError::Netns(_)
        | FenceError::Nft(_)
        | FenceError::Route(_)
        | FenceError::Sockets(_) => NotDone::Failed(words),
    }
}

/// Attempts to reach this endpoint itself go by loopback, which is never blocked, and those that
/// have no way out show nothing.
fn is_elsewhere(ip: IpAddr) -> bool {
    let way = route::open(0).and_then(|mut routes| route::way(&mut routes, ip, 0));
    matches!(way, Ok(Way::Out { .. }))
}

fn words(reach: Reach) -> &'static str {
    match reach {
        Reach::Reached => "it got through",
        Reach::Refused => "refused by this endpoint's firewall",
        Reach::Silent => "silence",
        Reach::NoRoute => "this endpoint has no way there",
    }
}
