//! What has its times: endpoint time kept, leases ended, refusals summed up, health told, the
//! certificate renewed, sleep noticed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cordon_proto::event::agent::LaneDepth;
use cordon_proto::event::{Body, Class, ClassCount, Notice, Severity};
use cordon_proto::limits::HEALTH_PERIOD_SECS;

use super::Agent;
use super::command::flat;
use super::jobs::{Done, blocking};
use super::start::pins;
use crate::clock;
use crate::enrol::{self, EnrolError};
use crate::health::{Usage, Vitals};
use crate::identity::{Certificate, StateDirError};
use crate::kept;
use crate::sensor::Sample;

/// How long news of a sensor waits for more of them; and the first health for sensors that have not
/// said yet how they fare.
const HEALTH_SOON: Duration = Duration::from_secs(2);

/// Health is told no more often than this.
const HEALTH_PERIOD_MIN: Duration = Duration::from_secs(5);

const HEALTH_PERIOD: Duration = Duration::from_secs(HEALTH_PERIOD_SECS);

/// The boot-time clock running ahead of the monotonic one by this much at once is sleep.
const SLEPT_NS: u64 = 5_000_000_000;

/// How often a certificate is asked for: an answer that is no use must not make it a hammer.
const RENEW_PERIOD: Duration = Duration::from_secs(600);

/// When what is due.
#[derive(Debug)]
pub(super) struct Upkeep {
    health_at: Duration,
    health_told: Option<Duration>,
    asking_health: bool,
    renew_at: Duration,
    renewing: bool,
    keeping_time: bool,
    /// How far the boot-time clock was ahead of the monotonic one.
    ahead_ns: u64,
    dropped: BTreeMap<Class, u64>,
}

impl Upkeep {
    pub(super) fn new(now: Duration, boot_ns: u64) -> Self {
        Self {
            health_at: now.saturating_add(HEALTH_SOON),
            health_told: None,
            asking_health: false,
            renew_at: now,
            renewing: false,
            keeping_time: false,
            ahead_ns: ahead_ns(now, boot_ns),
            dropped: BTreeMap::new(),
        }
    }

    /// A sensor fares differently: health is told soon, together with what else changes now, and
    /// not much more often than usual by one that changes all the time.
    pub(super) fn hasten_health(&mut self, now: Duration) {
        let soon = now.saturating_add(HEALTH_SOON);
        let after_last = self.health_told.map(|told| told.saturating_add(HEALTH_PERIOD_MIN));
        self.health_at = self.health_at.min(soon.max(after_last.unwrap_or_default()));
    }

    /// Whether health is to be told now. The first does not call blind who is only starting.
    fn is_health_due(&mut self, now: Duration, sensors_have_begun: bool) -> bool {
        let is_due = self.health_at <= now || self.health_told.is_none() && sensors_have_begun;
        if is_due {
            self.health_at = now.saturating_add(HEALTH_PERIOD);
            self.health_told = Some(now);
        }
        is_due
    }

    /// Counts what was dropped before the spool took it.
    pub(super) fn dropped(&mut self, sample: &Sample) {
        for seen in &sample.observations {
            let count = self.dropped.entry(seen.body.class()).or_default();
            *count = count.saturating_add(seen.body.count());
        }
    }

    /// For how many seconds the machine slept since the last look, if it did.
    fn slept(&mut self, now: Duration, boot_ns: u64) -> Option<u64> {
        let ahead_ns = ahead_ns(now, boot_ns);
        let before_ns = std::mem::replace(&mut self.ahead_ns, ahead_ns);
        let slept_ns = ahead_ns.saturating_sub(before_ns);
        (slept_ns >= SLEPT_NS).then_some(slept_ns / 1_000_000_000)
    }
}

fn ahead_ns(now: Duration, boot_ns: u64) -> u64 {
    boot_ns.saturating_sub(u64::try_from(now.as_nanos()).unwrap_or(u64::MAX))
}

impl Agent {
    pub(super) fn tick(&mut self) {
        let (now, boot_ns, secs) = (self.clock.now(), clock::boot_ns(), self.secs());
        if let Some(slept_secs) = self.upkeep.slept(now, boot_ns) {
            tracing::info!(slept_secs, "the machine slept; dialling again");
            self.tell(Severity::Informational, Body::Notice(Notice::Woke { slept_secs }));
            self.link.redial();
        }
        self.keep_time(boot_ns);
        for (refusal, repeated) in self.refusals.handle_timeout(now) {
            let receipt = refusal.receipt(secs, repeated);
            self.tell_receipt(receipt);
        }
        self.containment.handle_timeout(secs);
        self.act();
        self.keep_watch();
        self.ledger.handle_timeout(secs);
        self.act_deeds();
        self.keep_way_out();
        self.follow_names();
        self.collecting.orders.handle_timeout(secs);
        self.act_collect();
        self.restart_sensors();
        self.send_canary();
        self.keep_budget();
        self.forget_unsent();
        if self.upkeep.is_health_due(now, self.sensors.have_begun()) {
            self.ask_health();
        }
        if self.identity.certificate.renew_at_secs() <= secs {
            self.renew_certificate();
        }
    }

    fn keep_time(&mut self, boot_ns: u64) {
        if self.upkeep.keeping_time {
            return;
        }
        let Some(kept) = self.time.handle_timeout(boot_ns) else { return };
        self.upkeep.keeping_time = true;
        let own = self.own.clone();
        self.jobs.push(async move {
            let secs = kept.secs;
            let written = flat(blocking(move || kept::write_time(&own, &kept)).await);
            Done::TimeKept(written.map(|()| secs))
        });
    }

    pub(super) fn time_kept(&mut self, kept: Result<u64, StateDirError>) {
        self.upkeep.keeping_time = false;
        match kept {
            Ok(secs) => self.memory.accepted.forget(secs),
            Err(error) => {
                // After a reboot this minute might come a second time, with its nonces.
                tracing::error!(%error, "endpoint time could not be kept");
                self.renew_secret();
            }
        }
    }

    pub(super) fn ask_health(&mut self) {
        if self.upkeep.asking_health {
            return;
        }
        self.upkeep.asking_health = true;
        let spool = self.spool.clone();
        self.jobs.push(async move {
            Done::Depths(spool.depths().await.map(Vec::from).unwrap_or_default())
        });
    }

    pub(super) fn tell_health(&mut self, lanes: Vec<LaneDepth>) {
        self.upkeep.asking_health = false;
        let seen = self.vitals(lanes).observation(Usage::read(), clock::stamp());
        self.deliver(Sample { observations: vec![seen], ..Sample::default() });
    }

    /// How the agent fares.
    pub(super) fn vitals(&mut self, lanes: Vec<LaneDepth>) -> Vitals {
        let moment = self.moment();
        let dropped = &self.upkeep.dropped;
        let dropped =
            dropped.iter().map(|(class, count)| ClassCount { class: *class, count: *count });
        Vitals {
            endpoint_secs: moment.endpoint_secs,
            nonce: self.nonces.current(moment),
            roster: self.roster.held().reference,
            policy_version: self.policy.as_ref().map_or(0, |policy| policy.version),
            uptime_secs: self.clock.now().as_secs(),
            lanes,
            sensors: self.sensors.health(self.clock.now()),
            dropped: dropped.collect(),
            containments: self.standing(),
            given_up: self.thrift.given_up(),
            budget: self.thrift.limits().as_told(),
            sent_bytes: self.thrift.sent_bytes(),
        }
    }

    /// Asks for a new certificate, unless that was tried a moment ago.
    pub(super) fn renew_certificate(&mut self) {
        let now = self.clock.now();
        if self.upkeep.renewing || now < self.upkeep.renew_at {
            return;
        }
        self.upkeep.renewing = true;
        self.upkeep.renew_at = now.saturating_add(RENEW_PERIOD);
        let (signing, endpoint) = (Arc::clone(&self.signing), self.identity.endpoint);
        let client = self.identity.client.clone();
        let pins = pins(&self.identity, &self.roster.held().roster.ca_pins);
        let dialer = self.link.dialer().clone();
        self.jobs.push(async move {
            let renewed = enrol::renew(&signing, endpoint, &client, pins, dialer).await;
            Done::Renewed(Box::new(renewed))
        });
    }

    pub(super) fn renewed(&mut self, renewed: Result<Certificate, EnrolError>) {
        self.upkeep.renewing = false;
        let certificate = match renewed {
            Ok(certificate) => certificate,
            Err(error) => return tracing::warn!(%error, "the certificate was not renewed"),
        };
        self.identity.certificate = Certificate { granted_secs: self.secs(), ..certificate };
        if let Err(error) = self.identity.store(&self.dir) {
            tracing::error!(%error, "the new certificate could not be kept");
        }
        let valid_secs = self.identity.certificate.valid_secs;
        tracing::info!(valid_secs, "the certificate was renewed");
        self.follow_roster();
        if !self.link.is_live() {
            self.link.redial();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_health_waits_for_the_sensors_but_not_for_long() {
        let millis = Duration::from_millis;
        let told = |begun_at: u64, news_at: u64| {
            let mut upkeep = Upkeep::new(millis(0), 0);
            let is_due = |at: &u64| {
                if *at == news_at {
                    upkeep.hasten_health(millis(*at));
                }
                upkeep.is_health_due(millis(*at), *at >= begun_at)
            };
            (0..=10_000).step_by(500).filter(is_due).collect::<Vec<_>>()
        };
        assert_eq!(told(500, 99_999), [500], "once all have begun");
        assert_eq!(told(60_000, 99_999), [2_000], "one does not begin");
        assert_eq!(told(60_000, 2_500), [2_000, 7_000], "and begins soon after");
        assert_eq!(told(0, 7_000), [0, 9_000], "news later on");
    }

    #[test]
    fn sleep_is_the_boot_time_clock_running_ahead_at_once() {
        let secs = Duration::from_secs;
        let mut upkeep = Upkeep::new(secs(10), 110_000_000_000);
        assert_eq!(upkeep.slept(secs(11), 111_000_000_000), None);
        assert_eq!(upkeep.slept(secs(71), 171_000_000_000), None, "a busy minute is no sleep");
        assert_eq!(upkeep.slept(secs(72), 3_771_000_000_000), Some(3599));
        assert_eq!(upkeep.slept(secs(73), 3_772_000_000_000), None, "told once");
    }
}
