//! What differs between two signed documents, field by field and in words. Pure.

use std::collections::BTreeMap;

use cordon_proto::policy::Policy;
use cordon_proto::roster::{OperatorKey, Roster};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

/// One difference.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, ToSchema)]
pub struct Difference {
    /// Where: `operators.ann.roles`.
    pub field: String,
    /// In words.
    pub words: String,
    /// What it was; null for nothing.
    #[schema(value_type = Value)]
    pub before: Value,
    /// What it is; null for nothing.
    #[schema(value_type = Value)]
    pub after: Value,
}

/// A document as fields that can be held against each other; what has a name is under it, so that
/// one more does not move the others.
type Fields = BTreeMap<String, Value>;

/// What differs from one roster to another.
#[must_use]
pub fn of_rosters(before: Option<&Roster>, after: &Roster) -> Vec<Difference> {
    differences(&before.map(roster_fields).unwrap_or_default(), &roster_fields(after))
}

/// What differs from one policy to another.
#[must_use]
pub fn of_policies(before: Option<&Policy>, after: &Policy) -> Vec<Difference> {
    differences(&before.map(policy_fields).unwrap_or_default(), &policy_fields(after))
}

fn differences(before: &Fields, after: &Fields) -> Vec<Difference> {
    let names = before.keys().chain(after.keys().filter(|name| !before.contains_key(*name)));
    let mut names: Vec<&String> = names.collect();
    names.sort();
    let find = |fields: &Fields, name: &str| fields.get(name).cloned().unwrap_or_default();
    let found = names.into_iter().filter_map(|name| {
        let (before, after) = (find(before, name), find(after, name));
        let words = words(name, &before, &after);
        (before != after).then(|| Difference { field: name.clone(), words, before, after })
    });
    found.collect()
}

fn words(field: &str, before: &Value, after: &Value) -> String {
    match (before, after) {
        (Value::Null, after) => format!("{field} is new: {}", shown(after)),
        (before, Value::Null) => format!("{field} is taken away; it was {}", shown(before)),
        (before, after) => format!("{field} becomes {}; it was {}", shown(after), shown(before)),
    }
}

/// A value in a sentence.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(members) if members.is_empty() => "none".to_owned(),
        Value::Array(members) => members.iter().map(shown).collect::<Vec<_>>().join(", "),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.to_string(),
    }
}

fn roster_fields(roster: &Roster) -> Fields {
    let mut fields = Fields::new();
    let mut put = |name: String, value: Value| {
        fields.insert(name, value);
    };
    put("version".to_owned(), json!(roster.version));
    for operator in &roster.operators {
        let id = &operator.id;
        put(format!("operators.{id}.roles"), json!(operator.roles));
        let keys: Vec<_> = operator.keys.iter().map(key_words).collect();
        put(format!("operators.{id}.keys"), json!(keys));
        let sealing = operator.sealing.map(|key| key.id().to_string());
        put(format!("operators.{id}.break_glass"), json!(sealing));
    }
    for grant in &roster.grants {
        let (action, role) = (grant.action.name(), grant.role.name());
        let name = format!("grants.{action}.{role}.{}_approvals.endpoints_max", grant.approvals);
        put(name, json!(grant.targets_max));
    }
    let ceilings = &roster.ceilings;
    put("ceilings.lease_secs_max".to_owned(), json!(ceilings.lease_secs_max));
    put("ceilings.exemptions_max".to_owned(), json!(ceilings.exemptions_max));
    put("ceilings.policy_min".to_owned(), json!(ceilings.policy_min));
    if let Some(autonomy) = &ceilings.autonomy {
        let actions: Vec<_> = autonomy.actions.iter().map(|action| action.name()).collect();
        put("ceilings.autonomy.actions".to_owned(), json!(actions));
        put("ceilings.autonomy.lease_secs_max".to_owned(), json!(autonomy.lease_secs_max));
        put("ceilings.autonomy.per_hour_max".to_owned(), json!(autonomy.per_hour_max));
    }
    put("ca_pins".to_owned(), json!(roster.ca_pins));
    put("collectors".to_owned(), json!(roster.collectors));
    fields
}

fn policy_fields(policy: &Policy) -> Fields {
    let mut fields = Fields::new();
    fields.insert("version".to_owned(), json!(policy.version));
    for one in &policy.exemptions {
        let transport = json!(one.transport);
        let transport = transport.as_str().unwrap_or_default();
        let name = format!("exemptions.{} port {} {transport}", one.address, one.port);
        // Two for the same place differ in the user.
        let users = fields.entry(name).or_insert_with(|| json!([]));
        if let Value::Array(users) = users {
            users.push(json!(one.user.as_deref().unwrap_or("everybody")));
        }
    }
    for endpoint in &policy.critical {
        fields.insert(format!("critical.{endpoint}"), json!(true));
    }
    for path in policy.protected.iter().flatten() {
        fields.insert(format!("protected.{}", path.to_lossy()), json!(true));
    }
    for response in policy.responses.iter().flatten() {
        fields.insert(format!("responses.{}", response.name), json!(response));
    }
    if let Some(redactions) = &policy.redactions {
        fields.insert("redactions".to_owned(), json!(redactions));
    }
    fields
}

fn key_words(key: &OperatorKey) -> String {
    match key {
        OperatorKey::File(_) => format!("file {}", key.id()),
        OperatorKey::Passkey { rp_id, .. } => format!("passkey {} at {rp_id}", key.id()),
    }
}

#[cfg(test)]
mod tests {
    use cordon_proto::command::ActionKind;
    use cordon_proto::policy::{Exemption, Transport};
    use cordon_proto::roster::{Grant, Operator, Role};

    use super::*;

    fn roster(operators: &[(&str, Role)], targets_max: u32) -> Roster {
        let operator = |(name, role): &(&str, Role)| Operator {
            id: name.parse().unwrap(),
            keys: vec![],
            roles: vec![*role],
            sealing: None,
        };
        let (action, role) = (ActionKind::Isolate, Role::Responder);
        Roster {
            operators: operators.iter().map(operator).collect(),
            grants: vec![Grant { action, role, approvals: 1, targets_max }],
            ..Roster::new("acme".parse().unwrap(), u64::from(targets_max))
        }
    }

    #[track_caller]
    fn check(found: &[Difference], words: &[&str]) {
        assert_eq!(found.iter().map(|one| one.words.as_str()).collect::<Vec<_>>(), words);
    }

    #[test]
    fn rosters_differ_by_person_and_by_row_wherever_they_stand_in_the_list() {
        let before = roster(&[("eve", Role::Viewer), ("ann", Role::Responder)], 1);
        let after = roster(&[("ann", Role::Administrator), ("bob", Role::Viewer)], 5);
        check(
            &of_rosters(Some(&before), &after),
            &[
                "grants.isolate.responder.1_approvals.endpoints_max becomes 5; it was 1",
                "operators.ann.roles becomes administrator; it was responder",
                "operators.bob.keys is new: none",
                "operators.bob.roles is new: viewer",
                "operators.eve.keys is taken away; it was none",
                "operators.eve.roles is taken away; it was viewer",
                "version becomes 5; it was 1",
            ],
        );
        check(&of_rosters(Some(&after), &after), &[]);
    }

    #[test]
    fn policies_differ_by_what_they_name() {
        let exemption = |port| Exemption {
            address: "192.0.2.1".parse().unwrap(),
            port,
            transport: Transport::Tcp,
            process: None,
            user: None,
        };
        let policy = |version, port| Policy {
            exemptions: vec![exemption(port)],
            ..Policy::new("acme".parse().unwrap(), version)
        };
        check(
            &of_policies(Some(&policy(1, 22)), &policy(2, 443)),
            &[
                "exemptions.192.0.2.1 port 22 tcp is taken away; it was everybody",
                "exemptions.192.0.2.1 port 443 tcp is new: everybody",
                "version becomes 2; it was 1",
            ],
        );
        assert_eq!(of_policies(None, &policy(1, 22)).len(), 2);
    }
}
