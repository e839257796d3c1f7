//! What the agent may cost the machine, and what it gives up before it would cost more.
//!
//! Of its own settings and of policy the lower limit holds, each on its own: policy can ask for
//! less, and never for more than whoever owns the machine has set. What waits on the disk is kept
//! within its limit by the spool.
//!
//! Pure. First the sensors that can read on later are slowed down, which loses nothing; then
//! classes of events are shed, the least telling first, and counted. Findings, receipts, health and
//! gaps are never shed, and neither are the few events that tell of people and disks.

use std::time::Duration;

use cordon_proto::event::Class;
use cordon_proto::policy;
use serde::{Deserialize, Serialize};

/// What the agent may cost.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Processor time, in percent of one core, over some seconds.
    pub cpu_percent: u32,
    /// Resident memory.
    pub memory_bytes: u64,
    /// What telemetry may send in a second; 0 for as much as goes.
    pub bandwidth_bytes_per_s: u64,
}

/// The limits that hold.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Holding {
    /// What this module keeps.
    pub limits: Limits,
    /// What the spool keeps.
    pub spool_bytes: u64,
}

impl Holding {
    /// Under a policy: of each limit the lower one.
    #[must_use]
    pub fn under(self, policy: Option<&policy::Budget>) -> Self {
        let both = self.as_told().lower(policy.copied().unwrap_or_default());
        let Limits { cpu_percent, memory_bytes, .. } = self.limits;
        Self {
            limits: Limits {
                cpu_percent: both.cpu_percent.unwrap_or(cpu_percent),
                memory_bytes: both.memory_bytes.unwrap_or(memory_bytes),
                bandwidth_bytes_per_s: both.bandwidth_bytes_per_s.unwrap_or(0),
            },
            spool_bytes: both.spool_bytes.unwrap_or(self.spool_bytes),
        }
    }

    /// As health tells it.
    #[must_use]
    pub fn as_told(self) -> policy::Budget {
        let Limits { cpu_percent, memory_bytes, bandwidth_bytes_per_s: rate } = self.limits;
        policy::Budget {
            cpu_percent: Some(cpu_percent),
            memory_bytes: Some(memory_bytes),
            spool_bytes: Some(self.spool_bytes),
            bandwidth_bytes_per_s: Some(rate).filter(|rate| *rate > 0),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { cpu_percent: 25, memory_bytes: 64 << 20, bandwidth_bytes_per_s: 0 }
    }
}

/// What is shed, in this order.
const SHED: [Class; 5] = [Class::Dns, Class::Network, Class::Log, Class::File, Class::Process];

/// One class a step.
const SHED_STEPS: u32 = 5;

/// Steps of slowing down before anything is shed; each doubles the pause.
const SLOW_STEPS: u32 = 6;

/// The first pause that a slowed sensor makes after each of its samples.
const PAUSE: Duration = Duration::from_millis(8);

/// Of a limit: below this part it goes a step back.
const EASY_PERCENT: u64 = 70;

/// Of the memory limit: from this part on something is given up.
const TIGHT_PERCENT: u64 = 85;

/// It must have been easy for so long before it goes a step back.
const EASY_FOR: Duration = Duration::from_secs(10);

/// How much is given up.
#[derive(Debug)]
pub struct Budget {
    limits: Limits,
    step: u32,
    /// When the last look was, and how much processor time had been used by then.
    last: Option<(Duration, u64)>,
    /// Of one core, in tenths of a percent, over some seconds.
    share: u64,
    easy_since: Option<Duration>,
}

impl Budget {
    /// Nothing is given up yet.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, step: 0, last: None, share: 0, easy_since: None }
    }

    /// Other limits from now on; what is given up stays given up until that is seen to be too much.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Takes a look at what was used; call it about once a second. Answers whether more or less is
    /// given up from now on.
    pub fn handle_usage(&mut self, cpu_us: u64, rss_bytes: u64, now: Duration) -> bool {
        let Some((at, before_us)) = self.last.replace((now, cpu_us)) else { return false };
        let elapsed_us = u64::try_from(now.saturating_sub(at).as_micros()).unwrap_or(u64::MAX);
        let used = cpu_us.saturating_sub(before_us).saturating_mul(1000) / elapsed_us.max(1);
        self.share = (self.share.saturating_mul(3).saturating_add(used)) / 4;
        let limit = u64::from(self.limits.cpu_percent).saturating_mul(10);
        let percent_of = |value: u64, limit: u64| value.saturating_mul(100) / limit.max(1);
        let cpu = percent_of(self.share, limit);
        let memory = percent_of(rss_bytes, self.limits.memory_bytes);
        let before = self.step;
        // What was given up shows in what was used last, and in the mean only later: a flood of
        // lines that reading more slowly has stopped is no reason to drop any.
        let still_busy = cpu > 100 && used > limit;
        if still_busy || memory >= TIGHT_PERCENT {
            self.easy_since = None;
            let far = (still_busy && cpu > 200) || memory >= 100;
            self.step = (self.step + if far { 3 } else { 1 }).min(SLOW_STEPS + SHED_STEPS);
        } else if cpu < EASY_PERCENT && memory < EASY_PERCENT {
            let since = *self.easy_since.get_or_insert(now);
            if now.saturating_sub(since) >= EASY_FOR {
                self.easy_since = Some(now);
                self.step = self.step.saturating_sub(1);
            }
        } else {
            self.easy_since = None;
        }
        self.step != before
    }

    /// How long a sensor that can read on later pauses after each of its samples.
    #[must_use]
    pub fn pause(&self) -> Duration {
        match self.step.min(SLOW_STEPS) {
            0 => Duration::ZERO,
            step => PAUSE * (1 << step),
        }
    }

    /// The classes that are shed.
    #[must_use]
    pub fn shed(&self) -> &'static [Class] {
        let count = usize::try_from(self.step.saturating_sub(SLOW_STEPS)).unwrap_or(0);
        SHED.get(..count).unwrap_or(&SHED)
    }

    /// What is given up, in words; none if nothing is.
    #[must_use]
    pub fn describe(&self) -> Option<String> {
        let shed: Vec<_> = self.shed().iter().map(|class| class.name()).collect();
        match (self.step, shed.is_empty()) {
            (0, _) => None,
            (_, true) => Some("logs are read more slowly, to stay within the budget".to_owned()),
            (_, false) => {
                Some(format!("events are dropped to stay within the budget: {}", shed.join(", ")))
            }
        }
    }
}

/// What a line that was idle may take at once.
const BURST: Duration = Duration::from_secs(1);

/// Keeps what is sent within a rate: a bucket of one second.
#[derive(Debug)]
pub struct Bandwidth {
    bytes_per_s: u64,
    /// Until when what was sent has used the line up.
    busy_until: Duration,
}

impl Bandwidth {
    /// With nothing sent yet.
    #[must_use]
    pub fn new(bytes_per_s: u64) -> Self {
        Self { bytes_per_s, busy_until: Duration::ZERO }
    }

    /// Another rate from now on. What was sent before at an older one is forgotten, so that a line
    /// that was slow for a moment is not slow for hours.
    pub fn set_rate(&mut self, bytes_per_s: u64, now: Duration) {
        if bytes_per_s != self.bytes_per_s {
            *self = Self { bytes_per_s, busy_until: self.busy_until.min(now + BURST) };
        }
    }

    /// How much may be asked for at once: no more than a second's worth, so that a slow line is not
    /// taken for minutes by one answer.
    #[must_use]
    pub fn at_once(&self, bytes: usize) -> usize {
        let most = usize::try_from(self.bytes_per_s).unwrap_or(usize::MAX);
        if most == 0 { bytes } else { bytes.min(most) }
    }

    /// So many bytes are being sent.
    pub fn sent(&mut self, bytes: usize, now: Duration) {
        let Some(nanos_of_one) = 1_000_000_000_u64.checked_div(self.bytes_per_s) else { return };
        let nanos = u64::try_from(bytes).unwrap_or(u64::MAX).saturating_mul(nanos_of_one.max(1));
        self.busy_until = self.busy_until.max(now).saturating_add(Duration::from_nanos(nanos));
    }

    /// How long to wait before more is sent.
    #[must_use]
    pub fn wait(&self, now: Duration) -> Duration {
        self.busy_until.saturating_sub(now).saturating_sub(BURST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds of load, each `PERCENT of a core` and `MIB resident`; what is given up at the end.
    #[track_caller]
    fn check(load: &[(u64, u64, u64)], pause_ms: u64, shed: &[Class]) {
        let mut budget = Budget::new(Limits { cpu_percent: 10, ..Limits::default() });
        let (mut cpu_us, mut now) = (0, 0);
        for (secs, percent, mib) in load {
            for _ in 0..*secs {
                cpu_us += percent * 10_000;
                now += 1;
                budget.handle_usage(cpu_us, mib << 20, Duration::from_secs(now));
            }
        }
        assert_eq!((budget.pause(), budget.shed()), (Duration::from_millis(pause_ms), shed));
        assert_eq!(budget.describe().is_none(), pause_ms == 0);
    }

    #[test]
    fn within_its_limits_it_gives_nothing_up() {
        check(&[(600, 9, 12)], 0, &[]);
        check(&[(1, 100, 12), (5, 0, 12)], 0, &[]);
    }

    #[test]
    fn it_slows_down_first_and_sheds_what_tells_least_before_the_rest() {
        check(&[(6, 14, 12)], 16, &[]);
        check(&[(11, 14, 12)], 512, &[]);
        check(&[(12, 14, 12)], 512, &SHED[..1]);
        check(&[(14, 14, 12)], 512, &SHED[..3]);
        check(&[(60, 14, 12)], 512, &SHED);
        check(&[(6, 80, 12)], 512, &SHED);
    }

    #[test]
    fn what_slowing_down_has_stopped_is_not_dropped() {
        check(&[(1, 0, 12), (1, 150, 12), (8, 1, 12)], 64, &[]);
        check(&[(1, 0, 12), (2, 150, 12), (8, 1, 12)], 512, &[]);
    }

    #[test]
    fn memory_counts_like_processor_time() {
        check(&[(3, 1, 55)], 32, &[]);
        check(&[(5, 1, 70)], 512, &SHED);
    }

    #[test]
    fn it_comes_back_a_step_at_a_time() {
        check(&[(60, 14, 12), (15, 1, 12)], 512, &SHED[..4]);
        check(&[(60, 14, 12), (150, 1, 12)], 0, &[]);
        check(&[(6, 14, 12), (60, 8, 12)], 16, &[]);
    }

    #[test]
    fn every_class_that_can_be_shed_has_its_step() {
        assert_eq!(u32::try_from(SHED.len()), Ok(SHED_STEPS));
    }

    #[test]
    fn what_is_sent_keeps_to_its_rate() {
        let (mut line, second) = (Bandwidth::new(1000), Duration::from_secs(1));
        line.sent(1000, Duration::ZERO);
        assert_eq!(line.wait(Duration::ZERO), Duration::ZERO, "a second's worth at once");
        line.sent(2000, Duration::ZERO);
        assert_eq!(line.wait(Duration::ZERO), second * 2);
        assert_eq!(line.wait(second * 2), Duration::ZERO);
        let mut free = Bandwidth::new(0);
        free.sent(usize::MAX, Duration::ZERO);
        assert_eq!(free.wait(Duration::ZERO), Duration::ZERO);
        assert_eq!((free.at_once(5_000), line.at_once(5_000)), (5_000, 1000));
    }

    /// A minute of a line that always has more to send, a kilobyte a time; what went by then.
    #[track_caller]
    fn check_line(rates: &[(u64, u64)], expected_kilobytes: u64) {
        let (mut line, mut sent) = (Bandwidth::new(0), 0);
        for now in (0..60_000).map(Duration::from_millis) {
            for (_, rate) in rates.iter().filter(|(at, _)| Duration::from_secs(*at) == now) {
                line.set_rate(*rate, now);
            }
            if line.bytes_per_s > 0 && line.wait(now).is_zero() {
                line.sent(1000, now);
                sent += 1;
            }
        }
        assert_eq!(sent, expected_kilobytes);
    }

    #[test]
    fn a_line_keeps_to_the_rate_of_the_moment() {
        // A second's worth at once, and then as the seconds pass.
        check_line(&[(0, 10_000)], 610);
        check_line(&[(0, 1_000)], 61);
        // Another rate counts from its moment on, whatever was sent before.
        check_line(&[(0, 1_000), (30, 10_000)], 31 + 300);
        check_line(&[(0, 10_000), (30, 1_000)], 310 + 30);
    }

    #[test]
    fn of_settings_and_policy_the_lower_limit_holds() {
        let own = Holding { limits: Limits::default(), spool_bytes: 256 << 20 };
        assert_eq!(own.under(None), own);
        let policy = policy::Budget {
            cpu_percent: Some(10),
            memory_bytes: Some(1 << 40),
            spool_bytes: Some(16 << 20),
            bandwidth_bytes_per_s: Some(4096),
        };
        let limits = Limits { cpu_percent: 10, bandwidth_bytes_per_s: 4096, ..own.limits };
        let both = Holding { limits, spool_bytes: 16 << 20 };
        assert_eq!(own.under(Some(&policy)), both, "memory stays what the settings say");
        let slow = Limits { bandwidth_bytes_per_s: 1024, ..own.limits };
        let slow = Holding { limits: slow, ..own };
        assert_eq!(slow.under(Some(&policy)).limits.bandwidth_bytes_per_s, 1024);
    }

    #[test]
    fn a_lower_limit_is_felt_at_the_next_look() {
        let mut budget = Budget::new(Limits::default());
        for now in 1..=60 {
            budget.handle_usage(now * 200_000, 12 << 20, Duration::from_secs(now));
        }
        assert_eq!(budget.describe(), None, "20 of 25 percent");
        budget.set_limits(Limits { cpu_percent: 10, ..Limits::default() });
        for now in 61..=70 {
            budget.handle_usage(now * 200_000, 12 << 20, Duration::from_secs(now));
        }
        assert_eq!(budget.shed(), &SHED[..4]);
    }
}
