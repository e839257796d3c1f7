//! Carries an isolation out on Linux: marks the agent's stream, puts the wall up, ends foreign
//! sockets, looks at what came of it, takes it all back.
//!
//! Every call is bounded in time and may block for that long, so it belongs on a helper thread.
//! All calls must come from threads in the namespace of the first one.

mod holders;

use std::os::fd::BorrowedFd;
use std::path::PathBuf;

use rustix::io::Errno;
use thiserror::Error;

use super::drift::{self, Drift};
use super::preflight::{self, Preflight};
use super::record::Plan;
use super::{Check, CutOutcome};
use crate::platform::linux::holder::Reach;
use crate::platform::linux::netlink::{Netlink, NetlinkError};
use crate::platform::linux::netns::{Netns, NetnsError};
use crate::platform::linux::nft::ruleset::Digest;
use crate::platform::linux::nft::{NftError, Nftables, Raised};
use crate::platform::linux::route::{self, RouteError};
use crate::platform::linux::sock_diag::{Connected, Ended, Sockets};
use crate::platform::linux::socket::{SocketError, mark_socket};

/// A socket may be made between our look and the wall; later ones never get a packet out.
const ENDING_ROUNDS_MAX: usize = 3;
/// A device may go between our look and the wall that names it.
const RAISING_ROUNDS_MAX: usize = 4;

/// Keeps the agent from cutting off a machine that it is only tried out on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Safety {
    /// Refuse to touch the network of the namespace that the machine started with.
    pub outside_initial_netns_only: bool,
    /// Do not own the tables, as on a kernel that cannot.
    pub plain_tables: bool,
}

#[derive(Debug, Error)]
pub enum ShellError {
    #[error(
        "refused: this agent may isolate only outside the initial network namespace, and it is in it"
    )]
    InitialNetns,
    #[error("refused: the network namespace is not the one in which the wall was put up")]
    OtherNetns,
    #[error("refused: {0}")]
    Preflight(#[from] Preflight),
    #[error("nothing of ours stands here")]
    NothingStands,
    #[error("our wall is down, but {holders}")]
    Held { holders: String },
    #[error(transparent)]
    Netns(#[from] NetnsError),
    #[error(transparent)]
    Nft(#[from] NftError),
    #[error(transparent)]
    Route(#[from] RouteError),
    #[error("cannot look at the sockets: {0}")]
    Sockets(NetlinkError),
    #[error(transparent)]
    Socket(#[from] SocketError),
}

impl ShellError {
    /// As the pure side wants it: what was refused changed nothing and will be refused again.
    pub fn outcome(&self) -> CutOutcome {
        match self {
            Self::InitialNetns | Self::OtherNetns | Self::Preflight(_) => {
                CutOutcome::Refused(self.to_string())
            }
            Self::NothingStands
            | Self::Held { .. }
            | Self::Netns(_)
            | Self::Nft(_)
            | Self::Route(_)
            | Self::Sockets(_)
            | Self::Socket(_) => CutOutcome::Failed(self.to_string()),
        }
    }
}

/// What was done when the endpoint was cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Other processes cannot edit the wall.
    pub owned: bool,
    /// Packet sockets are closed too.
    pub packet_sockets_closed: bool,
    pub sockets: Ended,
    /// Why foreign sockets could not be ended; their packets are dropped all the same.
    pub sockets_error: Option<String>,
    /// Who held a table with a name of ours, and what became of them; nothing where nobody did.
    pub held: Option<String>,
}

/// The wall as one look found it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    pub expected: Digest,
    pub read_back: Digest,
    /// In what it is not as it must be.
    pub drift: Option<Drift>,
    pub owned: bool,
    pub packet_sockets_closed: bool,
    pub dropped_packets: u64,
}

#[derive(Debug)]
pub struct Shell {
    safety: Safety,
    /// Where the agent keeps what it must be able to write while isolated.
    state_dir: PathBuf,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    netns: Netns,
    nft: Nftables,
    raised: Option<Raised>,
    dropped: Dropped,
}

/// Packets dropped while isolated: counters begin anew with each wall.
#[derive(Clone, Copy, Debug, Default)]
struct Dropped {
    by_earlier: u64,
    by_this: u64,
}

impl Shell {
    pub fn new(safety: Safety, state_dir: PathBuf) -> Self {
        Self { safety, state_dir, open: None }
    }

    /// Cuts the endpoint off. `live` are the agent's own connected sockets: they go on.
    pub fn cut_off(
        &mut self,
        plan: &Plan,
        check: Check,
        live: &[BorrowedFd<'_>],
    ) -> Result<Cut, ShellError> {
        let netns = self.allowed()?;
        let mut routes = route::open(0)?;
        let links = route::links(&mut routes)?;
        if check == Check::Full {
            preflight::check(&mut routes, &links, plan, &self.state_dir)?;
        }
        let reach = self.reach(netns)?;
        let open = Self::opened(&mut self.open, netns, self.safety.plain_tables)?;
        for socket in live {
            mark_socket(socket, plan.mark)?;
        }
        let mut raised = raise(&mut open.nft, plan, &mut routes)?;
        // The wall stands from here on; what fails below is told, not taken for failure.
        let held = holders::end(&raised.held, reach);
        if held.as_ref().is_some_and(|held| held.ended) {
            // Takes away what they left behind.
            raised = raise(&mut open.nft, plan, &mut routes).unwrap_or(raised);
        }
        let (owned, packet_sockets_closed) = (raised.owned, raised.egress);
        open.raised = Some(raised);
        let Dropped { by_earlier, by_this } = open.dropped;
        open.dropped = Dropped { by_earlier: by_earlier + by_this, by_this: 0 };
        let (sockets, sockets_error) = match end_foreign(plan) {
            Ok(ended) => (ended, None),
            Err(error) => (Ended::default(), Some(error.to_string())),
        };
        let held = held.map(|held| held.text);
        Ok(Cut { owned, packet_sockets_closed, sockets, sockets_error, held })
    }

    /// Looks at the wall. Devices that came or went since it was put up count too.
    pub fn look(&mut self, plan: &Plan) -> Result<Look, ShellError> {
        self.allowed()?;
        let Some(Open { nft, raised: Some(raised), dropped, .. }) = &mut self.open else {
            return Err(ShellError::NothingStands);
        };
        let links = route::links(&mut route::open(0)?)?;
        let expected = plan.ruleset(&raised.table, &links, raised.egress);
        let standing = nft.read(&raised.table)?;
        let drift = drift::compare(&raised.ruleset, &expected, &standing.ruleset, &links);
        dropped.by_this = standing.dropped.values().sum();
        Ok(Look {
            expected: expected.digest(),
            read_back: standing.digest,
            drift,
            owned: raised.owned,
            packet_sockets_closed: raised.egress,
            dropped_packets: dropped.by_earlier + dropped.by_this,
        })
    }

    /// Takes the wall down and looks that it is gone. True when one stood. What somebody else
    /// holds under a name of ours keeps standing only if they cannot be ended.
    pub fn let_back(&mut self) -> Result<bool, ShellError> {
        let netns = self.allowed()?;
        let reach = self.reach(netns)?;
        let open = Self::opened(&mut self.open, netns, self.safety.plain_tables)?;
        open.raised = None;
        open.dropped = Dropped::default();
        let gone = open.nft.take_down();
        let Err(NftError::Held { port }) = gone else { return Ok(gone?) };
        let Some(held) = holders::end(&[port], reach) else {
            return Err(NftError::Held { port }.into());
        };
        let gone = if held.ended { open.nft.take_down() } else { gone };
        match gone {
            Err(NftError::Held { .. }) => Err(ShellError::Held { holders: held.text }),
            gone => Ok(gone?),
        }
    }

    /// The netlink port of our own changes to nf_tables, once there were any.
    pub fn port(&self) -> Option<u32> {
        self.open.as_ref().map(|open| open.nft.port())
    }

    /// May we touch this namespace? Asked before the first message to the kernel.
    fn allowed(&self) -> Result<Netns, ShellError> {
        let own = Netns::own()?;
        if self.safety.outside_initial_netns_only && own.is_initial()? {
            return Err(ShellError::InitialNetns);
        }
        if self.open.as_ref().is_some_and(|open| open.netns != own) {
            return Err(ShellError::OtherNetns);
        }
        Ok(own)
    }

    /// Which processes may be ended from this namespace.
    fn reach(&self, netns: Netns) -> Result<Reach, ShellError> {
        let everybody = netns.is_initial()? && !self.safety.outside_initial_netns_only;
        Ok(if everybody { Reach::Machine } else { Reach::OwnGroup })
    }

    fn opened(open: &mut Option<Open>, netns: Netns, plain: bool) -> Result<&mut Open, ShellError> {
        let nft = match open.take() {
            Some(opened) => opened,
            None => Open {
                netns,
                nft: Nftables::open(!plain)?,
                raised: None,
                dropped: Dropped::default(),
            },
        };
        Ok(open.insert(nft))
    }
}

/// Puts the wall up on the devices of now. Where they keep going while it is put up, it stands
/// without them first: a look then finds them missing, and it is put up again.
fn raise(nft: &mut Nftables, plan: &Plan, routes: &mut Netlink) -> Result<Raised, ShellError> {
    for _ in 0..RAISING_ROUNDS_MAX {
        match nft.raise(plan, &route::links(routes)?) {
            Err(NftError::Raise(error)) if error.errno() == Some(Errno::NOENT) => {}
            result => return Ok(result?),
        }
    }
    Ok(nft.raise(plan, &[])?)
}

/// Ends foreign sockets that were missed, and counts those that believe that they are still
/// connected.
pub(super) fn residual(plan: &Plan) -> Result<usize, ShellError> {
    let count = |sockets: &mut Sockets| -> Result<usize, NetlinkError> {
        let all = sockets.connected()?;
        Ok(all.iter().filter(|socket| socket.established && is_foreign(plan, socket)).count())
    };
    let mut sockets = Sockets::open().map_err(ShellError::Sockets)?;
    if count(&mut sockets).map_err(ShellError::Sockets)? > 0 {
        end_foreign(plan).map_err(ShellError::Sockets)?;
    }
    count(&mut sockets).map_err(ShellError::Sockets)
}

fn end_foreign(plan: &Plan) -> Result<Ended, NetlinkError> {
    let mut sockets = Sockets::open()?;
    let mut total = Ended::default();
    for _ in 0..ENDING_ROUNDS_MAX {
        let mut foreign = sockets.connected()?;
        foreign.retain(|socket| is_foreign(plan, socket));
        if foreign.is_empty() {
            break;
        }
        let Ended { ended, refused } = sockets.end(&foreign)?;
        total.ended += ended;
        total.refused = refused;
        if ended == 0 {
            break;
        }
    }
    Ok(total)
}

fn is_foreign(plan: &Plan, socket: &Connected) -> bool {
    let same = |peer: &std::net::SocketAddr| {
        (peer.ip().to_canonical(), peer.port()) == (socket.remote.ip(), socket.remote.port())
    };
    let ours = socket.mark == plan.mark && plan.collectors.iter().any(same);
    let exempt = plan.exemptions.iter().any(|exemption| {
        let user = exemption.uid.is_none_or(|uid| uid == socket.uid);
        user && exemption.transport == socket.transport && same(&exemption.peer)
    });
    !(socket.is_local() || ours || exempt)
}
