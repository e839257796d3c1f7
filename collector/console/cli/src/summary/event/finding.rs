//! Findings in one line.

use serde_json::Value;

use super::file::process;
use super::word;

/// How grave, what, by whom, and how many of what.
pub(super) fn summary(event: &Value) -> String {
    let severity = word(event, "/severity").to_uppercase();
    let title = word(event, "/finding_info/title");
    let again = if word(event, "/activity_name") == "Update" { " (goes on)" } else { "" };
    let counts = event.pointer("/counts").and_then(Value::as_object);
    let counts = counts.into_iter().flatten();
    let counts: Vec<_> = counts
        .map(|(name, _)| format!("{name} {}", word(event, &format!("/counts/{name}"))))
        .collect();
    let path = word(event, "/evidences/0/file/path");
    let path = if path.is_empty() { path } else { format!("; {path}") };
    format!("{severity}: {title}{again} {}: {}{path}", process(event), counts.join(", "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_finding_is_told_with_its_process_and_its_counts() {
        let event = json!({
            "severity": "high",
            "activity_name": "Update",
            "finding_info": { "title": "files are being made unreadable" },
            "actor": { "process": { "pid": 9, "name": "x" } },
            "counts": { "files": "12", "renamed": "12" },
            "evidences": [{ "file": { "path": "/home/a.odt.locked" } }],
        });
        assert_eq!(
            summary(&event),
            "HIGH: files are being made unreadable (goes on) by x pid 9: files 12, renamed 12; \
             /home/a.odt.locked"
        );
    }
}
