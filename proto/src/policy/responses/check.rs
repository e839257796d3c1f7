//! Whether responses can be, and whether the roster lets endpoints do by themselves what they say.

use std::collections::BTreeSet;

use super::{
    Comparison, Field, KINDS, LEASE_SECS_MAX, NAME_BYTES_MAX, PER_HOUR_MAX, RESPONSES_MAX,
    Reaction, Response, TESTS_MAX, Test, VALUE_BYTES_MAX,
};
use crate::command::{CommandFormError, LockAccount, StopService};
use crate::event::Class;
use crate::roster::Autonomy;

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
    /// A comparison that cannot be made.
    #[error(
        "has a response '{0}' that asks whether something is within '{1}'; only an address can be \
        within something, and that is a network: 192.0.2.0/24"
    )]
    Network(String, String),
    /// What the action is done to cannot be.
    #[error("has a response '{0}' whose action {1}")]
    Parameter(String, String),
    /// What others can write may not decide this.
    #[error(
        "has a response '{name}' that would {action} for events of class {class}; it may only \
        for: {may}"
    )]
    Class {
        /// Which response.
        name: String,
        /// What it would do.
        action: &'static str,
        /// For what.
        class: &'static str,
        /// What it may be done for.
        may: String,
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

/// Checks the form of responses, without knowing the roster.
pub fn check_form(responses: &[Response]) -> Result<(), ResponseError> {
    check(responses, Some(&any()))
}

/// Checks responses: their form, and that they stay within what the roster lets endpoints do by
/// themselves (none where it says nothing).
pub fn check(responses: &[Response], autonomy: Option<&Autonomy>) -> Result<(), ResponseError> {
    mistakes(responses, autonomy).next().map_or(Ok(()), Err)
}

/// All that is wrong with the form of responses, or, with a roster, with what they would do: the
/// first mistake of each.
pub fn mistakes<'a>(
    responses: &'a [Response],
    autonomy: Option<&'a Autonomy>,
) -> impl Iterator<Item = ResponseError> + 'a {
    let count = responses.len();
    let many = (count > RESPONSES_MAX).then_some(ResponseError::TooMany(count));
    let mut names = BTreeSet::new();
    let of_one = move |response: &'a Response| {
        let name = &response.name;
        let named = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let fits = (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(named);
        if !fits || !names.insert(name) {
            return Some(ResponseError::Name(name.clone()));
        }
        response.check(autonomy).err()
    };
    many.into_iter().chain(responses.iter().filter_map(of_one))
}

/// The most that any roster could allow.
#[must_use]
pub fn any() -> Autonomy {
    let actions = KINDS.to_vec();
    Autonomy { actions, lease_secs_max: LEASE_SECS_MAX, per_hour_max: PER_HOUR_MAX }
}

impl Response {
    fn check(&self, autonomy: Option<&Autonomy>) -> Result<(), ResponseError> {
        let class = self.check_tests()?;
        let per_hour = u64::from(self.per_hour_max);
        let Some(kind) = self.then.kind() else {
            return self.range("per_hour_max", per_hour, u64::from(PER_HOUR_MAX));
        };
        let (name, action) = (self.name.clone(), kind.name());
        if !self.then.classes().contains(&class) {
            let may: Vec<_> = self.then.classes().iter().map(|class| class.name()).collect();
            let (class, may) = (class.name(), may.join(", "));
            return Err(ResponseError::Class { name, action, class, may });
        }
        let kernel = |test: &Test| {
            test.field == Field::FindingRule
                && test.comparison == Comparison::Is
                && KERNEL_RULES.contains(&test.value.as_str())
        };
        if class == Class::Finding && !self.when.iter().any(kernel) {
            return Err(ResponseError::Rule { name, action });
        }
        self.check_object()
            .map_err(|why| ResponseError::Parameter(self.name.clone(), why.to_string()))?;
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

    /// Whether it can be tried; answers the class of its events.
    fn check_tests(&self) -> Result<Class, ResponseError> {
        let tests = || ResponseError::Tests(self.name.clone(), self.when.len());
        let class = self.class().ok_or_else(tests)?;
        let fits = |test: &Test| {
            test.field.class() == class && (1..=VALUE_BYTES_MAX).contains(&test.value.len())
        };
        if self.when.len() > TESTS_MAX || !self.when.iter().all(fits) {
            return Err(tests());
        }
        match self.when.iter().find(|test| !test.can_be()) {
            Some(test) => Err(ResponseError::Network(self.name.clone(), test.value.clone())),
            None => Ok(class),
        }
    }

    /// What policy itself names must be something that a command could name.
    fn check_object(&self) -> Result<(), CommandFormError> {
        match self.then.clone() {
            Reaction::LockAccount { user, end_sessions, lease_secs } => {
                LockAccount { user, end_sessions, lease_secs: Some(lease_secs) }.check()
            }
            Reaction::StopService { unit, disable, lease_secs } => {
                StopService { unit, disable, lease_secs: Some(lease_secs) }.check()
            }
            Reaction::Raise
            | Reaction::Isolate { .. }
            | Reaction::Kill { .. }
            | Reaction::Suspend { .. }
            | Reaction::Block { .. }
            | Reaction::Quarantine
            | Reaction::Deny { .. }
            | Reaction::BlockStorage { .. } => Ok(()),
        }
    }

    fn range(&self, what: &'static str, found: u64, max: u64) -> Result<(), ResponseError> {
        if (1..=max).contains(&found) {
            return Ok(());
        }
        Err(ResponseError::Range { name: self.name.clone(), what, found, max })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::ActionKind;

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
            "has a response 'one' that would isolate for events of class log; it may only for: \
             process, network, file, finding",
        );
        check_one(
            response(vec![test(Field::LoginUser, "root")], MINUTE),
            "has a response 'one' that would isolate for events of class authentication; it may only \
             for: process, network, file, finding",
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
    fn an_action_follows_only_what_it_can_be_done_to() {
        #[track_caller]
        fn check(field: Field, value: &str, then: Reaction, expected: bool) {
            let when = vec![test(field, value)];
            let (kind, answer) = (then.kind(), check_form(&[response(when, then)]));
            assert_eq!(answer.is_ok(), expected, "{kind:?} for {field:?}: {answer:?}");
        }
        let deny = || Reaction::Deny { lease_secs: 9 };
        check(Field::ProcessPath, "/x", deny(), true);
        check(Field::FilePath, "/x", deny(), false);
        check(Field::FileSha256, "ab", Reaction::Quarantine, true);
        check(Field::PeerPort, "1", Reaction::Quarantine, false);
        check(Field::DeviceKind, "disk", Reaction::BlockStorage { lease_secs: 9 }, true);
        check(Field::DeviceKind, "disk", MINUTE, false);
        let lock = |user: &str| {
            let (user, end_sessions) = (user.to_owned(), false);
            Reaction::LockAccount { user, end_sessions, lease_secs: 9 }
        };
        check(Field::ProcessPath, "/x", lock("bob"), true);
        check(Field::ProcessPath, "/x", lock("b:ob"), false);
        check(Field::LoginUser, "bob", lock("bob"), false);
        let stop = |unit: &str| {
            let (unit, disable) = (unit.to_owned(), false);
            Reaction::StopService { unit, disable, lease_secs: 9 }
        };
        check(Field::PeerPort, "1", stop("cups.service"), true);
        check(Field::PeerPort, "1", stop("cups"), false);
    }

    #[test]
    fn every_mistake_is_told_and_not_only_the_first() {
        let bad = |name: &str| Response {
            name: name.to_owned(),
            ..response(vec![test(Field::LogLine, "x")], MINUTE)
        };
        let all = [bad("a"), bad("b"), bad("b")];
        let said: Vec<_> = mistakes(&all, None).map(|one| one.to_string()).collect();
        assert_eq!(said.len(), 3, "{said:?}");
        assert!(said[2].contains("there only once"), "{said:?}");
    }

    #[test]
    fn only_addresses_are_within_networks() {
        let within = |field, value: &str| {
            let one = Test { comparison: Comparison::Within, ..test(field, value) };
            check_form(&[response(vec![one], Reaction::Raise)])
        };
        assert_eq!(within(Field::PeerAddress, "192.0.2.0/24"), Ok(()));
        assert_eq!(within(Field::LoginFrom, "2001:db8::/32"), Ok(()));
        for wrong in ["192.0.2.0", "192.0.2.0/33", "web/24", "192.0.2.0/"] {
            assert!(within(Field::PeerAddress, wrong).is_err(), "{wrong}");
        }
        assert!(within(Field::FilePath, "192.0.2.0/24").is_err());
    }
}
