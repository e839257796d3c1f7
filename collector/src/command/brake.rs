//! The collector's brake on commands: so many per hour and client, whoever signs.
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
}

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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(taken_secs: &[u64], now_secs: u64, says: Result<(), u64>) {
        let at = |secs: &u64| Time(0).plus_secs(*secs);
        let taken: Vec<Time> = taken_secs.iter().map(at).collect();
        assert_eq!(Brake { commands_per_hour_max: 2 }.check(&taken, at(&now_secs)), says);
    }

    #[test]
    fn as_many_as_the_limit_pass_in_an_hour_and_the_next_is_told_when() {
        check(&[], 5000, Ok(()));
        check(&[4000], 5000, Ok(()));
        check(&[4000, 4500], 5000, Err(2600));
        check(&[4500, 4000, 4900], 5000, Err(3100));
        check(&[1000, 4500], 5000, Ok(()));
    }
}
