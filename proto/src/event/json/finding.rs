//! Findings as JSON: OCSF Detection Finding.

use serde_json::{Map, Value, json};

use super::file::process;
use super::{Kind, put, put_text};
use crate::event::finding::Finding;
use crate::time::rfc3339;

/// OCSF Detection Finding; its rule is the analytic.
pub(super) fn fields(finding: &Finding, map: &mut Map<String, Value>) -> Kind {
    let Finding { rule, uid, repeated, title, detail, techniques, actor, counts, paths, .. } =
        finding;
    let attacks: Vec<Value> =
        techniques.iter().map(|uid| json!({ "technique": { "uid": uid } })).collect();
    put(
        map,
        "finding_info",
        json!({
            "uid": uid,
            "title": title,
            "desc": detail,
            "analytic": { "type_id": 1, "type": "Rule", "uid": rule },
            "attacks": attacks,
            "first_seen_time_dt": rfc3339(finding.first_ns),
            "last_seen_time_dt": rfc3339(finding.last_ns),
        }),
    );
    put(map, "is_alert", true);
    let actor = actor.as_ref().map(process);
    put(map, "actor", actor.map(|process| json!({ "process": process })));
    let evidence = paths.iter().map(|path| {
        let mut file = Map::new();
        put_text(&mut file, "path", path);
        json!({ "file": file })
    });
    put(map, "evidences", evidence.collect::<Vec<_>>());
    let named = counts.iter().map(|count| (count.name.clone(), json!(count.count.to_string())));
    map.insert("counts".to_owned(), Value::Object(named.collect()));
    let (activity_id, activity_name) = if *repeated { (2, "Update") } else { (1, "Create") };
    Kind { class_uid: 2004, class_name: "Detection Finding", activity_id, activity_name }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Body;
    use crate::event::actor::Actor;
    use crate::event::finding::FindingCount;
    use crate::event::json::of_body;

    #[test]
    fn a_finding_names_its_rule_its_process_and_its_evidence() {
        let finding = Finding {
            rule: "files.mass_change".to_owned(),
            uid: "f-1".to_owned(),
            repeated: true,
            title: "files are being encrypted".to_owned(),
            detail: "because".to_owned(),
            techniques: vec!["T1486".to_owned()],
            actor: Some(Actor { pid: 9, image: Some("/tmp/x".into()), ..Actor::default() }),
            counts: vec![FindingCount { name: "renamed".to_owned(), count: 12 }],
            paths: vec!["/home/a".into()],
            first_ns: 0,
            last_ns: 1,
        };
        let json = of_body(Body::Finding(Box::new(finding)));
        assert_eq!(json["type_uid"], 200_402);
        assert_eq!(json["category_uid"], 2);
        assert_eq!(json["finding_info"]["attacks"][0]["technique"]["uid"], "T1486");
        assert_eq!(json["actor"]["process"]["file"]["path"], "/tmp/x");
        assert_eq!(json["evidences"][0]["file"]["path"], "/home/a");
        assert_eq!(json["counts"]["renamed"], "12");
    }
}
