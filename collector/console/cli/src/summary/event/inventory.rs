//! An inventory's event in one line, from the JSON that the collector shows. Pure.

use serde_json::Value;

use super::word;

/// Changes that are named; the others are counted.
const NAMED_MAX: usize = 4;

/// `users version 2: added eve (an account with all rights), removed bob`.
pub(super) fn summary(event: &Value) -> String {
    let at = |name: &str| word(event, &format!("/inventory/{name}"));
    let part = event.pointer("/inventory/part").and_then(Value::as_u64).unwrap_or(0);
    let parts = at("parts");
    let part = if parts == "1" { String::new() } else { format!(", part {} of {parts}", part + 1) };
    let head = format!("{} version {}", at("subject"), at("version"));
    let changes = event.pointer("/inventory/changes").and_then(Value::as_array);
    let changes: Vec<&Value> = changes.into_iter().flatten().collect();
    if event.pointer("/inventory/is_base").and_then(Value::as_bool) == Some(true) {
        return format!("{head}: all {} items{part}{}", at("items"), left_out(event));
    }
    // What deserves a look comes first.
    let (grave, plain): (Vec<&Value>, Vec<&Value>) =
        changes.iter().partition(|change| change.get("warning").is_some());
    let named: Vec<_> = grave.iter().chain(&plain).take(NAMED_MAX).map(|one| change(one)).collect();
    let more = changes.len().saturating_sub(NAMED_MAX);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("{head}: {}{more}{part}{}", named.join(", "), left_out(event))
}

fn left_out(event: &Value) -> String {
    match word(event, "/inventory/left_out") {
        none if none.is_empty() => none,
        count => format!("; {count} more are left out"),
    }
}

fn change(change: &Value) -> String {
    let warning = word(change, "/warning");
    let warning = if warning.is_empty() { warning } else { format!(" ({warning})") };
    let (action, key) = (word(change, "/action"), word(change, "/key"));
    let before = change.get("before").and_then(Value::as_object);
    let differs = before.filter(|_fields| action == "changed").into_iter().flatten();
    let differs = differs.map(|(name, old)| {
        let new = change.get("after").and_then(|after| after.get(name));
        let show = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        format!("{name} {} > {}", show(old), new.map_or_else(|| "none".to_owned(), show))
    });
    let differs: Vec<_> = differs.collect();
    let differs =
        if differs.is_empty() { String::new() } else { format!(": {}", differs.join(", ")) };
    format!("{action} {key}{differs}{warning}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(inventory: Value, says: &str) {
        assert_eq!(summary(&json!({ "class": "inventory", "inventory": inventory })), says);
    }

    #[test]
    fn the_whole_is_told_by_its_size() {
        let base = json!({
            "subject": "packages", "version": "1", "is_base": true, "part": 1, "parts": 3,
            "items": 20000, "left_out": 7, "changes": [{ "action": "added", "key": "bash" }],
        });
        check(base, "packages version 1: all 20000 items, part 2 of 3; 7 more are left out");
    }

    #[test]
    fn changes_are_named_with_what_differs_and_those_with_a_warning_first() {
        let changes = json!([
            { "action": "added", "key": "ann", "after": { "uid": "1000" } },
            {
                "action": "changed", "key": "eve", "before": { "uid": "1001", "shell": "/bin/sh" },
                "after": { "uid": "0" }, "warning": "has all rights now",
            },
            { "action": "removed", "key": "bob" },
            { "action": "removed", "key": "cid" },
            { "action": "removed", "key": "dan" },
        ]);
        let event = json!({
            "subject": "users", "version": "2", "is_base": false, "part": 0, "parts": 1,
            "items": 3, "changes": changes,
        });
        check(
            event,
            "users version 2: changed eve: shell /bin/sh > none, uid 1001 > 0 (has all rights \
             now), added ann, removed bob, removed cid and 1 more",
        );
    }
}
