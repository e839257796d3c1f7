//! When which inventory is taken.
//!
//! Pure: times and what happened come in, the next inventory comes out. One is taken at a time,
//! unless one is stuck (a home on a file server that is gone): that one alone then waits for it.

use std::time::Duration;

use cordon_proto::event::inventory::Subject;

/// How long changes are gathered before an inventory that they concern is taken: whoever changes
/// an account writes several files.
const GATHER: Duration = Duration::from_secs(2);

/// How soon an inventory that changes all the time (a long upgrade) is taken again.
const AGAIN_AFTER: Duration = Duration::from_secs(30);

/// An inventory that takes longer does not hold up the others.
const STUCK_AFTER: Duration = Duration::from_secs(120);

#[derive(Clone, Debug)]
struct Line {
    subject: Subject,
    period: Duration,
    due: Duration,
    taken: Option<Duration>,
    under_way: Option<Duration>,
}

/// All inventories with their times.
#[derive(Clone, Debug)]
pub(super) struct Schedule {
    lines: Vec<Line>,
}

impl Schedule {
    /// Everything is due, one after the other with `spread` between.
    pub(super) fn new(
        period: impl Fn(Subject) -> Duration,
        spread: Duration,
        now: Duration,
    ) -> Self {
        let mut due = now;
        let line = |subject| {
            let line = Line { subject, period: period(subject), due, taken: None, under_way: None };
            due = due.saturating_add(spread);
            line
        };
        Self { lines: Subject::ALL.map(line).into() }
    }

    /// Files were changed that an inventory is made from.
    pub(super) fn handle_change(&mut self, subject: Subject, now: Duration) {
        let Some(line) = self.line(subject) else { return };
        let soonest = line.taken.map_or(now, |taken| taken.saturating_add(AGAIN_AFTER));
        let due = now.saturating_add(GATHER).max(soonest);
        line.due = line.due.min(due);
    }

    /// An inventory was taken, or could not be. What changed meanwhile is looked at again.
    pub(super) fn handle_taken(&mut self, subject: Subject, now: Duration) {
        let Some(line) = self.line(subject) else { return };
        line.under_way = None;
        line.taken = Some(now);
        line.due = line.due.max(now.saturating_add(GATHER));
    }

    /// What to take now.
    pub(super) fn poll(&mut self, now: Duration) -> Option<Subject> {
        let is_busy = |line: &Line| line.under_way.is_some_and(|since| now < stuck_at(since));
        if self.lines.iter().any(is_busy) {
            return None;
        }
        let ready =
            self.lines.iter_mut().filter(|line| line.under_way.is_none() && line.due <= now);
        let line = ready.min_by_key(|line| line.due)?;
        line.under_way = Some(now);
        line.due = now.saturating_add(line.period);
        Some(line.subject)
    }

    /// It could not be begun; try again after a while.
    pub(super) fn postpone(&mut self, subject: Subject, wait: Duration, now: Duration) {
        let Some(line) = self.line(subject) else { return };
        line.under_way = None;
        line.due = now.saturating_add(wait);
    }

    /// When [`Self::poll`] may have something.
    pub(super) fn poll_timeout(&self, now: Duration) -> Duration {
        let busy = self.lines.iter().filter_map(|line| line.under_way).map(stuck_at);
        if let Some(until) = busy.filter(|until| now < *until).max() {
            return until;
        }
        let waiting = self.lines.iter().filter(|line| line.under_way.is_none());
        waiting.map(|line| line.due).min().unwrap_or(Duration::MAX)
    }

    /// Those that do not come to an end.
    pub(super) fn stuck(&self, now: Duration) -> Vec<Subject> {
        let is_stuck = |line: &&Line| line.under_way.is_some_and(|since| stuck_at(since) <= now);
        self.lines.iter().filter(is_stuck).map(|line| line.subject).collect()
    }

    fn line(&mut self, subject: Subject) -> Option<&mut Line> {
        self.lines.iter_mut().find(|line| line.subject == subject)
    }
}

fn stuck_at(since: Duration) -> Duration {
    since.saturating_add(STUCK_AFTER)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each line is a time in seconds and what happens; after the arrow what is taken then.
    #[track_caller]
    fn check(timeline: &str) {
        let secs = |text: &str| Duration::from_secs(text.parse().unwrap());
        // Users every 100 s, the others never in this time.
        let period = |subject: Subject| {
            if subject == Subject::Users { secs("100") } else { secs("1000000") }
        };
        let mut schedule = Schedule::new(period, Duration::from_secs(3), Duration::ZERO);
        for line in schedule.lines.iter_mut().skip(2) {
            line.due = secs("1000000");
        }
        for line in timeline.lines().map(str::trim) {
            let (time, rest) = line.split_once(": ").unwrap();
            let (what, expected) = rest.split_once(" -> ").unwrap();
            let now = secs(time);
            let (verb, name) = what.split_once(' ').unwrap_or((what, ""));
            let subject = || *Subject::ALL.iter().find(|subject| subject.name() == name).unwrap();
            match verb {
                "changed" => schedule.handle_change(subject(), now),
                "taken" => schedule.handle_taken(subject(), now),
                "postponed" => schedule.postpone(subject(), secs("5"), now),
                _ => assert_eq!(what, "wait"),
            }
            let taken = schedule.poll(now).map_or("nothing", Subject::name);
            let due = schedule.poll_timeout(now).as_secs();
            assert_eq!(format!("{taken}, {due}"), expected, "{line}");
        }
    }

    #[test]
    fn all_are_taken_one_after_the_other_and_then_in_their_period() {
        check(
            "0: wait -> users, 120
             3: wait -> nothing, 120
             4: taken users -> groups, 124
             5: taken groups -> nothing, 100
             100: wait -> users, 220",
        );
    }

    #[test]
    fn a_change_is_looked_at_soon_and_changes_without_end_every_half_minute() {
        check(
            "0: wait -> users, 120
             1: taken users -> nothing, 3
             3: wait -> groups, 123
             4: taken groups -> nothing, 100
             50: changed users -> nothing, 52
             51: changed users -> nothing, 52
             52: wait -> users, 172
             53: taken users -> nothing, 152
             54: changed users -> nothing, 83
             60: changed users -> nothing, 83",
        );
    }

    #[test]
    fn what_changes_while_it_is_taken_is_taken_again() {
        check(
            "0: wait -> users, 120
             1: changed users -> nothing, 120
             5: taken users -> groups, 125
             6: taken groups -> nothing, 7
             7: wait -> users, 127",
        );
    }

    #[test]
    fn one_that_is_stuck_holds_up_only_itself() {
        check(
            "0: wait -> users, 120
             119: changed users -> nothing, 120
             120: wait -> groups, 240
             121: taken groups -> nothing, 1000000
             130: changed groups -> nothing, 151
             151: wait -> groups, 271
             200: taken users -> nothing, 271",
        );
    }

    #[test]
    fn what_could_not_be_begun_is_tried_again() {
        check(
            "0: wait -> users, 120
             0: postponed users -> nothing, 3
             3: wait -> groups, 123
             4: taken groups -> nothing, 5
             5: wait -> users, 125",
        );
    }
}
