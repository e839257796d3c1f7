//! Logins and changes of accounts in one line.

use serde_json::Value;

use super::{first, word};
use crate::moment;

pub(super) fn authentication(event: &Value) -> String {
    let activity = word(event, "/activity_name").to_lowercase();
    let who = first(event, &["/service/name", "/origin/kind"]);
    let mut words = format!("{who} {activity}{}", status(event));
    let lasted = event.pointer("/duration").and_then(Value::as_u64);
    let lasted = lasted.map(|millis| moment::length(millis / 1000)).unwrap_or_default();
    let optional = [
        ("of", word(event, "/user/name")),
        ("by", word(event, "/actor/user/name")),
        ("from", first(event, &["/src_endpoint/ip", "/src_endpoint/hostname"])),
        ("with", word(event, "/logon_method")),
        ("key", word(event, "/key")),
        ("on", word(event, "/terminal")),
        ("to run", word(event, "/cmd_line")),
        ("session", word(event, "/session/uid")),
        ("after", lasted),
    ];
    add(&mut words, &optional);
    if event.pointer("/user_exists").and_then(Value::as_bool) == Some(false) {
        words.push_str(", no such user");
    }
    words + &rest(event)
}

pub(super) fn account(event: &Value) -> String {
    let failed = if word(event, "/status_id") == "2" { " FAILED" } else { "" };
    let activity = word(event, "/activity_name").to_lowercase();
    let mut words = format!("{} {activity}{failed}", word(event, "/service/name"));
    let optional = [
        ("user", word(event, "/user/name")),
        ("uid", word(event, "/user/uid")),
        ("group", word(event, "/group/name")),
        ("by", word(event, "/actor/user/name")),
    ];
    add(&mut words, &optional);
    words + &rest(event)
}

fn status(event: &Value) -> &'static str {
    match word(event, "/status_id").as_str() {
        "1" => " granted",
        "2" => " REFUSED",
        _ => "",
    }
}

fn add(words: &mut String, optional: &[(&str, String)]) {
    for (name, value) in optional.iter().filter(|(_, value)| !value.is_empty()) {
        words.push_str(&format!(" {name} {value}"));
    }
}

/// Details, and whether the one who says so is not who it claims to be.
fn rest(event: &Value) -> String {
    let detail = word(event, "/status_detail");
    let detail = if detail.is_empty() { detail } else { format!(": {detail}") };
    let attested = event.pointer("/origin/attested").and_then(Value::as_bool);
    let doubt = if attested == Some(false) { " (NOT said by that program)" } else { "" };
    format!("{detail}{doubt}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::summary;

    #[test]
    fn a_login_is_told_with_who_whence_and_how() {
        let event = json!({
            "class": "authentication", "activity_name": "Logon", "status_id": 2,
            "service": { "name": "sshd" }, "user": { "name": "ro\u{1b}ot" }, "user_exists": false,
            "src_endpoint": { "ip": "192.0.2.1" }, "logon_method": "password",
            "origin": { "attested": false },
        });
        assert_eq!(
            summary(&event),
            "sshd logon REFUSED of ro\\u{1b}ot from 192.0.2.1 with password, no such user \
             (NOT said by that program)"
        );
    }

    #[test]
    fn a_record_of_a_logout_is_told_with_how_long_it_lasted() {
        let event = json!({
            "class": "authentication", "activity_name": "Logoff", "status_id": 1,
            "user": { "name": "ann" }, "terminal": "pts/0", "duration": 61_000,
            "session": { "uid": "c3" }, "origin": { "kind": "wtmp" },
        });
        let length = crate::moment::length(61);
        let expected = format!("wtmp logoff granted of ann on pts/0 session c3 after {length}");
        assert_eq!(summary(&event), expected);
    }

    #[test]
    fn a_change_of_an_account_is_told_with_who_and_what() {
        let event = json!({
            "class": "account", "activity_name": "Add User", "status_id": 1,
            "service": { "name": "usermod" }, "user": { "name": "ann" },
            "group": { "name": "sudo" },
        });
        assert_eq!(summary(&event), "usermod add user user ann group sudo");
    }

    #[test]
    fn what_was_taken_out_is_marked_at_the_end() {
        let event = json!({
            "class": "log", "journal": { "unit": "app.service" }, "raw_data": "x".repeat(500),
            "redacted": [{ "rule": "jwt", "times": 1, "bytes": 120 }],
        });
        let told = summary(&event);
        assert!(told.starts_with("journal app.service: xxx"), "{told}");
        assert!(told.ends_with(" (redacted: jwt, 120 bytes)"), "{told}");
        assert!(told.chars().count() <= 240);
    }
}
