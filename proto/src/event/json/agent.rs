//! The agent about itself as JSON: classes of our own extension.

use serde_json::{Map, Value, json};

use super::{Kind, put};
use crate::event::{Health, Notice, Started, WayOut};

/// Agent Health of our own extension.
pub(super) fn health_fields(health: &Health, map: &mut Map<String, Value>) -> Kind {
    put(map, "health", health_json(health));
    Kind::own(2, "Agent Health", (1, "Report"))
}

/// Agent Lifecycle of our own extension.
pub(super) fn started_fields(started: &Started, map: &mut Map<String, Value>) -> Kind {
    put(map, "agent", started_json(started));
    Kind::own(5, "Agent Lifecycle", (1, "Started"))
}

/// Agent Lifecycle of our own extension.
pub(super) fn notice_fields(notice: &Notice, map: &mut Map<String, Value>) -> Kind {
    let activity = match notice {
        Notice::Stopping { machine } => {
            put(map, "agent", json!({ "machine_stops": machine }));
            (2, "Stopping")
        }
        Notice::Sleeping => (3, "Sleeping"),
        Notice::Woke { slept_secs } => {
            put(map, "agent", json!({ "slept_secs": slept_secs }));
            (4, "Woke")
        }
    };
    Kind::own(5, "Agent Lifecycle", activity)
}

/// Agent Lifecycle of our own extension. What is sealed is left out: who wants it asks for it by
/// name, and that is noted.
pub(super) fn way_out_fields(way_out: &WayOut, map: &mut Map<String, Value>) -> Kind {
    let WayOut { serial, roster, endpoint_secs, made_for, boxes } = way_out;
    let operators: Vec<_> = boxes.iter().map(|sealed| &sealed.operator).collect();
    put(
        map,
        "way_out",
        json!({
            "serial": serial.to_string(),
            "roster_version": roster.version,
            "endpoint_secs": endpoint_secs,
            "made_for": made_for,
            "operators": operators,
        }),
    );
    Kind::own(5, "Agent Lifecycle", (5, "Way Out Made"))
}

fn started_json(started: &Started) -> Value {
    let Started { agent_version, boot_id, boot_count, unclean } = started;
    json!({
        "version": agent_version,
        "boot_id": boot_id,
        "boot_count": boot_count.to_string(),
        "unclean": unclean,
    })
}

/// How an agent fares, as JSON; the collector shows the same of an endpoint.
#[must_use]
pub fn health_json(health: &Health) -> Value {
    let sensors: Vec<_> = health
        .sensors
        .iter()
        .map(|sensor| {
            json!({
                "name": sensor.name,
                "state": sensor.state,
                "reason": sensor.reason,
                "tier": sensor.tier,
                "seen": sensor.seen.to_string(),
                "dropped": sensor.dropped.to_string(),
                "dropped_why": sensor.dropped_why,
                "proved_secs": sensor.proved_secs,
            })
        })
        .collect();
    json!({
        "agent_version": health.agent_version,
        "endpoint_secs": health.endpoint_secs,
        "roster": { "version": health.roster.version, "hash": health.roster.hash },
        "policy_version": health.policy_version,
        "cpu_us": health.cpu_us,
        "rss_bytes": health.rss_bytes,
        "uptime_secs": health.uptime_secs,
        "lanes": health.lanes,
        "sensors": sensors,
        "dropped": health.dropped,
        "containments": health.containments,
        "given_up": health.given_up,
        "budget": health.budget,
        "sent_bytes": health.sent_bytes.map(|bytes| bytes.to_string()),
    })
}
