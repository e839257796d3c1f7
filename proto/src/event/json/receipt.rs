//! Answers about actions as JSON: a class of our own extension.

use serde_json::{Map, Value, json};

use super::{Kind, put};
use crate::event::receipt::{Outcome, Receipt};

/// Action Receipt of our own extension.
pub(super) fn fields(receipt: &Receipt, map: &mut Map<String, Value>) -> Kind {
    put(map, "receipt", receipt_json(receipt));
    Kind::own(4, "Action Receipt", outcome_activity(&receipt.outcome))
}

/// A receipt as JSON; the collector shows the same beside the five facts.
#[must_use]
pub fn receipt_json(receipt: &Receipt) -> Value {
    let mut map = outcome_json(&receipt.outcome);
    put(&mut map, "command", receipt.command);
    put(&mut map, "command_hash", receipt.command_hash);
    put(&mut map, "action", receipt.action);
    put(&mut map, "endpoint_secs", receipt.endpoint_secs);
    put(&mut map, "repeated", receipt.repeated);
    put(&mut map, "outcome", receipt.outcome.name());
    Value::Object(map)
}

fn outcome_activity(outcome: &Outcome) -> (u32, &'static str) {
    match outcome {
        Outcome::Refused { .. } => (1, "Refused"),
        Outcome::Accepted { .. } => (2, "Accepted"),
        Outcome::Applied { .. } => (3, "Applied"),
        Outcome::Proved(_) => (4, "Proved"),
        Outcome::Unproved(_) => (5, "Unproved"),
        Outcome::Drifted { .. } => (6, "Drifted"),
        Outcome::Failed { .. } => (7, "Failed"),
        Outcome::Ended { .. } => (8, "Ended"),
        Outcome::Answered { .. } => (9, "Answered"),
        Outcome::Observed { .. } => (10, "Observed"),
        Outcome::Partial { .. } => (11, "Partial"),
        Outcome::Snapshot { .. } => (12, "Snapshot"),
    }
}

fn outcome_json(outcome: &Outcome) -> Map<String, Value> {
    let value = match outcome {
        Outcome::Refused { check, reason } => json!({ "check": check, "reason": reason }),
        Outcome::Accepted { signers } => json!({ "signers": signers }),
        Outcome::Applied { change_us, until_secs, stood_already } => {
            json!({ "change_us": change_us, "until_secs": until_secs, "stood_already": stood_already })
        }
        Outcome::Proved(proof) | Outcome::Unproved(proof) => json!({ "proof": proof }),
        Outcome::Drifted { found, reapplied } => json!({ "found": found, "reapplied": reapplied }),
        Outcome::Failed { reason } => json!({ "reason": reason }),
        Outcome::Ended { cause, observed_gone } => {
            json!({ "cause": cause, "observed_gone": observed_gone })
        }
        Outcome::Answered { rows, summary, cut, error, took_ms } => json!({
            "rows": rows,
            "summary": summary,
            "cut": cut,
            "error": error,
            "took_ms": took_ms,
        }),
        Outcome::Observed { probes } => json!({ "probes": probes }),
        Outcome::Partial { done, missing } => json!({ "done": done, "missing": missing }),
        Outcome::Snapshot { state, waited_us, detail } => {
            json!({ "state": state, "waited_us": waited_us, "detail": detail })
        }
    };
    match value {
        Value::Object(map) => map,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Map::new()
        }
    }
}
