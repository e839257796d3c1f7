//! Sees processes start and end, by the best means that this machine offers.
//!
//! Tiers are tried in order: BPF, the kernel's process connector, differences between lists of
//! /proc. Which one works, and what it therefore misses, is said in the sensor's condition.

mod bpf;
mod connector;
mod lives;
mod message;
mod proc_file;
mod proc_list;
mod programs;
mod record;
pub(super) mod who;

use cordon_proto::event::process::Tier;
use cordon_proto::event::{Body, Observation, ProcessEvent, SensorState, Severity};
use serde::Deserialize;

use super::{Outlet, Stopping};
use crate::clock::Stamp;

/// The sensor's name in health.
pub const NAME: &str = "process";

/// What the sensor does.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProcessSettings {
    /// Report forks too. Off: a process that runs nothing new is seen at its end only, and forks
    /// are a third of all events.
    pub forks: bool,
    /// The kernel's ring buffer, rounded up to a power of two between 64 KiB and 64 MiB. What
    /// arrives while it is full is counted as lost.
    pub ring_bytes: usize,
    /// Only this tier, for trying it out; none takes the best that works.
    pub tier: Option<Tier>,
}

impl Default for ProcessSettings {
    fn default() -> Self {
        Self { forks: false, ring_bytes: 512 << 10, tier: None }
    }
}

/// Why a tier ended.
#[derive(Clone, Debug, Eq, PartialEq)]
enum End {
    /// The agent is stopping.
    Stopping,
    /// It cannot go on; the next tier may.
    Failed { tier: Tier, reason: String },
}

impl From<Stopping> for End {
    fn from(Stopping: Stopping) -> Self {
        Self::Stopping
    }
}

/// Runs until the agent stops, or until no tier works: then the condition says why, and the
/// sensor may be started again later. `stamp` reads the time, so that a moment of the kernel's
/// boot-time clock can be told in wall time.
pub async fn run(
    settings: ProcessSettings,
    stamp: fn() -> Stamp,
    outlet: Outlet,
) -> Result<(), Stopping> {
    let mut failed = Vec::new();
    for tier in [Tier::Bpf, Tier::ProcConnector, Tier::ProcList] {
        if settings.tier.is_some_and(|only| only != tier) {
            continue;
        }
        match run_tier(tier, &settings, stamp, &outlet, &failed).await {
            End::Stopping => return Err(Stopping),
            End::Failed { tier, reason } => {
                tracing::warn!(?tier, reason, "a tier of the process sensor does not work");
                failed.push(format!("{}: {reason}", name(tier)));
            }
        }
    }
    outlet.condition(SensorState::Blind, Some(failed.join("; ")), None).await
}

async fn run_tier(
    tier: Tier,
    settings: &ProcessSettings,
    stamp: fn() -> Stamp,
    outlet: &Outlet,
    failed: &[String],
) -> End {
    match tier {
        Tier::Bpf => match bpf::Watch::open(settings, stamp) {
            Ok(watch) => match say(outlet, tier, failed).await {
                Ok(()) => watch.run(stamp, outlet).await,
                Err(stopping) => stopping.into(),
            },
            Err(error) => End::Failed { tier, reason: error.to_string() },
        },
        Tier::ProcConnector => match connector::Watch::open().await {
            Ok(watch) => match say(outlet, tier, failed).await {
                Ok(()) => watch.run(settings, stamp, outlet).await,
                Err(stopping) => stopping.into(),
            },
            Err(error) => End::Failed { tier, reason: error.to_string() },
        },
        Tier::ProcList => match proc_list::Watch::open() {
            Ok(watch) => match say(outlet, tier, failed).await {
                Ok(()) => watch.run(stamp, outlet).await,
                Err(stopping) => stopping.into(),
            },
            Err(error) => End::Failed { tier, reason: error.to_string() },
        },
    }
}

/// Says which tier works, what it misses, and why those before it do not.
async fn say(outlet: &Outlet, tier: Tier, failed: &[String]) -> Result<(), Stopping> {
    let (state, misses) = match tier {
        Tier::Bpf => (SensorState::Running, None),
        Tier::ProcConnector => (
            SensorState::Degraded,
            Some("processes that end within milliseconds lack path and arguments"),
        ),
        Tier::ProcList => (
            SensorState::Degraded,
            Some("processes that live less than a second are mostly not seen"),
        ),
    };
    let reasons: Vec<&str> = misses.into_iter().chain(failed.iter().map(String::as_str)).collect();
    let reason = (!reasons.is_empty()).then(|| reasons.join("; "));
    outlet.condition(state, reason, Some(tier)).await
}

fn name(tier: Tier) -> &'static str {
    match tier {
        Tier::Bpf => "BPF",
        Tier::ProcConnector => "process connector",
        Tier::ProcList => "list of /proc",
    }
}

fn observation(at: Stamp, event: ProcessEvent) -> Observation {
    let Stamp { time_ns, boot_ns } = at;
    Observation { time_ns, boot_ns, severity: Severity::Informational, body: Body::Process(event) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sensor::Report;
    use tokio::sync::mpsc;

    #[test]
    fn settings_have_defaults_and_refuse_what_they_do_not_know() {
        let settings: ProcessSettings = toml::from_str("").unwrap();
        assert_eq!(settings, ProcessSettings::default());
        let settings: ProcessSettings = toml::from_str("forks = true\ntier = 'proc_list'").unwrap();
        assert!(settings.forks && settings.tier == Some(Tier::ProcList));
        assert!(toml::from_str::<ProcessSettings>("fork = true").is_err());
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_lesser_tier_says_what_it_misses_and_why_it_is_used() {
        let (reports, mut received) = mpsc::channel(4);
        let outlet = Outlet::new(NAME, reports);
        say(&outlet, Tier::ProcList, &["BPF: no".to_owned()]).await.unwrap();
        let (_sensor, Report::Condition(condition)) = received.recv().await.unwrap() else {
            panic!("a condition was due");
        };
        assert_eq!(condition.state, SensorState::Degraded);
        assert_eq!(condition.tier, Some(Tier::ProcList));
        let reason = condition.reason.unwrap();
        assert!(reason.contains("less than a second") && reason.ends_with("BPF: no"), "{reason}");
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_sensor_ends_when_nobody_listens() {
        let (reports, received) = mpsc::channel(1);
        drop(received);
        let settings = ProcessSettings { tier: Some(Tier::ProcList), ..Default::default() };
        assert_eq!(run(settings, Stamp::default, Outlet::new(NAME, reports)).await, Err(Stopping));
    }
}
