//! The disks below the file systems: when their counters are read and their health is asked for,
//! and what of that is told.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::Path;
use std::time::Duration;

use cordon_proto::event::{DiskEvent, Severity};

use super::DiskSettings;
use super::health::{Answers, Healths};
use super::load::{Limits, Loads};

/// More than a thousand disks need.
const COUNTERS_BYTES_MAX: u64 = 256 << 10;

/// An event with how grave it is.
pub(super) type Told = (Severity, DiskEvent);

pub(super) struct Below {
    load_every: Duration,
    health_every: Duration,
    counters: File,
    loads: Loads,
    healths: Healths,
    load_due: Duration,
    /// None while the disks are being asked.
    health_due: Option<Duration>,
    /// What went wrong the last time.
    load_problem: Option<String>,
    health_problems: Vec<String>,
}

impl Below {
    pub(super) fn open(settings: &DiskSettings, now: Duration) -> io::Result<Self> {
        let limits = Limits {
            report_every: Duration::from_secs(settings.report_secs),
            busy_permille: u64::from(settings.busy_percent).saturating_mul(10),
            wait: Duration::from_millis(settings.wait_ms),
            lasting: Duration::from_secs(settings.overload_secs),
        };
        Ok(Self {
            load_every: Duration::from_secs(settings.load_secs.max(1)),
            health_every: Duration::from_secs(settings.health_secs.max(1)),
            counters: File::open("/proc/diskstats")?,
            loads: Loads::new(limits),
            healths: Healths::default(),
            load_due: now,
            health_due: Some(now),
            load_problem: None,
            health_problems: Vec::new(),
        })
    }

    /// When [`Self::handle_timeout`] must be called next.
    pub(super) fn poll_timeout(&self) -> Duration {
        self.health_due.map_or(self.load_due, |due| due.min(self.load_due))
    }

    /// Reads the counters if that is due.
    pub(super) fn handle_timeout(&mut self, now: Duration) -> Vec<Told> {
        if now < self.load_due {
            return Vec::new();
        }
        self.load_due = now.saturating_add(self.load_every);
        let text = match read(&self.counters) {
            Ok(text) => text,
            Err(error) => {
                self.load_problem = Some(format!("reading the counters of disks: {error}"));
                return Vec::new();
            }
        };
        self.load_problem = None;
        let is_disk = |name: &str| Path::new("/sys/block").join(name).exists();
        let told = self.loads.handle_counters(&text, now, is_disk);
        told.into_iter().map(|(severity, load)| (severity, DiskEvent::Load(load))).collect()
    }

    /// Whether the disks' health is to be asked for now; [`Self::handle_answers`] must follow.
    pub(super) fn begin_asking(&mut self, now: Duration) -> bool {
        let is_due = self.health_due.is_some_and(|due| due <= now);
        if is_due {
            self.health_due = None;
        }
        is_due
    }

    /// What the disks said of their health.
    pub(super) fn handle_answers(&mut self, answers: Answers, now: Duration) -> Vec<Told> {
        self.health_due = Some(now.saturating_add(self.health_every));
        self.health_problems = answers.problems;
        let told = self.healths.handle_answers(answers.healths, now);
        let event = |(severity, health)| (severity, DiskEvent::Health(Box::new(health)));
        told.into_iter().map(event).collect()
    }

    /// What could not be seen.
    pub(super) fn problems(&self) -> impl Iterator<Item = &str> {
        self.load_problem.iter().chain(&self.health_problems).map(String::as_str)
    }
}

fn read(mut counters: &File) -> io::Result<Vec<u8>> {
    counters.rewind()?;
    let mut text = Vec::new();
    counters.take(COUNTERS_BYTES_MAX).read_to_end(&mut text)?;
    Ok(text)
}
