//! Carries an isolation out on Linux: marks the agent's stream, puts the wall up, ends foreign
//! sockets, looks at what came of it, takes it all back.
//!
//! Every call is bounded in time and may block for that long, so it belongs on a helper thread.
//! All calls must come from threads in the namespace of the first one.

use std::net::IpAddr;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;

use thiserror::Error;

use super::preflight::{self, Preflight};
use super::proof::{self, Proof};
use super::record::Plan;
use super::{Check, CutOutcome};
use crate::platform::linux::netlink::NetlinkError;
use crate::platform::linux::netns::{Netns, NetnsError};
use crate::platform::linux::nft::ruleset::Ruleset;
use crate::platform::linux::nft::{NftError, Nftables, Raised};
use crate::platform::linux::route::{self, RouteError};
use crate::platform::linux::sock_diag::{Connected, Ended, Sockets};
use crate::platform::linux::socket::{SocketError, mark_socket};

/// A socket may be made between our look and the wall; later ones never get a packet out.
const ENDING_ROUNDS_MAX: usize = 3;

/// Keeps the agent from cutting off a machine that it is only tried out on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Safety {
    /// Refuse to touch the network of the namespace that the machine started with.
    pub outside_initial_netns_only: bool,
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
        let open = Self::opened(&mut self.open, netns)?;
        for socket in live {
            mark_socket(socket, plan.mark)?;
        }
        let raised = open.nft.raise(plan, &links)?;
        let (owned, packet_sockets_closed) = (raised.owned, raised.egress);
        open.raised = Some(raised);
        // The wall stands from here on; what fails below is told, not taken for failure.
        let (sockets, sockets_error) = match end_foreign(plan) {
            Ok(ended) => (ended, None),
            Err(error) => (Ended::default(), Some(error.to_string())),
        };
        Ok(Cut { owned, packet_sockets_closed, sockets, sockets_error })
    }

    /// Looks at the wall from both sides. `resolvers` are those that programs here would ask.
    pub fn prove(&mut self, plan: &Plan, resolvers: &[IpAddr]) -> Result<Proof, ShellError> {
        self.allowed()?;
        let (open, raised) = Self::standing(&mut self.open)?;
        let expected = expected(plan, raised)?;
        let standing = open.read(&raised.table)?;
        let probes = proof::probe(plan, resolvers)?;
        let residual_sockets = residual(plan).map_err(ShellError::Sockets)?;
        let after = open.read(&raised.table)?;
        Ok(Proof {
            expected: expected.digest(),
            read_back: standing.digest,
            owned: raised.owned,
            packet_sockets_closed: raised.egress,
            collectors: probes.collectors,
            closed: probes.closed,
            residual_sockets,
            dropped_packets: after.dropped.values().sum(),
        })
    }

    /// What of the wall is not as it must be; nothing when all is. Devices that came or went
    /// since it was put up count too.
    pub fn drift(&mut self, plan: &Plan) -> Result<Option<String>, ShellError> {
        self.allowed()?;
        let (nft, raised) = Self::standing(&mut self.open)?;
        let expected = expected(plan, raised)?;
        let standing = nft.read(&raised.table)?;
        if standing.digest == expected.digest() {
            return Ok(None);
        }
        Ok(Some(proof::difference(&expected, &standing.ruleset)))
    }

    /// Takes the wall down and looks that it is gone. True when one stood.
    pub fn let_back(&mut self) -> Result<bool, ShellError> {
        let netns = self.allowed()?;
        let open = Self::opened(&mut self.open, netns)?;
        let stood = open.nft.take_down()?;
        open.raised = None;
        Ok(stood)
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

    fn opened(open: &mut Option<Open>, netns: Netns) -> Result<&mut Open, ShellError> {
        let nft = match open.take() {
            Some(opened) => opened,
            None => Open { netns, nft: Nftables::open()?, raised: None },
        };
        Ok(open.insert(nft))
    }

    fn standing(open: &mut Option<Open>) -> Result<(&mut Nftables, &Raised), ShellError> {
        match open {
            Some(Open { nft, raised: Some(raised), .. }) => Ok((nft, raised)),
            Some(Open { raised: None, .. }) | None => Err(ShellError::NothingStands),
        }
    }
}

/// What must be read back, given the devices of now.
fn expected(plan: &Plan, raised: &Raised) -> Result<Ruleset, ShellError> {
    let links = route::links(&mut route::open(0)?)?;
    Ok(plan.ruleset(&raised.table, &links, raised.egress))
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

/// Foreign sockets that believe that they are still connected.
fn residual(plan: &Plan) -> Result<usize, NetlinkError> {
    let all = Sockets::open()?.connected()?;
    Ok(all.iter().filter(|socket| socket.established && is_foreign(plan, socket)).count())
}

fn is_foreign(plan: &Plan, socket: &Connected) -> bool {
    let same = |peer: &std::net::SocketAddr| {
        (peer.ip().to_canonical(), peer.port()) == (socket.remote.ip(), socket.remote.port())
    };
    let ours = socket.mark == plan.mark && plan.collectors.iter().any(same);
    let exempt = plan
        .exemptions
        .iter()
        .any(|exemption| exemption.transport == socket.transport && same(&exemption.peer));
    !(socket.is_local() || ours || exempt)
}
