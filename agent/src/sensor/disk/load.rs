//! What disks have to do, from `/proc/diskstats`, and when they cannot keep up.
//!
//! Pure: the text and the time come in, events go out. The kernel counts every request, so that
//! nothing is missed between two looks; only how evenly it was spread is not known. Partitions,
//! loops and memory are left out: their requests are those of a disk below, or of none.

mod counters;
mod stretch;

use std::collections::HashMap;
use std::time::Duration;

use cordon_proto::event::Severity;
use cordon_proto::event::disk::{Load, LoadState};

use self::counters::{Counters, parse};
use self::stretch::Stretch;

/// Disks that are followed; a machine with more has them from a storage network.
pub(super) const DISKS_MAX: usize = 256;

/// A disk is relieved when its busy time is this much below the limit.
const RELIEVED_BELOW_PERMILLE: u64 = 150;
/// A disk has recovered when waits are below this part of the limit.
const RECOVERED_PERCENT: u64 = 50;
/// Averages over fewer requests than this do not make a disk slow.
const REQUESTS_MIN: u64 = 20;

/// When a disk is overloaded.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Limits {
    /// Told regularly so often.
    pub(super) report_every: Duration,
    /// Busy for so much of the time …
    pub(super) busy_permille: u64,
    /// … or waited for so long on average …
    pub(super) wait: Duration,
    /// … for so long at a time.
    pub(super) lasting: Duration,
}

/// All disks.
#[derive(Debug)]
pub(super) struct Loads {
    limits: Limits,
    disks: HashMap<String, Disk>,
}

#[derive(Debug)]
struct Disk {
    last: Counters,
    last_at: Duration,
    /// Since the last regular report.
    report: Stretch,
    busy: Watchdog,
    slow: Watchdog,
}

/// One condition that must last before it is told, in either direction.
#[derive(Debug, Default)]
struct Watchdog {
    is_told: bool,
    /// Since when it is the other way round, and what happened since.
    turning: Option<Stretch>,
}

impl Watchdog {
    /// Takes a stretch in which it held, or did not, or neither; answers what happened since it
    /// began to be the other way round, once that has lasted.
    fn step(&mut self, step: &Stretch, turns: bool, lasting: Duration) -> Option<Stretch> {
        if !turns {
            self.turning = None;
            return None;
        }
        let turning = self.turning.get_or_insert_default();
        turning.add(step);
        if turning.lasted() < lasting {
            return None;
        }
        self.is_told = !self.is_told;
        self.turning.take()
    }
}

impl Loads {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, disks: HashMap::new() }
    }

    /// Takes the counters as they are now; `is_disk` says of a name seen for the first time
    /// whether it is a whole disk.
    pub(super) fn handle_counters(
        &mut self,
        text: &[u8],
        now: Duration,
        mut is_disk: impl FnMut(&str) -> bool,
    ) -> Vec<(Severity, Load)> {
        let mut told = Vec::new();
        let found = parse(text);
        self.disks.retain(|name, _| found.iter().any(|(known, _)| known == name));
        for (name, counters) in found {
            let has_room = self.disks.len() < DISKS_MAX;
            if let Some(disk) = self.disks.get_mut(name) {
                disk.step(name, counters, now, &self.limits, &mut told);
            } else if has_room && is_disk(name) {
                self.disks.insert(name.to_owned(), Disk::new(counters, now));
            }
        }
        told
    }
}

impl Disk {
    fn new(last: Counters, last_at: Duration) -> Self {
        let (busy, slow) = Default::default();
        Self { last, last_at, report: Stretch::default(), busy, slow }
    }

    fn step(
        &mut self,
        name: &str,
        counters: Counters,
        now: Duration,
        limits: &Limits,
        told: &mut Vec<(Severity, Load)>,
    ) {
        let step = Stretch::between(&self.last, &counters, now.saturating_sub(self.last_at));
        (self.last, self.last_at) = (counters, now);
        self.report.add(&step);
        let busy = step.busy_permille();
        let relieved = limits.busy_permille.saturating_sub(RELIEVED_BELOW_PERMILLE);
        let turns = if self.busy.is_told { busy < relieved } else { busy >= limits.busy_permille };
        if let Some(stretch) = self.busy.step(&step, turns, limits.lasting) {
            let (state, severity) = match self.busy.is_told {
                true => (LoadState::Saturated, Severity::Low),
                false => (LoadState::Relieved, Severity::Informational),
            };
            told.push((severity, stretch.load(name, state)));
        }
        let limit_us = u64::try_from(limits.wait.as_micros()).unwrap_or(u64::MAX);
        let recovered_us = limit_us / 100 * RECOVERED_PERCENT;
        let wait_us = step.wait_us();
        let turns = match self.slow.is_told {
            true => wait_us.is_none_or(|us| us < recovered_us),
            false => step.requests() >= REQUESTS_MIN && wait_us.is_some_and(|us| us >= limit_us),
        };
        if let Some(stretch) = self.slow.step(&step, turns, limits.lasting) {
            let (state, severity) = match self.slow.is_told {
                true => (LoadState::Slow, Severity::Low),
                false => (LoadState::Recovered, Severity::Informational),
            };
            told.push((severity, stretch.load(name, state)));
        }
        if self.report.lasted() >= limits.report_every {
            let report = std::mem::take(&mut self.report);
            // A disk that nobody uses has nothing to tell.
            if report.requests() > 0 {
                told.push((Severity::Informational, report.load(name, LoadState::Regular)));
            }
        }
    }
}

#[cfg(test)]
mod tests;
