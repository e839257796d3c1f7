//! What an endpoint's agent may cost the machine that it watches.
//!
//! Policy and the settings on the endpoint itself both have a word, and of each limit the lower one
//! holds: nobody can make an agent cost a machine more than its owner lets it, and operators can
//! make it cost less. They cannot make it cost so little that it would see nothing: a limit below
//! its least is refused. What an agent gives up to stay within, it tells and counts.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

/// Limits, each on its own; none leaves what the endpoint's settings say.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// Processor time, in percent of one core, over some seconds.
    #[n(0)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_percent: Option<u32>,
    /// Resident memory.
    #[n(1)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Events that wait on its disk.
    #[n(2)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spool_bytes: Option<u64>,
    /// Telemetry and collected archives that go to the collector in a second. Findings, receipts
    /// and health are never held up.
    #[n(3)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bandwidth_bytes_per_s: Option<u64>,
}

/// Why a budget is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("has a budget with {field} {found}; {least} to {most} are possible")]
pub struct BudgetError {
    /// Which limit.
    pub field: &'static str,
    /// What it is.
    pub found: u64,
    /// What it is at least.
    pub least: u64,
    /// What it is at most.
    pub most: u64,
}

impl Budget {
    /// Enough for some thousand starts of processes a second.
    pub const CPU_PERCENT_MIN: u64 = 5;
    /// 64 cores.
    pub const CPU_PERCENT_MAX: u64 = 6400;
    /// Less, and an agent would be at its limit without any load.
    pub const MEMORY_BYTES_MIN: u64 = 24 << 20;
    /// More than any agent could use.
    pub const MEMORY_BYTES_MAX: u64 = 64 << 30;
    /// Some hours of an ordinary machine.
    pub const SPOOL_BYTES_MIN: u64 = 16 << 20;
    /// More than any disk of an endpoint should hold for this.
    pub const SPOOL_BYTES_MAX: u64 = 1 << 40;
    /// A modem's.
    pub const BANDWIDTH_MIN: u64 = 4 << 10;
    /// 100 Gbit/s.
    pub const BANDWIDTH_MAX: u64 = 12_500_000_000;

    /// Checks that every limit is one that an agent can work within.
    pub fn check(&self) -> Result<(), BudgetError> {
        for (field, found, least, most) in self.limits() {
            if let Some(found) = found
                && !(least..=most).contains(&found)
            {
                return Err(BudgetError { field, found, least, most });
            }
        }
        Ok(())
    }

    /// Every limit with its name, its least and its most.
    #[must_use]
    pub fn limits(&self) -> [(&'static str, Option<u64>, u64, u64); 4] {
        [
            (
                "cpu_percent",
                self.cpu_percent.map(u64::from),
                Self::CPU_PERCENT_MIN,
                Self::CPU_PERCENT_MAX,
            ),
            ("memory_bytes", self.memory_bytes, Self::MEMORY_BYTES_MIN, Self::MEMORY_BYTES_MAX),
            ("spool_bytes", self.spool_bytes, Self::SPOOL_BYTES_MIN, Self::SPOOL_BYTES_MAX),
            (
                "bandwidth_bytes_per_s",
                self.bandwidth_bytes_per_s,
                Self::BANDWIDTH_MIN,
                Self::BANDWIDTH_MAX,
            ),
        ]
    }

    /// Of each limit the lower one; where one says nothing, the other's.
    #[must_use]
    pub fn lower(self, other: Self) -> Self {
        fn least<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
            one.into_iter().chain(other).min()
        }
        Self {
            cpu_percent: least(self.cpu_percent, other.cpu_percent),
            memory_bytes: least(self.memory_bytes, other.memory_bytes),
            spool_bytes: least(self.spool_bytes, other.spool_bytes),
            bandwidth_bytes_per_s: least(self.bandwidth_bytes_per_s, other.bandwidth_bytes_per_s),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(budget: Budget, refused: Option<&str>) {
        assert_eq!(budget.check().err().map(|error| error.field), refused);
    }

    #[test]
    fn a_limit_that_would_blind_an_endpoint_is_refused() {
        let none = Budget::default();
        check(none, None);
        check(Budget { cpu_percent: Some(4), ..none }, Some("cpu_percent"));
        check(Budget { cpu_percent: Some(5), ..none }, None);
        check(Budget { memory_bytes: Some((24 << 20) - 1), ..none }, Some("memory_bytes"));
        check(Budget { spool_bytes: Some(0), ..none }, Some("spool_bytes"));
        check(Budget { bandwidth_bytes_per_s: Some(0), ..none }, Some("bandwidth_bytes_per_s"));
        check(Budget { bandwidth_bytes_per_s: Some(4096), ..none }, None);
        check(Budget { cpu_percent: Some(u32::MAX), ..none }, Some("cpu_percent"));
    }

    #[test]
    fn of_each_limit_the_lower_one_holds() {
        let own = Budget { cpu_percent: Some(25), spool_bytes: Some(9), ..Budget::default() };
        let policy = Budget { cpu_percent: Some(30), memory_bytes: Some(7), ..Budget::default() };
        let both = Budget { memory_bytes: Some(7), ..own };
        assert_eq!((own.lower(policy), policy.lower(own)), (both, both));
    }
}
