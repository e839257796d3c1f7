//! What the sensor says of itself: by which tier it sees, what that tier misses, what lists of
//! /proc have shown since.

use cordon_proto::event::SensorState;
use cordon_proto::event::process::Tier;

use crate::sensor::{Outlet, Sample, Stopping};

use super::name;
use super::reconcile::Found;

/// How the sensor fares.
#[derive(Clone, Debug)]
pub(super) struct Standing {
    tier: Tier,
    /// Why better tiers do not work.
    failed: Vec<String>,
    /// What this kernel does not tell although the tier could.
    missing: Vec<&'static str>,
    /// Whether lists of /proc are compared.
    compares: bool,
    counts: Counts,
}

/// What happened beside the events.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Counts {
    pub(super) found: Found,
    pub(super) hashes_skipped: u64,
}

impl Standing {
    pub(super) fn new(tier: Tier, failed: &[String]) -> Self {
        let (missing, compares, counts) = (Vec::new(), true, Counts::default());
        Self { tier, failed: failed.to_vec(), missing, compares, counts }
    }

    /// With what was found out about this kernel.
    pub(super) fn on(self, missing: Vec<&'static str>, compares: bool) -> Self {
        Self { missing, compares, ..self }
    }

    /// Says it.
    pub(super) async fn say(&self, outlet: &Outlet) -> Result<(), Stopping> {
        let (state, reason) = self.words();
        outlet.condition(state, reason, Some(self.tier)).await
    }

    /// Says that another tier has taken over, if it has.
    pub(super) async fn seen_by(&mut self, tier: Tier, outlet: &Outlet) -> Result<(), Stopping> {
        if tier == self.tier {
            return Ok(());
        }
        self.tier = tier;
        self.say(outlet).await
    }

    /// Tells what a list has shown, and the counts if they have changed by it.
    pub(super) async fn compared(
        &mut self,
        outlet: &Outlet,
        sample: Sample,
        counts: Counts,
    ) -> Result<(), Stopping> {
        if !sample.observations.is_empty() {
            outlet.sample(sample).await?;
        }
        if counts == self.counts {
            return Ok(());
        }
        self.counts = counts;
        self.say(outlet).await
    }

    fn words(&self) -> (SensorState, Option<String>) {
        let misses = match self.tier {
            Tier::Bpf => None,
            Tier::Audit => Some(
                "of processes that end within milliseconds, those that the machine's audit rules \
                 leave out lack path and arguments",
            ),
            Tier::ProcConnector => {
                Some("processes that end within milliseconds lack path and arguments")
            }
            Tier::ProcList => Some("processes that live less than a second are mostly not seen"),
        };
        let is_whole = misses.is_none() && self.missing.is_empty();
        let state = if is_whole { SensorState::Running } else { SensorState::Degraded };
        let mut reasons: Vec<String> = misses.map(str::to_owned).into_iter().collect();
        if !self.missing.is_empty() {
            reasons.push(format!("this kernel does not tell {}", self.missing.join(", ")));
        }
        if !self.compares {
            let why = "lists of /proc are not compared: its numbers are not the kernel's own";
            reasons.push(why.to_owned());
        }
        reasons.extend(self.failed.iter().cloned());
        let Counts { found: Found { untold, gone }, hashes_skipped } = self.counts;
        let counts = [
            (untold, "starts were found late by listing /proc"),
            (gone, "ends were found late by listing /proc"),
            (hashes_skipped, "programs were not hashed when they were run"),
        ];
        let counts = counts.into_iter().filter(|(count, _)| *count > 0);
        reasons.extend(counts.map(|(count, what)| format!("{count} {what}")));
        (state, (!reasons.is_empty()).then(|| reasons.join("; ")))
    }
}

impl Standing {
    /// The reason why a tier failed, as the next one's standing repeats it.
    pub(super) fn failure(tier: Tier, reason: &str) -> String {
        format!("{}: {reason}", name(tier))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(standing: &Standing, state: SensorState, reason: Option<&str>) {
        assert_eq!(standing.words(), (state, reason.map(str::to_owned)));
    }

    #[test]
    fn the_best_tier_has_nothing_to_say_until_something_was_missed() {
        let mut standing = Standing::new(Tier::Bpf, &[]);
        check(&standing, SensorState::Running, None);
        standing.counts.found.untold = 2;
        standing.counts.hashes_skipped = 3;
        let counts = "2 starts were found late by listing /proc; \
                      3 programs were not hashed when they were run";
        check(&standing, SensorState::Running, Some(counts));
    }

    #[test]
    fn a_lesser_tier_says_what_it_misses_and_why_it_is_used() {
        let failed = [Standing::failure(Tier::Bpf, "no")];
        let standing = Standing::new(Tier::ProcList, &failed);
        let reason = "processes that live less than a second are mostly not seen; BPF: no";
        check(&standing, SensorState::Degraded, Some(reason));
    }

    #[test]
    fn a_kernel_that_tells_less_is_a_reason() {
        let standing = Standing::new(Tier::Bpf, &[]).on(vec!["login uid", "terminal"], false);
        let reason = "this kernel does not tell login uid, terminal; lists of /proc are not \
                      compared: its numbers are not the kernel's own";
        check(&standing, SensorState::Degraded, Some(reason));
    }
}
