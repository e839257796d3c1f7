//! Endpoint time: seconds of the boot-time clock since enrolment, what leases, nonces and limits
//! are counted in. Nobody can turn it: not with the wall clock, and not by rebooting.
//!
//! Pure. It is kept once a minute, and each boot costs a minute on top of the time since the boot;
//! so it never goes back (what ran since it was last kept is at most that minute), and a machine
//! that reboots all the time still comes to the end of its leases. Time switched off is not
//! counted. If the clock cannot be kept (a full disk), the next boot would have the same count; so
//! whatever else is kept of a boot in which nonces were made names that boot, and the count goes on
//! from there.

use minicbor::{Decode, Encode};

/// How often endpoint time is kept, and what a boot costs: both must be the same for it never to
/// go back.
pub const KEEP_PERIOD_SECS: u64 = 60;

const NS: u64 = 1_000_000_000;

/// Endpoint time as it is kept.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub struct Kept {
    /// Endpoint time when it was kept.
    #[n(0)]
    pub secs: u64,
    /// The boot-time clock at that moment.
    #[n(1)]
    pub boot_ns: u64,
    /// How often this endpoint had booted since enrolment.
    #[n(2)]
    pub boot_count: u64,
    /// The kernel's id of that boot.
    #[n(3)]
    pub boot_id: String,
}

/// A boot of this endpoint.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub struct Boot {
    /// How often it had booted since enrolment.
    #[n(0)]
    pub count: u64,
    /// The kernel's id of it.
    #[n(1)]
    pub id: String,
}

/// The running clock.
#[derive(Clone, Debug)]
pub struct EndpointTime {
    /// Where this run began; moves on with every keeping.
    base: Kept,
    /// Whether `base` has been handed out for keeping.
    kept: bool,
}

impl EndpointTime {
    /// Goes on from what was kept; nothing kept means that the endpoint has just enrolled.
    #[must_use]
    pub fn resume(kept: Option<Kept>, boot_id: &str, boot_ns: u64) -> Self {
        let boot_id = boot_id.to_owned();
        let base = match kept {
            None => Kept { secs: 0, boot_ns, boot_count: 1, boot_id },
            Some(kept) if kept.boot_id == boot_id => kept,
            Some(kept) => Kept {
                secs: kept.secs.saturating_add(KEEP_PERIOD_SECS),
                boot_ns: 0,
                boot_count: kept.boot_count.saturating_add(1),
                boot_id,
            },
        };
        Self { base, kept: false }
    }

    /// Counts this boot as a later one than a boot that others know to have been, whose count may
    /// never have been kept; or as that one, if it is.
    #[must_use]
    pub fn counting_on_from(mut self, seen: Option<&Boot>) -> Self {
        if let Some(Boot { count, id }) = seen {
            let least = count.saturating_add(u64::from(*id != self.base.boot_id));
            self.base.boot_count = self.base.boot_count.max(least);
        }
        self
    }

    /// This boot.
    #[must_use]
    pub fn boot(&self) -> Boot {
        Boot { count: self.base.boot_count, id: self.base.boot_id.clone() }
    }

    /// Endpoint time now.
    #[must_use]
    pub fn secs(&self, boot_ns: u64) -> u64 {
        self.base.secs.saturating_add(boot_ns.saturating_sub(self.base.boot_ns) / NS)
    }

    /// How often this endpoint has booted since enrolment.
    #[must_use]
    pub fn boot_count(&self) -> u64 {
        self.base.boot_count
    }

    /// What must be kept now, if it is time: at once after a start, then each minute.
    pub fn handle_timeout(&mut self, boot_ns: u64) -> Option<Kept> {
        (boot_ns >= self.poll_timeout()).then(|| self.keep(boot_ns))
    }

    /// When [`Self::handle_timeout`] must be called next, on the boot-time clock.
    #[must_use]
    pub fn poll_timeout(&self) -> u64 {
        if !self.kept {
            return 0;
        }
        self.base.boot_ns.saturating_add(KEEP_PERIOD_SECS * NS)
    }

    /// What to keep at a stop.
    pub fn keep(&mut self, boot_ns: u64) -> Kept {
        let secs = self.secs(boot_ns);
        // Whole seconds only, so that the rest is not lost at each keeping.
        let counted_ns = secs.saturating_sub(self.base.secs).saturating_mul(NS);
        self.base.boot_ns = self.base.boot_ns.saturating_add(counted_ns);
        self.base.secs = secs;
        self.kept = true;
        self.base.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each line is `SECONDS_OF_BOOT_CLOCK: DEED`, where a deed is `start BOOT`, `wait`, `keep`.
    /// Expected: endpoint time and boot count after each line, `*` where it was kept by itself.
    #[track_caller]
    fn check(timeline: &str, expected: &str) {
        let mut stored: Option<Kept> = None;
        let mut clock: Option<EndpointTime> = None;
        let mut said = Vec::new();
        for line in timeline.lines().map(str::trim) {
            let (at, deed) = line.split_once(": ").unwrap();
            let boot = std::time::Duration::from_secs_f64(at.parse().unwrap());
            let boot_ns = u64::try_from(boot.as_nanos()).unwrap();
            if let Some(boot) = deed.strip_prefix("start ") {
                clock = Some(EndpointTime::resume(stored.clone(), boot, boot_ns));
            }
            let clock = clock.as_mut().unwrap();
            let mut mark = "";
            if deed == "keep" {
                stored = Some(clock.keep(boot_ns));
            } else if let Some(kept) = clock.handle_timeout(boot_ns) {
                stored = Some(kept);
                mark = "*";
            }
            said.push(format!("{}/{}{mark}", clock.secs(boot_ns), clock.boot_count()));
        }
        assert_eq!(said.join(" "), expected);
    }

    #[test]
    fn it_begins_at_nought_when_the_endpoint_enrols_and_runs_with_the_boot_time_clock() {
        check("5000: start a\n 5010: wait\n 5059: wait", "0/1* 10/1 59/1");
    }

    #[test]
    fn it_is_kept_at_the_start_and_each_minute() {
        check(
            "100: start a\n 159: wait\n 160: wait\n 161: wait\n 300: wait",
            "0/1* 59/1 60/1* 61/1 200/1*",
        );
    }

    #[test]
    fn a_restart_of_the_agent_alone_loses_and_costs_nothing() {
        check("100: start a\n 130: wait\n 150: start a", "0/1* 30/1 50/1*");
    }

    #[test]
    fn parts_of_a_second_add_up_over_keepings() {
        check(
            "0: start a\n 60.9: wait\n 121.8: wait\n 182.7: wait\n 243.6: wait",
            "0/1* 60/1* 121/1* 182/1* 243/1*",
        );
    }

    #[test]
    fn a_boot_costs_a_minute_and_what_ran_before_the_agent_started() {
        check("100: start a\n 110: keep\n 20: start b", "0/1* 10/1 90/2*");
    }

    #[test]
    fn it_never_goes_back_though_the_last_minute_was_not_kept() {
        check("100: start a\n 159: wait\n 0: start b\n 0: start c", "0/1* 59/1 60/2* 120/3*");
    }

    #[test]
    fn a_boot_time_clock_that_jumps_back_holds_it_where_it_was() {
        check("100: start a\n 150: keep\n 20: wait\n 160: wait", "0/1* 50/1 50/1 60/1");
    }
}
