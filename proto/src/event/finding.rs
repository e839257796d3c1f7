//! Something that should be looked at: a rule matched what was seen (OCSF Detection Finding, 2004).

use minicbor::{Decode, Encode};

use super::actor::Actor;
use crate::Text;

/// How many of what a finding counted.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub struct FindingCount {
    /// Of what: `renamed`.
    #[n(0)]
    pub name: String,
    /// How many.
    #[n(1)]
    pub count: u64,
}

/// A rule matched what was seen.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub struct Finding {
    /// The rule, always by the same name: `files.mass_change`.
    #[n(0)]
    pub rule: String,
    /// Tells this finding from others of its rule; the same in all that is said of it later.
    #[n(1)]
    pub uid: String,
    /// Whether it was told before and goes on.
    #[n(2)]
    pub repeated: bool,
    /// One sentence for a person.
    #[n(3)]
    pub title: String,
    /// What it rests on, and what it may be instead.
    #[n(4)]
    pub detail: String,
    /// MITRE ATT&CK techniques: `T1486`.
    #[n(5)]
    pub techniques: Vec<String>,
    /// Who did it, as far as is known.
    #[n(6)]
    pub actor: Option<Actor>,
    /// What was counted.
    #[n(7)]
    pub counts: Vec<FindingCount>,
    /// Some of the files that it is about.
    #[n(8)]
    pub paths: Vec<Text>,
    /// When the first of it was seen, nanoseconds since 1970 UTC.
    #[n(9)]
    pub first_ns: u64,
    /// When the last of it was seen, nanoseconds since 1970 UTC.
    #[n(10)]
    pub last_ns: u64,
}
