//! How the agent fares: what it costs the machine, and what it says of itself every half minute.

use std::fs::File;
use std::io::Read;

use cordon_proto::command::Nonce;
use cordon_proto::event::agent::{Health, LaneDepth, Standing};
use cordon_proto::event::{Body, ClassCount, Observation, SensorHealth, SensorState, Severity};
use cordon_proto::policy::Budget;
use cordon_proto::roster::RosterRef;
use rustix::time::{ClockId, clock_gettime};

use crate::clock::Stamp;
use crate::platform::linux::heap;

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
        Self { cpu_us: Self::cpu_us(), rss_bytes: Self::rss_bytes() }
    }

    /// Processor time alone, which costs next to nothing to ask for.
    #[must_use]
    pub fn cpu_us() -> u64 {
        let time = clock_gettime(ClockId::ProcessCPUTime);
        let secs = u64::try_from(time.tv_sec).unwrap_or_default();
        let micros = u64::try_from(time.tv_nsec / 1000).unwrap_or_default();
        secs.saturating_mul(1_000_000).saturating_add(micros)
    }

    /// Resident memory alone. `statm` has the same number as `status`, and not a hundred others that
    /// the kernel would have to write out.
    fn rss_bytes() -> u64 {
        let mut text = [0; 128];
        let read = File::open("/proc/self/statm").and_then(|mut statm| statm.read(&mut text));
        let text = text.get(..read.unwrap_or_default()).unwrap_or_default();
        let page_bytes = u64::try_from(heap::page_bytes()).unwrap_or_default();
        resident_pages(text).saturating_mul(page_bytes)
    }
}

fn resident_pages(statm: &[u8]) -> u64 {
    let pages = statm.split(|byte| *byte == b' ').nth(1);
    let pages = pages.and_then(|pages| std::str::from_utf8(pages).ok());
    pages.and_then(|pages| pages.parse().ok()).unwrap_or_default()
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
    fn resident_memory_is_read_from_its_place() {
        assert_eq!(resident_pages(b"14921 2037 1713 1744 0 1038 0\n"), 2037);
        assert_eq!(resident_pages(b""), 0);
    }

    #[test]
    fn this_process_costs_something() {
        let usage = Usage::read();
        assert!(usage.rss_bytes > 1 << 20 && usage.cpu_us > 0, "{usage:?}");
    }
}
