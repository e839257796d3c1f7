//! Counts what test programs say they did. Pure.
//!
//! Reads libtest's and libtest-mimic's lines: `test result: …` for the counts and
//! `test NAME ... ignored, REASON` (or `(REASON)`) for what was skipped and why.

#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Tally {
    pub passed: u64,
    pub failed: u64,
    pub skipped: Vec<Skip>,
}

/// Something that was not checked, and why.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Skip {
    pub name: String,
    pub reason: String,
}

impl Tally {
    pub fn pass() -> Self {
        Self { passed: 1, ..Self::default() }
    }

    pub fn fail() -> Self {
        Self { failed: 1, ..Self::default() }
    }

    pub fn skip(name: &str, reason: &str) -> Self {
        let skip = Skip { name: name.to_owned(), reason: reason.to_owned() };
        Self { skipped: vec![skip], ..Self::default() }
    }

    /// The sum over everything test programs printed.
    pub fn read(output: &str) -> Self {
        let mut tally = Self::default();
        let mut ignored = 0;
        for line in output.lines() {
            if let Some(counts) = line.strip_prefix("test result: ") {
                tally.passed += count(counts, "passed");
                tally.failed += count(counts, "failed");
                ignored += count(counts, "ignored");
            } else if let Some(skip) = skipped(line) {
                tally.skipped.push(skip);
            }
        }
        let named = u64::try_from(tally.skipped.len()).unwrap_or(u64::MAX);
        for _ in named..ignored {
            tally.add(Self::skip("a test", "it was ignored without a line of its own"));
        }
        tally
    }

    pub fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped.extend(other.skipped);
    }

    /// The line everything ends with.
    pub fn summary(&self) -> String {
        let Self { passed, failed, skipped } = self;
        format!("{passed} passed, {failed} failed, {} skipped", skipped.len())
    }
}

/// The number before a word, as in `ok. 5 passed; 0 failed`.
fn count(counts: &str, word: &str) -> u64 {
    let parts = counts.split([';', '.']).map(str::trim);
    let mut numbers = parts.filter_map(|part| part.strip_suffix(word)?.trim().parse().ok());
    numbers.next().unwrap_or(0)
}

fn skipped(line: &str) -> Option<Skip> {
    let (name, rest) = line.strip_prefix("test ")?.split_once(" ... ignored")?;
    let comma = rest.strip_prefix(", ");
    let brackets = rest.strip_prefix(" (").and_then(|rest| rest.strip_suffix(')'));
    let reason = match (comma.or(brackets), rest) {
        (Some(reason), _) => reason,
        (None, "") => "no reason given",
        (None, _) => return None,
    };
    Some(Skip { name: name.trim().to_owned(), reason: reason.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Skips are written as `NAME: REASON`.
    #[track_caller]
    fn check(output: &str, passed: u64, failed: u64, skips: &[&str]) {
        let tally = Tally::read(output);
        let named = |skip: &Skip| format!("{}: {}", skip.name, skip.reason);
        let found: Vec<String> = tally.skipped.iter().map(named).collect();
        assert_eq!((tally.passed, tally.failed), (passed, failed));
        assert_eq!(found, skips);
    }

    #[test]
    fn the_results_of_several_test_programs_are_added_up() {
        let output = "running 3 tests\n\
            test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s\n\
            test result: FAILED. 5 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.20s\n";
        check(output, 8, 2, &[]);
    }

    #[test]
    fn what_libtest_skips_is_named_with_its_reason() {
        let output = "test sensor::reads_smart ... ignored, no disk with SMART here\n\
            test sensor::other ... ignored\n\
            test result: ok. 0 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.00s\n";
        let skips =
            ["sensor::reads_smart: no disk with SMART here", "sensor::other: no reason given"];
        check(output, 0, 0, &skips);
    }

    #[test]
    fn what_libtest_mimic_skips_at_run_time_is_named_with_its_reason() {
        let output = "test two namespaces reach each other   ... ignored (it needs root)\n\
            test other                             ... ok\n\
            test result: ok. 1 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s\n";
        check(output, 1, 0, &["two namespaces reach each other: it needs root"]);
    }

    #[test]
    fn a_skip_that_was_only_counted_is_not_lost() {
        let output = "test result: ok. 1 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out";
        check(output, 1, 0, &["a test: it was ignored without a line of its own"]);
    }

    #[test]
    fn other_lines_count_for_nothing() {
        check("   test result: ok. 9 passed\ntest x ... ok\nthe test ... ignored it\n", 0, 0, &[]);
    }

    #[test]
    fn the_summary_is_one_plain_line() {
        let mut tally = Tally::pass();
        tally.add(Tally::fail());
        tally.add(Tally::skip("the demo", "it needs root"));
        assert_eq!(tally.summary(), "1 passed, 1 failed, 1 skipped");
    }
}
