//! Dropped events as JSON: a class of our own extension.

use serde_json::{Map, Value, json};

use super::{Kind, put};
use crate::event::Gap;
use crate::time::rfc3339;

/// Event Gap of our own extension.
pub(super) fn fields(gap: &Gap, map: &mut Map<String, Value>) -> Kind {
    put(map, "gap", gap_json(gap));
    Kind::own(3, "Event Gap", (1, "Dropped"))
}

fn gap_json(gap: &Gap) -> Value {
    let sealed = gap.sealed.map(|range| {
        json!({
            "lane": range.lane,
            "epoch": range.epoch,
            "first": range.first.to_string(),
            "last": range.last.to_string(),
            "head": range.head,
        })
    });
    json!({
        "reason": gap.reason,
        "counts": gap.counts,
        "from_dt": rfc3339(gap.from_ns),
        "to_dt": rfc3339(gap.to_ns),
        "sealed": sealed,
        "detail": gap.detail,
    })
}
