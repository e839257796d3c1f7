//! How the agent fares: what it costs the machine, and what it says of itself every half minute.

use std::fs;

use cordon_proto::command::Nonce;
use cordon_proto::event::agent::{Health, LaneDepth, Standing};
use cordon_proto::event::{Body, ClassCount, Observation, SensorHealth, SensorState, Severity};
use cordon_proto::policy::Budget;
use cordon_proto::roster::RosterRef;
use rustix::time::{ClockId, clock_gettime};

use crate::clock::Stamp;

/// The agent's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What the agent costs.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Usage {
    /// Processor time used by all its threads, microseconds.
    pub cpu_us: u64,
    /// Resident memory, bytes.
    pub rss_bytes: u64,
}

impl Usage {
    /// Looks at this process. What cannot be read is nought.
    #[must_use]
    pub fn read() -> Self {
        let time = clock_gettime(ClockId::ProcessCPUTime);
        let secs = u64::try_from(time.tv_sec).unwrap_or_default();
        let micros = u64::try_from(time.tv_nsec / 1000).unwrap_or_default();
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let rss_bytes = resident_kib(&status).saturating_mul(1024);
        Self { cpu_us: secs.saturating_mul(1_000_000).saturating_add(micros), rss_bytes }
    }
}

fn resident_kib(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kib.and_then(|kib| kib.parse().ok()).unwrap_or_default()
}

/// What health is made of.
#[derive(Clone, Debug)]
pub struct Vitals {
    /// Endpoint time.
    pub endpoint_secs: u64,
    /// What commands must carry.
    pub nonce: Nonce,
    /// The roster held.
    pub roster: RosterRef,
    /// The policy held.
    pub policy_version: u64,
    /// Seconds since the agent started.
    pub uptime_secs: u64,
    /// What waits in the spool.
    pub lanes: Vec<LaneDepth>,
    /// Every sensor.
    pub sensors: Vec<SensorHealth>,
    /// What was dropped before it reached the spool.
    pub dropped: Vec<ClassCount>,
    /// What stands.
    pub containments: Vec<Standing>,
    /// What is given up in order to stay within the budget.
    pub given_up: Option<String>,
    /// The limits that hold.
    pub budget: Budget,
    /// What went to the collector since the agent started.
    pub sent_bytes: u64,
}

impl Vitals {
    /// The event. A sensor that sees less than it should, or a containment that cannot be proved,
    /// makes it worth a look.
    #[must_use]
    pub fn observation(self, usage: Usage, now: Stamp) -> Observation {
        let blind = |sensor: &SensorHealth| match sensor.state {
            SensorState::Blind | SensorState::Stalled => true,
            SensorState::Running | SensorState::Degraded | SensorState::Off => false,
        };
        let unwell =
            self.sensors.iter().any(blind) || self.containments.iter().any(|one| !one.proved);
        let severity = if unwell { Severity::Medium } else { Severity::Informational };
        let Self { endpoint_secs, nonce, roster, policy_version, uptime_secs, .. } = self;
        let Self { lanes, sensors, dropped, containments, given_up, budget, sent_bytes, .. } = self;
        let health = Health {
            agent_version: VERSION.to_owned(),
            endpoint_secs,
            nonce,
            roster,
            policy_version,
            cpu_us: usage.cpu_us,
            rss_bytes: usage.rss_bytes,
            uptime_secs,
            lanes,
            sensors,
            dropped,
            containments,
            given_up,
            budget: Some(budget),
            sent_bytes: Some(sent_bytes),
        };
        let Stamp { time_ns, boot_ns } = now;
        Observation { time_ns, boot_ns, severity, body: Body::Health(Box::new(health)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_read_from_its_line() {
        let status = "Name:\tcordon-agent\nVmHWM:\t    9000 kB\nVmRSS:\t    8148 kB\n";
        assert_eq!(resident_kib(status), 8148);
        assert_eq!(resident_kib(""), 0);
    }

    #[test]
    fn this_process_costs_something() {
        let usage = Usage::read();
        assert!(usage.rss_bytes > 1 << 20 && usage.cpu_us > 0, "{usage:?}");
    }
}
