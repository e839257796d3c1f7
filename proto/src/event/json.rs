//! Events as JSON for people and programs, with OCSF 1.8.0's names.
//!
//! Times are RFC 3339 with nanoseconds; numbers that may pass 2^53 are strings; bytes that are not
//! UTF-8 are shown with replacement characters beside a `_b64` twin that holds them exactly. What
//! OCSF has no class for is in an extension of our own, `cordon` (uid 999).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::agent::{Health, Started};
use super::disk::{DiskEvent, Mount, Space};
use super::gap::Gap;
use super::log::LogLine;
use super::process::{Exec, Exit, Fork, ProcessEvent, split_args};
use super::receipt::{Outcome, Receipt};
use super::{Body, Event, Lane, Severity};
use crate::Text;
use crate::id::{ClientId, EndpointId};
use crate::time::rfc3339;

/// Where an event came from, as the collector knows it.
#[derive(Clone, Debug)]
pub struct Context {
    /// Whose endpoint.
    pub client: ClientId,
    /// The endpoint.
    pub endpoint: EndpointId,
    /// Its host name.
    pub host_name: String,
    /// The event's lane.
    pub lane: Lane,
    /// The lane's epoch.
    pub epoch: u32,
    /// When the collector received it, nanoseconds since 1970 UTC.
    pub received_ns: u64,
    /// The endpoint's clock minus the collector's, where it was measured, in nanoseconds.
    pub clock_offset_ns: Option<i64>,
}

/// Numbers of our own OCSF extension start here: extension uid 999, category system activity.
const EXTENSION: u32 = 99_901_000;

/// An OCSF class and activity.
struct Kind {
    class_uid: u32,
    class_name: &'static str,
    activity_id: u32,
    activity_name: &'static str,
}

/// The event as one JSON object.
#[must_use]
pub fn to_json(context: &Context, event: &Event) -> Value {
    let mut map = Map::new();
    let kind = body(&event.body, &mut map);
    let Kind { class_uid, class_name, activity_id, activity_name } = kind;
    put(&mut map, "class", event.body.class());
    put(&mut map, "class_uid", class_uid);
    put(&mut map, "class_name", class_name);
    put(&mut map, "category_uid", 1);
    put(&mut map, "activity_id", activity_id);
    put(&mut map, "activity_name", activity_name);
    put(&mut map, "type_uid", class_uid.saturating_mul(100).saturating_add(activity_id));
    put(&mut map, "severity_id", severity_id(event.severity));
    put(&mut map, "severity", event.severity);
    put(&mut map, "time_dt", rfc3339(event.time_ns));
    let Context { client, endpoint, host_name, lane, epoch, received_ns, clock_offset_ns } =
        context;
    put(&mut map, "device", json!({ "uid": endpoint, "hostname": host_name }));
    put(
        &mut map,
        "metadata",
        json!({
            "version": "1.8.0",
            "tenant_uid": client,
            "uid": format!("{endpoint}/{}/{epoch}/{}", lane.name(), event.seq),
            "sequence": event.seq.to_string(),
            "lane": lane,
            "epoch": epoch,
            "boot_ns": event.boot_ns.to_string(),
            "logged_time_dt": rfc3339(*received_ns),
            "clock_offset_ns": clock_offset_ns.map(|offset| offset.to_string()),
        }),
    );
    Value::Object(map)
}

fn severity_id(severity: Severity) -> u8 {
    match severity {
        Severity::Informational => 1,
        Severity::Low => 2,
        Severity::Medium => 3,
        Severity::High => 4,
        Severity::Critical => 5,
    }
}

fn put(map: &mut Map<String, Value>, name: &str, value: impl Serialize) {
    match serde_json::to_value(value) {
        Ok(Value::Null) | Err(_) => {}
        Ok(value) => {
            map.insert(name.to_owned(), value);
        }
    }
}

fn put_text(map: &mut Map<String, Value>, name: &str, text: &Text) {
    map.insert(name.to_owned(), Value::String(text.to_lossy().into_owned()));
    if text.as_str().is_none() {
        let exact = STANDARD.encode(text.as_bytes());
        map.insert(format!("{name}_b64"), Value::String(exact));
    }
}

fn body(body: &Body, map: &mut Map<String, Value>) -> Kind {
    let own = |number: u32, class_name, activity_id, activity_name| Kind {
        class_uid: EXTENSION.saturating_add(number),
        class_name,
        activity_id,
        activity_name,
    };
    match body {
        Body::Process(event) => process(event, map),
        Body::Log(line) => log(line, map),
        Body::Disk(event) => {
            let (id, name) = disk(event, map);
            own(1, "Disk Activity", id, name)
        }
        Body::Health(health) => {
            put(map, "health", health_json(health));
            own(2, "Agent Health", 1, "Report")
        }
        Body::Gap(gap) => {
            put(map, "gap", gap_json(gap));
            own(3, "Event Gap", 1, "Dropped")
        }
        Body::Receipt(receipt) => {
            let (id, name) = outcome_activity(&receipt.outcome);
            put(map, "receipt", receipt_json(receipt));
            own(4, "Action Receipt", id, name)
        }
        Body::Lifecycle(started) => {
            put(map, "agent", started_json(started));
            own(5, "Agent Lifecycle", 1, "Started")
        }
    }
}

fn process(event: &ProcessEvent, map: &mut Map<String, Value>) -> Kind {
    let kind = |activity_id, activity_name| Kind {
        class_uid: 1007,
        class_name: "Process Activity",
        activity_id,
        activity_name,
    };
    match event {
        ProcessEvent::Exec(exec) => {
            let mut process = identity(exec.pid, exec.start_boot_ns, exec.uid, exec.parent_pid);
            exec_fields(exec, &mut process);
            map.insert("process".to_owned(), Value::Object(process));
            put(map, "sensor_tier", exec.tier);
            put(map, "unavailable", unavailable(exec));
            kind(1, "Launch")
        }
        ProcessEvent::Fork(Fork { tier, pid, start_boot_ns, parent_pid, uid }) => {
            let process = identity(*pid, *start_boot_ns, *uid, *parent_pid);
            map.insert("process".to_owned(), Value::Object(process));
            put(map, "sensor_tier", tier);
            kind(99, "Fork")
        }
        ProcessEvent::Exit(Exit { tier, pid, start_boot_ns, parent_pid, uid, wait_status }) => {
            let process = identity(*pid, *start_boot_ns, *uid, *parent_pid);
            map.insert("process".to_owned(), Value::Object(process));
            put(map, "sensor_tier", tier);
            if let Some(status) = wait_status {
                put(map, "exit_code", (status >> 8) & 0xff);
                put(map, "exit_signal", Some(status & 0x7f).filter(|signal| *signal != 0));
            }
            kind(2, "Terminate")
        }
    }
}

fn identity(
    pid: u32,
    start_boot_ns: Option<u64>,
    uid: Option<u32>,
    parent: Option<u32>,
) -> Map<String, Value> {
    let mut process = Map::new();
    put(&mut process, "pid", pid);
    put(&mut process, "start_boot_ns", start_boot_ns.map(|ns| ns.to_string()));
    put(&mut process, "user", uid.map(|uid| json!({ "uid": uid.to_string() })));
    put(&mut process, "parent_process", parent.map(|pid| json!({ "pid": pid })));
    process
}

fn exec_fields(exec: &Exec, process: &mut Map<String, Value>) {
    put(process, "euid", exec.euid.map(|euid| euid.to_string()));
    put(process, "cgroup_id", exec.cgroup_id.map(|id| id.to_string()));
    if let Some(image) = &exec.image {
        let mut file = Map::new();
        put_text(&mut file, "path", image);
        if let Some(resolved) = &exec.image_resolved {
            put_text(&mut file, "resolved_path", resolved);
        }
        process.insert("file".to_owned(), Value::Object(file));
    }
    if let Some(args) = &exec.args {
        let line = split_args(args).collect::<Vec<_>>().join(&b' ');
        put_text(process, "cmd_line", &Text::from(line));
        let each = split_args(args).map(|arg| String::from_utf8_lossy(arg).into_owned());
        put(process, "args", each.collect::<Vec<_>>());
        let held = u64::try_from(args.len()).unwrap_or(u64::MAX);
        put(process, "args_bytes", exec.args_bytes);
        put(process, "args_truncated", exec.args_bytes.is_some_and(|full| full > held));
    }
}

/// What the tier could not know is said, never guessed.
fn unavailable(exec: &Exec) -> Option<Vec<&'static str>> {
    let fields = [
        ("image", exec.image.is_none()),
        ("args", exec.args.is_none()),
        ("parent_pid", exec.parent_pid.is_none()),
        ("uid", exec.uid.is_none()),
    ];
    let missing: Vec<_> =
        fields.iter().filter(|(_, missing)| *missing).map(|(name, _)| *name).collect();
    (!missing.is_empty()).then_some(missing)
}

fn log(line: &LogLine, map: &mut Map<String, Value>) -> Kind {
    put_text(map, "raw_data", &line.line);
    let mut file = Map::new();
    put_text(&mut file, "path", &line.path);
    put(&mut file, "device", line.device.to_string());
    put(&mut file, "inode", line.inode.to_string());
    put(&mut file, "offset", line.offset.to_string());
    map.insert("log_file".to_owned(), Value::Object(file));
    put(map, "raw_data_size", line.line_bytes);
    put(map, "is_truncated", line.line_bytes.map(|_| true));
    Kind { class_uid: 0, class_name: "Base Event", activity_id: 99, activity_name: "Line" }
}

fn disk(event: &DiskEvent, map: &mut Map<String, Value>) -> (u32, &'static str) {
    let (mount, activity) = match event {
        DiskEvent::Space(space) => {
            put(map, "space", space_json(space));
            (&space.mount, (1, "Space"))
        }
        DiskEvent::Mounted(mount) => (mount, (2, "Mounted")),
        DiskEvent::Unmounted(mount) => (mount, (3, "Unmounted")),
        DiskEvent::AccessChanged(mount) => (mount, (4, "Access Changed")),
        DiskEvent::Unresponsive(mount) => (mount, (5, "Unresponsive")),
    };
    let Mount { path, source, fs_type, read_only } = mount;
    let mut described = Map::new();
    put_text(&mut described, "path", path);
    put_text(&mut described, "source", source);
    put_text(&mut described, "fs_type", fs_type);
    put(&mut described, "read_only", read_only);
    map.insert("mount".to_owned(), Value::Object(described));
    activity
}

fn space_json(space: &Space) -> Value {
    json!({
        "bytes_total": space.bytes_total.to_string(),
        "bytes_available": space.bytes_available.to_string(),
        "inodes_total": space.inodes_total.to_string(),
        "inodes_free": space.inodes_free.to_string(),
        "threshold_percent": space.threshold_percent,
    })
}

fn gap_json(gap: &Gap) -> Value {
    let sealed = gap.sealed.map(|range| {
        json!({
            "lane": range.lane,
            "epoch": range.epoch,
            "first": range.first.to_string(),
            "last": range.last.to_string(),
            "head": range.head,
        })
    });
    json!({
        "reason": gap.reason,
        "counts": gap.counts,
        "from_dt": rfc3339(gap.from_ns),
        "to_dt": rfc3339(gap.to_ns),
        "sealed": sealed,
        "detail": gap.detail,
    })
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
    })
}

/// A receipt as JSON; the collector shows the same beside the five facts.
#[must_use]
pub fn receipt_json(receipt: &Receipt) -> Value {
    let mut map = outcome_json(&receipt.outcome);
    put(&mut map, "command", receipt.command);
    put(&mut map, "command_hash", receipt.command_hash);
    put(&mut map, "action", receipt.action);
    put(&mut map, "endpoint_secs", receipt.endpoint_secs);
    put(&mut map, "repeated", receipt.repeated);
    put(&mut map, "outcome", receipt.outcome.name());
    Value::Object(map)
}

fn outcome_activity(outcome: &Outcome) -> (u32, &'static str) {
    match outcome {
        Outcome::Refused { .. } => (1, "Refused"),
        Outcome::Accepted { .. } => (2, "Accepted"),
        Outcome::Applied { .. } => (3, "Applied"),
        Outcome::Proved(_) => (4, "Proved"),
        Outcome::Unproved(_) => (5, "Unproved"),
        Outcome::Drifted { .. } => (6, "Drifted"),
        Outcome::Failed { .. } => (7, "Failed"),
        Outcome::Ended { .. } => (8, "Ended"),
    }
}

fn outcome_json(outcome: &Outcome) -> Map<String, Value> {
    let value = match outcome {
        Outcome::Refused { check, reason } => json!({ "check": check, "reason": reason }),
        Outcome::Accepted { signers } => json!({ "signers": signers }),
        Outcome::Applied { change_us, until_secs, stood_already } => {
            json!({ "change_us": change_us, "until_secs": until_secs, "stood_already": stood_already })
        }
        Outcome::Proved(proof) | Outcome::Unproved(proof) => json!({ "proof": proof }),
        Outcome::Drifted { found, reapplied } => json!({ "found": found, "reapplied": reapplied }),
        Outcome::Failed { reason } => json!({ "reason": reason }),
        Outcome::Ended { cause, observed_gone } => {
            json!({ "cause": cause, "observed_gone": observed_gone })
        }
    };
    match value {
        Value::Object(map) => map,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Map::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context() -> Context {
        Context {
            client: "acme".parse().unwrap(),
            endpoint: EndpointId::of(b"k"),
            host_name: "web-01".to_owned(),
            lane: Lane::Telemetry,
            epoch: 1,
            received_ns: 0,
            clock_offset_ns: None,
        }
    }

    #[test]
    fn bytes_that_are_not_utf8_keep_an_exact_twin() {
        let line = LogLine {
            path: "/var/log/x".into(),
            device: 1,
            inode: u64::MAX,
            offset: 3,
            line: Text::from(&b"\xff!"[..]),
            line_bytes: None,
        };
        let body = Body::Log(line);
        let event = Event { seq: 9, time_ns: 0, boot_ns: 0, severity: Severity::Low, body };
        let json = to_json(&context(), &event);
        assert_eq!(json["raw_data"], "\u{fffd}!");
        assert_eq!(json["raw_data_b64"], "/yE=");
        assert_eq!(json["log_file"]["inode"], "18446744073709551615");
        assert_eq!(json["metadata"]["sequence"], "9");
    }

    #[test]
    fn an_exec_says_what_its_tier_could_not_know() {
        let exec = Exec {
            tier: crate::event::process::Tier::ProcConnector,
            pid: 7,
            start_boot_ns: None,
            parent_pid: Some(1),
            uid: Some(0),
            euid: None,
            cgroup_id: None,
            image: None,
            image_resolved: None,
            args: Some("ls\0-l\0".into()),
            args_bytes: Some(9000),
        };
        let body = Body::Process(ProcessEvent::Exec(exec));
        let event = Event { seq: 1, time_ns: 0, boot_ns: 0, severity: Severity::default(), body };
        let json = to_json(&context(), &event);
        assert_eq!(json["type_uid"], 100_701);
        assert_eq!(json["unavailable"], json!(["image"]));
        assert_eq!(json["process"]["cmd_line"], "ls -l");
        assert_eq!(json["process"]["args"], json!(["ls", "-l"]));
        assert_eq!(json["process"]["args_truncated"], true);
    }
}
