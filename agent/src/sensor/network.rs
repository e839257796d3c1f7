//! Sees connections and listeners come and go, with the process behind them.
//!
//! BPF tells every TCP connection of the machine, however short, and every address that a process
//! sends datagrams to; where BPF does not work, lists of sockets are compared. Connections of other
//! network namespaces (containers) are told with the number of theirs, but only by an agent of the
//! machine itself: one in a namespace of its own, or in a lab, tells that namespace alone.
//!
//! Not seen: attempts that find no route (they never begin), datagrams that only arrive, how many
//! datagrams a connected UDP socket sends, and raw and packet sockets. A UDP socket counts as
//! opened when it is connected, whether it then sends or not: some programs connect one only to
//! learn their own address. UDP listeners are sampled, and those on a port that the kernel chose
//! are not told.

mod bpf;
mod datagrams;
mod flows;
mod programs;
mod record;
mod sampled;
mod survey;
mod table;

use std::time::Duration;

use cordon_proto::event::network::Means;
use cordon_proto::event::process::Tier;
use cordon_proto::event::{Body, NetworkEvent, Observation, SensorState, Severity};
use serde::{Deserialize, Serialize};

use super::dns::Names;
use super::{Outlet, SAMPLE_EVENTS_MAX, Sample, Stopping};
use crate::clock::Stamp;
use sampled::{Lists, Look};

/// The sensor's name in health.
pub const NAME: &str = "network";

/// What the sensor does.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct NetworkSettings {
    /// Whether connections are watched at all.
    pub enabled: bool,
    /// The kernel's ring buffer, rounded up to a power of two between 64 KiB and 64 MiB. What
    /// arrives while it is full is counted as lost.
    pub ring_bytes: usize,
    /// Whether connections within the machine are told too; their listeners always are.
    pub loopback: bool,
    /// How long a process sends nothing to an address until the next datagram is told again.
    pub udp_idle_secs: u64,
    /// How often lists of sockets are compared where BPF does not work.
    pub sample_secs: u64,
    /// Only the agent's own namespace and control group; set by the agent's own `lab`.
    #[serde(skip)]
    pub lab: bool,
    /// Only these means, for trying them out; none takes the best that work.
    #[serde(skip)]
    pub only: Option<Means>,
}

impl Default for NetworkSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            ring_bytes: 256 << 10,
            loopback: false,
            udp_idle_secs: 60,
            sample_secs: 10,
            lab: false,
            only: None,
        }
    }
}

/// Why means ended.
#[derive(Debug)]
enum End {
    /// The agent is stopping.
    Stopping,
    /// They cannot go on.
    Failed(String),
}

impl From<Stopping> for End {
    fn from(Stopping: Stopping) -> Self {
        Self::Stopping
    }
}

/// Runs until the agent stops, or until no means work: then the condition says why, and the sensor
/// may be started again later. `names` gives addresses the names that answers gave them.
pub async fn run(
    settings: NetworkSettings,
    stamp: fn() -> Stamp,
    names: Names,
    outlet: Outlet,
) -> Result<(), Stopping> {
    let mut failed = Vec::new();
    if settings.only != Some(Means::Sampled) {
        match bpf(&settings, stamp, &names, &outlet).await {
            End::Stopping => return Err(Stopping),
            End::Failed(reason) => {
                tracing::warn!(reason, "BPF does not work for the network sensor");
                failed.push(format!("BPF: {reason}"));
            }
        }
    }
    if settings.only != Some(Means::Bpf) {
        match sample(&settings, stamp, &names, &outlet, &failed).await {
            End::Stopping => return Err(Stopping),
            End::Failed(reason) => failed.push(format!("lists of sockets: {reason}")),
        }
    }
    outlet.condition(SensorState::Blind, Some(failed.join("; ")), None).await
}

async fn bpf(
    settings: &NetworkSettings,
    stamp: fn() -> Stamp,
    names: &Names,
    outlet: &Outlet,
) -> End {
    match bpf::Watch::open(settings, stamp, names.clone()) {
        Ok((watch, missing)) => {
            let state =
                if missing.is_none() { SensorState::Running } else { SensorState::Degraded };
            match outlet.condition(state, missing, Some(Tier::Bpf)).await {
                Ok(()) => watch.run(stamp, outlet).await,
                Err(stopping) => stopping.into(),
            }
        }
        Err(error) => End::Failed(error.to_string()),
    }
}

/// Compares lists of sockets.
async fn sample(
    settings: &NetworkSettings,
    stamp: fn() -> Stamp,
    names: &Names,
    outlet: &Outlet,
    failed: &[String],
) -> End {
    let misses = "sampled: connections that live less than the time between two lists of sockets \
                  are not seen, nor are failed attempts, datagrams, and other network namespaces";
    let reason: Vec<&str> = [misses].into_iter().chain(failed.iter().map(String::as_str)).collect();
    if outlet.condition(SensorState::Degraded, Some(reason.join("; ")), None).await.is_err() {
        return End::Stopping;
    }
    let mut lists = Lists::new(Look::Everything, settings.loopback);
    loop {
        let survey = match survey::begin(Look::Everything, lists.owners()) {
            Ok(survey) => survey.await,
            Err(error) => return End::Failed(format!("starting a thread to list them: {error}")),
        };
        let survey = match survey {
            Ok(Ok(survey)) => survey,
            Ok(Err(error)) => return End::Failed(error),
            Err(_closed) => return End::Failed("the thread that lists them failed".to_owned()),
        };
        let now = stamp();
        if let Err(error) = names.refresh(now) {
            tracing::debug!(%error, "names could not be read");
        }
        let naming = |ip| names.name(ip, now.boot_ns);
        let events = lists.handle(survey, now.boot_ns, &naming);
        if tell(events, now, outlet).await.is_err() || outlet.proved().await.is_err() {
            return End::Stopping;
        }
        tokio::time::sleep(Duration::from_secs(settings.sample_secs)).await;
    }
}

/// Hands events over that all happened now.
async fn tell(events: Vec<NetworkEvent>, now: Stamp, outlet: &Outlet) -> Result<(), Stopping> {
    let mut events = events.into_iter().map(|event| observation(now, event));
    loop {
        let observations: Vec<Observation> = events.by_ref().take(SAMPLE_EVENTS_MAX).collect();
        if observations.is_empty() {
            return Ok(());
        }
        outlet.sample(Sample { observations, ..Sample::default() }).await?;
    }
}

fn observation(at: Stamp, event: NetworkEvent) -> Observation {
    let Stamp { time_ns, boot_ns } = at;
    let (severity, body) = (Severity::Informational, Body::Network(Box::new(event)));
    Observation { time_ns, boot_ns, severity, body }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::mpsc;

    #[test]
    fn settings_have_defaults_and_refuse_what_they_do_not_know() {
        let settings: NetworkSettings = toml::from_str("").unwrap();
        assert_eq!(settings, NetworkSettings::default());
        assert!(toml::from_str::<NetworkSettings>("loopback = true").unwrap().loopback);
        assert!(
            toml::from_str::<NetworkSettings>("lab = true").is_err(),
            "not a setting of its own"
        );
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_sensor_ends_when_nobody_listens() {
        let (reports, received) = mpsc::channel(1);
        drop(received);
        let settings = NetworkSettings { only: Some(Means::Sampled), ..Default::default() };
        let outlet = Outlet::new(NAME, reports);
        assert_eq!(run(settings, Stamp::default, Names::default(), outlet).await, Err(Stopping));
    }
}
