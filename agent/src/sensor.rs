//! What a sensor is, and what it hands over.
//!
//! A sensor is a task of its own that fills samples into one bounded channel. A sample is taken
//! whole or not at all: its events and its checkpoints reach the spool in one transaction, so that
//! a sensor that can look back (a log file, say) neither loses nor doubles anything over a crash.

pub mod disk;
pub mod inventory;
pub mod log;
pub mod login;
pub mod process;

use cordon_proto::event::process::Tier;
use cordon_proto::event::{ClassCount, GapReason, Observation, SensorHealth, SensorState};
use tokio::sync::mpsc;

/// Events of one sensor, with what it needs in order to go on from here.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// What was seen, in order.
    pub observations: Vec<Observation>,
    /// Where the sensor stands once these events are kept.
    pub checkpoints: Vec<Checkpoint>,
    /// What the sensor knows it has missed.
    pub losses: Vec<Loss>,
}

/// A sensor's place in what it reads, kept in the same transaction as the events up to it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Checkpoint {
    /// Which place, unique to the sensor: `log/2049/131`.
    pub key: String,
    /// The place; none forgets it.
    pub value: Option<Vec<u8>>,
}

/// Events that a sensor knows it has missed; becomes a signed gap.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Loss {
    /// Why.
    pub reason: GapReason,
    /// How many of which class.
    pub counts: Vec<ClassCount>,
    /// From when, nanoseconds since 1970 UTC.
    pub from_ns: u64,
    /// Until when, nanoseconds since 1970 UTC.
    pub to_ns: u64,
    /// What a person should know beside it.
    pub detail: Option<String>,
}

/// What a sensor says of itself; the run loop keeps the latest and reports it in health.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Condition {
    /// The sensor.
    pub sensor: &'static str,
    /// Its state.
    pub state: SensorState,
    /// Why it is not simply running.
    pub reason: Option<String>,
    /// By which means it sees processes.
    pub tier: Option<Tier>,
}

/// Everything a sensor can say.
#[derive(Clone, Debug)]
pub enum Report {
    /// It has seen something.
    Sample(Sample),
    /// It fares differently from before.
    Condition(Condition),
}

/// Samples and conditions that may wait for the spool. A sensor that finds it full waits (a log
/// file loses nothing by it) or lets the kernel's own buffer fill and counts what that drops.
pub const REPORTS_MAX: usize = 64;

/// Events of one sample at most, so that a sample fits a batch.
pub const SAMPLE_EVENTS_MAX: usize = 512;

/// Where a sensor hands over.
#[derive(Clone, Debug)]
pub struct Outlet {
    sensor: &'static str,
    reports: mpsc::Sender<(&'static str, Report)>,
}

/// The agent is stopping; the sensor ends too.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the agent is stopping")]
pub struct Stopping;

impl Outlet {
    /// An outlet for one sensor.
    #[must_use]
    pub fn new(sensor: &'static str, reports: mpsc::Sender<(&'static str, Report)>) -> Self {
        Self { sensor, reports }
    }

    /// Hands a sample over; waits while the spool is behind.
    pub async fn sample(&self, sample: Sample) -> Result<(), Stopping> {
        self.send(Report::Sample(sample)).await
    }

    /// Says how the sensor fares.
    pub async fn condition(
        &self,
        state: SensorState,
        reason: Option<String>,
        tier: Option<Tier>,
    ) -> Result<(), Stopping> {
        let sensor = self.sensor;
        self.send(Report::Condition(Condition { sensor, state, reason, tier })).await
    }

    /// The same as [`Self::sample`] for a sensor that lives on a thread of its own.
    pub fn sample_blocking(&self, sample: Sample) -> Result<(), Stopping> {
        let report = (self.sensor, Report::Sample(sample));
        self.reports.blocking_send(report).map_err(|_closed| Stopping)
    }

    async fn send(&self, report: Report) -> Result<(), Stopping> {
        self.reports.send((self.sensor, report)).await.map_err(|_closed| Stopping)
    }
}

/// Adds up what health says of one sensor.
#[derive(Clone, Debug)]
pub struct Tally {
    condition: Condition,
    seen: u64,
    dropped: u64,
}

impl Tally {
    /// A sensor that has not said anything yet.
    #[must_use]
    pub fn new(sensor: &'static str) -> Self {
        let reason = Some("it has not started yet".to_owned());
        let state = SensorState::Blind;
        Self { condition: Condition { sensor, state, reason, tier: None }, seen: 0, dropped: 0 }
    }

    /// Takes note of a sample or a condition.
    pub fn note(&mut self, report: &Report) {
        match report {
            Report::Condition(condition) => self.condition = condition.clone(),
            Report::Sample(sample) => {
                let events = u64::try_from(sample.observations.len()).unwrap_or(u64::MAX);
                self.seen = self.seen.saturating_add(events);
                for count in sample.losses.iter().flat_map(|loss| &loss.counts) {
                    self.dropped = self.dropped.saturating_add(count.count);
                }
            }
        }
    }

    /// What health says.
    #[must_use]
    pub fn health(&self) -> SensorHealth {
        let Condition { sensor, state, reason, tier } = self.condition.clone();
        let Self { seen, dropped, .. } = *self;
        SensorHealth { name: sensor.to_owned(), state, reason, tier, seen, dropped }
    }
}
