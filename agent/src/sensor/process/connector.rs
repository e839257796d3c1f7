//! Tier 2: the kernel's process connector tells of every start and end at once, but only by number;
//! the rest is read from /proc, which is too late for processes that live a millisecond.
//!
//! It answers in the initial network, user and pid namespaces alone, which the kernel's
//! acknowledgement shows. A process whose first thread ends before the others counts as ended then,
//! because the connector speaks of threads. Where the administrator's own rules make audit records
//! of starts, these are brought together with its messages: then path and arguments are complete.
//! Working directory, session and whatever else comes from /proc is as it is a moment after the
//! start.

use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::time::Duration;

use cordon_proto::event::ProcessEvent;
use cordon_proto::event::process::{ProcessId, Tier};
use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::clock::Stamp;
use crate::platform::linux::wait;
use crate::sensor::{Outlet, SAMPLE_EVENTS_MAX, Sample};

use super::audit::Audit;
use super::hash::Answer;
use super::lineage::List;
use super::lives::{Lives, loss};
use super::memory::Memory;
use super::merge::{Due, HOLD_NS, Merge};
use super::message::{Change, MESSAGE_BYTES_MAX, Message, listen};
use super::reconcile::Reconciler;
use super::standing::{Counts, Standing};
use super::{End, ProcessSettings, observation};

/// The multicast group of process events.
const PROCESS_EVENTS: u32 = 1;

/// What the kernel may hold for us: some twenty thousand messages.
const RECEIVE_BYTES: usize = 8 << 20;

/// The kernel acknowledges at once where it does at all.
const ACKNOWLEDGE_WITHIN: Duration = Duration::from_secs(1);

/// How often it is looked whether a list is due when nothing happens.
const LOOK_EVERY: Duration = Duration::from_secs(2);

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
    memory: Memory,
    reconciler: Reconciler,
    /// A list that is compared once all that waits was taken in.
    listed: Option<List>,
    /// Audit records, if they may be read.
    audit: Option<Audit>,
    merge: Merge,
}

/// All that wakes the sensor.
enum Wake {
    Messages,
    Hashed(Answer),
    Listed(List),
}

impl Watch {
    pub(super) async fn open(
        settings: &ProcessSettings,
        stamp: fn() -> Stamp,
    ) -> Result<Self, ConnectorError> {
        let mut watch = Self {
            socket: socket()?,
            lives: Lives::default(),
            memory: Memory::new(settings.hash_bytes_max),
            reconciler: Reconciler::new(settings.reconcile(), stamp()),
            listed: None,
            audit: Audit::open()
                .inspect_err(|error| tracing::debug!(%error, "no audit records"))
                .ok(),
            merge: Merge::default(),
        };
        tokio::time::timeout(ACKNOWLEDGE_WITHIN, watch.acknowledged())
            .await
            .map_err(|_elapsed| ConnectorError::Silent)??;
        watch.lives.seed();
        watch.memory.lineage.seed(&watch.reconciler.first(stamp()));
        Ok(watch)
    }

    /// Whether lists of /proc are compared with what the kernel tells.
    pub(super) fn compares(&self) -> bool {
        self.reconciler.works()
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
        standing: &mut Standing,
    ) -> End {
        let mut told_ns = stamp().time_ns;
        loop {
            let (sample, emptied) = match self.round(settings, stamp, &mut told_ns).await {
                Ok(round) => round,
                Err(error) => {
                    let reason = format!("receiving from the process connector: {error}");
                    return End::Failed { tier: Tier::ProcConnector, reason };
                }
            };
            let is_empty = sample.observations.is_empty() && sample.losses.is_empty();
            if !is_empty && let Err(stopping) = outlet.sample(sample).await {
                return stopping.into();
            }
            let tier = if self.has_records(stamp()) { Tier::Audit } else { Tier::ProcConnector };
            if let Err(stopping) = standing.seen_by(tier, outlet).await {
                return stopping.into();
            }
            let Some(list) = self.listed.take_if(|_| emptied) else { continue };
            let told = self.reconciler.compare(&list, &mut self.memory, stamp());
            let sample = Sample { observations: told, ..Sample::default() };
            let hashes_skipped = self.memory.hashes_skipped();
            let counts = Counts { found: self.reconciler.found, hashes_skipped };
            if let Err(stopping) = standing.compared(outlet, sample, counts).await {
                return stopping.into();
            }
        }
    }

    /// Waits, unless a list does, and answers what has arrived and whether that was all.
    async fn round(
        &mut self,
        settings: &ProcessSettings,
        stamp: fn() -> Stamp,
        told_ns: &mut u64,
    ) -> std::io::Result<(Sample, bool)> {
        if self.listed.is_none() {
            match self.wake().await? {
                Wake::Messages => self.reconciler.begin_if_due(stamp()),
                Wake::Listed(list) => self.listed = Some(list),
                Wake::Hashed(answer) => {
                    let told = self.memory.hashed(answer).map(ProcessEvent::ImageHash);
                    let told = told.map(|event| observation(stamp(), event));
                    let observations = told.into_iter().collect();
                    return Ok((Sample { observations, ..Sample::default() }, false));
                }
            }
        }
        self.sample(settings, stamp, told_ns)
    }

    async fn wake(&mut self) -> std::io::Result<Wake> {
        let Self { socket, memory, reconciler, audit, merge, .. } = self;
        let wait = if merge.is_empty() { LOOK_EVERY } else { Duration::from_nanos(HOLD_NS) };
        Ok(tokio::select! {
            ready = tokio::time::timeout(wait, socket.readable()) => {
                if let Ok(ready) = ready {
                    ready?.retain_ready();
                }
                Wake::Messages
            }
            () = records(audit.as_ref()) => Wake::Messages,
            answer = memory.answer() => Wake::Hashed(answer),
            list = reconciler.listed() => Wake::Listed(list),
        })
    }

    /// All that has arrived, up to a sample's fill.
    fn sample(
        &mut self,
        settings: &ProcessSettings,
        stamp: fn() -> Stamp,
        told_ns: &mut u64,
    ) -> std::io::Result<(Sample, bool)> {
        let mut sample = Sample::default();
        let (mut missed, mut emptied) = (0, false);
        while sample.observations.len() < SAMPLE_EVENTS_MAX && !emptied {
            match self.socket.try_io(Interest::READABLE, |socket| Ok(receive(socket)?)) {
                Ok(Some(message)) => {
                    missed += self.lives.missed(&message);
                    let now = stamp();
                    let event = self.event(settings, message.change, now);
                    let event = event.and_then(|event| self.hold(event, now));
                    sample.observations.extend(event.map(|event| observation(now, event)));
                }
                Ok(None) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => emptied = true,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // The numbers of the messages that follow say how many are missing.
                Err(error) if Errno::from_io_error(&error) == Some(Errno::NOBUFS) => {}
                Err(error) => return Err(error),
            }
        }
        self.take_records(&mut sample, stamp());
        let now_ns = stamp().time_ns;
        if missed > 0 {
            sample.losses.push(loss(missed, *told_ns, now_ns));
        }
        *told_ns = now_ns;
        Ok((sample, emptied))
    }

    fn has_records(&self, now: Stamp) -> bool {
        self.audit.as_ref().is_some_and(|audit| audit.is_heard(now.boot_ns))
    }

    /// Holds a start until records tell more of it, and an end until its start was told.
    fn hold(&mut self, event: ProcessEvent, now: Stamp) -> Option<ProcessEvent> {
        match event {
            ProcessEvent::Exec(exec) if self.has_records(now) => {
                self.merge.connector(exec, now);
                None
            }
            ProcessEvent::Exit(exit) => self.merge.exit(exit, now).map(ProcessEvent::Exit),
            event
            @ (ProcessEvent::Exec(_) | ProcessEvent::Fork(_) | ProcessEvent::ImageHash(_)) => {
                Some(event)
            }
        }
    }

    /// What records tell, and what was held for them long enough.
    fn take_records(&mut self, sample: &mut Sample, now: Stamp) {
        match self.audit.as_mut().map(|audit| audit.starts(now.boot_ns)) {
            Some(Ok(starts)) => starts.into_iter().for_each(|exec| self.merge.audit(exec, now)),
            Some(Err(error)) => {
                tracing::warn!(%error, "audit records cannot be read any more");
                self.audit = None;
            }
            None => {}
        }
        while let Some(Due { mut exec, at, connector, exit }) = self.merge.due(now.boot_ns) {
            if !connector {
                self.memory.exec(&mut exec, at.boot_ns);
            }
            sample.observations.push(observation(at, ProcessEvent::Exec(exec)));
            sample.observations.extend(exit);
        }
    }

    /// What comes of a message, with all that is remembered.
    fn event(
        &mut self,
        settings: &ProcessSettings,
        change: Change,
        now: Stamp,
    ) -> Option<ProcessEvent> {
        let id = |pid| ProcessId { pid, start_boot_ns: None };
        if let Change::Fork { parent, child } = change {
            self.memory.lineage.fork(id(child), id(parent), now.boot_ns);
        }
        let mut event = self.lives.event(settings, change)?;
        match &mut event {
            ProcessEvent::Exec(exec) => self.memory.exec(exec, now.boot_ns),
            ProcessEvent::Exit(exit) => {
                let start = self.memory.lineage.exit(id(exit.pid));
                exit.start_boot_ns = exit.start_boot_ns.or(start);
            }
            ProcessEvent::Fork(_) | ProcessEvent::ImageHash(_) => {}
        }
        Some(event)
    }
}

/// Waits for audit records; for ever where none can be read. What is wrong shows when they are.
async fn records(audit: Option<&Audit>) {
    match audit {
        Some(audit) => drop(audit.ready().await),
        None => std::future::pending().await,
    }
}

/// Asks the kernel to send.
fn socket() -> Result<AsyncFd<OwnedFd>, ConnectorError> {
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
    wait::readable(socket).map_err(|source| ConnectorError::Socket { doing: "waiting for", source })
}

/// One message; none if it is not the kernel's or makes no sense.
fn receive(socket: &OwnedFd) -> Result<Option<Message>, Errno> {
    let mut bytes = [0; MESSAGE_BYTES_MAX];
    let (length, _whole, from) = rustix::net::recvfrom(socket, &mut bytes, RecvFlags::empty())?;
    let from = from.and_then(|from| SocketAddrNetlink::try_from(from).ok());
    let is_kernel = from.is_some_and(|from| from.pid() == 0);
    Ok(bytes.get(..length).filter(|_| is_kernel).and_then(Message::parse))
}
