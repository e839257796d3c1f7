//! What a sensor is, and what it hands over.
//!
//! A sensor is a task of its own that fills samples into one bounded channel. A sample is taken
//! whole or not at all: its events and its checkpoints reach the spool in one transaction, so that
//! a sensor that can look back (a log file, say) neither loses nor doubles anything over a crash.

pub mod device;
pub mod disk;
pub mod dns;
pub mod file;
pub mod inventory;
pub mod journal;
pub mod kernel_log;
pub mod log;
pub mod login;
pub mod network;
pub mod parse;
pub mod process;

use std::collections::BTreeMap;
use std::time::Duration;

use cordon_proto::event::process::Tier;
use cordon_proto::event::{
    ClassCount, GapReason, Observation, ReasonCount, SensorHealth, SensorState,
};
use tokio::sync::{mpsc, watch};

/// Events of one sensor, with what it needs in order to go on from here.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// What was seen, in order.
    pub observations: Vec<Observation>,
    /// Where the sensor stands once these events are kept.
    pub checkpoints: Vec<Checkpoint>,
    /// What the sensor knows it has missed.
    pub losses: Vec<Loss>,
    /// For how long the first of these events waited at the sensor for more: what has gathered
    /// there need not wait in the spool again.
    pub gathered: Duration,
}

impl Sample {
    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.observations.is_empty() && self.checkpoints.is_empty() && self.losses.is_empty()
    }
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
    /// It was shown to see: it has taken a look, or a canary has come through it.
    Proved,
}

/// Samples and conditions that may wait for the spool. A sensor that finds it full waits (a log
/// file loses nothing by it) or lets the kernel's own buffer fill and counts what that drops.
pub const REPORTS_MAX: usize = 8;

/// Events of one sample at most, so that a sample fits a batch.
pub const SAMPLE_EVENTS_MAX: usize = 512;

/// Where a sensor hands over.
#[derive(Clone, Debug)]
pub struct Outlet {
    sensor: &'static str,
    reports: mpsc::Sender<(&'static str, Report)>,
    /// How long to pause after each sample, to stay within the budget.
    brake: Option<watch::Receiver<Duration>>,
}

/// The agent is stopping; the sensor ends too.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the agent is stopping")]
pub struct Stopping;

impl Outlet {
    /// An outlet for one sensor.
    #[must_use]
    pub fn new(sensor: &'static str, reports: mpsc::Sender<(&'static str, Report)>) -> Self {
        Self { sensor, reports, brake: None }
    }

    /// The same for a sensor that can read on later, and so may be slowed down.
    #[must_use]
    pub fn braked(self, brake: watch::Receiver<Duration>) -> Self {
        Self { brake: Some(brake), ..self }
    }

    /// Hands a sample over; waits while the spool is behind.
    pub async fn sample(&self, sample: Sample) -> Result<(), Stopping> {
        self.send(Report::Sample(sample)).await?;
        let pause = self.brake.as_ref().map_or(Duration::ZERO, |brake| *brake.borrow());
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        Ok(())
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

    /// Says that a look was taken, though there was nothing to tell: for sensors that look at
    /// things, and so need no canary.
    pub async fn proved(&self) -> Result<(), Stopping> {
        self.send(Report::Proved).await
    }

    async fn send(&self, report: Report) -> Result<(), Stopping> {
        self.reports.send((self.sensor, report)).await.map_err(|_closed| Stopping)
    }
}

/// Adds up what health says of one sensor.
#[derive(Clone, Debug)]
pub struct Tally {
    condition: Condition,
    begun: bool,
    seen: u64,
    dropped: BTreeMap<GapReason, u64>,
    /// When it was last shown to see; or since when it should have been.
    proved: Option<Duration>,
    expected: Option<Duration>,
}

impl Tally {
    /// A sensor that has not said anything yet.
    #[must_use]
    pub fn new(sensor: &'static str) -> Self {
        let reason = Some("it has not started yet".to_owned());
        let state = SensorState::Blind;
        Self {
            condition: Condition { sensor, state, reason, tier: None },
            begun: false,
            seen: 0,
            dropped: BTreeMap::new(),
            proved: None,
            expected: None,
        }
    }

    /// Takes note of what a sensor says.
    pub fn note(&mut self, report: &Report, now: Duration) {
        match report {
            Report::Condition(condition) => {
                let sees = sees(condition.state);
                self.expected = sees.then(|| self.expected.unwrap_or(now));
                self.condition = condition.clone();
                self.begun = true;
            }
            Report::Proved => self.proved = Some(now),
            Report::Sample(sample) => {
                let events = sample.observations.iter().map(|seen| seen.body.count());
                self.seen = self.seen.saturating_add(events.sum());
                for loss in &sample.losses {
                    let count = loss.counts.iter().map(|count| count.count).sum::<u64>();
                    let known = self.dropped.entry(loss.reason).or_default();
                    *known = known.saturating_add(count);
                }
            }
        }
    }

    /// Whether it has said how it fares.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.begun
    }

    /// By which means it sees processes, if it says that it sees.
    #[must_use]
    pub fn sees(&self) -> Option<Option<Tier>> {
        sees(self.condition.state).then_some(self.condition.tier)
    }

    /// What health says. A sensor that says that it sees, and was not shown to for too long, has
    /// stalled.
    #[must_use]
    pub fn health(&self, now: Duration) -> SensorHealth {
        let Condition { sensor, mut state, mut reason, tier } = self.condition.clone();
        let since = |at: Duration| now.saturating_sub(at);
        let silent = self.proved.max(self.expected).map(since);
        if let (true, Some(silent)) = (sees(state), silent.filter(|silent| *silent > PROVED_WITHIN))
        {
            let secs = silent.as_secs();
            state = SensorState::Stalled;
            reason =
                Some(format!("what is sent through it each minute did not come out for {secs} s"));
        }
        let why =
            |(reason, count): (&GapReason, &u64)| ReasonCount { reason: *reason, count: *count };
        let why: Vec<_> = self.dropped.iter().map(why).collect();
        SensorHealth {
            name: sensor.to_owned(),
            state,
            reason,
            tier,
            seen: self.seen,
            dropped: self.dropped.values().sum(),
            proved_secs: self.proved.map(|at| since(at).as_secs()),
            dropped_why: (!why.is_empty()).then_some(why),
        }
    }
}

/// A sensor is shown to see at least so often: two canaries may get lost on the way, not three.
pub const PROVED_WITHIN: Duration = Duration::from_secs(200);

fn sees(state: SensorState) -> bool {
    match state {
        SensorState::Running | SensorState::Degraded => true,
        SensorState::Blind | SensorState::Off | SensorState::Stalled => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(timeline: &str, state: SensorState) {
        let mut tally = Tally::new("process");
        let mut now = Duration::ZERO;
        for line in timeline.lines().map(str::trim) {
            let (at, what) = line.split_once(": ").unwrap();
            now = Duration::from_secs(at.parse().unwrap());
            let condition =
                |state| Condition { sensor: "process", state, reason: None, tier: None };
            match what {
                "runs" => tally.note(&Report::Condition(condition(SensorState::Running)), now),
                "blind" => tally.note(&Report::Condition(condition(SensorState::Blind)), now),
                "proved" => tally.note(&Report::Proved, now),
                "look" => {}
                other => panic!("{other}"),
            }
        }
        assert_eq!(tally.health(now).state, state, "{timeline}");
    }

    #[test]
    fn a_sensor_that_runs_and_does_not_show_it_has_stalled() {
        check("0: look", SensorState::Blind);
        check("9999: runs\n 10199: look", SensorState::Running);
        check("0: runs\n 201: look", SensorState::Stalled);
        check("0: runs\n 60: proved\n 260: look", SensorState::Running);
        check("0: runs\n 60: proved\n 261: look", SensorState::Stalled);
        check("0: runs\n 60: proved\n 300: look\n 301: proved", SensorState::Running);
    }

    #[test]
    fn a_sensor_that_says_that_it_is_blind_has_not_stalled_and_begins_anew() {
        check("0: runs\n 60: proved\n 90: blind\n 900: look", SensorState::Blind);
        check("0: runs\n 60: proved\n 90: blind\n 900: runs\n 1000: look", SensorState::Running);
    }

    #[test]
    fn what_was_dropped_is_counted_by_its_reason() {
        let mut tally = Tally::new("process");
        for (reason, count) in
            [(GapReason::KernelRing, 2), (GapReason::RateLimit, 3), (GapReason::KernelRing, 4)]
        {
            let counts = vec![ClassCount { class: cordon_proto::event::Class::Process, count }];
            let loss = Loss { reason, counts, from_ns: 1, to_ns: 2, detail: None };
            tally.note(
                &Report::Sample(Sample { losses: vec![loss], ..Sample::default() }),
                Duration::ZERO,
            );
        }
        let health = tally.health(Duration::ZERO);
        let why: Vec<_> =
            health.dropped_why.unwrap().iter().map(|why| (why.reason, why.count)).collect();
        assert_eq!(health.dropped, 9);
        assert_eq!(why, [(GapReason::KernelRing, 6), (GapReason::RateLimit, 3)]);
    }
}
