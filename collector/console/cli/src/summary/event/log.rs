//! Lines of logs and of the journal in one line.

use serde_json::Value;

use super::{first, word};

pub(super) fn summary(event: &Value) -> String {
    let file = first(event, &["/log_file/path", "/file/path"]);
    let place = if file.is_empty() {
        let unit = first(event, &["/journal/unit", "/journal/identifier"]);
        format!("journal {unit}").trim_end().to_owned()
    } else {
        file
    };
    format!("{place}: {}", word(event, "/raw_data"))
}
