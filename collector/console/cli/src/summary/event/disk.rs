//! File systems and disks in one line.

use serde_json::Value;

use super::{flag, word};
use crate::moment;

/// What happened to which file system or disk.
pub(super) fn summary(event: &Value) -> String {
    match word(event, "/activity_name").as_str() {
        "Forecast" => forecast(event),
        "I/O Error" => io_error(event),
        "Load" => load(event),
        "Health" => health(event),
        _ => file_system(event),
    }
}

fn forecast(event: &Value) -> String {
    let at = |name: &str| word(event, &format!("/forecast/{name}"));
    let path = word(event, "/mount/path");
    let Ok(secs) = at("full_in_secs").parse() else {
        return format!("{path} does not fill steadily any more");
    };
    let (of, sure) = (at("of"), at("confidence_percent"));
    format!("{path} will be full of {of} in {} ({sure} % sure)", moment::length(secs))
}

fn io_error(event: &Value) -> String {
    let at = |name: &str| word(event, &format!("/io_error/{name}"));
    let kind = at("kind").replace('_', " ");
    let sector = at("sector");
    let sector = if sector.is_empty() { sector } else { format!(", sector {sector}") };
    format!("{}: {} {kind} error(s){sector}: {}", at("device"), at("count"), at("line"))
}

fn load(event: &Value) -> String {
    let at = |name: &str| word(event, &format!("/load/{name}"));
    let number = |name: &str| at(name).parse::<u64>().unwrap_or(0);
    let each_second = |count: u64| {
        let thousandfold = u128::from(count) * 1000;
        thousandfold.checked_div(u128::from(number("period_ms"))).unwrap_or(0)
    };
    let requests = each_second(number("reads").saturating_add(number("writes")));
    let bytes = each_second(number("read_bytes").saturating_add(number("written_bytes")));
    let wait = at("wait_us");
    let wait = if wait.is_empty() { wait } else { format!(", {wait} us each") };
    let (busy, kib) = (number("busy_permille") / 10, bytes / 1024);
    let (device, state) = (at("device"), at("state"));
    format!("{device} {state}: {busy} % busy, {requests} requests/s, {kib} KiB/s{wait}")
}

fn health(event: &Value) -> String {
    let at = |name: &str| word(event, &format!("/disk_health/{name}"));
    let problems = event.pointer("/disk_health/problems").and_then(Value::as_array);
    let problems: Vec<_> = problems.into_iter().flatten().filter_map(Value::as_str).collect();
    let verdict = if problems.is_empty() { "healthy".to_owned() } else { problems.join(", ") };
    let some = |name: &str, unit: &str| {
        let value = at(name);
        (!value.is_empty()).then(|| format!("{value}{unit}"))
    };
    let facts: Vec<_> = [some("used_percent", " % worn"), some("temperature_celsius", " C")]
        .into_iter()
        .flatten()
        .collect();
    let model = some("model", ")").map(|model| format!(" ({model}")).unwrap_or_default();
    let semicolon = if facts.is_empty() { "" } else { "; " };
    format!("{}{model}: {verdict}{semicolon}{}", at("device"), facts.join(", "))
}

fn file_system(event: &Value) -> String {
    let path = word(event, "/mount/path");
    let activity = word(event, "/activity_name");
    let read_only = if flag(event, "/mount/read_only") { ", read-only" } else { "" };
    if activity != "Space" {
        let (kind, source) = (word(event, "/mount/fs_type"), word(event, "/mount/source"));
        return format!("{} {path} ({kind} on {source}{read_only})", activity.to_lowercase());
    }
    let number = |pointer: &str| word(event, pointer).parse::<u64>().unwrap_or(0);
    let used = |free: u64, total: u64| {
        let used = u128::from(total.saturating_sub(free)) * 100;
        used.checked_div(u128::from(total)).unwrap_or(0)
    };
    let total = number("/space/bytes_total");
    let bytes = used(number("/space/bytes_available"), total);
    let inodes = used(number("/space/inodes_free"), number("/space/inodes_total"));
    let crossed = word(event, "/space/threshold_percent");
    let crossed = if crossed.is_empty() { String::new() } else { format!(", crossed {crossed} %") };
    let total_mib = total >> 20;
    let full = word(event, "/space/full_in_secs").parse::<u64>();
    let full = full.map(|secs| format!(", full in {}", moment::length(secs))).unwrap_or_default();
    format!(
        "{path} {bytes} % of {total_mib} MiB used, {inodes} % of inodes{crossed}{full}{read_only}"
    )
}
