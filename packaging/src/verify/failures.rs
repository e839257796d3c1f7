//! What of a test run's output tells why it failed: which tests, and what each printed. Pure.
//!
//! Reads what libtest and libtest-mimic print between `failures:` and `test result: FAILED`.

/// Names first, so that whoever sees only the beginning knows them; then what they printed. Output
/// without a failed test (nothing compiled, a program was killed) is given from its last lines.
pub(super) fn digest(output: &str) -> String {
    let names = names(output);
    if names.is_empty() {
        return last_lines(output);
    }
    let mut text = String::new();
    for name in &names {
        text.push_str(&format!("failed: {name}\n"));
    }
    for block in blocks(output) {
        for line in block {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

/// As each test program says them while it runs: `test NAME ... FAILED`.
fn names(output: &str) -> Vec<&str> {
    let failed = |line: &'_ str| line.starts_with("test ") && line.ends_with("... FAILED");
    let lines = output.lines().filter(|line| failed(line));
    lines.map(|line| line["test ".len()..line.len() - "... FAILED".len()].trim()).collect()
}

/// What failed tests printed, one block for each test program.
fn blocks(output: &str) -> Vec<Vec<&str>> {
    let mut blocks = Vec::new();
    let mut open: Option<Vec<&str>> = None;
    for line in output.lines() {
        match &mut open {
            None if line == "failures:" => open = Some(Vec::new()),
            None => {}
            Some(block) if line.starts_with("test result: ") => {
                block.push(line);
                blocks.extend(open.take());
            }
            Some(block) => block.push(line),
        }
    }
    blocks.extend(open);
    blocks
}

const LAST_LINES: usize = 200;

fn last_lines(output: &str) -> String {
    let lines: Vec<&str> = output.lines().collect();
    let first = lines.len().saturating_sub(LAST_LINES);
    let mut text = lines[first..].join("\n");
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: &str = "running 2 tests\n\
        test good ... ok\n\
        test bad::one   ... FAILED\n\
        \n\
        failures:\n\
        \n\
        ---- bad::one stdout ----\n\
        it was 3\n\
        \n\
        failures:\n    bad::one\n\
        \n\
        test result: FAILED. 1 passed; 1 failed; 0 ignored\n\
        test result: ok. 9 passed; 0 failed; 0 ignored\n";

    #[test]
    fn names_come_first_and_what_was_printed_after_them() {
        let text = digest(RUN);
        assert!(text.starts_with("failed: bad::one\n"), "{text}");
        assert!(text.contains("it was 3\n"), "{text}");
    }

    #[test]
    fn what_passed_is_left_out() {
        let text = digest(RUN);
        assert!(!text.contains("good") && !text.contains("9 passed"), "{text}");
    }

    #[test]
    fn a_run_that_failed_no_test_shows_its_last_lines() {
        let output = format!("{}error: could not compile\n", "warning: x\n".repeat(1_000));
        let text = digest(&output);
        assert!(text.ends_with("error: could not compile\n"));
        assert_eq!(text.lines().count(), LAST_LINES);
    }

    #[test]
    fn a_program_that_was_killed_while_it_told_is_shown_to_its_end() {
        let text = digest("test a ... FAILED\nfailures:\n---- a ----\nhalf\n");
        assert_eq!(text, "failed: a\n---- a ----\nhalf\n");
    }
}
