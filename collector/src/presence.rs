//! Why an endpoint is silent, and what is wrong with one that is not.
//!
//! Pure. What the endpoint said last outweighs how its connection ended: a machine that is switched
//! off closes connections, too. A connection that was closed without a word means that somebody
//! ended the agent (the kernel closes for it) or that something on the way pretends so; one that
//! only fell silent, that the network is lost, or the power, or that the machine sleeps and its
//! system does not tell the agent.

use std::time::Duration;

use cordon_proto::event::{Health, Notice, SensorState};
use serde::Serialize;
use utoipa::ToSchema;

use crate::command::Place;

/// A wall clock further off than this makes its times useless beside those of other machines.
const CLOCK_WRONG: Duration = Duration::from_secs(60);

/// How a session ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ended {
    /// The connection was closed, with a goodbye of the protocol or without.
    Closed,
    /// Nothing came any more.
    Silent,
    /// The collector ended it.
    ByCollector,
}

impl Ended {
    const ALL: [Self; 3] = [Self::Closed, Self::Silent, Self::ByCollector];

    /// The name in the store.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Silent => "silent",
            Self::ByCollector => "by_collector",
        }
    }

    /// The reverse of [`Self::name`].
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|ended| ended.name() == name)
    }
}

/// Why an endpoint is silent.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Silence {
    /// The machine was switched off.
    Off,
    /// The machine sleeps.
    Asleep,
    /// Somebody stopped the agent in the regular way, and the machine goes on.
    Stopped,
    /// The agent ended without a word: killed, or crashed.
    AgentDead,
    /// Nothing came any more: the network is lost, or the power.
    NetworkLost,
    /// The collector itself ended the last session, or there was none since it was set up.
    Unheard,
}

/// What an endpoint said of its silence, and where in its control lane.
#[derive(Clone, Copy, Debug)]
pub struct Said {
    /// Where.
    pub place: Place,
    /// What.
    pub notice: Notice,
}

/// Why an endpoint that is not connected is silent; `fared` is where its last health stands.
#[must_use]
pub fn silence(said: Option<Said>, fared: Option<Place>, ended: Option<Ended>) -> Silence {
    // Whoever reported health afterwards was back, and is silent for another reason.
    let last = said.filter(|said| fared.is_none_or(|fared| said.place > fared));
    match (last.map(|said| said.notice), ended) {
        (Some(Notice::Stopping { machine: Some(true) }), _) => Silence::Off,
        (Some(Notice::Stopping { machine: Some(false) | None }), _) => Silence::Stopped,
        (Some(Notice::Sleeping), _) => Silence::Asleep,
        (Some(Notice::Woke { .. }) | None, Some(Ended::Closed)) => Silence::AgentDead,
        (Some(Notice::Woke { .. }) | None, Some(Ended::Silent)) => Silence::NetworkLost,
        (Some(Notice::Woke { .. }) | None, Some(Ended::ByCollector) | None) => Silence::Unheard,
    }
}

/// Something that is wrong with what an endpoint sees or tells.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, ToSchema)]
#[serde(tag = "condition", rename_all = "snake_case")]
pub enum Condition {
    /// A sensor sees nothing.
    Blinded {
        /// Which.
        sensor: String,
        /// Why, in the agent's words.
        reason: Option<String>,
    },
    /// A sensor says that it runs, and does not show it.
    Stalled {
        /// Which.
        sensor: String,
        /// What is missing, in the agent's words.
        reason: Option<String>,
    },
    /// It gives something up in order to stay within its budget.
    OverBudget {
        /// What, in the agent's words.
        reason: String,
    },
    /// Its wall clock differs from the collector's.
    ClockWrong {
        /// By how much, in seconds; more than nought where it is ahead.
        offset_secs: i64,
    },
}

/// What is wrong, by its last health and its last hello.
#[must_use]
pub fn conditions(health: Option<&Health>, clock_offset_ns: i64) -> Vec<Condition> {
    let mut found = Vec::new();
    for one in health.into_iter().flat_map(|health| &health.sensors) {
        let (sensor, reason) = (one.name.clone(), one.reason.clone());
        match one.state {
            SensorState::Blind => found.push(Condition::Blinded { sensor, reason }),
            SensorState::Stalled => found.push(Condition::Stalled { sensor, reason }),
            SensorState::Running | SensorState::Degraded | SensorState::Off => {}
        }
    }
    if let Some(reason) = health.and_then(|health| health.given_up.clone()) {
        found.push(Condition::OverBudget { reason });
    }
    if u128::from(clock_offset_ns.unsigned_abs()) > CLOCK_WRONG.as_nanos() {
        found.push(Condition::ClockWrong { offset_secs: clock_offset_ns / 1_000_000_000 });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFF: Notice = Notice::Stopping { machine: Some(true) };
    const STOPPED: Notice = Notice::Stopping { machine: None };
    const WOKE: Notice = Notice::Woke { slept_secs: 60 };

    fn at(seq: u64) -> Place {
        Place { epoch: 1, seq }
    }

    #[track_caller]
    fn check(said: Option<(u64, Notice)>, fared: u64, ended: Option<Ended>, expected: Silence) {
        let said = said.map(|(seq, notice)| Said { place: at(seq), notice });
        assert_eq!(silence(said, Some(at(fared)), ended), expected);
    }

    #[test]
    fn every_kind_of_silence_is_told_from_the_others() {
        let (closed, silent) = (Some(Ended::Closed), Some(Ended::Silent));
        check(Some((9, OFF)), 8, closed, Silence::Off);
        check(Some((9, OFF)), 8, silent, Silence::Off);
        check(Some((9, STOPPED)), 8, closed, Silence::Stopped);
        check(Some((9, Notice::Sleeping)), 8, silent, Silence::Asleep);
        check(None, 8, closed, Silence::AgentDead);
        check(None, 8, silent, Silence::NetworkLost);
        check(None, 8, Some(Ended::ByCollector), Silence::Unheard);
        check(None, 8, None, Silence::Unheard);
    }

    #[test]
    fn what_was_said_before_the_last_health_counts_no_more() {
        check(Some((7, OFF)), 8, Some(Ended::Closed), Silence::AgentDead);
        check(Some((9, WOKE)), 8, Some(Ended::Silent), Silence::NetworkLost);
        assert_eq!(silence(Some(Said { place: at(1), notice: OFF }), None, None), Silence::Off);
    }

    #[test]
    fn a_clock_is_wrong_from_a_minute_on() {
        assert_eq!(conditions(None, 60_000_000_000), []);
        let wrong = |offset_secs| vec![Condition::ClockWrong { offset_secs }];
        assert_eq!(conditions(None, 61_000_000_000), wrong(61));
        assert_eq!(conditions(None, -3_600_000_000_000), wrong(-3600));
        assert_eq!(conditions(None, i64::MIN), wrong(i64::MIN / 1_000_000_000));
    }

    #[test]
    fn names_are_read_back() {
        for ended in Ended::ALL {
            assert_eq!(Ended::of_name(ended.name()), Some(ended));
        }
        assert_eq!(Ended::of_name("gone"), None);
    }
}
