//! Tier 2: the kernel's process connector tells of every start and end at once, but only by number;
//! the rest is read from /proc, which is too late for processes that live a millisecond.
//!
//! It answers in the initial network, user and pid namespaces alone, which the kernel's
//! acknowledgement shows. A process whose first thread ends before the others counts as ended then,
//! because the connector speaks of threads.

use std::os::fd::OwnedFd;
use std::time::Duration;

use cordon_proto::event::process::Tier;
use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use tokio::io::unix::AsyncFd;

use crate::clock::Stamp;
use crate::platform::linux::wait;
use crate::sensor::{Outlet, SAMPLE_EVENTS_MAX, Sample};

use super::lives::{Lives, loss};
use super::message::{Change, MESSAGE_BYTES_MAX, Message, listen};
use super::{End, ProcessSettings, observation};

/// The multicast group of process events.
const PROCESS_EVENTS: u32 = 1;

/// What the kernel may hold for us: some twenty thousand messages.
const RECEIVE_BYTES: usize = 8 << 20;

/// The kernel acknowledges at once where it does at all.
const ACKNOWLEDGE_WITHIN: Duration = Duration::from_secs(1);

/// Why this tier is not available.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectorError {
    /// The socket could not be made or used.
    #[error("{doing} the process connector: {source}")]
    Socket {
        /// What was being done.
        doing: &'static str,
        /// Why not.
        source: std::io::Error,
    },
    /// There is nobody to answer.
    #[error("the process connector answers in the initial network namespace only")]
    Namespace,
    /// The kernel refused.
    #[error("the process connector refused: {0}")]
    Refused(std::io::Error),
    /// The kernel did not answer.
    #[error("the process connector did not answer within a second")]
    Silent,
}

/// The socket, and what is known of the processes that live.
pub(super) struct Watch {
    socket: AsyncFd<OwnedFd>,
    lives: Lives,
}

impl Watch {
    pub(super) async fn open() -> Result<Self, ConnectorError> {
        let doing =
            |doing| move |source: Errno| ConnectorError::Socket { doing, source: source.into() };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let protocol = Some(rustix::net::netlink::CONNECTOR);
        let socket =
            rustix::net::socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, protocol)
                .map_err(doing("opening"))?;
        rustix::net::bind(&socket, &SocketAddrNetlink::new(0, PROCESS_EVENTS))
            .map_err(doing("binding to"))?;
        rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, RECEIVE_BYTES)
            .map_err(doing("giving room to"))?;
        match rustix::net::send(&socket, &listen(), SendFlags::empty()) {
            Ok(_whole) => {}
            Err(Errno::CONNREFUSED) => return Err(ConnectorError::Namespace),
            Err(error) => return Err(doing("asking")(error)),
        }
        let socket = wait::readable(socket)
            .map_err(|source| ConnectorError::Socket { doing: "waiting for", source })?;
        let mut watch = Self { socket, lives: Lives::default() };
        tokio::time::timeout(ACKNOWLEDGE_WITHIN, watch.acknowledged())
            .await
            .map_err(|_elapsed| ConnectorError::Silent)??;
        watch.lives.seed();
        Ok(watch)
    }

    async fn acknowledged(&mut self) -> Result<(), ConnectorError> {
        let failed = |source| ConnectorError::Socket { doing: "waiting for", source };
        loop {
            let mut ready = self.socket.readable().await.map_err(failed)?;
            match receive(ready.get_inner()) {
                Ok(Some(Message { change: Change::Acknowledged { error: 0 }, .. })) => {
                    return Ok(());
                }
                Ok(Some(Message { change: Change::Acknowledged { error }, .. })) => {
                    let error = i32::try_from(error).unwrap_or(0);
                    return Err(ConnectorError::Refused(std::io::Error::from_raw_os_error(error)));
                }
                Ok(_) | Err(Errno::NOBUFS | Errno::INTR) => {}
                Err(Errno::WOULDBLOCK) => ready.clear_ready(),
                Err(error) => return Err(failed(error.into())),
            }
        }
    }

    pub(super) async fn run(
        mut self,
        settings: &ProcessSettings,
        stamp: fn() -> Stamp,
        outlet: &Outlet,
    ) -> End {
        let mut told_ns = stamp().time_ns;
        loop {
            let sample = match self.sample(settings, stamp, &mut told_ns).await {
                Ok(sample) => sample,
                Err(error) => {
                    let reason = format!("receiving from the process connector: {error}");
                    return End::Failed { tier: Tier::ProcConnector, reason };
                }
            };
            if sample.observations.is_empty() && sample.losses.is_empty() {
                continue;
            }
            if let Err(stopping) = outlet.sample(sample).await {
                return stopping.into();
            }
        }
    }

    /// All that has arrived, up to a sample's fill; waits for the first.
    async fn sample(
        &mut self,
        settings: &ProcessSettings,
        stamp: fn() -> Stamp,
        told_ns: &mut u64,
    ) -> std::io::Result<Sample> {
        let Self { socket, lives } = self;
        let mut ready = socket.readable().await?;
        let mut sample = Sample::default();
        let mut missed = 0;
        while sample.observations.len() < SAMPLE_EVENTS_MAX {
            match receive(ready.get_inner()) {
                Ok(Some(message)) => {
                    missed += lives.missed(&message);
                    let event = lives.event(settings, message.change);
                    let seen = event.map(|event| observation(stamp(), event));
                    sample.observations.extend(seen);
                }
                // The numbers of the messages that follow say how many are missing.
                Ok(None) | Err(Errno::NOBUFS | Errno::INTR) => {}
                Err(Errno::WOULDBLOCK) => {
                    ready.clear_ready();
                    break;
                }
                Err(error) => return Err(error.into()),
            }
        }
        let now_ns = stamp().time_ns;
        if missed > 0 {
            sample.losses.push(loss(missed, *told_ns, now_ns));
        }
        *told_ns = now_ns;
        Ok(sample)
    }
}

/// One message; none if it is not the kernel's or makes no sense.
fn receive(socket: &OwnedFd) -> Result<Option<Message>, Errno> {
    let mut bytes = [0; MESSAGE_BYTES_MAX];
    let (length, _whole, from) = rustix::net::recvfrom(socket, &mut bytes, RecvFlags::empty())?;
    let from = from.and_then(|from| SocketAddrNetlink::try_from(from).ok());
    let is_kernel = from.is_some_and(|from| from.pid() == 0);
    Ok(bytes.get(..length).filter(|_| is_kernel).and_then(Message::parse))
}
