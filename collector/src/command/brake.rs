//! The collector's brake on commands: so many per hour and client, whoever signs; so large a part of
//! a client's endpoints by one person alone; and no machine that others live by.
//!
//! Pure. It comes on top of what the roster's table allows and limits what one stolen key can do
//! before somebody looks.

use crate::time::Time;

const HOUR_SECS: u64 = 3600;

/// How many commands a client's operators may bring in an hour.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Brake {
    /// The most commands in any hour.
    pub commands_per_hour_max: usize,
    /// The part of a client's endpoints, in hundredths, that one person's commands may reach in an
    /// hour without a second person's signature; none where there is no second person.
    pub alone_percent_max: Option<u8>,
    /// Whether the command cuts off a machine that others live by, and there is a second person who
    /// could sign: then one person alone does not do.
    pub carries_others: bool,
}

/// So many endpoints one person may always reach.
const ALONE_ALWAYS: usize = 5;

impl Brake {
    /// Whether one more is too many; `taken` are the times at which commands were taken, in any
    /// order. Answers after how many seconds there is room again.
    pub fn check(self, taken: &[Time], now: Time) -> Result<(), u64> {
        let hour_ago = now.minus_secs(HOUR_SECS);
        let mut recent: Vec<Time> = taken.iter().copied().filter(|at| *at > hour_ago).collect();
        if recent.len() < self.commands_per_hour_max {
            return Ok(());
        }
        recent.sort_unstable();
        // Room comes when so many have passed out of the hour that fewer than the limit are left.
        let leaving = recent.len() - self.commands_per_hour_max;
        let first_out = recent.get(leaving).copied().unwrap_or(now);
        Err(first_out.plus_secs(HOUR_SECS).secs_since(now).max(1))
    }

    /// Whether one person's commands may have reached so many of the client's endpoints.
    #[must_use]
    pub fn lets_alone(self, reached: usize, endpoints: usize) -> bool {
        self.alone_percent_max.is_none_or(|percent| {
            let share = endpoints.saturating_mul(usize::from(percent)).div_ceil(100);
            reached <= share.max(ALONE_ALWAYS)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(taken_secs: &[u64], now_secs: u64, says: Result<(), u64>) {
        let at = |secs: &u64| Time(0).plus_secs(*secs);
        let taken: Vec<Time> = taken_secs.iter().map(at).collect();
        let brake =
            Brake { commands_per_hour_max: 2, alone_percent_max: None, carries_others: false };
        assert_eq!(brake.check(&taken, at(&now_secs)), says);
    }

    #[test]
    fn as_many_as_the_limit_pass_in_an_hour_and_the_next_is_told_when() {
        check(&[], 5000, Ok(()));
        check(&[4000], 5000, Ok(()));
        check(&[4000, 4500], 5000, Err(2600));
        check(&[4500, 4000, 4900], 5000, Err(3100));
        check(&[1000, 4500], 5000, Ok(()));
    }

    #[test]
    fn one_person_alone_reaches_a_part_of_the_endpoints_and_always_a_few() {
        let table: [(Option<u8>, usize, usize, bool); 6] = [
            (Some(25), 5, 8, true),
            (Some(25), 6, 8, false),
            (Some(25), 25, 100, true),
            (Some(25), 26, 100, false),
            (Some(25), 26, 101, true),
            (None, 100, 100, true),
        ];
        for (alone_percent_max, reached, endpoints, says) in table {
            let brake =
                Brake { commands_per_hour_max: 1, alone_percent_max, carries_others: false };
            assert_eq!(brake.lets_alone(reached, endpoints), says, "{reached} of {endpoints}");
        }
    }
}
