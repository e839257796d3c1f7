//! How many lines of one unit are taken in a minute; what is beyond is counted and told. Pure.
//!
//! journald has such limits of its own, and says in the journal what they dropped.

use std::collections::HashMap;

use cordon_proto::Text;
use cordon_proto::event::{Class, ClassCount, GapReason};
use minicbor::{Decode, Encode};

use crate::sensor::Loss;

/// How long lines are counted before counting begins anew.
pub(super) const WINDOW_NS: u64 = 60_000_000_000;

/// Units counted by themselves; the rest share one limit.
const UNITS_MAX: usize = 512;

/// Units whose drops are told by name; the rest are told together.
const NAMED_MAX: usize = 16;

/// Lines of one unit that were dropped and not told yet.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub(super) struct Held {
    #[n(0)]
    pub(super) unit: Text,
    #[n(1)]
    pub(super) count: u64,
    #[n(2)]
    pub(super) from_ns: u64,
    #[n(3)]
    pub(super) to_ns: u64,
}

/// Counts lines by unit.
#[derive(Debug)]
pub(super) struct Limit {
    lines_max: u64,
    counts: HashMap<Text, u64>,
    began_ns: u64,
    held: Vec<Held>,
}

impl Limit {
    /// `lines_max` lines in each window; `held` was dropped before a restart.
    pub(super) fn new(lines_max: u64, held: Vec<Held>) -> Self {
        Self { lines_max, counts: HashMap::new(), began_ns: 0, held }
    }

    /// Whether a line may pass. Times are those of the boot-time clock and of the wall.
    pub(super) fn takes(&mut self, unit: &Text, boot_ns: u64, time_ns: u64) -> bool {
        if boot_ns.saturating_sub(self.began_ns) >= WINDOW_NS {
            self.began_ns = boot_ns;
            self.counts.clear();
        }
        let is_known = self.counts.contains_key(unit) || self.counts.len() < UNITS_MAX;
        let unit = if is_known { unit.clone() } else { Text::default() };
        let count = self.counts.entry(unit.clone()).or_default();
        *count = count.saturating_add(1);
        let takes = *count <= self.lines_max;
        if !takes {
            self.hold(unit, time_ns);
        }
        takes
    }

    fn hold(&mut self, unit: Text, time_ns: u64) {
        let is_named = self.held.len() < NAMED_MAX;
        let unit = if is_named || self.held.iter().any(|held| held.unit == unit) {
            unit
        } else {
            Text::default()
        };
        match self.held.iter_mut().find(|held| held.unit == unit) {
            Some(held) => {
                held.count = held.count.saturating_add(1);
                held.to_ns = time_ns;
            }
            None => self.held.push(Held { unit, count: 1, from_ns: time_ns, to_ns: time_ns }),
        }
    }

    /// What was dropped and not told yet.
    pub(super) fn held(&self) -> &[Held] {
        &self.held
    }

    /// When drops are due to be told; boot-time clock.
    pub(super) fn due_ns(&self) -> Option<u64> {
        (!self.held.is_empty()).then(|| self.began_ns.saturating_add(WINDOW_NS))
    }

    /// Drops as they are told, once their window is over.
    pub(super) fn tell(&mut self, boot_ns: u64) -> Vec<Loss> {
        if self.due_ns().is_none_or(|due| boot_ns < due) {
            return Vec::new();
        }
        std::mem::take(&mut self.held).into_iter().map(|held| self.loss(&held)).collect()
    }

    fn loss(&self, held: &Held) -> Loss {
        let Held { unit, count, from_ns, to_ns } = held;
        let whose = if unit.is_empty() { "further units".into() } else { unit.to_lossy() };
        let detail = format!("{whose} wrote more than {} lines a minute", self.lines_max);
        Loss {
            reason: GapReason::RateLimit,
            counts: vec![ClassCount { class: Class::Log, count: *count }],
            from_ns: *from_ns,
            to_ns: *to_ns,
            detail: Some(detail),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn what_a_unit_writes_beyond_its_limit_is_counted_and_told_once() {
        let mut limit = Limit::new(3, Vec::new());
        let mut taken = |unit: &str, at: u64| limit.takes(&unit.into(), 100 * SECOND + at, at);
        let loud = (0..10).filter(|at| taken("loud.service", *at)).count();
        assert_eq!((loud, taken("calm.service", 11)), (3, true));
        assert!(limit.tell(110 * SECOND).is_empty(), "the minute is not over");
        assert_eq!(limit.due_ns(), Some(160 * SECOND));
        let told = limit.tell(160 * SECOND);
        assert_eq!((told.len(), told[0].counts[0].count), (1, 7));
        assert_eq!((told[0].from_ns, told[0].to_ns), (3, 9));
        let detail = told[0].detail.as_deref();
        assert_eq!(detail, Some("loud.service wrote more than 3 lines a minute"));
        assert!(limit.tell(999 * SECOND).is_empty());
        assert!(limit.takes(&"loud.service".into(), 160 * SECOND, 0), "a new minute");
    }

    #[test]
    fn more_units_than_can_be_told_apart_share_one_limit_and_one_line() {
        let mut limit = Limit::new(0, Vec::new());
        for unit in 0..2000 {
            assert!(!limit.takes(&format!("u{unit}").into(), SECOND * 100, 0));
        }
        assert!(limit.counts.len() <= UNITS_MAX + 1 && limit.held().len() <= NAMED_MAX + 1);
        let told = limit.tell(SECOND * 999);
        let all: u64 = told.iter().map(|loss| loss.counts[0].count).sum();
        assert_eq!(all, 2000);
        assert!(told.last().unwrap().detail.as_ref().unwrap().starts_with("further units"));
    }

    #[test]
    fn what_was_held_over_a_restart_is_told() {
        let held = Held { unit: "u".into(), count: 5, from_ns: 1, to_ns: 2 };
        let mut limit = Limit::new(1, vec![held]);
        assert_eq!(limit.tell(WINDOW_NS)[0].counts[0].count, 5);
    }
}
