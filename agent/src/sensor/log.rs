//! Follows log files: every line appended is read once, over rotations and over restarts.
//!
//! A file is known by device, inode and a hash of its first bytes, never by its name. Reading runs
//! on a thread of its own in short slices; it hands over whole samples, each with the place behind
//! its last line. The one thing that is lost is what no reader could see: see `watch`.
//! Name logs, not their rotated copies: a copy that a pattern matches too is recognised by its
//! name and its beginning, and only by those.

mod file;
mod find;
mod fingerprint;
mod gather;
mod judge;
mod lines;
pub(super) mod pattern;
mod place;
#[cfg(test)]
mod tests;
mod wake;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use cordon_proto::event::SensorState;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use self::wake::{Bell, Directories};
use self::watch::{Round, Watch};
use super::{Checkpoint, Outlet, Sample, Stopping};
use crate::clock::Stamp;

/// The sensor's name in health.
pub const NAME: &str = "logs";

/// How long changes are gathered after the first. Longer loses lines of files that are emptied in
/// place; shorter costs a wake for every line.
const GATHER: Duration = Duration::from_millis(5);

/// How often files are looked at in directories that cannot be watched.
const UNWATCHED_EVERY: Duration = Duration::from_secs(1);

/// Samples on their way from the reading thread.
const UNDER_WAY_MAX: usize = 2;

/// What the sensor does.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogSettings {
    /// Whether log files are watched at all.
    pub enabled: bool,
    /// Which: absolute paths with `*` and `?` in them.
    pub paths: Vec<String>,
    /// Whether files that are there when a path is watched for the first time are read from their
    /// beginning. Files that appear later always are.
    pub from_start: bool,
}

impl Default for LogSettings {
    fn default() -> Self {
        let paths =
            ["/var/log/auth.log", "/var/log/secure", "/var/log/syslog", "/var/log/messages"];
        Self { enabled: true, paths: paths.map(str::to_owned).to_vec(), from_start: false }
    }
}

/// What the reading thread says.
enum Said {
    Sample(Sample),
    Condition(SensorState, Option<String>),
}

/// Runs until the agent stops. `restored` are the checkpoints kept last, of this sensor or all.
pub async fn run(
    settings: LogSettings,
    clock: fn() -> Stamp,
    outlet: Outlet,
    restored: Vec<Checkpoint>,
) -> Result<(), Stopping> {
    if !settings.enabled {
        return outlet.condition(SensorState::Off, None, None).await;
    }
    let (say, mut said) = mpsc::channel(UNDER_WAY_MAX);
    let bell = StopOnDrop(Arc::default());
    let reader_bell = Arc::clone(&bell.0);
    let reader = std::thread::Builder::new().name("cordon-logs".to_owned());
    let reader = reader.spawn(move || read(&settings, clock, restored, &reader_bell, &say));
    let reader = match reader {
        Ok(reader) => reader,
        Err(error) => {
            let reason = format!("starting a thread to read with: {error}");
            return outlet.condition(SensorState::Blind, Some(reason), None).await;
        }
    };
    while let Some(said) = said.recv().await {
        match said {
            Said::Sample(sample) => outlet.sample(sample).await?,
            Said::Condition(state, reason) => outlet.condition(state, reason, None).await?,
        }
    }
    match reader.join() {
        Ok(stopping) => stopping,
        // The run loop restarts a sensor that failed; this one failed on another thread.
        Err(failure) => std::panic::resume_unwind(failure),
    }
}

/// Ends the reading thread when the sensor is dropped, however that comes.
struct StopOnDrop(Arc<Bell>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// Reads until told to stop.
fn read(
    settings: &LogSettings,
    clock: fn() -> Stamp,
    restored: Vec<Checkpoint>,
    bell: &Arc<Bell>,
    say: &mpsc::Sender<Said>,
) -> Result<(), Stopping> {
    let say = |said| say.blocking_send(said).map_err(|_closed| Stopping);
    let mut watch = Watch::new(settings, restored);
    let mut directories = Directories::new(bell);
    let mut condition = None;
    let (mut wait, mut gather) = (Duration::ZERO, Duration::ZERO);
    loop {
        let mut woken = bell.wait(wait, gather);
        if woken.stops {
            return Err(Stopping);
        }
        woken.everything |= directories.problem().is_some();
        let afresh = clock().boot_ns >= watch.due_ns();
        let mut round = watch.round(&woken, clock(), &mut |sample| say(Said::Sample(sample)))?;
        if directories.set(&watch.directories, afresh) {
            // Something may have come between the look and the watch.
            woken.everything = true;
            round = watch.round(&woken, clock(), &mut |sample| say(Said::Sample(sample)))?;
        }
        let now = watch.condition(directories.problem());
        if condition.as_ref() != Some(&now) {
            say(Said::Condition(now.0, now.1.clone()))?;
            condition = Some(now);
        }
        let until_due = Duration::from_nanos(watch.due_ns().saturating_sub(clock().boot_ns));
        (wait, gather) = match (round, directories.problem()) {
            (Round::Unfinished, _) => (Duration::ZERO, Duration::ZERO),
            (Round::Idle, Some(_unwatched)) => (until_due.min(UNWATCHED_EVERY), GATHER),
            (Round::Idle, None) => (until_due, GATHER),
        };
    }
}
