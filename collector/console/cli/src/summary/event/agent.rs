//! What the agent says of itself in one line: health, gaps, receipts, starts.

use serde_json::Value;

use super::{first, flag, word};
use crate::moment;

/// How it fares; sensors are named where they do not simply run.
pub(super) fn health(event: &Value) -> String {
    let at = |pointer: &str| event.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
    let sensors = event.pointer("/health/sensors").and_then(Value::as_array);
    let named = |sensor: &Value| {
        let state = word(sensor, "/state");
        (state != "running").then(|| format!("{} {state}", word(sensor, "/name")))
    };
    let not_running: Vec<_> = sensors.into_iter().flatten().filter_map(named).collect();
    let mut words = vec![format!(
        "up {}, cpu {}.{:03} s, memory {} KiB, roster {}",
        moment::length(at("/health/uptime_secs")),
        at("/health/cpu_us") / 1_000_000,
        at("/health/cpu_us") / 1000 % 1000,
        at("/health/rss_bytes") / 1024,
        at("/health/roster/version"),
    )];
    words.extend(not_running);
    let standing =
        event.pointer("/health/containments").and_then(Value::as_array).map_or(0, Vec::len);
    if standing > 0 {
        words.push(format!("{standing} containment(s) stand"));
    }
    words.join("; ")
}

/// What was dropped.
pub(super) fn gap(event: &Value) -> String {
    let counts = event.pointer("/gap/counts").and_then(Value::as_array);
    let count = |one: &Value| format!("{} {}", word(one, "/count"), word(one, "/class"));
    let counts: Vec<_> = counts.into_iter().flatten().map(count).collect();
    format!(
        "dropped {}: {} {}",
        counts.join(", "),
        word(event, "/gap/reason"),
        word(event, "/gap/detail")
    )
}

/// What it answers about an action.
pub(super) fn receipt(event: &Value) -> String {
    let command = word(event, "/receipt/command");
    let why = first(event, &["/receipt/reason", "/receipt/found", "/receipt/cause"]);
    let action = word(event, "/receipt/action");
    format!("{action} {} {why} (command {command})", word(event, "/receipt/outcome"))
}

/// That it started or stops, or that its machine sleeps.
pub(super) fn lifecycle(event: &Value) -> String {
    match word(event, "/activity_name").as_str() {
        "Stopping" => match word(event, "/agent/machine_stops").as_str() {
            "true" => "the agent stops, because the machine does".to_owned(),
            "false" => "the agent stops, and the machine goes on".to_owned(),
            _ => "the agent stops".to_owned(),
        },
        "Sleeping" => "the machine is about to sleep".to_owned(),
        "Woke" => {
            let secs = word(event, "/agent/slept_secs").parse().unwrap_or(0);
            format!("the machine slept for {}", moment::length(secs))
        }
        "Way Out Made" => way_out(event),
        _ => started(event),
    }
}

fn way_out(event: &Value) -> String {
    let operators = event.pointer("/way_out/operators").and_then(Value::as_array);
    let names = operators.into_iter().flatten().filter_map(Value::as_str);
    let names: Vec<_> = names.collect();
    let to = if names.is_empty() { "NOBODY".to_owned() } else { names.join(", ") };
    let number = word(event, "/way_out/serial");
    let made_for = word(event, "/way_out/made_for").replace('_', " ");
    format!("break-glass code {number} made ({made_for}), sealed to {to}")
}

fn started(event: &Value) -> String {
    format!(
        "agent {} started, boot {}{}",
        word(event, "/agent/version"),
        word(event, "/agent/boot_count"),
        if flag(event, "/agent/unclean") { ", the run before ended uncleanly" } else { "" }
    )
}
