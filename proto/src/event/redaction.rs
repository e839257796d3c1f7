//! Secrets taken out of what a sensor saw, before it was signed: by which rule, and how much.

use minicbor::{Decode, Encode};
use serde::Serialize;

/// What stands in place of a secret.
pub const REPLACEMENT: &str = "[redacted]";

/// What one rule took out of one text.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode, Serialize)]
pub struct Redaction {
    /// The rule's name.
    #[n(0)]
    pub rule: String,
    /// How many secrets.
    #[n(1)]
    pub times: u32,
    /// Their bytes in all; each secret is now [`REPLACEMENT`].
    #[n(2)]
    pub bytes: u64,
}

/// How long a text was before secrets were taken out of it.
#[must_use]
pub fn length_before(length: usize, redacted: Option<&[Redaction]>) -> u64 {
    let mut before = u64::try_from(length).unwrap_or(u64::MAX);
    for Redaction { times, bytes, .. } in redacted.unwrap_or_default() {
        let inserted = u64::from(*times).saturating_mul(REPLACEMENT.len() as u64);
        before = before.saturating_add(*bytes).saturating_sub(inserted);
    }
    before
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_before_counts_secrets_and_not_what_stands_for_them() {
        let redacted = [Redaction { rule: "jwt".to_owned(), times: 2, bytes: 7 }];
        let after = "a=[redacted] b=[redacted]".len();
        assert_eq!(length_before(after, Some(&redacted)), "a=123 b=4567".len() as u64);
        assert_eq!(length_before(3, None), 3);
    }
}
