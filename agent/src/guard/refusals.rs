//! Sums up refusals, so that whoever can send commands that fail cannot fill the control lane.
//!
//! Pure. The first refusal of a check is told at once; those of the next minute become one.

use std::collections::BTreeMap;
use std::time::Duration;

use cordon_proto::event::receipt::Check;

use super::{REFUSALS_PERIOD, Refusal};

#[derive(Debug)]
struct Window {
    ends: Duration,
    last: Option<Refusal>,
    count: u64,
}

/// The refusals of the last minute, by check.
#[derive(Debug, Default)]
pub struct Refusals {
    windows: BTreeMap<Check, Window>,
}

impl Refusals {
    /// Takes a refusal; answers it if it is to be told at once.
    pub fn handle(&mut self, refusal: Refusal, now: Duration) -> Option<Refusal> {
        if let Some(window) = self.windows.get_mut(&refusal.check) {
            window.count = window.count.saturating_add(1);
            window.last = Some(refusal);
            return None;
        }
        let ends = now.saturating_add(REFUSALS_PERIOD);
        self.windows.insert(refusal.check, Window { ends, last: None, count: 0 });
        Some(refusal)
    }

    /// What the windows that have ended summed up: the last refusal, and for how many more it
    /// stands.
    pub fn handle_timeout(&mut self, now: Duration) -> Vec<(Refusal, u64)> {
        let mut told = Vec::new();
        self.windows.retain(|_, window| {
            if window.ends > now {
                return true;
            }
            let Some(last) = window.last.take() else { return false };
            told.push((last, window.count.saturating_sub(1)));
            // Being told opens the next window: one receipt a minute, however long it goes on.
            (window.ends, window.count) = (now.saturating_add(REFUSALS_PERIOD), 0);
            true
        });
        told
    }

    /// When [`Self::handle_timeout`] must be called next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.windows.values().map(|window| window.ends).min()
    }
}

#[cfg(test)]
mod tests {
    use cordon_proto::id::Hash;

    use super::*;

    /// `at: check` refuses, `at: wait` lets time pass; the answers are `at: check +repeated`.
    #[track_caller]
    fn check(timeline: &str, told: &str) {
        let mut refusals = Refusals::default();
        let mut found = Vec::new();
        for line in timeline.lines() {
            let (at, what) = line.trim().split_once(": ").unwrap();
            let now = Duration::from_secs(at.parse().unwrap());
            let check = match what {
                "replay" => Check::Replay,
                "role" => Check::Role,
                _ => {
                    for (refusal, repeated) in refusals.handle_timeout(now) {
                        found.push(format!("{at}: {:?} +{repeated}", refusal.check));
                    }
                    continue;
                }
            };
            let (reason, hash) = (String::new(), Hash::default());
            let refusal = Refusal { check, reason, hash, command: None, action: None };
            if let Some(refusal) = refusals.handle(refusal, now) {
                found.push(format!("{at}: {:?} +0", refusal.check));
            }
        }
        let told: Vec<_> = told.lines().map(str::trim).collect();
        assert_eq!(found, told);
    }

    #[test]
    fn the_first_is_told_at_once_and_the_rest_of_the_minute_summed_up() {
        check(
            "0: replay\n 1: replay\n 2: replay\n 3: role\n 59: wait\n 60: wait",
            "0: Replay +0\n 3: Role +0\n 60: Replay +1",
        );
    }

    #[test]
    fn however_long_it_goes_on_there_is_one_receipt_a_minute() {
        check(
            "0: role\n 10: role\n 60: wait\n 70: role\n 80: role\n 120: wait\n 180: wait\n 181: role",
            "0: Role +0\n 60: Role +0\n 120: Role +1\n 181: Role +0",
        );
    }
}
