//! Inventories as JSON: OCSF's discovery classes where there is one, else our own extension.

use serde_json::{Map, Value, json};

use super::{Kind, put, put_text};
use crate::event::inventory::{Change, Field, Inventory, Subject};

/// Activities of the discovery classes: what was found, and what of it is another than before.
const COLLECT: (u32, &str) = (2, "Collect");
const CHANGE: (u32, &str) = (99, "Change");

pub(super) fn fields(event: &Inventory, map: &mut Map<String, Value>) -> Kind {
    let Inventory { subject, version, is_base, part, parts, changes, items, hash, left_out } =
        event;
    let mut inventory = Map::new();
    put(&mut inventory, "subject", subject);
    put(&mut inventory, "version", version.to_string());
    put(&mut inventory, "is_base", is_base);
    put(&mut inventory, "part", part);
    put(&mut inventory, "parts", parts);
    put(&mut inventory, "items", items);
    put(&mut inventory, "hash", hash);
    put(&mut inventory, "left_out", Some(left_out).filter(|left_out| **left_out > 0));
    put(&mut inventory, "changes", changes.iter().map(change_json).collect::<Vec<_>>());
    map.insert("inventory".to_owned(), Value::Object(inventory));
    let activity = if *is_base { COLLECT } else { CHANGE };
    kind(*subject, activity)
}

/// Classes for all of one kind of thing; the others are queries for one.
fn kind(subject: Subject, activity: (u32, &'static str)) -> Kind {
    let ocsf = |class_uid, class_name| {
        let (activity_id, activity_name) = activity;
        Kind { class_uid, class_name, activity_id, activity_name }
    };
    match subject {
        Subject::Machine => ocsf(5001, "Device Inventory Info"),
        Subject::Users => ocsf(5003, "User Inventory Info"),
        Subject::Packages => ocsf(5020, "Software Inventory Info"),
        Subject::Groups
        | Subject::SshKeys
        | Subject::Sudoers
        | Subject::Autoruns
        | Subject::Services
        | Subject::Listeners
        | Subject::Mounts => Kind::own(12, "Inventory", activity),
    }
}

fn change_json(change: &Change) -> Value {
    let mut map = Map::new();
    put(&mut map, "action", change.doing());
    put_text(&mut map, "key", &change.key);
    put(&mut map, "before", change.before.as_deref().map(fields_json));
    put(&mut map, "after", change.after.as_deref().map(fields_json));
    put(&mut map, "warning", &change.warning);
    json!(map)
}

fn fields_json(fields: &[Field]) -> Value {
    let mut map = Map::new();
    for Field { name, value } in fields {
        put_text(&mut map, name, value);
    }
    Value::Object(map)
}

#[cfg(test)]
mod tests {
    use super::super::of_body;
    use super::*;
    use crate::event::Body;
    use crate::id::Hash;

    #[test]
    fn a_change_says_what_was_done_to_what_with_before_and_after() {
        let field = |value: &str| vec![Field { name: "uid".to_owned(), value: value.into() }];
        let change = Change {
            key: "eve".into(),
            before: Some(field("1000")),
            after: Some(field("0")),
            warning: Some("has all rights now".to_owned()),
        };
        let event = Inventory {
            subject: Subject::Users,
            version: 2,
            is_base: false,
            part: 0,
            parts: 1,
            changes: vec![change],
            items: 1,
            hash: Hash::of(b"whole"),
            left_out: 0,
        };
        let json = of_body(Body::Inventory(event));
        assert_eq!(json["class_uid"], 5003);
        assert_eq!(json["category_uid"], 5);
        assert_eq!(json["activity_name"], "Change");
        let expected = json!({
            "action": "changed",
            "key": "eve",
            "before": { "uid": "1000" },
            "after": { "uid": "0" },
            "warning": "has all rights now",
        });
        assert_eq!(json["inventory"]["changes"], json!([expected]));
        assert_eq!(json["inventory"].get("left_out"), None);
    }
}
