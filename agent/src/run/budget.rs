//! Keeps the agent within its budget: looks at what it costs, slows sensors down, drops events and
//! counts them.

use std::collections::BTreeMap;
use std::time::Duration;

use cordon_proto::event::{Class, ClassCount, GapReason, Lane};
use cordon_proto::policy::Policy;
use cordon_proto::session::AgentEffect;
use tokio::sync::watch;

use super::Agent;
use super::jobs::Done;
use crate::budget::{Bandwidth, Budget, Holding};
use crate::clock;
use crate::health::Usage;
use crate::platform::linux::heap;
use crate::sensor::{Loss, Sample};

/// What was shed is told so often while it goes on.
const TELL_PERIOD: Duration = Duration::from_secs(10);

/// When memory is first given back that only the start needed, and how often what a busy moment
/// needed.
const TRIM_FIRST: Duration = Duration::from_secs(20);
const TRIM_PERIOD: Duration = Duration::from_secs(60);

/// How often memory is looked at while less than this much processor time was used, microseconds.
const LOOK_PERIOD: Duration = Duration::from_secs(10);
const BUSY_US: u64 = 10_000;

/// The budget, and what it made the agent give up.
#[derive(Debug)]
pub(super) struct Thrift {
    /// What the settings say.
    own: Holding,
    /// What holds, policy taken into account.
    holding: Holding,
    budget: Budget,
    bandwidth: Bandwidth,
    sent_bytes: u64,
    brake: watch::Sender<Duration>,
    shed: BTreeMap<Class, u64>,
    shed_from_ns: Option<u64>,
    tell_at: Duration,
    /// None before the first look.
    trim_at: Option<Duration>,
    /// What was used when memory was last looked at.
    looked: Option<(Duration, Usage)>,
}

impl Thrift {
    pub(super) fn new(own: Holding, brake: watch::Sender<Duration>) -> Self {
        Self {
            own,
            holding: own,
            budget: Budget::new(own.limits),
            bandwidth: Bandwidth::new(own.limits.bandwidth_bytes_per_s),
            sent_bytes: 0,
            brake,
            shed: BTreeMap::new(),
            shed_from_ns: None,
            tell_at: Duration::ZERO,
            trim_at: None,
            looked: None,
        }
    }

    /// What the agent uses. An agent that does next to nothing does not grow: its memory is looked
    /// at now and then.
    fn usage(&mut self, now: Duration) -> Usage {
        let cpu_us = Usage::cpu_us();
        match self.looked {
            Some((at, before))
                if now.saturating_sub(at) < LOOK_PERIOD
                    && cpu_us.saturating_sub(before.cpu_us) < BUSY_US =>
            {
                Usage { cpu_us, ..before }
            }
            Some(_) | None => {
                let usage = Usage::read();
                self.looked = Some((now, usage));
                usage
            }
        }
    }

    /// Takes up a policy; answers what may wait on the disk from now on.
    pub(super) fn set_policy(&mut self, policy: Option<&Policy>, now: Duration) -> u64 {
        self.holding = self.own.under(policy.and_then(|policy| policy.budget.as_ref()));
        let Holding { limits, spool_bytes } = self.holding;
        self.budget.set_limits(limits);
        self.bandwidth.set_rate(limits.bandwidth_bytes_per_s, now);
        spool_bytes
    }

    /// What holds.
    pub(super) fn limits(&self) -> Holding {
        self.holding
    }

    pub(super) fn sent_bytes(&self) -> u64 {
        self.sent_bytes
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

    /// How long a piece of an archive waits.
    pub(super) fn wait_for_piece(&self, now: Duration) -> Duration {
        self.bandwidth.wait(now)
    }

    /// What a session asks for, in a portion that the line bears.
    fn portion(&self, mut effect: AgentEffect) -> AgentEffect {
        if let AgentEffect::Fetch { lane: Lane::Telemetry, bytes_max, .. } = &mut effect {
            *bytes_max = self.bandwidth.at_once(*bytes_max);
        }
        effect
    }

    pub(super) fn sent(&mut self, bytes: usize, now: Duration) {
        self.bandwidth.sent(bytes, now);
        self.sent_bytes = self.sent_bytes.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
    }
}

impl Agent {
    pub(super) fn keep_budget(&mut self) {
        let (now, time_ns) = (self.clock.now(), clock::stamp().time_ns);
        let Usage { cpu_us, rss_bytes } = self.thrift.usage(now);
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

    /// Takes up what policy says of the budget.
    pub(super) fn follow_budget(&mut self) {
        let spool_bytes = self.thrift.set_policy(self.policy.as_ref(), self.clock.now());
        let spool = self.spool.clone();
        self.jobs.push(async move {
            if let Err(error) = spool.limit(spool_bytes).await {
                tracing::warn!(%error, "the spool was not told how much of the disk it may take");
            }
            Done::Swept
        });
    }

    /// Passes what a session asks for on to the spool, telemetry at the pace that it may have.
    pub(super) fn ask_in_time(&mut self, effect: AgentEffect) {
        let effect = self.thrift.portion(effect);
        match self.thrift.wait(&effect, self.clock.now()) {
            None => self.ask_effect(effect),
            Some(wait) => self.jobs.push(async move {
                tokio::time::sleep(wait).await;
                Done::MayAsk(effect)
            }),
        }
    }
}
