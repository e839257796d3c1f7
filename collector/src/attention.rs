//! Why somebody should look at an endpoint, the gravest reason first. Pure.
//!
//! It is decided from what the state keeps beside each endpoint, so that all endpoints of all clients
//! can be filtered and counted by it. What needs a person of containments and commands is told with
//! those.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::presence::{self, Condition, Silence};

/// A reason to look at an endpoint; the gravest are the least.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Need {
    /// The agent ended without a word.
    AgentDead,
    /// Another machine was noticed to share its key.
    Cloned,
    /// Nothing comes any more, and nothing was said.
    NetworkLost,
    /// A sensor sees nothing.
    Blinded,
    /// A sensor says that it runs, and does not show it.
    Stalled,
    /// Somebody stopped the agent, and the machine goes on.
    Stopped,
    /// It gives something up in order to stay within its budget.
    OverBudget,
    /// Its wall clock differs from the collector's.
    ClockWrong,
}

impl Need {
    /// All, the gravest first.
    pub const ALL: [Self; 8] = [
        Self::AgentDead,
        Self::Cloned,
        Self::NetworkLost,
        Self::Blinded,
        Self::Stalled,
        Self::Stopped,
        Self::OverBudget,
        Self::ClockWrong,
    ];

    /// Its name in the API and in the store.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::AgentDead => "agent_dead",
            Self::Cloned => "cloned",
            Self::NetworkLost => "network_lost",
            Self::Blinded => "blinded",
            Self::Stalled => "stalled",
            Self::Stopped => "stopped",
            Self::OverBudget => "over_budget",
            Self::ClockWrong => "clock_wrong",
        }
    }

    /// Its place among all, the gravest at nought.
    #[must_use]
    pub fn rank(self) -> u64 {
        self as u64
    }

    fn of_silence(silence: Silence) -> Option<Self> {
        match silence {
            Silence::AgentDead => Some(Self::AgentDead),
            Silence::NetworkLost => Some(Self::NetworkLost),
            Silence::Stopped => Some(Self::Stopped),
            // They said so, or it was the collector's doing.
            Silence::Off | Silence::Asleep | Silence::Unheard => None,
        }
    }

    fn of_condition(condition: &Condition) -> Self {
        match condition {
            Condition::Blinded { .. } => Self::Blinded,
            Condition::Stalled { .. } => Self::Stalled,
            Condition::OverBudget { .. } => Self::OverBudget,
            Condition::ClockWrong { .. } => Self::ClockWrong,
        }
    }

    fn bit(self) -> u8 {
        1 << (self as u8)
    }
}

/// A set of reasons.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Needs(u8);

impl Needs {
    /// What is wrong with an endpoint, connected or not.
    #[must_use]
    pub fn of_conditions(conditions: &[Condition]) -> Self {
        conditions.iter().map(Need::of_condition).fold(Self::default(), Self::with)
    }

    /// The set with one reason more.
    #[must_use]
    pub fn with(self, need: Need) -> Self {
        Self(self.0 | need.bit())
    }

    /// The set with what the endpoint's silence adds, what its clock and what its clones.
    #[must_use]
    pub fn and(self, silence: Option<Silence>, clock_offset_ns: i64, is_cloned: bool) -> Self {
        let clock = presence::is_clock_wrong(clock_offset_ns).then_some(Need::ClockWrong);
        let more = [silence.and_then(Need::of_silence), clock, is_cloned.then_some(Need::Cloned)];
        more.into_iter().flatten().fold(self, Self::with)
    }

    /// Whether the reason is among them.
    #[must_use]
    pub fn holds(self, need: Need) -> bool {
        self.0 & need.bit() != 0
    }

    /// Whether nobody needs to look.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The reasons, the gravest first.
    pub fn iter(self) -> impl Iterator<Item = Need> {
        Need::ALL.into_iter().filter(move |need| self.holds(*need))
    }

    /// As the store keeps it: names, each between commas.
    #[must_use]
    pub fn to_text(self) -> String {
        let names: Vec<&str> = self.iter().map(Need::name).collect();
        if names.is_empty() { String::new() } else { format!(",{},", names.join(",")) }
    }

    /// The reverse of [`Self::to_text`]; a name that this version does not know is passed over.
    #[must_use]
    pub fn of_text(text: &str) -> Self {
        let known = |name: &str| Need::ALL.into_iter().find(|need| need.name() == name);
        text.split(',').filter_map(known).fold(Self::default(), Self::with)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(silence: Option<Silence>, clock_offset_secs: i64, is_cloned: bool, expected: &[Need]) {
        let needs = Needs::default().and(silence, clock_offset_secs * 1_000_000_000, is_cloned);
        assert_eq!(needs.iter().collect::<Vec<_>>(), expected);
        assert_eq!(needs.is_empty(), expected.is_empty());
    }

    #[test]
    fn silences_that_were_announced_need_nobody() {
        check(None, 0, false, &[]);
        check(Some(Silence::Off), 0, false, &[]);
        check(Some(Silence::Asleep), 0, false, &[]);
        check(Some(Silence::Unheard), 0, false, &[]);
        check(Some(Silence::Stopped), 0, false, &[Need::Stopped]);
    }

    #[test]
    fn an_agent_that_was_killed_comes_before_everything() {
        let all = [Need::AgentDead, Need::Cloned, Need::ClockWrong];
        check(Some(Silence::AgentDead), 90, true, &all);
        check(Some(Silence::NetworkLost), 0, true, &[Need::Cloned, Need::NetworkLost]);
        assert!(Need::ALL.is_sorted(), "the gravest are the least");
    }

    #[test]
    fn conditions_are_reasons_and_read_back_from_the_store() {
        let blinded = Condition::Blinded { sensor: "file".to_owned(), reason: None };
        let budget = Condition::OverBudget { reason: String::new() };
        let needs = Needs::of_conditions(&[budget, blinded]);
        assert_eq!(needs.to_text(), ",blinded,over_budget,");
        assert_eq!(Needs::of_text(&needs.to_text()), needs);
        assert_eq!(Needs::of_text(",of_a_later_version,"), Needs::default());
        assert_eq!(Needs::default().to_text(), "");
    }

    #[test]
    fn a_reason_has_one_name_everywhere() {
        for need in Need::ALL {
            assert_eq!(serde_json::to_value(need).unwrap(), need.name());
        }
    }
}
