//! BPF at work: a program where TCP sockets change their state, four where processes name addresses
//! for datagrams, and one ring that all of them write into.
//!
//! The reader wakes, waits a little so that more gathers, then empties the ring. What the kernel
//! had no room for is counted there and becomes a loss here.

use std::collections::HashMap;
use std::time::Duration;

use cordon_proto::event::network::Peer;
use cordon_proto::event::{Class, ClassCount, GapReason, NetworkEvent};
use rustix::process::{Resource, Rlimit};
use tokio::io::unix::AsyncFd;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use crate::clock::Stamp;
use crate::platform::linux::bpf::asm::AsmError;
use crate::platform::linux::bpf::btf::{self, Btf, BtfError};
use crate::platform::linux::bpf::ring::{Drained, LOSSLESS_MAX, Ring, RingError};
use crate::platform::linux::bpf::sys::{Attached, Map, MapKind, SysError};
use crate::platform::linux::netns::{Netns, NetnsError};
use crate::platform::linux::nft::wall::Transport;
use crate::platform::linux::sock_diag::{Listed, Standing};
use crate::platform::linux::{heap, wait};
use crate::sensor::dns::{Names, PORTS};
use crate::sensor::{Loss, Outlet, SAMPLE_EVENTS_MAX, Sample};

use super::datagrams::{self, count};
use super::flows::{Flows, Told};
use super::programs::{self, DROP_COUNTERS, Maps, Offsets, Wanted};
use super::record::Record;
use super::sampled::{Lists, Look};
use super::survey::{self, Survey};
use super::table::Table;
use super::{End, NetworkSettings, observation, tell};

/// Emptying the ring at every wake costs ten times the processor time; twenty milliseconds of a
/// storm fit the ring several times.
const GATHER: Duration = Duration::from_millis(20);

/// Losses of a storm are told so often, not with every sample: looking for them is a wake of its
/// own. Otherwise they are looked for when sockets are listed.
const LOSS_PERIOD: Duration = Duration::from_secs(5);

/// UDP listeners have no beginning that could be seen; they are listed so often.
const LIST_EVERY: Duration = Duration::from_secs(30);

/// Further than any wait goes.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// Why BPF does not work here.
#[derive(Debug, thiserror::Error)]
pub(super) enum BpfError {
    /// The programs read structures of 64-bit kernels.
    #[error("the BPF programs are written for 64-bit kernels")]
    NotSixtyFour,
    /// The kernel's types are missing or lack a name.
    #[error(transparent)]
    Btf(#[from] BtfError),
    /// A program could not be assembled.
    #[error(transparent)]
    Asm(#[from] AsmError),
    /// The kernel refused a map or a program.
    #[error(transparent)]
    Sys(#[from] SysError),
    /// The ring could not be made or read.
    #[error(transparent)]
    Ring(#[from] RingError),
    /// The own network namespace is not known.
    #[error(transparent)]
    Netns(#[from] NetnsError),
    /// The ring could not be waited for, or no thread could be started.
    #[error("waiting for the ring buffer, or starting a thread: {0}")]
    Wait(#[from] std::io::Error),
}

type Answer = oneshot::Receiver<Result<Survey, String>>;

/// The programs at work, and what is known by them.
pub(super) struct Watch {
    ring: AsyncFd<Ring>,
    drops: Map,
    counts: Map,
    programs: Vec<Attached>,
    table: Table,
    flows: Flows,
    lists: Lists,
    names: Names,
    survey: Option<Answer>,
    is_first_survey: bool,
    list_at: Instant,
    sweep_at: Option<Instant>,
    sweep_every: Duration,
    losses_at: Option<Instant>,
    lost: Lost,
    /// Where the agent listened for a moment, to see whether it is told.
    canary: Option<Peer>,
    proved: bool,
}

/// What was lost since the programs were loaded, and how much of it was told, when.
#[derive(Clone, Copy, Debug, Default)]
struct Lost {
    malformed: u64,
    flows: u64,
    told: [u64; 2],
    at: Stamp,
}

/// What woke the reader.
enum Wake {
    Ring,
    Survey(Result<Survey, String>),
    Time,
}

impl Watch {
    /// Loads everything; also says what of it does not work, where that is only a part. Nothing is
    /// left behind in the kernel if it fails.
    pub(super) fn open(
        settings: &NetworkSettings,
        stamp: fn() -> Stamp,
        names: Names,
    ) -> Result<(Self, Option<String>), BpfError> {
        match Self::load(settings, stamp, names.clone()) {
            // Kernels before 5.11 count maps against the limit on locked memory.
            Err(BpfError::Sys(error) | BpfError::Ring(RingError::Sys(error)))
                if error.is_not_permitted() && raise_locked_memory() =>
            {
                Self::load(settings, stamp, names)
            }
            result => result,
        }
    }

    fn load(
        settings: &NetworkSettings,
        stamp: fn() -> Stamp,
        names: Names,
    ) -> Result<(Self, Option<String>), BpfError> {
        if cfg!(not(target_pointer_width = "64")) {
            return Err(BpfError::NotSixtyFour);
        }
        let NetworkSettings { loopback, lab, udp_idle_secs, ring_bytes, .. } = *settings;
        let own = Netns::own()?;
        let is_initial = own.is_initial().ok();
        let own_netns = u32::try_from(own.inode()).unwrap_or(0);
        let only_netns = (lab || is_initial != Some(true)).then_some(own_netns);
        let wanted = Wanted { only_netns, loopback };
        let offsets = kernel()?;
        let ring = Ring::new("cordon_net", ring_bytes)?;
        let drops = Map::create(MapKind::Array, "cordon_drops", 8, DROP_COUNTERS)?;
        let counts = datagrams::counts()?;
        let [ring_fd, drops_fd, flows] =
            [descriptor(&ring), descriptor(&drops), descriptor(&counts)];
        let maps = Maps { ring: ring_fd, drops: drops_fd, flows };
        let tcp = programs::tcp(&offsets, maps, wanted)?;
        let mut programs = vec![Attached::trace_point("cordon_tcp", offsets.point, &tcp)?];
        let missing = match datagrams::attach(&offsets, maps, wanted, is_initial, lab) {
            Ok((more, part)) => {
                programs.extend(more);
                part
            }
            Err(reason) => Some(format!("datagrams are not seen: {reason}")),
        };
        let ring = wait::readable(ring)?;
        let now = Instant::now();
        let idle_ns = udp_idle_secs.saturating_mul(1_000_000_000);
        let watch = Self {
            ring,
            drops,
            counts,
            programs,
            table: Table::new(own_netns, loopback),
            flows: Flows::new(own_netns, wanted, idle_ns),
            lists: Lists::new(Look::UdpListeners, loopback),
            names,
            survey: Some(survey::begin(Look::Everything, HashMap::new())?),
            is_first_survey: true,
            list_at: now + LIST_EVERY,
            sweep_at: None,
            sweep_every: Duration::from_secs(udp_idle_secs.div_ceil(2)),
            losses_at: None,
            lost: Lost { at: stamp(), ..Lost::default() },
            canary: None,
            proved: false,
        };
        Ok((watch, missing))
    }

    /// Reports until the agent stops or the ring cannot be read any more.
    pub(super) async fn run(mut self, stamp: fn() -> Stamp, outlet: &Outlet) -> End {
        loop {
            if let Err(end) = self.round(stamp, outlet).await {
                return end;
            }
        }
    }

    async fn round(&mut self, stamp: fn() -> Stamp, outlet: &Outlet) -> Result<(), End> {
        match self.wake().await.map_err(failed)? {
            Wake::Ring => {
                tokio::time::sleep(GATHER).await;
                self.drain(stamp, outlet).await?;
            }
            Wake::Survey(survey) => {
                // What was told before the list was made must be known before it is read.
                self.drain(stamp, outlet).await?;
                self.found(survey, stamp(), outlet).await?;
                self.send_canary();
            }
            Wake::Time => self.handle_timeout(stamp(), outlet).await?,
        }
        Ok(())
    }

    async fn wake(&mut self) -> Result<Wake, BpfError> {
        let due = [Some(self.list_at), self.sweep_at, self.losses_at].into_iter().flatten().min();
        let due = due.unwrap_or_else(|| Instant::now() + NEVER);
        let survey = async {
            match &mut self.survey {
                Some(survey) => survey.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            ready = self.ring.readable_mut() => {
                ready?.clear_ready();
                Ok(Wake::Ring)
            }
            survey = survey => {
                self.survey = None;
                let failed = |_closed| Err("the thread that lists sockets failed".to_owned());
                Ok(Wake::Survey(survey.unwrap_or_else(failed)))
            }
            () = sleep_until(due) => Ok(Wake::Time),
        }
    }

    async fn drain(&mut self, stamp: fn() -> Stamp, outlet: &Outlet) -> Result<(), End> {
        let mut records = 0;
        loop {
            let (sample, drained) = self.sample(stamp()).map_err(failed)?;
            if !sample.observations.is_empty() {
                outlet.sample(sample).await?;
            }
            records += drained.records;
            if drained.emptied {
                break;
            }
        }
        if std::mem::take(&mut self.proved) {
            outlet.proved().await?;
        }
        let now = Instant::now();
        if records > LOSSLESS_MAX {
            self.losses_at.get_or_insert(now + LOSS_PERIOD);
        }
        if !self.flows.is_empty() {
            self.sweep_at.get_or_insert(now + self.sweep_every);
        }
        Ok(())
    }

    /// One sample out of the ring, and how much of it that was.
    fn sample(&mut self, now: Stamp) -> Result<(Sample, Drained), BpfError> {
        let Self { ring, lost, .. } = self;
        let mut records = Vec::new();
        let drained =
            ring.get_mut().drain(SAMPLE_EVENTS_MAX, |bytes| match Record::parse(bytes) {
                Ok(record) => records.push(record),
                Err(error) => {
                    tracing::warn!(%error, "a record of the network sensor was not understood");
                    lost.malformed += 1;
                }
            })?;
        let mut sample = Sample::default();
        if records.is_empty() {
            return Ok((sample, drained));
        }
        // Who asks for names must be known before the answers are read, and the answers before
        // the connections that follow from them are told.
        let asks = |record: &Record| match record {
            Record::Udp(named) => PORTS.contains(&named.remote.port),
            Record::Tcp(_) => false,
        };
        let mut events: Vec<(u64, NetworkEvent)> = Vec::new();
        let (asking, others): (Vec<_>, Vec<_>) = records.into_iter().partition(asks);
        if !asking.is_empty() {
            events.extend(asking.into_iter().filter_map(|record| self.event(record, now)));
            self.names.ask(self.flows.askers());
        }
        if let Err(error) = self.names.refresh(now) {
            tracing::debug!(%error, "names could not be read");
        }
        events.extend(others.into_iter().filter_map(|record| self.event(record, now)));
        events.retain(|(_, event)| !self.is_canary(event));
        let observe = |(boot_ns, event)| {
            let time_ns = now.time_ns.wrapping_sub(now.boot_ns).wrapping_add(boot_ns);
            observation(Stamp { time_ns, boot_ns }, event)
        };
        sample.observations.extend(events.into_iter().map(observe));
        Ok((sample, drained))
    }

    /// Listens on loopback for as long as it takes to say so; the programs must tell it.
    fn send_canary(&mut self) {
        let listener = std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0));
        let address = listener.and_then(|listener| listener.local_addr()).ok();
        self.canary = address.map(|at| Peer { ip: at.ip(), port: at.port() });
    }

    fn is_canary(&mut self, event: &NetworkEvent) -> bool {
        let (NetworkEvent::Listening(listener) | NetworkEvent::ListeningEnded(listener)) = event
        else {
            return false;
        };
        let is_canary = self.canary == Some(listener.local) && listener.netns.is_none();
        self.proved |= is_canary;
        is_canary
    }

    /// What a record means, and when it was.
    fn event(&mut self, record: Record, now: Stamp) -> Option<(u64, NetworkEvent)> {
        let names = self.names.clone();
        let naming = |ip| names.name(ip, now.boot_ns);
        match record {
            Record::Tcp(change) => {
                let boot_ns = change.boot_ns;
                self.table.handle(change, &naming).map(|event| (boot_ns, event))
            }
            Record::Udp(named) => {
                let (boot_ns, port) = (named.boot_ns, named.local.port);
                let served = port != 0 && self.lists.is_served(port);
                match self.flows.handle(named, served, &naming) {
                    Told::Event(event) => Some((boot_ns, *event)),
                    Told::Nothing => None,
                    Told::Lost => {
                        self.lost.flows += 1;
                        None
                    }
                }
            }
        }
    }

    /// A list of sockets is in: the first one tells what stood before.
    async fn found(
        &mut self,
        survey: Result<Survey, String>,
        now: Stamp,
        outlet: &Outlet,
    ) -> Result<(), End> {
        let survey = match survey {
            Ok(survey) => survey,
            Err(error) => {
                tracing::warn!(error, "the sockets could not be listed");
                self.table.all_found();
                return Ok(());
            }
        };
        let names = self.names.clone();
        let naming = |ip| names.name(ip, now.boot_ns);
        let mut events = Vec::new();
        if std::mem::take(&mut self.is_first_survey) {
            let owner = |listed: &Listed| survey.owners.get(&listed.inode).cloned();
            let peer = |at: std::net::SocketAddr| Peer { ip: at.ip(), port: at.port() };
            let tcp = |standing| {
                let one = move |listed: &&Listed| {
                    (listed.transport, listed.standing) == (Transport::Tcp, standing)
                };
                survey.sockets.iter().filter(one)
            };
            for listed in tcp(Standing::Listening) {
                events.extend(self.table.find_listener(peer(listed.local), owner(listed)));
            }
            for listed in tcp(Standing::Connected) {
                let (local, remote) = (peer(listed.local), peer(listed.remote));
                let owner = owner(listed);
                events.extend(self.table.find_connection(local, remote, owner, &naming));
            }
            self.table.all_found();
        }
        events.extend(self.lists.handle(survey, now.boot_ns, &naming));
        tell(events, now, outlet).await.map_err(End::from)
    }

    async fn handle_timeout(&mut self, now: Stamp, outlet: &Outlet) -> Result<(), End> {
        let instant = Instant::now();
        let lists = self.list_at <= instant;
        if (self.losses_at.take_if(|due| *due <= instant).is_some() || lists)
            && let Some(losses) = self.losses(now).map_err(failed)?
        {
            outlet.sample(Sample { losses, ..Sample::default() }).await?;
        }
        if self.sweep_at.take_if(|due| *due <= instant).is_some() {
            let counts = &self.counts;
            let swept = self.flows.sweep(now.boot_ns, |key| count(counts, key));
            let (events, ended) = swept.map_err(failed)?;
            for key in ended {
                self.counts.forget(&key).map_err(failed)?;
            }
            self.names.ask(self.flows.askers());
            if !self.flows.is_empty() {
                self.sweep_at = Some(instant + self.sweep_every);
            }
            tell(events, now, outlet).await?;
        }
        if lists {
            self.list_at = instant + LIST_EVERY;
            if self.survey.is_none() {
                let survey = survey::begin(Look::UdpListeners, self.lists.owners());
                self.survey = Some(survey.map_err(failed)?);
            }
        }
        Ok(())
    }

    /// What was lost since this was last asked.
    fn losses(&mut self, now: Stamp) -> Result<Option<Vec<Loss>>, BpfError> {
        let counters: [u64; 2] = self.drops.counters()?;
        let mut ring = self.lost.malformed + counters.iter().sum::<u64>();
        for program in &self.programs {
            ring += program.misses()?;
        }
        let lost = [ring, self.lost.flows];
        let before = self.lost;
        self.lost = Lost { told: lost, at: now, ..before };
        let whys = [
            (GapReason::KernelRing, "changes of sockets that the kernel had no room for"),
            (GapReason::RateLimit, "datagrams to more addresses than are known at once"),
        ];
        let new = lost.into_iter().zip(before.told).map(|(now, told)| now.saturating_sub(told));
        let loss = |((reason, detail), count): ((GapReason, &str), u64)| Loss {
            reason,
            counts: vec![ClassCount { class: Class::Network, count }],
            from_ns: before.at.time_ns,
            to_ns: now.time_ns,
            detail: Some(detail.to_owned()),
        };
        let losses: Vec<Loss> =
            whys.into_iter().zip(new).filter(|(_, count)| *count > 0).map(loss).collect();
        Ok((!losses.is_empty()).then_some(losses))
    }
}

/// Where the kernel keeps things. Its types fill ten megabytes, which are given back at once.
fn kernel() -> Result<Offsets, BtfError> {
    let btf = Btf::read(btf::VMLINUX.as_ref())?;
    let offsets = Offsets::read(&btf)?;
    drop(btf);
    heap::trim();
    Ok(offsets)
}

fn descriptor(map: &impl std::os::fd::AsRawFd) -> std::os::fd::RawFd {
    map.as_raw_fd()
}

/// Whether trying again is worth while.
fn raise_locked_memory() -> bool {
    let unlimited = Rlimit { current: None, maximum: None };
    rustix::process::setrlimit(Resource::Memlock, unlimited).is_ok()
}

fn failed(error: impl Into<BpfError>) -> End {
    End::Failed(error.into().to_string())
}
