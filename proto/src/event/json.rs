//! Events as JSON for people and programs, with OCSF 1.8.0's names.
//!
//! Times are RFC 3339 with nanoseconds; numbers that may pass 2^53 are strings; bytes that are not
//! UTF-8 are shown with replacement characters beside a `_b64` twin that holds them exactly. What
//! OCSF has no class for is in an extension of our own, `cordon` (uid 999).

mod agent;
mod device;
mod disk;
mod dns;
mod file;
mod finding;
mod gap;
mod inventory;
mod log;
mod login;
mod network;
mod process;
mod receipt;
mod response;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{Body, Event, Lane, Severity};
use crate::Text;
use crate::id::{ClientId, EndpointId};
use crate::time::rfc3339;

pub use agent::health_json;
pub use receipt::receipt_json;

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

/// OCSF numbers a class by extension, category and place in it: two and three digits.
const CLASSES_OF_EXTENSION: u32 = 100_000;
const CLASSES_OF_CATEGORY: u32 = 1000;

/// An OCSF class and activity.
struct Kind {
    class_uid: u32,
    class_name: &'static str,
    activity_id: u32,
    activity_name: &'static str,
}

impl Kind {
    /// A class of our own extension.
    fn own(
        number: u32,
        class_name: &'static str,
        (activity_id, activity_name): (u32, &'static str),
    ) -> Self {
        let class_uid = EXTENSION.saturating_add(number);
        Self { class_uid, class_name, activity_id, activity_name }
    }
}

/// The event as one JSON object.
#[must_use]
pub fn to_json(context: &Context, event: &Event) -> Value {
    let mut map = Map::new();
    let kind = fields(event, &mut map);
    let Kind { class_uid, class_name, activity_id, activity_name } = kind;
    put(&mut map, "class", event.body.class());
    put(&mut map, "class_uid", class_uid);
    put(&mut map, "class_name", class_name);
    put(&mut map, "category_uid", class_uid % CLASSES_OF_EXTENSION / CLASSES_OF_CATEGORY);
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

/// The same for everything that the event tells: lines that travel together are shown one by one,
/// each with its place among them at the end of its `uid` and as `line`.
#[must_use]
pub fn to_json_apart(context: &Context, event: &Event) -> Vec<Value> {
    let Some(singles) = event.apart() else { return vec![to_json(context, event)] };
    let number = |(line, single): (usize, &Event)| {
        let mut json = to_json(context, single);
        if let Some(metadata) = json.get_mut("metadata").and_then(Value::as_object_mut) {
            if let Some(Value::String(uid)) = metadata.get_mut("uid") {
                uid.push_str(&format!("/{line}"));
            }
            put(metadata, "line", line);
        }
        json
    };
    singles.iter().enumerate().map(number).collect()
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

fn fields(event: &Event, map: &mut Map<String, Value>) -> Kind {
    match &event.body {
        Body::Process(process) => process::fields(process, event.boot_ns, map),
        Body::Log(line) => log::fields(line, map),
        Body::Disk(event) => disk::fields(event, map),
        Body::Health(health) => agent::health_fields(health, map),
        Body::Gap(gap) => gap::fields(gap, map),
        Body::Receipt(receipt) => receipt::fields(receipt, map),
        Body::Lifecycle(started) => agent::started_fields(started, map),
        Body::Network(event) => network::fields(event, map),
        Body::Dns(event) => dns::fields(event, map),
        Body::Authentication(event) => login::authentication(event, map),
        Body::Account(event) => login::account_change(event, map),
        Body::File(event) => file::fields(event, map),
        Body::Finding(finding) => finding::fields(finding, map),
        Body::Device(event) => device::fields(event, map),
        Body::Inventory(event) => inventory::fields(event, map),
        Body::Notice(notice) => agent::notice_fields(notice, map),
        Body::WayOut(way_out) => agent::way_out_fields(way_out, map),
        Body::Response(reacted) => response::fields(reacted, map),
    }
}

#[cfg(test)]
pub(super) fn of_body(body: Body) -> Value {
    let (context, event) = seen(body);
    to_json(&context, &event)
}

#[cfg(test)]
pub(super) fn of_body_apart(body: Body) -> Vec<Value> {
    let (context, event) = seen(body);
    to_json_apart(&context, &event)
}

#[cfg(test)]
fn seen(body: Body) -> (Context, Event) {
    let context = Context {
        client: "acme".parse().unwrap(),
        endpoint: EndpointId::of(b"k"),
        host_name: "web-01".to_owned(),
        lane: Lane::Telemetry,
        epoch: 1,
        received_ns: 0,
        clock_offset_ns: None,
    };
    (context, Event { seq: 9, time_ns: 0, boot_ns: 0, severity: Severity::Low, body })
}
