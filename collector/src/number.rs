//! Numbers that may pass 2^53, as text in JSON: a reader that has only doubles would change them.

use serde::{Deserialize, Deserializer, Serializer, de};

/// Writes the number as text.
pub fn serialize<S: Serializer>(number: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(number)
}

/// Reads it back.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|error| de::Error::custom(format!("not a number as text: {error}")))
}
