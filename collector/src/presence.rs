//! Why an endpoint is silent, and what is wrong with one that is not.
//!
//! Pure. What the endpoint said last outweighs how its connection ended: a machine that is switched
//! off closes connections, too. A connection that was closed without a word means that somebody
//! ended the agent (the kernel closes for it) or that something on the way pretends so; one that
//! only fell silent, that the network is lost, or the power, or that the machine sleeps and its
//! system does not tell the agent.

use std::time::Duration;

use cordon_proto::event::{Health, Notice, SensorState};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

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

/// What an endpoint said of its own silence before it began.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Farewell {
    /// The machine is being switched off.
    Off,
    /// The agent is being stopped.
    Stopped,
    /// The machine is about to sleep.
    Asleep,
}

impl Farewell {
    const ALL: [Self; 3] = [Self::Off, Self::Stopped, Self::Asleep];

    /// What a notice says of the silence after it; none if it says that one is over.
    #[must_use]
    pub fn of(notice: Notice) -> Option<Self> {
        match notice {
            Notice::Stopping { machine: Some(true) } => Some(Self::Off),
            Notice::Stopping { machine: Some(false) | None } => Some(Self::Stopped),
            Notice::Sleeping => Some(Self::Asleep),
            Notice::Woke { .. } => None,
        }
    }

    /// The name in the store.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Stopped => "stopped",
            Self::Asleep => "asleep",
        }
    }

    /// The reverse of [`Self::name`].
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|farewell| farewell.name() == name)
    }
}

/// Why an endpoint is silent.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Serialize, Deserialize, ToSchema)]
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

impl Silence {
    /// All, the gravest first.
    pub const ALL: [Self; 6] =
        [Self::AgentDead, Self::NetworkLost, Self::Stopped, Self::Unheard, Self::Asleep, Self::Off];

    /// Its name in the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Asleep => "asleep",
            Self::Stopped => "stopped",
            Self::AgentDead => "agent_dead",
            Self::NetworkLost => "network_lost",
            Self::Unheard => "unheard",
        }
    }
}

/// Why an endpoint that is not connected is silent. Its farewell is what it said last and did not
/// take back: whoever reported health afterwards was back, and is silent for another reason.
#[must_use]
pub fn silence(farewell: Option<Farewell>, ended: Option<Ended>) -> Silence {
    match (farewell, ended) {
        (Some(Farewell::Off), _) => Silence::Off,
        (Some(Farewell::Stopped), _) => Silence::Stopped,
        (Some(Farewell::Asleep), _) => Silence::Asleep,
        (None, Some(Ended::Closed)) => Silence::AgentDead,
        (None, Some(Ended::Silent)) => Silence::NetworkLost,
        (None, Some(Ended::ByCollector) | None) => Silence::Unheard,
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
    if is_clock_wrong(clock_offset_ns) {
        found.push(Condition::ClockWrong { offset_secs: clock_offset_ns / 1_000_000_000 });
    }
    found
}

/// Whether a wall clock is so far off the collector's that its times are useless beside others.
#[must_use]
pub fn is_clock_wrong(offset_ns: i64) -> bool {
    u128::from(offset_ns.unsigned_abs()) > CLOCK_WRONG.as_nanos()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(said: Option<Notice>, ended: Option<Ended>, expected: Silence) {
        let found = silence(said.and_then(Farewell::of), ended);
        assert_eq!(found, expected);
        let named = serde_json::to_value(found).unwrap();
        assert_eq!(named, found.name(), "one name everywhere");
    }

    #[test]
    fn every_kind_of_silence_is_told_from_the_others() {
        let (closed, silent) = (Some(Ended::Closed), Some(Ended::Silent));
        let off = Some(Notice::Stopping { machine: Some(true) });
        check(off, closed, Silence::Off);
        check(off, silent, Silence::Off);
        check(Some(Notice::Stopping { machine: None }), closed, Silence::Stopped);
        check(Some(Notice::Sleeping), silent, Silence::Asleep);
        check(Some(Notice::Woke { slept_secs: 60 }), silent, Silence::NetworkLost);
        check(None, closed, Silence::AgentDead);
        check(None, silent, Silence::NetworkLost);
        check(None, Some(Ended::ByCollector), Silence::Unheard);
        check(None, None, Silence::Unheard);
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
        for farewell in Farewell::ALL {
            assert_eq!(Farewell::of_name(farewell.name()), Some(farewell));
        }
        assert_eq!(Farewell::of_name(""), None);
    }
}
