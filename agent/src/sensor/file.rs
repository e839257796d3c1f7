//! Watches files: those on a list are told when they change, with what they were like before and
//! which process it was; and whoever makes many files unreadable is told of at once.
//!
//! fanotify tells of whole file systems (never asked for permission, so that a hung agent holds up
//! nobody); what nobody asked for is dropped by its directory. What this sensor cannot see:
//! - which process it was, beyond its number, where it ended before its message was read; inotify,
//!   the fallback, never knows;
//! - a file that was written and is still open, and one cut short by its path, until it is closed
//!   or looked at again;
//! - changes below a directory that was gone by the time its message was read and was not known;
//! - changes in other mount namespaces on file systems that are not marked here; those on marked
//!   ones are seen under the path that they have here;
//! - what is changed on the disk beneath the file system, or by this agent itself;
//! - in the meter of mass changes: encryption that leaves a file's first 4 KiB alone or puts on a
//!   known beginning, and hands slower than a file a minute.

mod baseline;
mod canary;
mod change;
mod coalesce;
mod content;
mod judge;
mod listen;
mod look;
mod look_thread;
mod meter;
pub mod notice;
mod pace;
mod report;
mod wake;
mod watch;
mod watcher;
mod watchlist;
mod who;
mod worker;

use std::sync::Arc;

use cordon_proto::event::SensorState;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use self::wake::Wake;
use self::worker::{Worker, WorkerError};
use super::{Checkpoint, Outlet, Sample, Stopping};
use crate::clock::Stamp;

/// The sensor's name in health.
pub const NAME: &str = "files";

/// Keys of what this sensor keeps begin so.
pub const KEPT: &str = baseline::PREFIX;

/// Samples on their way from the sensor's thread.
const UNDER_WAY_MAX: usize = 2;

/// What the sensor does.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct FileSettings {
    /// Whether files are watched at all.
    pub enabled: bool,
    /// Which files are told when they change: absolute paths with `*` and `?` in them, and
    /// everything below.
    pub watch: Vec<String>,
    /// Which of them are not.
    pub watch_ignore: Vec<String>,
    /// How many watched files are remembered.
    pub files_max: usize,
    /// The longest file that is hashed, in bytes.
    pub hash_bytes_max: u64,
    /// Where mass changes are looked for.
    pub mass_change: Vec<String>,
    /// And where not.
    pub mass_change_ignore: Vec<String>,
    /// Files that are made so that whoever touches them is told of.
    pub canaries: Vec<String>,
    /// Only the lesser means, for trying it out.
    #[serde(skip)]
    pub only_inotify: bool,
}

impl Default for FileSettings {
    fn default() -> Self {
        let list = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect();
        Self {
            enabled: true,
            watch: list(&[
                "/etc",
                "/boot",
                "/usr/bin",
                "/usr/sbin",
                "/usr/local/bin",
                "/usr/local/sbin",
                "/usr/lib/systemd/system",
                "/var/spool/cron",
                "/root/.ssh",
                "/root/.bashrc",
                "/root/.profile",
                "/home/*/.ssh",
            ]),
            watch_ignore: list(&["/etc/cups/subscriptions.conf*", "/etc/mtab*"]),
            files_max: 8192,
            hash_bytes_max: 64 << 20,
            mass_change: list(&["/home", "/root", "/srv", "/var/www", "/opt"]),
            mass_change_ignore: list(&["/home/*/.cache", "/root/.cache"]),
            canaries: Vec::new(),
            only_inotify: false,
        }
    }
}

/// What the sensor's thread says.
enum Said {
    Sample(Sample),
    Condition(SensorState, Option<String>),
    Proved,
}

/// Runs until the agent stops. `restored` are the checkpoints kept last, of this sensor or all.
pub async fn run(
    settings: FileSettings,
    clock: fn() -> Stamp,
    outlet: Outlet,
    restored: Vec<Checkpoint>,
) -> Result<(), Stopping> {
    if !settings.enabled {
        return outlet.condition(SensorState::Off, None, None).await;
    }
    let blind = |reason: String| outlet.condition(SensorState::Blind, Some(reason), None);
    let wake = match Wake::new() {
        Ok(wake) => StopOnDrop(Arc::new(wake)),
        Err(error) => return blind(format!("making what wakes the sensor: {error}")).await,
    };
    let (say, mut said) = mpsc::channel(UNDER_WAY_MAX);
    let of_thread = Arc::clone(&wake.0);
    let thread = std::thread::Builder::new().name("cordon-files".to_owned());
    let thread = thread.spawn(move || {
        let mut worker = Worker::open(&settings, clock, &restored, of_thread, say)?;
        drop(restored);
        worker.run()
    });
    let thread = match thread {
        Ok(thread) => thread,
        Err(error) => return blind(format!("starting the sensor's thread: {error}")).await,
    };
    while let Some(said) = said.recv().await {
        match said {
            Said::Sample(sample) => outlet.sample(sample).await?,
            Said::Condition(state, reason) => outlet.condition(state, reason, None).await?,
            Said::Proved => outlet.proved().await?,
        }
    }
    match thread.join() {
        Ok(Ok(()) | Err(WorkerError::Stopping(Stopping))) => Err(Stopping),
        Ok(Err(error)) => blind(error.to_string()).await,
        // The run loop restarts a sensor that failed; this one failed on another thread.
        Err(failure) => std::panic::resume_unwind(failure),
    }
}

/// Ends the sensor's thread when the sensor is dropped, however that comes.
struct StopOnDrop(Arc<Wake>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::stamp;
    use crate::sensor::Report;

    #[test]
    fn settings_have_defaults_and_refuse_what_they_do_not_know() {
        let settings: FileSettings = toml::from_str("files_max = 5").unwrap();
        assert_eq!(settings, FileSettings { files_max: 5, ..FileSettings::default() });
        assert!(toml::from_str::<FileSettings>("files = 5").is_err());
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_sensor_that_is_switched_off_says_so() {
        let (reports, mut said) = mpsc::channel(1);
        let settings = FileSettings { enabled: false, ..FileSettings::default() };
        run(settings, stamp, Outlet::new(NAME, reports), Vec::new()).await.unwrap();
        let (_sensor, report) = said.recv().await.unwrap();
        assert!(matches!(report, Report::Condition(said) if said.state == SensorState::Off));
    }
}
