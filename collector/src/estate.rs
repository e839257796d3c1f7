//! What people know of a client's machines: the sites they stand at, what they are for, how much
//! hangs on them. Pure.
//!
//! It helps people to find and to weigh. What an endpoint obeys is decided by signed policy alone.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Longest name of a site, and longest label.
pub const WORD_BYTES_MAX: usize = 64;

/// Longest title of a site, and longest role of an endpoint.
pub const TEXT_BYTES_MAX: usize = 128;

/// Labels of one endpoint.
pub const LABELS_MAX: usize = 32;

/// Sites of one client.
pub const SITES_MAX: usize = 1000;

/// Why something that people say of a machine cannot be taken.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum EstateError {
    /// A name or a label.
    #[error(
        "'{0}' is not a word of 1 to {WORD_BYTES_MAX} of a-z, 0-9 and . _ - : / =, beginning with a \
         letter or a digit"
    )]
    Word(String),
    /// A title or a role.
    #[error("a text is too long, or has control characters; it may have {TEXT_BYTES_MAX} bytes")]
    Text,
    /// A time zone.
    #[error("'{0}' is not the name of a time zone, such as UTC or Europe/Vienna")]
    TimeZone(String),
    /// A criticality.
    #[error("'{0}' is not a criticality; known are low, normal, high, critical")]
    Criticality(String),
    /// Too many labels.
    #[error("{0} labels are too many; {LABELS_MAX} is the most")]
    Labels(usize),
}

/// The name of a site, or a label: lower case, no spaces, so that it can be typed.
#[derive(Clone, Debug, Eq, PartialEq, Ord, PartialOrd, Hash, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String")]
pub struct Word(String);

impl Word {
    /// The word.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Word {
    type Err = EstateError;
    fn from_str(text: &str) -> Result<Self, EstateError> {
        text.to_owned().try_into()
    }
}

impl TryFrom<String> for Word {
    type Error = EstateError;
    fn try_from(text: String) -> Result<Self, EstateError> {
        let plain = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let fits = |byte: u8| plain(&byte) || b"._-:/=".contains(&byte);
        let good = text.len() <= WORD_BYTES_MAX
            && text.as_bytes().first().is_some_and(plain)
            && text.bytes().all(fits);
        if good { Ok(Self(text)) } else { Err(EstateError::Word(short(&text))) }
    }
}

/// How much hangs on a machine, as people see it; what signed policy calls critical is its own.
#[derive(
    Clone, Copy, Debug, Default, Eq, PartialEq, Ord, PartialOrd, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Criticality {
    /// It will not be missed.
    Low,
    /// As most are.
    #[default]
    Normal,
    /// Its loss is felt.
    High,
    /// Business stops without it.
    Critical,
}

impl Criticality {
    /// All, the least first.
    pub const ALL: [Self; 4] = [Self::Low, Self::Normal, Self::High, Self::Critical];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

impl FromStr for Criticality {
    type Err = EstateError;
    fn from_str(text: &str) -> Result<Self, EstateError> {
        let named = Self::ALL.into_iter().find(|one| one.name() == text);
        named.ok_or_else(|| EstateError::Criticality(short(text)))
    }
}

/// A place of a client.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Site {
    /// Its name, unique at the client.
    pub name: Word,
    /// What people call it.
    pub title: String,
    /// Its time zone, by its name in the tz database.
    pub time_zone: String,
    /// When it was made.
    pub made_ns: u64,
}

/// What people say of an endpoint.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Note {
    /// Where it stands.
    pub site: Option<Word>,
    /// Words to find it by.
    pub labels: BTreeSet<Word>,
    /// How much hangs on it.
    pub criticality: Criticality,
    /// What it is for; empty where nobody said.
    pub role: String,
    /// Grows with every change; 0 where nobody said anything.
    pub revision: u64,
}

/// Checks a title or a role.
pub fn text(text: String) -> Result<String, EstateError> {
    let good = text.len() <= TEXT_BYTES_MAX && !text.chars().any(char::is_control);
    if good { Ok(text) } else { Err(EstateError::Text) }
}

/// Checks the form of a time zone's name; whether there is such a place is not known here.
pub fn time_zone(text: String) -> Result<String, EstateError> {
    let part = |part: &str| {
        part.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic())
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+-".contains(&byte))
    };
    let good = text.len() <= WORD_BYTES_MAX && text.split('/').all(part);
    if good { Ok(text) } else { Err(EstateError::TimeZone(short(&text))) }
}

/// Checks how many labels there are.
pub fn labels(labels: BTreeSet<Word>) -> Result<BTreeSet<Word>, EstateError> {
    if labels.len() > LABELS_MAX { Err(EstateError::Labels(labels.len())) } else { Ok(labels) }
}

fn short(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, good: bool) {
        assert_eq!(text.parse::<Word>().is_ok(), good, "{text:?}");
    }

    #[test]
    fn a_word_can_be_typed_and_stand_in_an_address() {
        for good in ["hq", "env=prod", "rack/12", "a", "0:1", &"a".repeat(64)] {
            check(good, true);
        }
        for bad in ["", "HQ", "a b", "-a", "é", "a\n", "a,b", &"a".repeat(65)] {
            check(bad, false);
        }
    }

    #[test]
    fn a_time_zone_has_the_form_of_one() {
        for good in ["UTC", "Europe/Vienna", "America/Argentina/Buenos_Aires", "Etc/GMT+8"] {
            assert!(time_zone(good.to_owned()).is_ok(), "{good}");
        }
        for bad in ["", "/", "../../etc/passwd", "Europe/", "+02:00", "a b"] {
            assert!(time_zone(bad.to_owned()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_text_is_one_line_and_bounded() {
        assert_eq!(text("domain controller".to_owned()).as_deref(), Ok("domain controller"));
        assert_eq!(text("a\nb".to_owned()), Err(EstateError::Text));
        assert_eq!(text("a".repeat(TEXT_BYTES_MAX + 1)), Err(EstateError::Text));
    }

    #[test]
    fn names_of_criticalities_are_read_back() {
        for one in Criticality::ALL {
            assert_eq!(one.name().parse(), Ok(one));
        }
        assert!("dire".parse::<Criticality>().is_err());
    }
}
