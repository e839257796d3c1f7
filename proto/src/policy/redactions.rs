//! Which secrets an endpoint takes out of command lines and log lines before it signs them: the
//! client's own patterns, and which of the agent's own rules are switched off.

use std::collections::BTreeSet;

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

/// What a client's policy adds to the agent's own rules, and takes from them.
#[derive(Clone, Debug, Default, Eq, PartialEq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Redactions {
    /// Patterns beside the agent's own rules.
    #[n(0)]
    #[serde(default)]
    pub patterns: Vec<SecretPattern>,
    /// Names of the agent's own rules that do not apply.
    #[n(1)]
    #[serde(default)]
    pub off: Vec<String>,
}

/// What a secret of one kind looks like.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretPattern {
    /// The name that marks what it took out.
    #[n(0)]
    pub name: String,
    /// A regular expression (syntax of Rust's regex-lite: no look-around, no back-references). Its
    /// first group is taken out, or all that it matches where it has none.
    #[n(1)]
    pub regex: String,
    /// Characters that stand in every match; texts without them are not searched. Without it every
    /// text is, which costs the endpoint some hundred times the work.
    #[n(2)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub literal: Option<String>,
}

/// Why redactions are refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RedactionsError {
    /// More than an endpoint could try on every line.
    #[error("names {count} {what}; {count_max} is the most")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there are.
        count: usize,
        /// How many there may be.
        count_max: usize,
    },
    /// A name that would not be readable in a mark, or is there twice.
    #[error("names a redaction {0:?}; a name is 1 to 48 of a-z 0-9 - and there only once")]
    Name(String),
    /// An empty or overlong pattern.
    #[error("has a pattern {name:?} of {bytes} bytes; 1 to {bytes_max} are possible")]
    Pattern {
        /// Which.
        name: String,
        /// How long.
        bytes: usize,
        /// How long it may be.
        bytes_max: usize,
    },
}

impl Redactions {
    /// Patterns in one policy: each is tried on every text that has its literal.
    pub const PATTERNS_MAX: usize = 16;

    /// Rules switched off in one policy; the agent does not have more.
    pub const OFF_MAX: usize = 32;

    /// The name of a pattern or rule.
    pub const NAME_BYTES_MAX: usize = 48;

    /// A regular expression, or its literal.
    pub const REGEX_BYTES_MAX: usize = 512;

    /// Checks counts, names and lengths. Whether a pattern can be used only the agent can tell.
    pub fn check(&self) -> Result<(), RedactionsError> {
        let counts = [
            ("patterns", self.patterns.len(), Self::PATTERNS_MAX),
            ("rules to switch off", self.off.len(), Self::OFF_MAX),
        ];
        for (what, count, count_max) in counts {
            if count > count_max {
                return Err(RedactionsError::TooMany { what, count, count_max });
            }
        }
        let mut seen = BTreeSet::new();
        for name in self.patterns.iter().map(|pattern| &pattern.name).chain(&self.off) {
            if !is_name(name) || !seen.insert(name) {
                return Err(RedactionsError::Name(name.clone()));
            }
        }
        for SecretPattern { name, regex, literal } in &self.patterns {
            for text in [Some(regex), literal.as_ref()].into_iter().flatten() {
                let (bytes, bytes_max) = (text.len(), Self::REGEX_BYTES_MAX);
                if bytes == 0 || bytes > bytes_max {
                    let name = name.clone();
                    return Err(RedactionsError::Pattern { name, bytes, bytes_max });
                }
            }
        }
        Ok(())
    }
}

fn is_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=Redactions::NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(name: &str, regex: &str) -> SecretPattern {
        SecretPattern { name: name.to_owned(), regex: regex.to_owned(), literal: None }
    }

    #[track_caller]
    fn check(patterns: Vec<SecretPattern>, off: &[&str], says: &str) {
        let off = off.iter().map(|name| (*name).to_owned()).collect();
        let checked = Redactions { patterns, off }.check();
        assert_eq!(checked.map_or_else(|error| error.to_string(), |()| "fine".to_owned()), says);
    }

    #[test]
    fn what_an_endpoint_could_not_bear_is_refused() {
        check(vec![], &[], "fine");
        check(vec![pattern("badge", "B-[0-9]+")], &["jwt"], "fine");
        let many: Vec<_> = (0..17).map(|n| pattern(&format!("p{n}"), "x")).collect();
        check(many, &[], "names 17 patterns; 16 is the most");
        let name = |name| {
            format!(
                "names a redaction {name:?}; a name is 1 to 48 of a-z 0-9 - and there only once"
            )
        };
        check(vec![pattern("", "x")], &[], &name(""));
        check(vec![pattern("A b", "x")], &[], &name("A b"));
        check(vec![pattern("a", "x"), pattern("a", "y")], &[], &name("a"));
        check(vec![], &["jwt", "jwt"], &name("jwt"));
        let length = |bytes| format!("has a pattern \"a\" of {bytes} bytes; 1 to 512 are possible");
        check(vec![pattern("a", "")], &[], &length(0));
        check(vec![pattern("a", &"x".repeat(513))], &[], &length(513));
        let literal = Some(String::new());
        check(vec![SecretPattern { literal, ..pattern("a", "x") }], &[], &length(0));
    }
}
