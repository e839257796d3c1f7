//! What whoever types a code at the endpoint is told, in words, by the agent or in its place.

use crate::control::Answer;

/// What becomes of a question about the way out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reply {
    /// A code can be typed.
    Ask {
        /// The number of the code that holds.
        serial: u64,
        /// How many containments stand.
        stand: u64,
    },
    /// The code was right, and nothing stands any more.
    Open,
    /// The code was right; what stands could not be ended yet, and is tried on.
    GoesOn,
    /// It is not the code.
    Wrong {
        /// How long until the next is looked at.
        wait_secs: u64,
    },
    /// It was not looked at.
    Slowed {
        /// How long until the next is looked at.
        wait_secs: u64,
    },
    /// No code holds.
    NoCode,
    /// Another code is being looked at.
    Busy,
}

impl Reply {
    /// As it is said.
    #[must_use]
    pub fn answer(self) -> Answer {
        match self {
            Self::Ask { serial, stand } => Answer::done(question(serial, stand)),
            Self::Open => Answer::done(
                "The code was right and is used up. The network is open; whatever else stood is \
                 put back by the agent.",
            ),
            Self::GoesOn => Answer::refused(
                "A right code was typed, and what stands could not be ended yet; it is tried on. \
                 See the agent's log.",
            ),
            Self::Wrong { wait_secs: 0 } => Answer::refused("That is not the code; try again."),
            Self::Wrong { wait_secs } => Answer::refused(format!(
                "That is not the code. The next one is looked at in {wait_secs} s."
            )),
            Self::Slowed { wait_secs } => Answer::refused(format!(
                "After several wrong codes the next one is looked at in {wait_secs} s."
            )),
            Self::NoCode => Answer::refused(
                "No code holds at this moment: none was sealed to anybody, or the next one is \
                 just being made. A signed release, or the end of the lease, are the ways out.",
            ),
            Self::Busy => Answer::refused("Another code is just being looked at; try again."),
        }
    }
}

/// Says what a code would do, and which one is meant.
fn question(serial: u64, stand: u64) -> String {
    let stands = match stand {
        0 => "Nothing is recorded as standing here; a right code is used up all the same.".into(),
        stand => format!("{stand} containment(s) stand here. The code ends all of them."),
    };
    format!(
        "{stands}\nThe code that holds is number {serial}; an operator sees it with \
         `cordon break-glass`."
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(reply: Reply, done: bool, says: &str) {
        let answer = reply.answer();
        assert_eq!(answer.done, done, "{}", answer.says);
        assert!(answer.says.contains(says), "{}", answer.says);
    }

    #[test]
    fn only_an_open_door_counts_as_done() {
        check(Reply::Open, true, "used up");
        check(Reply::GoesOn, false, "tried on");
        check(Reply::Wrong { wait_secs: 0 }, false, "try again");
        check(Reply::Wrong { wait_secs: 5 }, false, "in 5 s");
        check(Reply::Slowed { wait_secs: 9 }, false, "in 9 s");
        check(Reply::NoCode, false, "No code holds");
        check(Reply::Busy, false, "try again");
    }

    #[test]
    fn whoever_is_asked_for_a_code_is_told_which_and_what_it_ends() {
        check(Reply::Ask { serial: 7, stand: 2 }, true, "2 containment(s) stand here");
        check(Reply::Ask { serial: 7, stand: 0 }, true, "The code that holds is number 7");
    }
}
