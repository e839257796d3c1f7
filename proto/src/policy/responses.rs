//! What an endpoint does by itself when it sees something, with nobody asking: conditions on events,
//! the action, and how often at most.
//!
//! The roster bounds all of it ([`crate::roster::Autonomy`]); where it says nothing, an endpoint only
//! raises findings.

use std::collections::BTreeSet;

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::command::ActionKind;
use crate::event::Class;
use crate::roster::Autonomy;

/// What is read of an event.
#[derive(
    Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash, Encode, Decode, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum Field {
    /// The path a program was started by.
    #[n(0)]
    ProcessPath,
    /// The path with links and relative parts resolved.
    #[n(1)]
    ProcessResolvedPath,
    /// Its arguments, with spaces between them.
    #[n(2)]
    ProcessArguments,
    /// SHA-256 of its file, in hexadecimal.
    #[n(3)]
    ProcessSha256,
    /// The number of its user.
    #[n(4)]
    ProcessUid,
    /// The rule of a finding: `files.mass_change`.
    #[n(5)]
    FindingRule,
    /// The other side's address.
    #[n(6)]
    PeerAddress,
    /// The other side's port.
    #[n(7)]
    PeerPort,
    /// The port here.
    #[n(8)]
    LocalPort,
    /// The file that changed.
    #[n(9)]
    FilePath,
    /// The line of a log.
    #[n(10)]
    LogLine,
    /// Who logged in, or tried to.
    #[n(11)]
    LoginUser,
    /// From where.
    #[n(12)]
    LoginFrom,
    /// `success` or `failure`.
    #[n(13)]
    LoginStatus,
}

impl Field {
    /// The class of the events that have it.
    #[must_use]
    pub fn class(self) -> Class {
        match self {
            Self::ProcessPath
            | Self::ProcessResolvedPath
            | Self::ProcessArguments
            | Self::ProcessSha256
            | Self::ProcessUid => Class::Process,
            Self::FindingRule => Class::Finding,
            Self::PeerAddress | Self::PeerPort | Self::LocalPort => Class::Network,
            Self::FilePath => Class::File,
            Self::LogLine => Class::Log,
            Self::LoginUser | Self::LoginFrom | Self::LoginStatus => Class::Authentication,
        }
    }
}

/// How what was read is compared.
#[derive(
    Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash, Encode, Decode, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum Comparison {
    /// It is the same, byte for byte.
    #[n(0)]
    Is,
    /// It is something else.
    #[n(1)]
    IsNot,
    /// It begins so.
    #[n(2)]
    BeginsWith,
    /// It ends so.
    #[n(3)]
    EndsWith,
    /// It has this within.
    #[n(4)]
    Contains,
}

/// One thing that must be so. A field that an event does not have makes it false, whatever the
/// comparison.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Test {
    /// What is read.
    #[n(0)]
    pub field: Field,
    /// How it is compared.
    #[n(1)]
    pub comparison: Comparison,
    /// With what.
    #[n(2)]
    pub value: String,
}

/// What is done.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub enum Reaction {
    /// A finding is raised, and nothing else is done.
    #[n(0)]
    Raise,
    /// The endpoint is cut off from the network, unless policy calls it critical.
    #[n(1)]
    Isolate {
        /// For how long, in seconds of endpoint time.
        #[n(0)]
        lease_secs: u64,
    },
    /// The process that the event is about ends.
    #[n(2)]
    Kill {
        /// With all that it started.
        #[n(0)]
        tree: bool,
    },
    /// The process that the event is about stops where it is.
    #[n(3)]
    Suspend {
        /// With all that it started.
        #[n(0)]
        tree: bool,
        /// For how long, in seconds of endpoint time.
        #[n(1)]
        lease_secs: u64,
    },
    /// The other side's address is blocked, unless it is a gateway, a resolver, a collector or
    /// exempt. Who sends datagrams can forge the address they seem to come from.
    #[n(4)]
    Block {
        /// For how long, in seconds of endpoint time.
        #[n(0)]
        lease_secs: u64,
    },
}

impl Reaction {
    /// The action that it comes down to; none for a finding alone.
    #[must_use]
    pub fn kind(&self) -> Option<ActionKind> {
        match self {
            Self::Raise => None,
            Self::Isolate { .. } => Some(ActionKind::Isolate),
            Self::Kill { .. } => Some(ActionKind::Kill),
            Self::Suspend { .. } => Some(ActionKind::Suspend),
            Self::Block { .. } => Some(ActionKind::Block),
        }
    }

    /// How long it stands, where something does.
    #[must_use]
    pub fn lease_secs(&self) -> Option<u64> {
        match self {
            Self::Raise | Self::Kill { .. } => None,
            Self::Isolate { lease_secs }
            | Self::Suspend { lease_secs, .. }
            | Self::Block { lease_secs } => Some(*lease_secs),
        }
    }

    /// Whether it may be done for events of a class: what the kernel saw, or else anybody who can
    /// write a line into a log could have endpoints cut off. Of what logs say, only the address
    /// that somebody logs in from may be blocked.
    #[must_use]
    pub fn may_follow(&self, class: Class) -> bool {
        match self {
            Self::Raise => true,
            Self::Isolate { .. } | Self::Kill { .. } | Self::Suspend { .. } => {
                matches!(class, Class::Process | Class::Network | Class::File | Class::Finding)
            }
            Self::Block { .. } => matches!(class, Class::Network | Class::Authentication),
        }
    }
}

/// What an endpoint does by itself.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Response {
    /// Its name, in what is told of it.
    #[n(0)]
    pub name: String,
    /// What must be so of one event, all of it.
    #[n(1)]
    pub when: Vec<Test>,
    /// What is done then.
    #[n(2)]
    pub then: Reaction,
    /// How often in any hour of endpoint time, over restarts too; what is beyond raises a finding
    /// and does nothing.
    #[n(3)]
    pub per_hour_max: u32,
}

/// Rules of findings that rest on what the kernel saw, and on nothing that others can write.
pub const KERNEL_RULES: [&str; 1] = ["files.mass_change"];

/// Why responses are refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ResponseError {
    /// More than an endpoint could try on every event.
    #[error("has {0} responses; {max} is the most", max = RESPONSES_MAX)]
    TooMany(usize),
    /// A name that would not be readable, or is there twice.
    #[error("names a response {0:?}; a name is 1 to 48 of a-z 0-9 - and there only once")]
    Name(String),
    /// Tests that cannot be.
    #[error("has a response '{0}' with {1} tests; 1 to {max} are possible, all about one class of \
        events, each with a value of 1 to {bytes_max} bytes", max = TESTS_MAX, bytes_max = VALUE_BYTES_MAX)]
    Tests(String, usize),
    /// What others can write may not decide this.
    #[error("has a response '{name}' that would {action} for events of class {class:?}")]
    Class {
        /// Which response.
        name: String,
        /// What it would do.
        action: &'static str,
        /// For what.
        class: Class,
    },
    /// A finding may rest on anything; its rule must be one that rests on what the kernel saw.
    #[error("has a response '{name}' that would {action} for any finding; it must name its rule, by \
        'is' and one of: {rules}", rules = KERNEL_RULES.join(", "))]
    Rule {
        /// Which response.
        name: String,
        /// What it would do.
        action: &'static str,
    },
    /// The roster does not let it.
    #[error(
        "has a response '{name}' that would {action}, which the roster does not let endpoints \
        do by themselves"
    )]
    NotAllowed {
        /// Which response.
        name: String,
        /// What it would do.
        action: &'static str,
    },
    /// Over a bound.
    #[error("has a response '{name}' whose {what} is {found}; 1 to {max} is possible")]
    Range {
        /// Which response.
        name: String,
        /// Which number.
        what: &'static str,
        /// What it is.
        found: u64,
        /// The most.
        max: u64,
    },
}

/// Responses in one policy: each is tried on every event of its class.
pub const RESPONSES_MAX: usize = 32;
/// Tests of one response.
pub const TESTS_MAX: usize = 8;
/// A value to compare with.
pub const VALUE_BYTES_MAX: usize = 512;
/// The name of a response.
pub const NAME_BYTES_MAX: usize = 48;
/// How long what an endpoint does by itself may stand, whatever the roster says.
pub const LEASE_SECS_MAX: u64 = 3600;

/// How often in an hour one response may do something, whatever the roster says.
pub const PER_HOUR_MAX: u32 = 60;

/// Checks the form of responses, without knowing the roster.
pub fn check_form(responses: &[Response]) -> Result<(), ResponseError> {
    // The most that any roster could allow.
    let autonomy = Autonomy {
        actions: ActionKind::ALL.to_vec(),
        lease_secs_max: LEASE_SECS_MAX,
        per_hour_max: PER_HOUR_MAX,
    };
    check(responses, Some(&autonomy))
}

/// Checks responses: their form, and that they stay within what the roster lets endpoints do by
/// themselves (none where it says nothing).
pub fn check(responses: &[Response], autonomy: Option<&Autonomy>) -> Result<(), ResponseError> {
    if responses.len() > RESPONSES_MAX {
        return Err(ResponseError::TooMany(responses.len()));
    }
    let mut names = BTreeSet::new();
    for response in responses {
        let name = &response.name;
        let named = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let fits = (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(named);
        if !fits || !names.insert(name) {
            return Err(ResponseError::Name(name.clone()));
        }
        response.check(autonomy)?;
    }
    Ok(())
}

impl Response {
    /// The class of the events that it looks at.
    #[must_use]
    pub fn class(&self) -> Option<Class> {
        self.when.first().map(|test| test.field.class())
    }

    fn check(&self, autonomy: Option<&Autonomy>) -> Result<(), ResponseError> {
        let tests = || ResponseError::Tests(self.name.clone(), self.when.len());
        let class = self.class().ok_or_else(tests)?;
        let fits = |test: &Test| {
            test.field.class() == class && (1..=VALUE_BYTES_MAX).contains(&test.value.len())
        };
        if self.when.len() > TESTS_MAX || !self.when.iter().all(fits) {
            return Err(tests());
        }
        let per_hour = u64::from(self.per_hour_max);
        let Some(kind) = self.then.kind() else {
            return self.range("per_hour_max", per_hour, u64::from(PER_HOUR_MAX));
        };
        let (name, action) = (self.name.clone(), kind.name());
        if !self.then.may_follow(class) {
            return Err(ResponseError::Class { name, action, class });
        }
        let kernel = |test: &Test| {
            test.field == Field::FindingRule
                && test.comparison == Comparison::Is
                && KERNEL_RULES.contains(&test.value.as_str())
        };
        if class == Class::Finding && !self.when.iter().any(kernel) {
            return Err(ResponseError::Rule { name, action });
        }
        let allowed = autonomy.filter(|autonomy| autonomy.actions.contains(&kind));
        let Some(autonomy) = allowed else {
            return Err(ResponseError::NotAllowed { name, action });
        };
        let per_hour_max = autonomy.per_hour_max.min(PER_HOUR_MAX);
        self.range("per_hour_max", per_hour, u64::from(per_hour_max))?;
        match self.then.lease_secs() {
            Some(lease_secs) => {
                self.range("lease_secs", lease_secs, autonomy.lease_secs_max.min(LEASE_SECS_MAX))
            }
            None => Ok(()),
        }
    }

    fn range(&self, what: &'static str, found: u64, max: u64) -> Result<(), ResponseError> {
        if (1..=max).contains(&found) {
            return Ok(());
        }
        Err(ResponseError::Range { name: self.name.clone(), what, found, max })
    }
}

impl Test {
    /// Whether what was read is as it must be.
    #[must_use]
    pub fn holds(&self, found: &[u8]) -> bool {
        let value = self.value.as_bytes();
        match self.comparison {
            Comparison::Is => found == value,
            Comparison::IsNot => found != value,
            Comparison::BeginsWith => found.starts_with(value),
            Comparison::EndsWith => found.ends_with(value),
            Comparison::Contains => found.windows(value.len().max(1)).any(|window| window == value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test(field: Field, value: &str) -> Test {
        Test { field, comparison: Comparison::Is, value: value.to_owned() }
    }

    fn response(when: Vec<Test>, then: Reaction) -> Response {
        Response { name: "one".to_owned(), when, then, per_hour_max: 2 }
    }

    const MINUTE: Reaction = Reaction::Isolate { lease_secs: 60 };

    /// Under a roster that lets endpoints isolate for two minutes, twice an hour.
    #[track_caller]
    fn check_one(response: Response, says: &str) {
        let autonomy =
            Autonomy { actions: vec![ActionKind::Isolate], lease_secs_max: 120, per_hour_max: 2 };
        let answer = check(&[response], Some(&autonomy));
        assert_eq!(answer.map_or_else(|error| error.to_string(), |()| "yes".to_owned()), says);
    }

    #[test]
    fn nothing_is_done_that_the_roster_does_not_let_endpoints_do() {
        let path = || vec![test(Field::ProcessPath, "/tmp/x")];
        check_one(response(path(), MINUTE), "yes");
        check_one(
            response(path(), Reaction::Kill { tree: false }),
            "has a response 'one' that would kill, which the roster does not let endpoints do by \
             themselves",
        );
        check_one(
            response(path(), Reaction::Isolate { lease_secs: 121 }),
            "has a response 'one' whose lease_secs is 121; 1 to 120 is possible",
        );
        check_one(
            Response { per_hour_max: 3, ..response(path(), MINUTE) },
            "has a response 'one' whose per_hour_max is 3; 1 to 2 is possible",
        );
        let raise = [response(path(), Reaction::Raise)];
        assert_eq!(check(&raise, None), Ok(()), "raising findings needs nobody's leave");
        assert!(check(&[response(path(), MINUTE)], None).is_err());
    }

    #[test]
    fn what_others_can_write_cuts_nobody_off() {
        check_one(
            response(vec![test(Field::LogLine, "x")], MINUTE),
            "has a response 'one' that would isolate for events of class Log",
        );
        check_one(
            response(vec![test(Field::LoginUser, "root")], MINUTE),
            "has a response 'one' that would isolate for events of class Authentication",
        );
        check_one(
            response(vec![test(Field::FindingRule, "logs.many")], MINUTE),
            "has a response 'one' that would isolate for any finding; it must name its rule, by \
             'is' and one of: files.mass_change",
        );
        check_one(response(vec![test(Field::FindingRule, "files.mass_change")], MINUTE), "yes");
        let login =
            response(vec![test(Field::LoginUser, "root")], Reaction::Block { lease_secs: 9 });
        assert_eq!(check_form(&[login]), Ok(()));
    }

    #[test]
    fn the_form_is_bounded_whatever_the_roster_says() {
        let good = || response(vec![test(Field::ProcessPath, "/tmp/x")], MINUTE);
        assert_eq!(check_form(&[good()]), Ok(()));
        let bad = [
            Response { name: "Ä".to_owned(), ..good() },
            Response { when: Vec::new(), ..good() },
            Response { when: vec![test(Field::ProcessPath, "")], ..good() },
            Response { when: vec![test(Field::ProcessPath, "x"); TESTS_MAX + 1], ..good() },
            response(vec![test(Field::ProcessPath, "x"), test(Field::FilePath, "x")], MINUTE),
            response(good().when, Reaction::Isolate { lease_secs: LEASE_SECS_MAX + 1 }),
            Response { per_hour_max: PER_HOUR_MAX + 1, ..good() },
            Response { per_hour_max: 0, ..response(good().when, Reaction::Raise) },
        ];
        for response in bad {
            assert!(check_form(std::slice::from_ref(&response)).is_err(), "{response:?}");
        }
        assert!(check_form(&[good(), good()]).is_err(), "two of one name");
        let many = |number| Response { name: format!("r{number}"), ..good() };
        let many: Vec<_> = (0..=RESPONSES_MAX).map(many).collect();
        assert_eq!(check_form(&many), Err(ResponseError::TooMany(RESPONSES_MAX + 1)));
    }

    #[test]
    fn bytes_are_compared_as_they_are() {
        let holds = |comparison, found: &str| {
            Test { comparison, ..test(Field::ProcessPath, "/tmp/") }.holds(found.as_bytes())
        };
        assert!(holds(Comparison::Is, "/tmp/") && !holds(Comparison::Is, "/tmp/x"));
        assert!(holds(Comparison::IsNot, "/tmp/x") && !holds(Comparison::IsNot, "/tmp/"));
        assert!(
            holds(Comparison::BeginsWith, "/tmp/x") && !holds(Comparison::BeginsWith, "/var/tmp/")
        );
        assert!(holds(Comparison::EndsWith, "/var/tmp/") && !holds(Comparison::EndsWith, "/tmp/x"));
        assert!(holds(Comparison::Contains, "/var/tmp/x") && !holds(Comparison::Contains, "/tmp"));
    }
}
