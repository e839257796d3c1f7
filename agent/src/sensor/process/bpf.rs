//! Tier 1: BPF programs on the scheduler's trace points report every process, however short.
//!
//! The reader wakes, waits a little so that more gathers, then empties the ring. What the kernel
//! had no room for is counted there and becomes a loss here.

use std::os::fd::AsRawFd;
use std::time::Duration;

use cordon_proto::event::process::{Exit, Fork, ProcessId, Tier};
use cordon_proto::event::{Body, Class, ClassCount, GapReason, Observation, ProcessEvent};
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
/// with more starts than this is a storm whose processes are gone already. Both are unavailable
/// then, as they are for a process that ends before the ring is emptied.
const RESOLVED_MAX: usize = 8;

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
    /// It is, and not sooner.
    gathering: bool,
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

/// Records that the kernel could not hand over, since the programs were loaded.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Drops {
    execs: u64,
    forks: u64,
    exits: u64,
    /// Programs that did not run, or records that made no sense: of any kind.
    others: u64,
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
            gathering: false,
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
        let mut records = 0;
        loop {
            let (sample, drained) = self.sample(stamp).map_err(failed)?;
            records += drained.records;
            if !sample.observations.is_empty() || !sample.losses.is_empty() {
                outlet.sample(sample).await?;
            }
            if drained.emptied {
                self.gather(Gather::emptied(records)).map_err(failed)?;
                return Ok(list);
            }
        }
    }

    async fn wake(&mut self) -> Result<Wake, End> {
        loop {
            let Self { ring, memory, reconciler, timer, gathering, .. } = self;
            tokio::select! {
                passed = timer.next() => {
                    passed.map_err(failed)?;
                    return Ok(Wake::Ring);
                }
                ready = ring.readable_mut(), if !*gathering => ready.map_err(failed)?.clear_ready(),
                answer = memory.answer() => return Ok(Wake::Hashed(answer)),
                list = reconciler.listed() => return Ok(Wake::Listed(list)),
            }
            self.gather(Gather::ready()).map_err(failed)?;
        }
    }

    /// Sets the timer. Only while the ring is waited for does the kernel wake for what comes into it.
    fn gather(&mut self, gather: Gather) -> Result<(), BpfError> {
        let wait = match gather {
            Gather::WhenReady if self.ring.get_mut().arm() => None,
            Gather::WhenReady => Some(Gather::QUIET),
            Gather::After(wait) => Some(wait),
        };
        self.gathering = wait.is_some();
        let usual = LOOK_EVERY.min(self.reconciler.period());
        let look = if self.unlooked { LOOK_SOON.min(usual) } else { usual };
        Ok(self.timer.once(wait.unwrap_or(look))?)
    }

    /// One sample out of the ring, and how much of it that was.
    fn sample(&mut self, stamp: fn() -> Stamp) -> Result<(Sample, Drained), BpfError> {
        let Self { ring, exits, malformed, memory, forks, .. } = self;
        let now = stamp();
        let mut sample = Sample::default();
        let mut files = Vec::new();
        let drained =
            ring.get_mut().take(SAMPLE_EVENTS_MAX, |bytes| match Record::parse(bytes) {
                Ok(record) if exits.is_repeated(&record.event) => {}
                Ok(Record { boot_ns, mut event, file, maker }) => {
                    remember(memory, &mut event, maker, boot_ns);
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
        if files.len() <= RESOLVED_MAX {
            resolve(&mut sample.observations, &files);
        }
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

impl Drops {
    fn since(self, before: Self) -> Self {
        Self {
            execs: self.execs.saturating_sub(before.execs),
            forks: self.forks.saturating_sub(before.forks),
            exits: self.exits.saturating_sub(before.exits),
            others: self.others.saturating_sub(before.others),
        }
    }

    /// Forks that would not have been told are no lost events, but are named: chains of makers may
    /// end early by them.
    fn loss(self, tells_forks: bool, from_ns: u64, to_ns: u64) -> Option<Loss> {
        let Self { execs, forks, exits, others } = self;
        let count = execs + exits + others + if tells_forks { forks } else { 0 };
        let detail = format!("{execs} starts, {forks} forks, {exits} ends, {others} of any kind");
        (count > 0).then(|| Loss {
            reason: GapReason::KernelRing,
            counts: vec![ClassCount { class: Class::Process, count }],
            from_ns,
            to_ns,
            detail: Some(detail),
        })
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
        Self { ring: ring.as_raw_fd(), scratch: scratch.as_raw_fd(), drops: drops.as_raw_fd() }
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

/// Adds the resolved path and the working directory where the process still lives; where it has ended within the sample
/// there is nothing to look for.
fn resolve(observations: &mut [Observation], files: &[(usize, File)]) {
    let mut ended = Vec::new();
    for seen in &*observations {
        if let Body::Process(ProcessEvent::Exit(exit)) = &seen.body {
            ended.push(exit.pid);
        }
    }
    for (index, file) in files {
        let Some(seen) = observations.get_mut(*index) else { continue };
        if let Body::Process(ProcessEvent::Exec(exec)) = &mut seen.body
            && !ended.contains(&exec.pid)
        {
            let resolved = proc_file::resolve(exec.pid, *file);
            exec.cwd = resolved.as_ref().and_then(|resolved| resolved.cwd.clone());
            exec.image_resolved = resolved.map(|resolved| resolved.image);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exit(pid: u32, start_boot_ns: u64) -> ProcessEvent {
        let start_boot_ns = Some(start_boot_ns);
        let (parent_pid, uid, wait_status) = (Some(1), Some(0), Some(0));
        ProcessEvent::Exit(Exit {
            tier: Tier::Bpf,
            pid,
            start_boot_ns,
            parent_pid,
            uid,
            wait_status,
        })
    }

    #[test]
    fn an_end_told_twice_counts_once_and_a_number_used_again_counts() {
        let mut exits = RecentExits::default();
        let seen = [(7, 1), (8, 1), (7, 1), (7, 2)]
            .map(|(pid, start)| exits.is_repeated(&exit(pid, start)));
        assert_eq!(seen, [false, false, true, false]);
    }

    /// Loads and hangs on every program for a moment, as this kernel is and as poorer ones are.
    #[test]
    fn programs_load_whatever_a_kernel_does_not_tell() {
        let Ok((points, whole)) = kernel() else { return };
        let poorer = [
            whole,
            Offsets { session: None, ..whole },
            Offsets { tty: None, ..whole },
            Offsets { login_uid: None, ..whole },
            Offsets { audit_session: None, ..whole },
            Offsets { state: None, ..whole },
        ];
        for offsets in poorer {
            let loaded = maps(64 << 10).and_then(|(ring, scratch, drops)| {
                load(points, &offsets, Maps::of(&ring, &scratch, &drops))
            });
            match loaded {
                Ok(programs) => assert_eq!(programs.len(), 3),
                // Without the right to BPF there is nothing to try.
                Err(BpfError::Sys(error) | BpfError::Ring(RingError::Sys(error))) => {
                    assert!(error.is_not_permitted(), "{error}");
                    return;
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    #[test]
    fn losses_are_told_by_difference_and_only_where_there_are_some() {
        let before = Drops { execs: 10, forks: 0, exits: 4, others: 0 };
        assert_eq!(before.since(before).loss(true, 1, 2), None);
        let after = Drops { execs: 12, forks: 9, exits: 5, others: 1 };
        let loss = after.since(before).loss(false, 1, 2).unwrap();
        assert_eq!(loss.reason, GapReason::KernelRing);
        assert_eq!(loss.counts, [ClassCount { class: Class::Process, count: 4 }]);
        assert_eq!(loss.detail.as_deref(), Some("2 starts, 9 forks, 1 ends, 1 of any kind"));
    }
}
