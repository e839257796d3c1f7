//! Keeps the agent within its budget: looks at what it costs, slows sensors down, drops events and
//! counts them.

use std::collections::BTreeMap;
use std::time::Duration;

use cordon_proto::event::{Class, ClassCount, GapReason, Lane};
use cordon_proto::session::AgentEffect;
use tokio::sync::watch;

use super::Agent;
use super::jobs::Done;
use crate::budget::{Bandwidth, Budget, Limits};
use crate::clock;
use crate::health::Usage;
use crate::platform::linux::heap;
use crate::sensor::{Loss, Sample};

/// What was shed is told so often while it goes on.
const TELL_PERIOD: Duration = Duration::from_secs(10);

/// When memory is first given back that only the start needed, and how often what a busy moment
/// needed.
const TRIM_FIRST: Duration = Duration::from_secs(20);
const TRIM_PERIOD: Duration = Duration::from_secs(600);

/// The budget, and what it made the agent give up.
#[derive(Debug)]
pub(super) struct Thrift {
    budget: Budget,
    bandwidth: Bandwidth,
    brake: watch::Sender<Duration>,
    shed: BTreeMap<Class, u64>,
    shed_from_ns: Option<u64>,
    tell_at: Duration,
    /// None before the first look.
    trim_at: Option<Duration>,
}

impl Thrift {
    pub(super) fn new(limits: Limits, brake: watch::Sender<Duration>) -> Self {
        Self {
            budget: Budget::new(limits),
            bandwidth: Bandwidth::new(limits.bandwidth_bytes_per_s),
            brake,
            shed: BTreeMap::new(),
            shed_from_ns: None,
            tell_at: Duration::ZERO,
            trim_at: None,
        }
    }

    /// Takes out of a sample what is given up.
    pub(super) fn take(&mut self, sample: &mut Sample, time_ns: u64) {
        let classes = self.budget.shed();
        if classes.is_empty() {
            return;
        }
        for class in classes {
            let mut shed = 0;
            sample.observations.retain(|seen| {
                let is_kept = seen.body.class() != *class;
                shed += if is_kept { 0 } else { seen.body.count() };
                is_kept
            });
            if shed > 0 {
                let count = self.shed.entry(*class).or_default();
                *count = count.saturating_add(shed);
                self.shed_from_ns.get_or_insert(time_ns);
            }
        }
    }

    /// Whether it is time to give memory back.
    fn trims(&mut self, now: Duration) -> bool {
        let at = *self.trim_at.get_or_insert(now.saturating_add(TRIM_FIRST));
        let is_due = at <= now;
        if is_due {
            self.trim_at = Some(now.saturating_add(TRIM_PERIOD));
        }
        is_due
    }

    /// What was shed, once it is time to tell.
    fn tell(&mut self, now: Duration, time_ns: u64) -> Option<Sample> {
        if now < self.tell_at {
            return None;
        }
        self.tell_at = now.saturating_add(TELL_PERIOD);
        self.rest(time_ns)
    }

    /// What was shed and not told yet.
    pub(super) fn rest(&mut self, time_ns: u64) -> Option<Sample> {
        let from_ns = self.shed_from_ns.take()?;
        let shed = std::mem::take(&mut self.shed);
        let counts = shed.into_iter().map(|(class, count)| ClassCount { class, count }).collect();
        let detail = Some("the agent would have cost the machine more than it may".to_owned());
        let reason = GapReason::Budget;
        let loss = Loss { reason, counts, from_ns, to_ns: time_ns, detail };
        Some(Sample { losses: vec![loss], ..Sample::default() })
    }

    /// What is given up at the moment.
    pub(super) fn given_up(&self) -> Option<String> {
        self.budget.describe()
    }

    /// How long a session waits before it gets more telemetry.
    pub(super) fn wait(&self, effect: &AgentEffect, now: Duration) -> Option<Duration> {
        let is_telemetry = matches!(effect, AgentEffect::Fetch { lane: Lane::Telemetry, .. });
        Some(self.bandwidth.wait(now)).filter(|wait| is_telemetry && !wait.is_zero())
    }

    pub(super) fn sent(&mut self, bytes: usize, now: Duration) {
        self.bandwidth.sent(bytes, now);
    }
}

impl Agent {
    pub(super) fn keep_budget(&mut self) {
        let (now, time_ns) = (self.clock.now(), clock::stamp().time_ns);
        let Usage { cpu_us, rss_bytes } = Usage::read();
        if self.thrift.budget.handle_usage(cpu_us, rss_bytes, now) {
            let given_up = self.thrift.budget.describe();
            let pause = self.thrift.budget.pause();
            self.thrift.brake.send_replace(pause);
            match given_up {
                Some(given_up) => tracing::warn!(?pause, given_up, "the budget is used up"),
                None => tracing::info!("within the budget again"),
            }
            heap::trim();
        } else if self.thrift.trims(now) {
            heap::trim();
        }
        let told = self.thrift.tell(now, time_ns);
        told.into_iter().for_each(|sample| self.deliver(sample));
    }

    /// Passes what a session asks for on to the spool, telemetry at the pace that it may have.
    pub(super) fn ask_in_time(&mut self, effect: AgentEffect) {
        match self.thrift.wait(&effect, self.clock.now()) {
            None => self.ask_effect(effect),
            Some(wait) => self.jobs.push(async move {
                tokio::time::sleep(wait).await;
                Done::MayAsk(effect)
            }),
        }
    }
}
