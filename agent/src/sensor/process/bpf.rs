//! Tier 1: BPF programs on the scheduler's trace points report every process, however short.
//!
//! The reader wakes, waits a little so that more gathers, then empties the ring. What the kernel
//! had no room for is counted there and becomes a loss here.

use std::os::fd::AsRawFd;
use std::time::Duration;

use cordon_proto::event::process::{Exit, Fork, ProcessId, Tier};
use cordon_proto::event::{Body, Observation, ProcessEvent};
use rustix::process::{Resource, Rlimit};
use tokio::io::unix::AsyncFd;

use crate::clock::Stamp;
use crate::platform::linux::bpf::asm::AsmError;
use crate::platform::linux::bpf::btf::{self, Btf, BtfError};
use crate::platform::linux::bpf::ring::{Drained, LOSSLESS_MAX, Ring, RingError};
use crate::platform::linux::bpf::sys::{Attached, Map, MapKind, SysError};
use crate::platform::linux::ticks::Ticks;
use crate::platform::linux::{heap, wait};
use crate::sensor::{Loss, Outlet, SAMPLE_EVENTS_MAX, Sample};

use super::drops::Drops;
use super::gather::Gather;
use super::hash::Answer;
use super::lineage::List;
use super::memory::Memory;
use super::offsets::{Offsets, Points};
use super::programs::{self, DROP_COUNTERS, Maps, SCRATCH_BYTES};
use super::reconcile::Reconciler;
use super::record::{File, Known, Record};
use super::standing::Counts;
use super::{End, ProcessSettings, Standing, observation, proc_file};

/// How often the ring is looked at when nothing happens, unless lists of /proc come oftener.
const LOOK_EVERY: Duration = Duration::from_secs(20);

/// So soon after the last record of many, for what the kernel's counters say then.
const LOOK_SOON: Duration = Duration::from_secs(2);

/// Losses of a storm are told once a second, not with every sample.
const LOSS_PERIOD_NS: u64 = 1_000_000_000;

/// Resolving a program's path and finding its working directory costs four system calls; a sample
/// with more starts than this of processes that have not ended within it is a storm. Both are
/// unavailable then, as they are for a process that ends before the ring is emptied.
const RESOLVED_MAX: usize = 32;

/// With this part of the ring unread its reader is woken, though it means to wait.
const UNREAD_PART: i32 = 4;

/// Two threads of one process that end at once can report its end twice, one right after another.
const RECENT_EXITS: usize = 16;

/// Why this tier is not available.
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
    /// The ring could not be waited for.
    #[error("waiting for the ring buffer: {0}")]
    Wait(#[from] std::io::Error),
}

/// The programs at work, and where their records arrive.
pub(super) struct Watch {
    ring: AsyncFd<Ring>,
    drops: Map,
    _scratch: Map,
    programs: Vec<Attached>,
    told: Told,
    /// Much came since the kernel's counters were read.
    unlooked: bool,
    malformed: u64,
    exits: RecentExits,
    /// Whether forks are told, too; they always tell who made whom.
    forks: bool,
    memory: Memory,
    reconciler: Reconciler,
    /// What this kernel does not tell of a start.
    missing: Vec<&'static str>,
    /// When the ring is emptied next, at the latest.
    timer: Ticks,
    gather: Gather,
    /// As many observations as there were in the last sample.
    expected: usize,
}

/// All that wakes the sensor.
enum Wake {
    Ring,
    Hashed(Answer),
    Listed(List),
}

/// What was told of losses, and when.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    drops: Drops,
    at: Stamp,
}

impl Watch {
    /// Loads everything. Nothing is left behind in the kernel if it fails.
    pub(super) fn open(settings: &ProcessSettings, stamp: fn() -> Stamp) -> Result<Self, BpfError> {
        match Self::load(settings, stamp) {
            // Kernels before 5.11 count maps against the limit on locked memory.
            Err(BpfError::Sys(error) | BpfError::Ring(RingError::Sys(error)))
                if error.is_not_permitted() && raise_locked_memory() =>
            {
                Self::load(settings, stamp)
            }
            result => result,
        }
    }

    fn load(settings: &ProcessSettings, stamp: fn() -> Stamp) -> Result<Self, BpfError> {
        if cfg!(not(target_pointer_width = "64")) {
            return Err(BpfError::NotSixtyFour);
        }
        let (points, offsets) = kernel()?;
        let (ring, scratch, drops) = maps(settings.ring_bytes)?;
        let programs = load(points, &offsets, Maps::of(&ring, &scratch, &drops))?;
        let reconciler = Reconciler::new(settings.reconcile(), stamp());
        let mut memory = Memory::new(settings.hash_bytes_max);
        // What comes into being while this is read waits in the ring.
        memory.lineage.seed(&reconciler.first(stamp()));
        Ok(Self {
            ring: wait::readable(ring)?,
            drops,
            _scratch: scratch,
            programs,
            told: Told { drops: Drops::default(), at: stamp() },
            unlooked: false,
            malformed: 0,
            exits: RecentExits::default(),
            forks: settings.forks,
            memory,
            reconciler,
            missing: Known::of(&offsets).missing(),
            timer: Ticks::none()?,
            gather: Gather::default(),
            expected: 0,
        })
    }

    /// What this kernel does not tell of a start.
    pub(super) fn missing(&self) -> Vec<&'static str> {
        self.missing.clone()
    }

    /// Whether lists of /proc are compared with what the kernel tells.
    pub(super) fn compares(&self) -> bool {
        self.reconciler.works()
    }

    /// Reports until the agent stops or the ring cannot be read any more.
    pub(super) async fn run(
        mut self,
        stamp: fn() -> Stamp,
        outlet: &Outlet,
        standing: &mut Standing,
    ) -> End {
        if let Err(error) = self.gather(Gather::WhenReady) {
            return failed(error);
        }
        loop {
            let list = match self.round(stamp, outlet).await {
                Ok(Some(list)) => list,
                Ok(None) => continue,
                Err(end) => return end,
            };
            let told = self.reconciler.compare(&list, &mut self.memory, stamp());
            let sample = Sample { observations: told, ..Sample::default() };
            let hashes_skipped = self.memory.hashes_skipped();
            let counts = Counts { found: self.reconciler.found, hashes_skipped };
            if let Err(stopping) = standing.compared(outlet, sample, counts).await {
                return stopping.into();
            }
        }
    }

    /// Waits, empties the ring, and answers a list that may now be compared.
    async fn round(&mut self, stamp: fn() -> Stamp, outlet: &Outlet) -> Result<Option<List>, End> {
        let list = match self.wake().await? {
            Wake::Ring => None,
            Wake::Listed(list) => Some(list),
            Wake::Hashed(answer) => {
                let told = self.memory.hashed(answer).map(ProcessEvent::ImageHash);
                let observations: Vec<_> =
                    told.map(|event| observation(stamp(), event)).into_iter().collect();
                if !observations.is_empty() {
                    outlet.sample(Sample { observations, ..Sample::default() }).await?;
                }
                return Ok(None);
            }
        };
        self.reconciler.begin_if_due(stamp());
        let (mut records, mut bytes, ring_bytes) = (0, 0, self.ring.get_ref().bytes());
        loop {
            let (sample, drained) = self.sample(stamp).map_err(failed)?;
            records += drained.records;
            bytes += drained.bytes;
            if !sample.observations.is_empty() || !sample.losses.is_empty() {
                outlet.sample(sample).await?;
            }
            if drained.emptied {
                self.gather(self.gather.next(records, bytes, ring_bytes)).map_err(failed)?;
                return Ok(list);
            }
        }
    }

    async fn wake(&mut self) -> Result<Wake, End> {
        loop {
            let Self { ring, memory, reconciler, timer, gather, .. } = self;
            tokio::select! {
                passed = timer.next() => {
                    passed.map_err(failed)?;
                    return Ok(Wake::Ring);
                }
                ready = ring.readable_mut() => {
                    ready.map_err(failed)?.clear_ready();
                    if *gather != Gather::WhenReady {
                        // The kernel does not wake for what gathers, but for a ring that fills.
                        return Ok(Wake::Ring);
                    }
                }
                answer = memory.answer() => return Ok(Wake::Hashed(answer)),
                list = reconciler.listed() => return Ok(Wake::Listed(list)),
            }
            self.gather(Gather::ready()).map_err(failed)?;
        }
    }

    /// Sets the timer. Only while the ring is waited for does the kernel wake for what comes into it.
    fn gather(&mut self, gather: Gather) -> Result<(), BpfError> {
        self.gather = match gather {
            Gather::WhenReady if !self.ring.get_mut().arm() => Gather::ready(),
            Gather::WhenReady | Gather::After(_) => gather,
        };
        let wait = match self.gather {
            Gather::After(wait) => wait,
            Gather::WhenReady => {
                let usual = LOOK_EVERY.min(self.reconciler.period());
                if self.unlooked { LOOK_SOON.min(usual) } else { usual }
            }
        };
        Ok(self.timer.once(wait)?)
    }

    /// One sample out of the ring, and how much of it that was.
    fn sample(&mut self, stamp: fn() -> Stamp) -> Result<(Sample, Drained), BpfError> {
        let Self { ring, exits, malformed, memory, forks, expected, .. } = self;
        let now = stamp();
        let mut sample =
            Sample { observations: Vec::with_capacity(*expected), ..Sample::default() };
        let (mut files, mut ended) = (Vec::new(), Vec::new());
        let drained =
            ring.get_mut().take(SAMPLE_EVENTS_MAX, |bytes| match Record::parse(bytes) {
                Ok(record) if exits.is_repeated(&record.event) => {}
                Ok(Record { boot_ns, mut event, file, maker }) => {
                    remember(memory, &mut event, maker, boot_ns);
                    if let ProcessEvent::Exit(exit) = &event {
                        ended.push(exit.pid);
                    }
                    if matches!(event, ProcessEvent::Fork(_)) && !*forks {
                        return;
                    }
                    files.extend(file.map(|file| (sample.observations.len(), file)));
                    let time_ns = now.time_ns.wrapping_sub(now.boot_ns).wrapping_add(boot_ns);
                    sample.observations.push(observation(Stamp { time_ns, boot_ns }, event));
                }
                Err(error) => {
                    tracing::warn!(%error, "a record of the process sensor was not understood");
                    *malformed += 1;
                }
            })?;
        *expected = sample.observations.len();
        ended.sort_unstable();
        resolve(&mut sample.observations, &files, &ended);
        sample.gathered = self.gather.length();
        if now.boot_ns.saturating_sub(self.told.at.boot_ns) >= LOSS_PERIOD_NS {
            sample.losses.extend(self.loss(now)?);
            self.unlooked = false;
        } else {
            self.unlooked |= drained.records > LOSSLESS_MAX;
        }
        Ok((sample, drained))
    }

    /// What was lost since this was last asked.
    fn loss(&mut self, now: Stamp) -> Result<Option<Loss>, BpfError> {
        let [execs, forks, exits] = self.drops.counters()?;
        let mut others = self.malformed;
        for program in &self.programs {
            others += program.misses()?;
        }
        let drops = Drops { execs, forks, exits, others };
        let told = std::mem::replace(&mut self.told, Told { drops, at: now });
        Ok(drops.since(told.drops).loss(self.forks, told.at.time_ns, now.time_ns))
    }
}

#[derive(Debug, Default)]
struct RecentExits {
    processes: [(u32, Option<u64>); RECENT_EXITS],
    next: usize,
}

impl RecentExits {
    fn is_repeated(&mut self, event: &ProcessEvent) -> bool {
        let ProcessEvent::Exit(exit) = event else { return false };
        let process = (exit.pid, exit.start_boot_ns);
        if self.processes.contains(&process) {
            return true;
        }
        self.processes[self.next] = process;
        self.next = (self.next + 1) % RECENT_EXITS;
        false
    }
}

/// Where the kernel keeps things. Its types fill ten megabytes, which are given back at once.
fn kernel() -> Result<(Points, Offsets), BtfError> {
    let btf = Btf::read(btf::VMLINUX.as_ref())?;
    let kernel = (Points::read(&btf)?, Offsets::read(&btf)?);
    drop(btf);
    heap::trim();
    Ok(kernel)
}

fn maps(ring_bytes: usize) -> Result<(Ring, Map, Map), BpfError> {
    let ring = Ring::new("cordon_ring", ring_bytes)?;
    let scratch = Map::create(MapKind::PerCpuArray, "cordon_scratch", SCRATCH_BYTES, 1)?;
    Ok((ring, scratch, Map::create(MapKind::Array, "cordon_drops", 8, DROP_COUNTERS)?))
}

impl Maps {
    fn of(ring: &Ring, scratch: &Map, drops: &Map) -> Self {
        let unread_bytes_max = i32::try_from(ring.bytes()).unwrap_or(i32::MAX) / UNREAD_PART;
        let [ring, scratch, drops] = [ring.as_raw_fd(), scratch.as_raw_fd(), drops.as_raw_fd()];
        Self { ring, unread_bytes_max, scratch, drops }
    }
}

/// Forks first, so that a process is made before it runs something.
fn load(points: Points, offsets: &Offsets, maps: Maps) -> Result<Vec<Attached>, BpfError> {
    let fork = programs::fork(offsets, maps)?;
    let exec = programs::exec(offsets, maps)?;
    let exit = programs::exit(offsets, maps)?;
    Ok(vec![
        Attached::trace_point("cordon_fork", points.fork, &fork)?,
        Attached::trace_point("cordon_exec", points.exec, &exec)?,
        Attached::trace_point("cordon_exit", points.exit, &exit)?,
    ])
}

/// Whether trying again is worth while.
fn raise_locked_memory() -> bool {
    let unlimited = Rlimit { current: None, maximum: None };
    rustix::process::setrlimit(Resource::Memlock, unlimited).is_ok()
}

fn failed(error: impl Into<BpfError>) -> End {
    End::Failed { tier: Tier::Bpf, reason: error.into().to_string() }
}

/// Takes an event into memory, and fills in what is remembered.
fn remember(memory: &mut Memory, event: &mut ProcessEvent, maker: Option<ProcessId>, now_ns: u64) {
    match event {
        ProcessEvent::Exec(exec) => memory.exec(exec, now_ns),
        ProcessEvent::Fork(Fork { pid, start_boot_ns, .. }) => {
            let child = ProcessId { pid: *pid, start_boot_ns: *start_boot_ns };
            if let Some(maker) = maker {
                memory.lineage.fork(child, maker, now_ns);
            }
        }
        ProcessEvent::Exit(Exit { pid, start_boot_ns, .. }) => {
            memory.lineage.exit(ProcessId { pid: *pid, start_boot_ns: *start_boot_ns });
        }
        ProcessEvent::ImageHash(_) => {}
    }
}

/// Adds the resolved path and the working directory where the process still lives; where it has
/// ended within the sample (`ended`, sorted) there is nothing to look for.
fn resolve(observations: &mut [Observation], files: &[(usize, File)], ended: &[u32]) {
    let mut living = Vec::new();
    for (index, file) in files {
        if let Some(Body::Process(ProcessEvent::Exec(exec))) =
            observations.get(*index).map(|seen| &seen.body)
            && ended.binary_search(&exec.pid).is_err()
        {
            living.push((*index, exec.pid, *file));
        }
    }
    if living.len() > RESOLVED_MAX {
        return;
    }
    for (index, pid, file) in living {
        let resolved = proc_file::resolve(pid, file);
        if let Body::Process(ProcessEvent::Exec(exec)) = &mut observations[index].body {
            exec.cwd = resolved.as_ref().and_then(|resolved| resolved.cwd.clone());
            exec.image_resolved = resolved.map(|resolved| resolved.image);
        }
    }
}

#[cfg(test)]
mod tests;
