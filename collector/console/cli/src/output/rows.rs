//! Rows of an answer as a table, as comma-separated values, or as JSON. Pure.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cordon_proto::query::{Row, Value};
use serde_json::{Map, json};

use super::text;

/// Numbers beyond this are strings in JSON: readers there count in 64-bit floats.
const JSON_NUMBER_MAX: u64 = 1 << 53;

/// A value in one line; foreign text is escaped where it is shown.
#[must_use]
pub fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Integer(number) => number.to_string(),
        Value::Real(number) => number.to_string(),
        Value::Text(text) => text.clone(),
        Value::Bytes(bytes) => bytes.escape_ascii().to_string(),
    }
}

/// A line of comma-separated values (RFC 4180), harmless on a terminal.
#[must_use]
pub fn csv<'v>(values: impl IntoIterator<Item = &'v str>) -> String {
    let quoted = values.into_iter().map(|value| {
        let value = text::plain_lines(value);
        if value.contains([',', '"', '\n']) {
            format!("\"{}\"", value.replace('"', "\"\""))
        } else {
            value.into_owned()
        }
    });
    quoted.collect::<Vec<_>>().join(",")
}

/// A row as a JSON object. Of two columns with one name the second gets a number; bytes are text as
/// far as they are, with an exact twin in base64.
#[must_use]
pub fn object(columns: &[String], row: &Row) -> Map<String, serde_json::Value> {
    let mut map = Map::new();
    for (column, value) in columns.iter().zip(row) {
        let mut name = column.clone();
        let mut number = 2;
        while map.contains_key(&name) {
            name = format!("{column}_{number}");
            number += 1;
        }
        let shown = match value {
            Value::Null => serde_json::Value::Null,
            Value::Integer(number) if number.unsigned_abs() > JSON_NUMBER_MAX => {
                json!(number.to_string())
            }
            Value::Integer(number) => json!(number),
            Value::Real(number) => json!(number),
            Value::Text(text) => json!(text),
            Value::Bytes(bytes) => {
                map.insert(format!("{name}_b64"), json!(STANDARD.encode(bytes)));
                json!(String::from_utf8_lossy(bytes))
            }
        };
        map.insert(name, shown);
    }
    map
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_with_commas_quotes_and_lines_are_quoted_and_controls_escaped() {
        assert_eq!(
            csv(["a", "b,c", "say \"no\"", "x\ny"]),
            "a,\"b,c\",\"say \"\"no\"\"\",\"x\ny\""
        );
        assert_eq!(csv(["\u{1b}[31m", ""]), "\\u{1b}[31m,");
    }

    #[test]
    fn a_row_is_an_object_with_exact_numbers_and_bytes() {
        let columns = ["n", "n", "big", "b", "none"].map(str::to_owned);
        let row = vec![
            Value::Integer(1),
            Value::Real(0.5),
            Value::Integer(i64::MAX),
            Value::Bytes(vec![0xff]),
            Value::Null,
        ];
        let expected = json!({
            "n": 1, "n_2": 0.5, "big": "9223372036854775807",
            "b": "\u{fffd}", "b_b64": "/w==", "none": null,
        });
        assert_eq!(json!(object(&columns, &row)), expected);
    }

    #[test]
    fn bytes_are_shown_as_far_as_they_are_text() {
        assert_eq!(cell(&Value::Bytes(b"caf\xe9".to_vec())), "caf\\xe9");
        assert_eq!(cell(&Value::Null), "");
    }
}
