//! Drifts of an isolation as they are told: the first at once, what follows summed up, so that
//! somebody who changes the rules all day cannot fill the control lane.
//!
//! Pure.

use cordon_proto::event::receipt::Outcome;

/// Between one receipt and the sum of what came after it.
const SUM_SECS: u64 = 60;

#[derive(Debug, Default)]
pub(super) struct Drifts {
    /// What was found and is being put back.
    open: Option<String>,
    told: Option<Told>,
}

#[derive(Debug)]
struct Told {
    at_secs: u64,
    reapplied: bool,
    /// How often since, and what was found last.
    more: u64,
    last: String,
}

impl Drifts {
    /// Told once it is known whether it could be put back.
    pub(super) fn found(&mut self, what: String) {
        self.open = Some(what);
    }

    /// Is something being put back?
    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// What was found is back as it must be.
    pub(super) fn mended(&mut self, now_secs: u64) -> Option<Outcome> {
        let found = self.open.take()?;
        self.tell(found, true, now_secs)
    }

    /// What was found could not be put back just now.
    pub(super) fn failed(&mut self, why: &str, now_secs: u64) -> Option<Outcome> {
        let found = self.open.clone()?;
        self.tell(format!("{found}; {why}"), false, now_secs)
    }

    /// Tells the sum of what came since the last receipt, once it is due.
    pub(super) fn handle_timeout(&mut self, now_secs: u64) -> Option<Outcome> {
        let told = self.told.as_mut()?;
        if now_secs < told.at_secs.saturating_add(SUM_SECS) {
            return None;
        }
        if told.more == 0 {
            self.told = None;
            return None;
        }
        let found = format!("{} more times in a minute; the last: {}", told.more, told.last);
        told.at_secs = now_secs;
        told.more = 0;
        Some(Outcome::Drifted { found, reapplied: told.reapplied })
    }

    fn tell(&mut self, found: String, reapplied: bool, now_secs: u64) -> Option<Outcome> {
        match &mut self.told {
            Some(told) if told.reapplied == reapplied => {
                told.more = told.more.saturating_add(1);
                told.last = found;
                self.handle_timeout(now_secs)
            }
            told => {
                // That it cannot be put back any more, or can again, is news.
                let last = String::new();
                *told = Some(Told { at_secs: now_secs, reapplied, more: 0, last });
                Some(Outcome::Drifted { found, reapplied })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `time: found WHAT`, `time: mended`, `time: failed` or `time: wait`, a line each.
    #[track_caller]
    fn check(script: &str, expected: &str) {
        let mut drifts = Drifts::default();
        let mut out = Vec::new();
        for line in script.lines().map(str::trim) {
            let (at, event) = line.split_once(": ").unwrap();
            let now: u64 = at.parse().unwrap();
            let told = match event.split_once(' ').unwrap_or((event, "")) {
                ("found", what) => {
                    drifts.found(what.to_owned());
                    None
                }
                ("mended", _) => drifts.mended(now),
                ("failed", _) => drifts.failed("no", now),
                _ => drifts.handle_timeout(now),
            };
            if let Some(Outcome::Drifted { found, reapplied }) = told {
                out.push(format!("{at}: {found}, {reapplied}"));
            }
        }
        let expected: Vec<_> = expected.lines().map(str::trim).collect();
        assert_eq!(out, expected);
    }

    #[test]
    fn the_first_is_told_at_once_and_the_rest_as_a_sum() {
        check(
            "0: found a\n 0: mended\n 1: found b\n 1: mended\n 2: found c\n 2: mended\n 59: wait
             60: wait\n 61: found d\n 61: mended\n 120: wait\n 180: wait\n 181: found e\n 181: mended",
            "0: a, true\n 60: 2 more times in a minute; the last: c, true
             120: 1 more times in a minute; the last: d, true\n 181: e, true",
        );
    }

    #[test]
    fn that_it_cannot_be_put_back_is_news_and_so_is_that_it_can_again() {
        check(
            "0: found a\n 0: mended\n 1: found b\n 1: failed\n 6: failed\n 11: mended\n 12: wait",
            "0: a, true\n 1: b; no, false\n 11: b, true",
        );
    }

    #[test]
    fn nothing_found_is_nothing_told() {
        check("0: mended\n 1: failed\n 99: wait", "");
    }
}
