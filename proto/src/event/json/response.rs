//! What an endpoint did by itself as JSON: OCSF Detection Finding, with our `response` beside it.

use serde_json::{Map, Value, json};

use super::{Kind, put, put_text};
use crate::event::response::{RULE, Reacted};
use crate::time::rfc3339;

/// OCSF Detection Finding; the response of the policy is the analytic.
pub(super) fn fields(reacted: &Reacted, map: &mut Map<String, Value>) -> Kind {
    let Reacted { id, response, policy_version, action, withheld, because, event_ns, repeated } =
        reacted;
    let action = action.map(|action| action.name());
    let title = match (action, withheld) {
        (Some(action), _) => format!("the endpoint reacted by itself: {action}"),
        (None, Some(_)) => "the endpoint withheld what its policy says".to_owned(),
        (None, None) => "an event met a response of the policy".to_owned(),
    };
    put(
        map,
        "finding_info",
        json!({
            "uid": id,
            "title": title,
            "desc": because.to_lossy(),
            "analytic": { "type_id": 1, "type": "Rule", "uid": RULE, "name": response },
            "first_seen_time_dt": rfc3339(*event_ns),
        }),
    );
    put(map, "is_alert", true);
    let mut own = Map::new();
    put(&mut own, "id", id);
    put(&mut own, "name", response);
    put(&mut own, "policy_version", policy_version.to_string());
    put(&mut own, "action", action);
    put(&mut own, "withheld", withheld);
    put_text(&mut own, "because", because);
    put(&mut own, "event_time_dt", rfc3339(*event_ns));
    put(&mut own, "repeated", repeated.to_string());
    map.insert("response".to_owned(), Value::Object(own));
    let (activity_id, activity_name) = (1, "Create");
    Kind { class_uid: 2004, class_name: "Detection Finding", activity_id, activity_name }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::ActionKind;
    use crate::event::Body;
    use crate::event::json::of_body;
    use crate::id::CommandId;

    #[test]
    fn what_was_done_and_what_was_withheld_are_told_apart() {
        let mut reacted = Reacted {
            id: CommandId(uuid::Uuid::from_u128(7)),
            response: "miner".to_owned(),
            policy_version: 3,
            action: Some(ActionKind::Isolate),
            withheld: None,
            because: "process 9 was started from /tmp/miner".into(),
            event_ns: 0,
            repeated: 2,
        };
        let json = of_body(Body::Response(Box::new(reacted.clone())));
        assert_eq!((&json["class"], &json["type_uid"]), (&json!("finding"), &json!(200_401)));
        assert_eq!(json["finding_info"]["analytic"]["uid"], RULE);
        assert_eq!(json["response"]["action"], "isolate");
        assert_eq!(json["response"]["repeated"], "2");
        (reacted.action, reacted.withheld) = (None, Some("too often".to_owned()));
        let json = of_body(Body::Response(Box::new(reacted)));
        assert_eq!(json["response"]["withheld"], "too often");
        assert!(json["response"].get("action").is_none());
    }
}
