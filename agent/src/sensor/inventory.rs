//! Takes inventories of the machine and tells what of them has changed.
//!
//! What comes and goes between two looks is not seen. Files that accounts, keys, sudo, packages
//! and units are made from are watched, so that their changes are told within seconds; everything
//! else is looked at in its period. In memory are only times: what was told last is in the spool.

mod compare;
mod kept;
mod places;
mod schedule;
mod take;
mod warning;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cordon_proto::event::SensorState;
use cordon_proto::event::inventory::Subject;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};

use self::kept::Kept;
use self::schedule::Schedule;
use self::take::{TakeError, Taken};
use super::{Outlet, Stopping};
use crate::clock::Stamp;
use crate::platform::linux::heap;
use crate::platform::linux::inotify::{Inotify, Seen};
use crate::redact::Redactor;
use crate::spool::keeper::SpoolHandle;

/// The sensor's name in health.
pub const NAME: &str = "inventory";

/// What the sensor does.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct InventorySettings {
    /// Whether inventories are taken at all.
    pub enabled: bool,
    /// How often what stands in files is looked at although nothing was seen to change, in
    /// seconds.
    pub period_secs: u64,
    /// How often services, ports and mounts are looked at, in seconds.
    pub state_secs: u64,
}

impl Default for InventorySettings {
    fn default() -> Self {
        Self { enabled: true, period_secs: 3600, state_secs: 600 }
    }
}

/// What the sensor works with; another machine's files in a test.
#[derive(Clone, Debug)]
pub struct Means {
    /// Where the machine's files begin.
    pub root: PathBuf,
    /// The time between one inventory and the next when all of them are due.
    pub spread: Duration,
    /// Where what was told last is kept.
    pub spool: SpoolHandle,
    /// Takes secrets out of what is told; another one makes everything due.
    pub redactor: watch::Receiver<Arc<Redactor>>,
}

impl Means {
    /// Those of this machine.
    #[must_use]
    pub fn of_machine(spool: SpoolHandle, redactor: watch::Receiver<Arc<Redactor>>) -> Self {
        Self { root: PathBuf::from("/"), spread: Duration::from_secs(3), spool, redactor }
    }
}

/// How often it is looked whether a directory is there that was not, which also shows that the
/// sensor lives.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// How long to wait when what was told last is still on its way to the spool.
const ON_ITS_WAY: Duration = Duration::from_secs(5);

/// How often: after that the spool has lost it.
const WAITS_MAX: u32 = 6;

/// As low as it gets: nobody waits for an inventory.
const NICE: i32 = 19;

/// All that wakes the sensor.
enum Wake {
    Changed(io::Result<Vec<Seen>>),
    Done(Done),
    OtherSecrets,
    TimedOut,
}

struct Done {
    subject: Subject,
    taken: Result<Taken, TakeError>,
}

/// Runs until the agent stops.
pub async fn run(
    settings: InventorySettings,
    means: Means,
    clock: fn() -> Stamp,
    outlet: Outlet,
) -> Result<(), Stopping> {
    if !settings.enabled {
        return outlet.condition(SensorState::Off, None, None).await;
    }
    Sensor::new(settings, means, clock, outlet).run().await
}

struct Sensor {
    means: Means,
    clock: fn() -> Stamp,
    outlet: Outlet,
    schedule: Schedule,
    watched: Watched,
    /// The version last told, and how often it was waited for.
    told: HashMap<Subject, u64>,
    waits: HashMap<Subject, u32>,
    /// What is wrong with which inventory.
    problems: BTreeMap<Subject, String>,
    done: mpsc::Sender<Done>,
    dones: mpsc::Receiver<Done>,
}

impl Sensor {
    fn new(
        settings: InventorySettings,
        means: Means,
        clock: fn() -> Stamp,
        outlet: Outlet,
    ) -> Self {
        let InventorySettings { period_secs, state_secs, .. } = settings;
        let period = |subject: Subject| match subject {
            Subject::Services | Subject::Listeners | Subject::Mounts => state_secs,
            Subject::Users
            | Subject::Groups
            | Subject::SshKeys
            | Subject::Sudoers
            | Subject::Autoruns
            | Subject::Packages
            | Subject::Machine => period_secs,
        };
        let period = |subject| Duration::from_secs(period(subject).max(1));
        let schedule = Schedule::new(period, means.spread, now(clock));
        let (done, dones) = mpsc::channel(Subject::ALL.len());
        Self {
            watched: Watched::new(),
            means,
            clock,
            outlet,
            schedule,
            told: HashMap::new(),
            waits: HashMap::new(),
            problems: BTreeMap::new(),
            done,
            dones,
        }
    }

    async fn run(mut self) -> Result<(), Stopping> {
        let mut condition = None;
        self.watched.look(&self.means);
        loop {
            while let Some(subject) = self.schedule.poll(self.now()) {
                self.begin(subject).await;
            }
            let now = self.condition();
            if condition.as_ref() != Some(&now) {
                self.outlet.condition(now.0, now.1.clone(), None).await?;
                condition = Some(now);
            }
            match self.wake().await {
                Wake::Changed(Ok(seen)) => self.changed(&seen),
                Wake::Changed(Err(error)) => self.watched.fail(&error),
                Wake::Done(done) => {
                    self.note(done)?;
                    self.outlet.proved().await?;
                }
                Wake::OtherSecrets => {
                    let now = self.now();
                    let all = Subject::ALL.iter();
                    all.for_each(|subject| self.schedule.handle_change(*subject, now));
                }
                Wake::TimedOut => {
                    self.watched.look(&self.means);
                    self.outlet.proved().await?;
                }
            }
        }
    }

    async fn wake(&mut self) -> Wake {
        let now = self.now();
        let wait = self.schedule.poll_timeout(now).saturating_sub(now).min(LOOK_EVERY);
        tokio::select! {
            seen = self.watched.seen() => Wake::Changed(seen),
            Some(done) = self.dones.recv() => Wake::Done(done),
            Ok(()) = self.means.redactor.changed() => Wake::OtherSecrets,
            () = tokio::time::sleep(wait) => Wake::TimedOut,
        }
    }

    /// Begins to take an inventory.
    async fn begin(&mut self, subject: Subject) {
        let kept = match self.means.spool.checkpoints(&kept::prefix(subject)).await {
            Ok(kept) => kept,
            Err(error) => {
                let problem = format!("what was told last cannot be read: {error}");
                self.problems.insert(subject, problem);
                return self.schedule.postpone(subject, ON_ITS_WAY, self.now());
            }
        };
        if !self.has_arrived(subject, &kept) {
            return self.schedule.postpone(subject, ON_ITS_WAY, self.now());
        }
        let (done, outlet) = (self.done.clone(), self.outlet.clone());
        let (root, clock) = (self.means.root.clone(), self.clock);
        let redactor = self.means.redactor.borrow().clone();
        let thread = std::thread::Builder::new().name("cordon-inventory".to_owned());
        let thread = thread.spawn(move || {
            // Refused at worst, which is no reason not to go on.
            rustix::process::nice(NICE).ok();
            let give = |sample| outlet.sample_blocking(sample);
            let taken = take::take(subject, &root, &redactor, kept, clock(), give);
            heap::trim();
            // There is room for one of each; a sensor that has ended wants no answer.
            drop(done.blocking_send(Done { subject, taken }));
        });
        if let Err(error) = thread {
            self.problems.insert(subject, format!("starting a thread for it: {error}"));
            self.schedule.postpone(subject, ON_ITS_WAY, self.now());
        }
    }

    /// Whether the spool holds what was told last. What it never gets it has lost.
    fn has_arrived(&mut self, subject: Subject, kept: &[(String, Vec<u8>)]) -> bool {
        let Some(told) = self.told.get(&subject) else { return true };
        let head_key = kept::prefix(subject);
        let head = kept.iter().filter(|(key, _)| *key == head_key).cloned().collect();
        let version = Kept::read(subject, head).head.map(|head| head.version);
        let waits = self.waits.entry(subject).or_default();
        if version == Some(*told) || *waits >= WAITS_MAX {
            *waits = 0;
            return true;
        }
        *waits += 1;
        false
    }

    fn note(&mut self, done: Done) -> Result<(), Stopping> {
        let Done { subject, taken } = done;
        self.schedule.handle_taken(subject, self.now());
        match taken {
            Ok(Taken { version, problems }) => {
                self.told.insert(subject, version);
                match problems.is_empty() {
                    true => self.problems.remove(&subject),
                    false => self.problems.insert(subject, problems.join(", ")),
                };
            }
            Err(TakeError::Stopping(stopping)) => return Err(stopping),
            Err(error @ (TakeError::Collect(_) | TakeError::Keep(_))) => {
                self.problems.insert(subject, error.to_string());
            }
        }
        Ok(())
    }

    fn changed(&mut self, seen: &[Seen]) {
        let now = self.now();
        for subject in self.watched.subjects(seen) {
            self.schedule.handle_change(subject, now);
        }
    }

    fn condition(&self) -> (SensorState, Option<String>) {
        const NAMED_MAX: usize = 5;
        let stuck = self.schedule.stuck(self.now());
        let stuck = stuck.into_iter().map(|subject| format!("{} does not end", subject.name()));
        let told =
            self.problems.iter().map(|(subject, what)| format!("{}: {what}", subject.name()));
        let unwatched = self.watched.problem.clone();
        let problems: Vec<String> = stuck.chain(told).chain(unwatched).take(NAMED_MAX).collect();
        match problems.is_empty() {
            true => (SensorState::Running, None),
            false => (SensorState::Degraded, Some(problems.join("; "))),
        }
    }

    fn now(&self) -> Duration {
        now(self.clock)
    }
}

fn now(clock: fn() -> Stamp) -> Duration {
    Duration::from_nanos(clock().boot_ns)
}

/// The directories under watch.
struct Watched {
    inotify: Option<Inotify>,
    directories: HashMap<i32, &'static str>,
    problem: Option<String>,
}

impl Watched {
    fn new() -> Self {
        let (inotify, problem) = match Inotify::new() {
            Ok(inotify) => (Some(inotify), None),
            Err(error) => (None, Some(unwatched(&error))),
        };
        Self { inotify, directories: HashMap::new(), problem }
    }

    /// Watches what is not watched yet: a directory may have come since. Watching it twice is the
    /// same as once.
    fn look(&mut self, means: &Means) {
        let Some(inotify) = &self.inotify else { return };
        self.problem = None;
        for (name, path) in places::directories(&means.root) {
            match inotify.watch(&path) {
                Ok(watch) => {
                    self.directories.insert(watch, name);
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => self.problem = Some(unwatched(&error)),
            }
        }
    }

    async fn seen(&self) -> io::Result<Vec<Seen>> {
        match &self.inotify {
            Some(inotify) => inotify.seen().await,
            None => std::future::pending().await,
        }
    }

    fn fail(&mut self, error: &io::Error) {
        self.inotify = None;
        self.problem = Some(unwatched(error));
    }

    fn subjects(&mut self, seen: &[Seen]) -> Vec<Subject> {
        let mut all = Vec::new();
        for Seen { watch, name, is_gone } in seen {
            let Some(watch) = watch else { return Subject::ALL.to_vec() };
            let Some(directory) = self.directories.get(watch).copied() else { continue };
            all.extend(places::subjects(directory, name.as_deref()));
            if *is_gone {
                self.directories.remove(watch);
            }
        }
        all.sort_unstable();
        all.dedup();
        all
    }
}

fn unwatched(error: &io::Error) -> String {
    format!("changes are seen in their period only: {error}")
}
