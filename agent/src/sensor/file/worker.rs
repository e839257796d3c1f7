//! The sensor's own thread: waits for the kernel, hands changes to the watch and to the meter, and
//! hands over what they tell.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use cordon_proto::event::file::FileMeans;
use cordon_proto::event::{Class, ClassCount, GapReason, SensorState};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::sync::mpsc;

use crate::clock::Stamp;
use crate::platform::linux::heap;
use crate::sensor::{Checkpoint, Loss, SAMPLE_EVENTS_MAX, Sample, Stopping};

use super::change::Change;
use super::content::{Content, judge};
use super::listen::{Heard, Listener};
use super::look_thread::{Job, Looker};
use super::meter::Meter;
use super::meter::touch::{Touch, Want};
use super::pace::{Next, Pace};
use super::wake::Wake;
use super::watch::Watch;
use super::watcher::Watcher;
use super::watchlist::{WatchList, tame_part};
use super::who::{Round, Who};
use super::{FileSettings, Said, canary, look, report};

/// The sensor shows that it hears so often.
const PROOF_NS: u64 = 60_000_000_000;

/// A canary is told of once in so long.
const CANARY_AGAIN_NS: u64 = 60_000_000_000;

/// By which means changes are heard of.
enum Means {
    Fanotify(Listener),
    Inotify { watcher: Watcher, why: String },
}

/// Why there is nothing to be heard.
#[derive(Debug, thiserror::Error)]
pub(super) enum WorkerError {
    #[error("{doing}: {source}")]
    System { doing: &'static str, source: io::Error },
    #[error("changes are heard of neither by fanotify ({fanotify}) nor by inotify: {inotify}")]
    Deaf { fanotify: String, inotify: notify::Error },
    #[error("{0}")]
    Ended(&'static str),
    #[error(transparent)]
    Stopping(#[from] Stopping),
}

/// Everything that the thread has.
pub(super) struct Worker {
    clock: fn() -> Stamp,
    wake: Arc<Wake>,
    say: mpsc::Sender<Said>,
    list: WatchList,
    places: Vec<PathBuf>,
    means: Means,
    mounts: Option<File>,
    watch: Watch,
    meter: Meter,
    looker: Looker,
    /// Canaries, and when they were told of last.
    canaries: HashMap<Vec<u8>, Option<u64>>,
    /// Canaries that are not as they should be.
    problems: Vec<String>,
    sample: Sample,
    heard: Stamp,
    pace: Pace,
    /// When the next proof is due that it hears.
    proof_ns: u64,
    condition: Option<(SensorState, Option<String>)>,
    was_settled: bool,
    /// A job that there was no room for.
    held: Option<Job>,
}

impl Worker {
    pub(super) fn open(
        settings: &FileSettings,
        clock: fn() -> Stamp,
        restored: &[Checkpoint],
        wake: Arc<Wake>,
        say: mpsc::Sender<Said>,
    ) -> Result<Self, WorkerError> {
        let doing = |doing| move |source| WorkerError::System { doing, source };
        let settings = &real(settings);
        let list = WatchList::new(settings);
        let entries = settings.watch.iter().chain(&settings.canaries);
        let watched: Vec<PathBuf> = places_of(entries);
        let all =
            places_of(settings.watch.iter().chain(&settings.canaries).chain(&settings.mass_change));
        // Canaries are made before anything is heard, so that making them is no news.
        let mut sample = Sample::default();
        let canaries = canary::settle(&settings.canaries, restored, &mut sample.checkpoints);
        let means = means(settings, &all, &list, &wake)?;
        let looker = Looker::start(settings.hash_bytes_max, Arc::clone(&wake))
            .map_err(doing("starting a thread to hash files with"))?;
        let now = clock();
        let mut problems = Vec::new();
        for (path, found) in &canaries {
            match found {
                canary::Found::Fine => {}
                canary::Found::Touched => {
                    let what = "changed, or removed, while nobody watched";
                    sample.observations.push(report::canary(path.as_bytes(), what, None, now));
                }
                canary::Found::Problem(problem) => problems.push(problem.clone()),
            }
        }
        let canaries = canaries.into_iter().map(|(path, _)| (path.into_bytes(), None)).collect();
        Ok(Self {
            clock,
            wake,
            say,
            watch: Watch::new(settings, list.clone(), watched, restored),
            list,
            places: all,
            means,
            mounts: File::open("/proc/thread-self/mountinfo").ok(),
            meter: Meter::default(),
            looker,
            canaries,
            problems,
            sample,
            heard: now,
            pace: Pace::new(now.boot_ns),
            proof_ns: now.boot_ns,
            condition: None,
            was_settled: false,
            held: None,
        })
    }

    /// Runs until told to stop, or until the thread that hashes fails.
    pub(super) fn run(&mut self) -> Result<(), WorkerError> {
        loop {
            self.jobs();
            self.hand_over()?;
            self.tell_condition()?;
            self.prove()?;
            if self.is_due()? {
                self.hear()?;
            }
            let now = (self.clock)();
            self.watch.handle_timeout(self.told_by(), now, &mut self.sample);
            while let Some(answer) = self.looker.take().map_err(WorkerError::Ended)? {
                self.watch.handle_answer(answer, now, &mut self.sample);
                if self.sample.observations.len() >= SAMPLE_EVENTS_MAX / 2 {
                    break;
                }
            }
            self.settled();
        }
    }

    /// The memory of the first walk is given back.
    fn settled(&mut self) {
        let is_settled = self.watch.is_settled();
        if is_settled && !self.was_settled {
            heap::trim();
        }
        self.was_settled = is_settled;
    }

    fn timeout(&self, now_ns: u64) -> u64 {
        self.watch.poll_timeout().unwrap_or(u64::MAX).min(self.proof_ns).saturating_sub(now_ns)
    }

    /// Once a minute something is done that must be heard. inotify has no such thing: there it is
    /// shown only that the thread runs.
    fn prove(&mut self) -> Result<(), Stopping> {
        let now = (self.clock)().boot_ns;
        if now < self.proof_ns {
            return Ok(());
        }
        self.proof_ns = now.saturating_add(PROOF_NS);
        match &self.means {
            Means::Fanotify(listener) => listener.prove(),
            Means::Inotify { .. } => self.say(Said::Proved)?,
        }
        Ok(())
    }

    /// Waits; answers whether there is something to be heard.
    fn wait(&mut self, within_ns: u64, listens: bool) -> Result<bool, WorkerError> {
        let timeout = Timespec {
            tv_sec: i64::try_from(within_ns / 1_000_000_000).unwrap_or(i64::MAX),
            tv_nsec: i64::from(u32::try_from(within_ns % 1_000_000_000).unwrap_or(0)),
        };
        let urgent = PollFlags::PRI | PollFlags::ERR;
        let mut waited = vec![PollFd::new(&self.wake, PollFlags::IN)];
        waited.extend(self.mounts.as_ref().map(|mounts| PollFd::new(mounts, urgent)));
        if let (Means::Fanotify(listener), true) = (&self.means, listens) {
            waited.push(PollFd::from_borrowed_fd(listener.descriptor(), PollFlags::IN));
        }
        match poll(&mut waited, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => {
                let source = error.into();
                return Err(WorkerError::System { doing: "waiting for changes", source });
            }
        }
        let rung = waited.first().is_some_and(|one| !one.revents().is_empty());
        let has_mounts = self.mounts.is_some();
        let remounted = has_mounts && waited.get(1).is_some_and(|one| !one.revents().is_empty());
        let at = if has_mounts { 2 } else { 1 };
        let heard = waited.get(at).is_some_and(|one| !one.revents().is_empty());
        drop(waited);
        if rung {
            self.wake.clear();
        }
        if self.wake.stops() {
            return Err(Stopping.into());
        }
        if let (true, Means::Fanotify(listener)) = (remounted, &mut self.means) {
            listener.mark(&self.places);
        }
        Ok(heard || rung && matches!(self.means, Means::Inotify { .. }))
    }

    /// Waits until something is due; answers whether messages are to be read.
    fn is_due(&mut self) -> Result<bool, WorkerError> {
        let now = (self.clock)().boot_ns;
        let next = self.pace.next();
        let within = match next {
            Next::Listen => self.timeout(now),
            Next::ReadAt(at) => at.saturating_sub(now).min(self.timeout(now)),
        };
        if self.wait(within, next == Next::Listen)? && next == Next::Listen {
            self.pace.ready();
        }
        Ok(matches!(self.pace.next(), Next::ReadAt(at) if at <= (self.clock)().boot_ns))
    }

    /// Takes what has changed.
    fn hear(&mut self) -> Result<(), WorkerError> {
        loop {
            let before = self.heard;
            let heard = match &mut self.means {
                Means::Fanotify(listener) => listener.hear(&self.list).map_err(|source| {
                    WorkerError::System { doing: "reading what the kernel tells", source }
                })?,
                Means::Inotify { watcher, .. } => watcher.hear(&self.list),
            };
            let now = (self.clock)();
            self.heard = now;
            if heard.proved {
                self.say(Said::Proved)?;
            }
            self.take(&heard, before, now);
            self.hand_over()?;
            if !heard.unfinished {
                self.pace.read(heard.was_any, now.boot_ns);
                return Ok(());
            }
        }
    }

    fn take(&mut self, heard: &Heard, before: Stamp, now: Stamp) {
        if heard.overflow {
            self.watch.handle_loss();
            self.sample.losses.push(Loss {
                reason: GapReason::KernelRing,
                counts: vec![ClassCount { class: Class::File, count: 0 }],
                from_ns: before.time_ns,
                to_ns: now.time_ns,
                detail: Some("the kernel's queue of file changes was full".to_owned()),
            });
        }
        let mut round = Round::default();
        for change in &heard.changes {
            let who = change.pid.map(|pid| round.who(pid));
            self.canary(change, who.as_ref(), now);
            if change.metered && !change.is_directory {
                self.measure(change, who.as_ref(), &mut round, now);
            }
            self.watch.handle_change(change, who.as_ref(), now);
        }
    }

    fn measure(&mut self, change: &Change, who: Option<&Who>, round: &mut Round, now: Stamp) {
        let Change { acts, path, from, .. } = change;
        let actor = who.map(|who| &who.actor);
        let touch = Touch { acts: *acts, path, from: from.as_deref(), actor };
        let want = self.meter.want(&touch);
        let content = match want {
            Want::Nothing => Content::Unknown,
            Want::Look(_, promise) => judge(promise, &look::sample(path)),
        };
        let Some(alarm) = self.meter.handle(&touch, want, content, now) else { return };
        let actor = alarm
            .actor
            .clone()
            .map(|actor| if alarm.through_children { round.who(actor.pid).actor } else { actor });
        tracing::warn!(number = alarm.number, repeated = alarm.repeated, "mass change of files");
        self.sample.observations.push(report::mass_change(&alarm, actor, now));
    }

    fn canary(&mut self, change: &Change, who: Option<&Who>, now: Stamp) {
        let touched = [Some(&change.path), change.from.as_ref()];
        for path in touched.into_iter().flatten() {
            let Some(told) = self.canaries.get_mut(path) else { continue };
            if told.is_some_and(|told| now.boot_ns.saturating_sub(told) < CANARY_AGAIN_NS) {
                continue;
            }
            *told = Some(now.boot_ns);
            let what = match change.acts {
                _ if change.from.is_some() => "renamed",
                acts if acts.deleted => "deleted",
                acts if acts.written || acts.created => "written",
                _ => "given other attributes",
            };
            let actor = who.map(|who| who.actor.clone());
            self.sample.observations.push(report::canary(path, what, actor, now));
        }
    }

    /// Gives the other thread what is to be read, as far as there is room.
    fn jobs(&mut self) {
        while let Some(job) = self.held.take().or_else(|| self.watch.poll_job()) {
            if let Err(refused) = self.looker.give(job) {
                self.held = Some(refused);
                return;
            }
        }
    }

    fn hand_over(&mut self) -> Result<(), Stopping> {
        let mut sample = std::mem::take(&mut self.sample);
        if sample.is_empty() {
            return Ok(());
        }
        while sample.observations.len() > SAMPLE_EVENTS_MAX {
            let rest = sample.observations.split_off(SAMPLE_EVENTS_MAX);
            let observations = std::mem::replace(&mut sample.observations, rest);
            self.say(Said::Sample(Sample { observations, ..Sample::default() }))?;
        }
        self.say(Said::Sample(sample))
    }

    fn tell_condition(&mut self) -> Result<(), Stopping> {
        let mut reasons = self.problems.clone();
        reasons.extend(self.watch.problem());
        match &self.means {
            Means::Fanotify(listener) => reasons.extend(
                listener
                    .unmarked
                    .iter()
                    .map(|(place, error)| format!("{} is not seen: {error}", place.display())),
            ),
            Means::Inotify { watcher, why } => {
                reasons.push(format!("without fanotify nobody knows which process it was: {why}"));
                let left_out = watcher.left_out();
                if left_out > 0 {
                    reasons.push(format!("{left_out} directories are not watched"));
                }
            }
        }
        let condition = if reasons.is_empty() {
            (SensorState::Running, None)
        } else {
            (SensorState::Degraded, Some(reasons.join("; ")))
        };
        if self.condition.as_ref() != Some(&condition) {
            self.say(Said::Condition(condition.0, condition.1.clone()))?;
            self.condition = Some(condition);
        }
        Ok(())
    }

    fn told_by(&self) -> FileMeans {
        match self.means {
            Means::Fanotify(_) => FileMeans::Fanotify,
            Means::Inotify { .. } => FileMeans::Inotify,
        }
    }

    fn say(&self, said: Said) -> Result<(), Stopping> {
        self.say.blocking_send(said).map_err(|_closed| Stopping)
    }
}

/// The best means that this machine offers.
fn means(
    settings: &FileSettings,
    places: &[PathBuf],
    list: &WatchList,
    wake: &Arc<Wake>,
) -> Result<Means, WorkerError> {
    let fanotify = if settings.only_inotify {
        "settings ask for inotify".to_owned()
    } else {
        match Listener::open() {
            Ok(mut listener) => {
                listener.mark(places);
                if listener.hears() {
                    return Ok(Means::Fanotify(listener));
                }
                let unmarked = listener.unmarked.first();
                unmarked
                    .map_or_else(String::new, |(place, why)| format!("{}: {why}", place.display()))
            }
            Err(error) => error.to_string(),
        }
    };
    match Watcher::open(places, list, wake) {
        Ok(watcher) => Ok(Means::Inotify { watcher, why: fanotify }),
        Err(inotify) => Err(WorkerError::Deaf { fanotify, inotify }),
    }
}

/// The settings with links resolved, because the kernel tells real paths. A link that is changed
/// later is followed at the next start.
fn real(settings: &FileSettings) -> FileSettings {
    let real = |list: &Vec<String>| list.iter().map(|entry| real_entry(entry)).collect();
    FileSettings {
        watch: real(&settings.watch),
        watch_ignore: real(&settings.watch_ignore),
        mass_change: real(&settings.mass_change),
        mass_change_ignore: real(&settings.mass_change_ignore),
        ..settings.clone()
    }
}

fn real_entry(entry: &str) -> String {
    let tame = tame_part(entry);
    let found = std::fs::canonicalize(&tame).ok();
    match (found.as_deref().and_then(|found| found.to_str()), entry.strip_prefix(&tame)) {
        (Some(found), Some(rest)) => format!("{}{rest}", found.trim_end_matches('/')),
        _ => entry.to_owned(),
    }
}

/// Where the entries of a list are looked for.
fn places_of<'a>(entries: impl Iterator<Item = &'a String>) -> Vec<PathBuf> {
    let mut places: Vec<PathBuf> = entries.map(|entry| PathBuf::from(tame_part(entry))).collect();
    places.sort();
    places.dedup();
    places
}
