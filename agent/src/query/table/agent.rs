//! `health`, `sensors`, `containments`: what the agent says of itself, as it reports it.

use cordon_proto::event::agent::Standing;
use cordon_proto::event::{self, SensorHealth, SensorState};

use super::{INTEGER, TEXT, column, flag, maybe, number, rows, word};
use crate::platform::sqlite::{Asked, Column, Rows, Table};
use cordon_proto::query::Value;

/// How the agent fares; one row.
pub(super) struct Health(pub(super) event::Health);

/// One row a sensor.
pub(super) struct Sensors(pub(super) Vec<SensorHealth>);

/// One row for each containment that stands.
pub(super) struct Containments(pub(super) Vec<Standing>);

impl Table for Health {
    fn name(&self) -> &'static str {
        "health"
    }

    fn about(&self) -> &'static str {
        "how the agent fares; one row"
    }

    fn columns(&self) -> &'static [Column] {
        const COLUMNS: &[Column] = &[
            column("agent_version", TEXT, "the agent's version"),
            column("endpoint_secs", INTEGER, "endpoint time, in which leases are counted"),
            column("roster_version", INTEGER, "the roster held"),
            column("policy_version", INTEGER, "the policy held; 0 for none"),
            column("cpu_ms", INTEGER, "processor time the agent has used since it started"),
            column("rss_bytes", INTEGER, "the agent's resident memory"),
            column("uptime_secs", INTEGER, "since the agent started"),
            column("given_up", TEXT, "what it does without to keep within its budget"),
            column(
                "cpu_percent_max",
                INTEGER,
                "its share of one core; of settings and policy the lower",
            ),
            column("memory_bytes_max", INTEGER, "its resident memory, at most"),
            column("spool_bytes_max", INTEGER, "what may wait on its disk"),
            column("bandwidth_max", INTEGER, "bytes it may send in a second; NULL for no limit"),
            column("sent_bytes", INTEGER, "what it has sent since it started"),
        ];
        COLUMNS
    }

    fn rows(&self, _asked: &[Asked]) -> Result<Rows, String> {
        let health = &self.0;
        let budget = health.budget.unwrap_or_default();
        let limit = |limit: Option<u64>| limit.map_or(Value::Null, number);
        Ok(rows(vec![vec![
            word(&health.agent_version),
            number(health.endpoint_secs),
            number(health.roster.version),
            number(health.policy_version),
            number(health.cpu_us / 1000),
            number(health.rss_bytes),
            number(health.uptime_secs),
            health.given_up.as_ref().map_or(Value::Null, word),
            limit(budget.cpu_percent.map(u64::from)),
            limit(budget.memory_bytes),
            limit(budget.spool_bytes),
            limit(budget.bandwidth_bytes_per_s),
            limit(health.sent_bytes),
        ]]))
    }
}

impl Table for Sensors {
    fn name(&self) -> &'static str {
        "sensors"
    }

    fn about(&self) -> &'static str {
        "what watches this endpoint, and how well"
    }

    fn columns(&self) -> &'static [Column] {
        const COLUMNS: &[Column] = &[
            column("name", TEXT, "the sensor"),
            column("state", TEXT, "running, degraded, stalled, blind or off"),
            column("reason", TEXT, "why it is not simply running"),
            column("tier", TEXT, "by which means it sees processes"),
            column("seen", INTEGER, "events since the agent started"),
            column("dropped", INTEGER, "events dropped since the agent started"),
            column("proved_secs", INTEGER, "seconds since it was last shown to see"),
        ];
        COLUMNS
    }

    fn rows(&self, _asked: &[Asked]) -> Result<Rows, String> {
        let row = |sensor: &SensorHealth| {
            let state = match sensor.state {
                SensorState::Running => "running",
                SensorState::Degraded => "degraded",
                SensorState::Blind => "blind",
                SensorState::Off => "off",
                SensorState::Stalled => "stalled",
            };
            let tier = sensor.tier.and_then(|tier| serde_json::to_value(tier).ok());
            let tier = tier.and_then(|tier| tier.as_str().map(word));
            vec![
                word(&sensor.name),
                word(state),
                sensor.reason.as_ref().map_or(Value::Null, word),
                tier.unwrap_or(Value::Null),
                number(sensor.seen),
                number(sensor.dropped),
                maybe(sensor.proved_secs),
            ]
        };
        Ok(rows(self.0.iter().map(row).collect()))
    }
}

impl Table for Containments {
    fn name(&self) -> &'static str {
        "containments"
    }

    fn about(&self) -> &'static str {
        "what stands on this endpoint now"
    }

    fn columns(&self) -> &'static [Column] {
        const COLUMNS: &[Column] = &[
            column("command", TEXT, "the command that asked for it"),
            column("action", TEXT, "what it is"),
            column("until_secs", INTEGER, "when its lease ends, in endpoint time"),
            column("proved", INTEGER, "1 if the last look found it as it should be"),
        ];
        COLUMNS
    }

    fn rows(&self, _asked: &[Asked]) -> Result<Rows, String> {
        let row = |one: &Standing| {
            let command = word(one.command.to_string());
            vec![
                command,
                word(one.action.name()),
                one.until_secs.map_or(Value::Null, number),
                flag(one.proved),
            ]
        };
        Ok(rows(self.0.iter().map(row).collect()))
    }
}
