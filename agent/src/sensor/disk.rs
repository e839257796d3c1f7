//! Watches file systems: how full they are and will be, whether they can be written to, that they
//! come and go, and that they answer; and the disks below: their load and their health.
//!
//! What is seen is the mount namespace that the agent lives in: mounts inside containers, or in a
//! service's private namespace, are not. Mounts and remounts wake at once; an error that makes a
//! file system read-only by itself does not wake anybody and is seen with the next measure. Errors
//! of disks are in the kernel's log: see the sensor of that. Load and health are the machine's, not
//! the namespace's. Forecasts begin anew when the agent starts.

mod below;
mod forecast;
mod health;
mod level;
mod load;
pub(crate) mod mountinfo;
mod watch;

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use cordon_proto::Text;
use cordon_proto::event::{Body, Observation, SensorState};
use serde::{Deserialize, Serialize};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;

use self::below::{Below, Told};
use self::health::Answers;
use self::level::Facts;
use self::watch::{Effect, MEASURES_MAX, Watch, is_watched};
use super::{Outlet, SAMPLE_EVENTS_MAX, Sample, Stopping};
use crate::clock::Stamp;
use crate::platform::linux::wait;

/// The sensor's name in health.
pub const NAME: &str = "disks";

/// More than [`mountinfo::MOUNTS_MAX`] mounts need.
const TABLE_BYTES_MAX: u64 = 4 << 20;

/// Enough for most tables, so that one read takes them.
const TABLE_BYTES_USUAL: usize = 16 << 10;

/// What the sensor does.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct DiskSettings {
    /// Whether file systems are watched at all.
    pub enabled: bool,
    /// How often the space left is measured, in seconds.
    pub period_secs: u64,
    /// How often the space left is told although no threshold was crossed, in seconds.
    pub report_secs: u64,
    /// How often the disks' counters are read, in seconds.
    pub load_secs: u64,
    /// A disk busy for more of the time than this is saturated.
    pub busy_percent: u8,
    /// A disk for which requests wait longer than this on average is slow, in milliseconds.
    pub wait_ms: u64,
    /// How long either must last to be told, in seconds.
    pub overload_secs: u64,
    /// How often disks are asked for their health, in seconds.
    pub health_secs: u64,
}

impl Default for DiskSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            period_secs: 60,
            report_secs: 3600,
            load_secs: 10,
            busy_percent: 95,
            wait_ms: 200,
            overload_secs: 60,
            health_secs: 3600,
        }
    }
}

/// All that wakes the sensor.
enum Wake {
    Changed(io::Result<()>),
    Answered(Answer),
    TimedOut,
}

/// What a thread found that may wait for a device.
enum Answer {
    Space { serial: u64, facts: Result<Facts, String> },
    Health(Answers),
}

/// Runs until the agent stops. Must be called on a thread of the mount namespace to watch.
pub async fn run(
    settings: DiskSettings,
    clock: fn() -> Stamp,
    outlet: Outlet,
) -> Result<(), Stopping> {
    if !settings.enabled {
        return outlet.condition(SensorState::Off, None, None).await;
    }
    match Sensor::open(settings, clock) {
        Ok(sensor) => sensor.run(&outlet).await,
        Err(error) => {
            let reason = Some(format!("reading the table of mounts: {error}"));
            outlet.condition(SensorState::Blind, reason, None).await
        }
    }
}

struct Sensor {
    clock: fn() -> Stamp,
    period: Duration,
    table: File,
    /// The same, to wait with.
    changes: AsyncFd<OwnedFd>,
    watch: Watch,
    /// When the table is read although nothing changed.
    list_due: Duration,
    has_looked: bool,
    below: Below,
    told: Vec<Told>,
    /// Lines of the table that were left out.
    left_out: usize,
    answer: mpsc::Sender<Answer>,
    answers: mpsc::Receiver<Answer>,
}

/// The table of mounts is looked at so often whatever the settings say, to show that it is.
const LOOK_PERIOD: Duration = Duration::from_secs(60);

impl Sensor {
    fn open(settings: DiskSettings, clock: fn() -> Stamp) -> io::Result<Self> {
        let period = Duration::from_secs(settings.period_secs.max(1));
        let table = File::open("/proc/thread-self/mountinfo")?;
        // Every measure under way, and the one round of asking for health.
        let (answer, answers) = mpsc::channel(MEASURES_MAX + 1);
        let now = Duration::from_nanos(clock().boot_ns);
        Ok(Self {
            clock,
            period,
            changes: wait::changing(OwnedFd::from(table.try_clone()?))?,
            table,
            watch: Watch::new(period, Duration::from_secs(settings.report_secs)),
            list_due: now,
            has_looked: false,
            below: Below::open(&settings, now)?,
            told: Vec::new(),
            left_out: 0,
            answer,
            answers,
        })
    }

    async fn run(mut self, outlet: &Outlet) -> Result<(), Stopping> {
        let mut condition = None;
        let mut listed = self.list();
        loop {
            self.carry_out(outlet).await?;
            let now = self.condition(&listed);
            if condition.as_ref() != Some(&now) {
                outlet.condition(now.0, now.1.clone(), None).await?;
                condition = Some(now);
            }
            if std::mem::take(&mut self.has_looked) && listed.is_ok() {
                outlet.proved().await?;
            }
            match self.wake().await {
                Wake::Answered(Answer::Space { serial, facts }) => {
                    self.watch.handle_answer(serial, facts, self.now());
                    self.watch.handle_timeout(self.now());
                }
                Wake::Answered(Answer::Health(answers)) => {
                    let told = self.below.handle_answers(answers, self.now());
                    self.told.extend(told);
                }
                Wake::TimedOut => {
                    let now = self.now();
                    self.told.extend(self.below.handle_timeout(now));
                    self.watch.handle_timeout(now);
                    // Listed again too, because not every change wakes.
                    if now >= self.list_due {
                        listed = self.list();
                    }
                }
                Wake::Changed(Ok(())) => listed = self.list(),
                Wake::Changed(Err(error)) => {
                    let reason = Some(format!("waiting for changes of mounts: {error}"));
                    return outlet.condition(SensorState::Blind, reason, None).await;
                }
            }
        }
    }

    async fn wake(&mut self) -> Wake {
        let now = self.now();
        let due = self.list_due.min(self.below.poll_timeout());
        let due = self.watch.poll_timeout().map_or(due, |at| due.min(at));
        let wait = due.saturating_sub(now);
        tokio::select! {
            changed = changed(&self.changes) => Wake::Changed(changed),
            Some(answer) = self.answers.recv() => Wake::Answered(answer),
            () = tokio::time::sleep(wait) => Wake::TimedOut,
        }
    }

    fn list(&mut self) -> Result<(), String> {
        self.list_due = self.now().saturating_add(self.period.min(LOOK_PERIOD));
        self.has_looked = true;
        let text = read(&self.table).map_err(|error| error.to_string())?;
        let table = mountinfo::parse(&text, is_watched);
        self.left_out = table.left_out;
        self.watch.handle_mounts(table.lines, self.now());
        Ok(())
    }

    /// Begins what is to be measured and reports what is to be told.
    async fn carry_out(&mut self, outlet: &Outlet) -> Result<(), Stopping> {
        let Stamp { time_ns, boot_ns } = (self.clock)();
        if self.below.begin_asking(Duration::from_nanos(boot_ns)) {
            self.ask();
        }
        let observation = |(severity, event)| {
            let body = Body::Disk(event);
            Observation { time_ns, boot_ns, severity, body }
        };
        let mut observations: Vec<_> = self.told.drain(..).map(observation).collect();
        while let Some(effect) = self.watch.poll_effect() {
            match effect {
                Effect::Measure { serial, path } => self.measure(serial, path),
                Effect::Report(severity, event) => {
                    observations.push(observation((severity, event)))
                }
            }
        }
        for observations in observations.chunks(SAMPLE_EVENTS_MAX) {
            let observations = observations.to_vec();
            outlet.sample(Sample { observations, ..Sample::default() }).await?;
        }
        Ok(())
    }

    /// Measures on a thread of its own, because a dead file system never answers; such a thread
    /// stays until the file system does, or the agent ends.
    fn measure(&mut self, serial: u64, path: Text) {
        let answer = self.answer.clone();
        let thread = std::thread::Builder::new().name("cordon-statvfs".to_owned());
        let thread = thread.stack_size(STACK_BYTES).spawn(move || {
            let facts = statvfs(&path).map_err(|error| error.to_string());
            // There is room for every measure under way; a sensor that has ended wants no answer.
            drop(answer.blocking_send(Answer::Space { serial, facts }));
        });
        if let Err(error) = thread {
            let reason = format!("starting a thread to measure with: {error}");
            self.watch.handle_answer(serial, Err(reason), self.now());
        }
    }

    /// Asks the disks on a thread of its own: a disk may take seconds to answer, or for ever.
    fn ask(&mut self) {
        let answer = self.answer.clone();
        let thread = std::thread::Builder::new().name("cordon-health".to_owned());
        let thread = thread.stack_size(STACK_BYTES).spawn(move || {
            drop(answer.blocking_send(Answer::Health(health::ask_all())));
        });
        if let Err(error) = thread {
            let problems = vec![format!("starting a thread to ask disks with: {error}")];
            let answers = Answers { problems, ..Answers::default() };
            let told = self.below.handle_answers(answers, self.now());
            self.told.extend(told);
        }
    }

    fn condition(&self, listed: &Result<(), String>) -> (SensorState, Option<String>) {
        match listed {
            Err(error) => {
                (SensorState::Degraded, Some(format!("reading the table of mounts: {error}")))
            }
            Ok(()) if self.left_out > 0 => {
                let reason = format!("{} lines of the table of mounts are left out", self.left_out);
                (SensorState::Degraded, Some(reason))
            }
            Ok(()) => match (self.watch.condition(), self.below.problems().next()) {
                ((SensorState::Running, _), Some(problem)) => {
                    (SensorState::Degraded, Some(problem.to_owned()))
                }
                (condition, _) => condition,
            },
        }
    }

    fn now(&self) -> Duration {
        Duration::from_nanos((self.clock)().boot_ns)
    }
}

/// Enough for one system call; the default is two megabytes of address space each.
const STACK_BYTES: usize = 128 << 10;

/// Waits until the table changes.
async fn changed(changes: &AsyncFd<OwnedFd>) -> io::Result<()> {
    changes.ready(Interest::PRIORITY).await?.clear_ready();
    Ok(())
}

/// Where the device with these numbers is mounted right now, as this thread sees it. Reads the
/// whole table.
pub(super) fn mounts_of(device: (u32, u32)) -> Vec<Text> {
    let text = File::open("/proc/thread-self/mountinfo").and_then(|table| read(&table));
    let table = mountinfo::parse(&text.unwrap_or_default(), is_watched);
    let here = table.lines.into_iter().filter(|line| line.device == device);
    here.map(|line| line.mount.path).collect()
}

fn read(mut table: &File) -> io::Result<Vec<u8>> {
    table.rewind()?;
    let mut text = Vec::with_capacity(TABLE_BYTES_USUAL);
    table.take(TABLE_BYTES_MAX).read_to_end(&mut text)?;
    Ok(text)
}

fn statvfs(path: &Text) -> io::Result<Facts> {
    let found = rustix::fs::statvfs(OsStr::from_bytes(path.as_bytes()))?;
    let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    Ok(Facts {
        bytes_total: bytes(found.f_blocks),
        bytes_free: bytes(found.f_bfree),
        bytes_available: bytes(found.f_bavail),
        inodes_total: found.f_files,
        inodes_free: found.f_ffree,
    })
}

#[cfg(test)]
mod tests {
    use cordon_proto::event::DiskEvent;
    use cordon_proto::event::disk::Space;

    use super::*;
    use crate::clock::stamp;
    use crate::sensor::Report;

    #[test]
    fn settings_have_defaults_and_refuse_what_they_do_not_know() {
        let settings: DiskSettings = toml::from_str("period_secs = 5").unwrap();
        assert_eq!(settings, DiskSettings { period_secs: 5, ..DiskSettings::default() });
        assert!(toml::from_str::<DiskSettings>("period = 5").is_err());
    }

    #[tokio::test(flavor = "current_thread")]
    async fn the_space_of_this_machine_is_told_at_the_start() {
        let (reports, mut said) = mpsc::channel(64);
        let sensor = run(DiskSettings::default(), stamp, Outlet::new(NAME, reports));
        let spaces = async {
            loop {
                let (_sensor, report) = said.recv().await.unwrap();
                let Report::Sample(sample) = report else { continue };
                for observation in sample.observations {
                    if let Body::Disk(DiskEvent::Space(space)) = observation.body {
                        return space;
                    }
                }
            }
        };
        let Space { bytes_total, bytes_available, .. } = tokio::select! {
            end = sensor => panic!("the sensor ended: {end:?}"),
            space = spaces => space,
        };
        assert!(bytes_total > 0 && bytes_available <= bytes_total);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_sensor_that_is_switched_off_says_so() {
        let (reports, mut said) = mpsc::channel(1);
        let settings = DiskSettings { enabled: false, ..DiskSettings::default() };
        run(settings, stamp, Outlet::new(NAME, reports)).await.unwrap();
        let (_sensor, report) = said.recv().await.unwrap();
        assert!(matches!(report, Report::Condition(said) if said.state == SensorState::Off));
    }
}
