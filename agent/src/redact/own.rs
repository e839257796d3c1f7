//! Patterns that a client's policy adds to the agent's own rules.

use std::ops::Range;

use cordon_proto::policy::SecretPattern;
use regex_lite::{Regex, RegexBuilder};

/// What one compiled pattern may take of memory.
const COMPILED_BYTES_MAX: usize = 64 << 10;

/// Why a pattern cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the redaction pattern '{name}' cannot be used: {cause}")]
pub struct PatternError {
    name: String,
    #[source]
    cause: regex_lite::Error,
}

/// A pattern, ready for use.
#[derive(Debug)]
pub(super) struct OwnPattern {
    name: String,
    literal: Option<String>,
    regex: Regex,
}

impl OwnPattern {
    pub(super) fn new(pattern: &SecretPattern) -> Result<Self, PatternError> {
        let SecretPattern { name, regex, literal } = pattern.clone();
        match RegexBuilder::new(&regex).size_limit(COMPILED_BYTES_MAX).build() {
            Ok(regex) => Ok(Self { name, literal, regex }),
            Err(cause) => Err(PatternError { name, cause }),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Finds all matches; the bytes that are not UTF-8 belong to none.
    pub(super) fn find(&self, text: &[u8], take: &mut dyn FnMut(Range<usize>)) {
        if !self.may_match(text) {
            return;
        }
        let mut start = 0;
        for chunk in text.utf8_chunks() {
            let valid = chunk.valid();
            for captures in self.regex.captures_iter(valid) {
                let found = captures.get(1).or_else(|| captures.get(0));
                if let Some(found) = found.filter(|found| !found.is_empty()) {
                    take(start + found.start()..start + found.end());
                }
            }
            start += valid.len() + chunk.invalid().len();
        }
    }

    fn may_match(&self, text: &[u8]) -> bool {
        let stands = |literal: &String| {
            text.windows(literal.len()).any(|window| window == literal.as_bytes())
        };
        self.literal.as_ref().is_none_or(stands)
    }
}
