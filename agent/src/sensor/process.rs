//! Sees processes start and end, by the best means that this machine offers.
//!
//! Tiers are tried in order: BPF, the kernel's process connector (with the kernel's audit records
//! beside it where the administrator's own rules make them), differences between lists of /proc.
//! Which one works, and what it therefore misses, is said in the sensor's condition. Beside the
//! first two, /proc is listed each minute and what they have missed is told then.

mod audit;
pub mod audit_record;
mod bpf;
mod connector;
mod drops;
mod gather;
mod hash;
mod hash_thread;
mod lineage;
mod lives;
mod memory;
mod merge;
mod message;
mod offsets;
mod pid_hasher;
mod proc_file;
mod proc_list;
mod programs;
mod recent;
mod reconcile;
mod record;
mod standing;
mod terminal;
pub(super) mod who;

use std::time::Duration;

use cordon_proto::event::process::Tier;
use cordon_proto::event::{Body, Observation, ProcessEvent, SensorState, Severity};
use serde::Deserialize;

use self::standing::Standing;
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
    /// How often what was told is compared with a list of /proc, in seconds.
    pub reconcile_secs: u64,
    /// Programs' files of up to so many bytes are hashed, at most once as long as they do not
    /// change; 0 for none.
    pub hash_bytes_max: u64,
    /// Only this tier, for trying it out; none takes the best that works.
    pub tier: Option<Tier>,
}

impl Default for ProcessSettings {
    fn default() -> Self {
        Self {
            forks: false,
            ring_bytes: 512 << 10,
            reconcile_secs: 60,
            hash_bytes_max: 64 << 20,
            tier: None,
        }
    }
}

impl ProcessSettings {
    fn reconcile(&self) -> Duration {
        Duration::from_secs(self.reconcile_secs.max(1))
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
        // Audit records come beside the connector.
        let only = settings.tier.map(|only| match only {
            Tier::Audit => Tier::ProcConnector,
            Tier::Bpf | Tier::ProcConnector | Tier::ProcList => only,
        });
        if only.is_some_and(|only| only != tier) {
            continue;
        }
        match run_tier(tier, &settings, stamp, &outlet, &failed).await {
            End::Stopping => return Err(Stopping),
            End::Failed { tier, reason } => {
                tracing::warn!(?tier, reason, "a tier of the process sensor does not work");
                failed.push(Standing::failure(tier, &reason));
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
    let standing = Standing::new(tier, failed);
    match tier {
        Tier::Bpf => match bpf::Watch::open(settings, stamp) {
            Ok(watch) => {
                let mut standing = standing.on(watch.missing(), watch.compares());
                match standing.say(outlet).await {
                    Ok(()) => watch.run(stamp, outlet, &mut standing).await,
                    Err(stopping) => stopping.into(),
                }
            }
            Err(error) => End::Failed { tier, reason: error.to_string() },
        },
        Tier::ProcConnector | Tier::Audit => match connector::Watch::open(settings, stamp).await {
            Ok(watch) => {
                let mut standing = standing.on(Vec::new(), watch.compares());
                match standing.say(outlet).await {
                    Ok(()) => watch.run(settings, stamp, outlet, &mut standing).await,
                    Err(stopping) => stopping.into(),
                }
            }
            Err(error) => End::Failed { tier, reason: error.to_string() },
        },
        Tier::ProcList => match proc_list::Watch::open(settings) {
            Ok(watch) => match standing.say(outlet).await {
                Ok(()) => watch.run(stamp, outlet).await,
                Err(stopping) => stopping.into(),
            },
            Err(error) => End::Failed { tier, reason: error.to_string() },
        },
    }
}

fn name(tier: Tier) -> &'static str {
    match tier {
        Tier::Bpf => "BPF",
        Tier::ProcConnector => "process connector",
        Tier::ProcList => "list of /proc",
        Tier::Audit => "audit records",
    }
}

fn observation(at: Stamp, event: ProcessEvent) -> Observation {
    let Stamp { time_ns, boot_ns } = at;
    Observation { time_ns, boot_ns, severity: Severity::Informational, body: Body::Process(event) }
}

#[cfg(test)]
mod tests {
    use super::*;
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
    async fn a_sensor_ends_when_nobody_listens() {
        let (reports, received) = mpsc::channel(1);
        drop(received);
        let settings = ProcessSettings { tier: Some(Tier::ProcList), ..Default::default() };
        assert_eq!(run(settings, Stamp::default, Outlet::new(NAME, reports)).await, Err(Stopping));
    }
}
