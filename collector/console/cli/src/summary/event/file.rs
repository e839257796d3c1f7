//! Changes of files in one line.

use serde_json::Value;

use super::{flag, word};

/// What happened to which file, and who did it.
pub(super) fn summary(event: &Value) -> String {
    let (before, after) = (word(event, "/file/path"), word(event, "/file_result/path"));
    let activity = match word(event, "/activity_name").as_str() {
        "Create" => format!("created {after}"),
        "Update" => format!("modified {after}"),
        "Delete" => format!("deleted {before}"),
        "Rename" => format!("renamed {before} to {after}"),
        "Set Attributes" => format!("attributes of {after}"),
        other => format!("{other} {after}"),
    };
    let changed = event.pointer("/changed").and_then(Value::as_array);
    let changed: Vec<_> = changed.into_iter().flatten().filter_map(Value::as_str).collect();
    let changed =
        if changed.is_empty() { String::new() } else { format!(" ({})", changed.join(", ")) };
    let times = word(event, "/count");
    let times = if times == "1" { String::new() } else { format!(", {times} times") };
    let by = match word(event, "/sensor_means").as_str() {
        "comparison" => "while nobody watched".to_owned(),
        _ => process(event),
    };
    let package = if flag(event, "/by_package_manager") { " (package manager)" } else { "" };
    format!("{activity}{changed}{times} {by}{package}")
}

/// The process behind an event, in a few words.
pub(super) fn process(event: &Value) -> String {
    let pid = word(event, "/actor/process/pid");
    if pid.is_empty() {
        return "by an unknown process".to_owned();
    }
    let image = word(event, "/actor/process/file/path");
    let name = if image.is_empty() { word(event, "/actor/process/name") } else { image };
    let name = if name.is_empty() { String::new() } else { format!("{name} ") };
    let uid = word(event, "/actor/process/user/uid");
    let uid = if uid.is_empty() { String::new() } else { format!(" uid {uid}") };
    format!("by {name}pid {pid}{uid}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_change_is_told_with_what_differs_and_who_did_it() {
        let mut event = json!({
            "activity_name": "Update",
            "file": { "path": "/etc/shadow" },
            "file_result": { "path": "/etc/shadow" },
            "changed": ["content", "mode"],
            "count": 2,
            "sensor_means": "fanotify",
            "actor": { "process": { "pid": 7, "user": { "uid": "0" }, "file": { "path": "/bin/vi" } } },
        });
        let expected = "modified /etc/shadow (content, mode), 2 times by /bin/vi pid 7 uid 0";
        assert_eq!(summary(&event), expected);
        event["by_package_manager"] = json!(true);
        assert_eq!(summary(&event), format!("{expected} (package manager)"));
        event["sensor_means"] = json!("comparison");
        assert!(summary(&event).contains("while nobody watched"));
    }

    #[test]
    fn a_process_that_nobody_could_look_at_is_unknown() {
        let event = json!({
            "activity_name": "Delete", "file": { "path": "/etc/x" }, "count": 1,
        });
        assert_eq!(summary(&event), "deleted /etc/x by an unknown process");
    }
}
