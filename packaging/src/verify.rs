//! `cargo verify`: everything that can be checked here, one line a step, nothing passed over.

mod deny;
mod failures;
mod journal;

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::arguments::VerifyOptions;
use crate::clock::Stopwatch;
use crate::console::Console;
use crate::programs::FOLDER_VARIABLE;
use crate::run_command::{Ran, cargo, run as run_command};
use crate::tally::Tally;
use crate::vm::depot::Depot;
use crate::vm::{release, system};
use crate::workspace::Workspace;
use crate::{browser, demo, need, packages, peers, say, schemathesis};

/// Goes on after a failed step, so that one run shows all that is wrong; true if nothing is.
pub fn run(options: &VerifyOptions) -> Result<bool> {
    let watch = Stopwatch::start();
    let workspace = Workspace::read()?;
    let logs = workspace.task_folder("verify");
    for missing in need::provide(&need::FOR_THE_LAB, &logs)? {
        say::line(&format!("missing: {missing}"));
    }
    match peers::provide() {
        Ok(missing) => missing.iter().for_each(|reason| say::line(&format!("missing: {reason}"))),
        Err(error) => say::line(&format!("missing: who probes an isolation: {error:#}")),
    }
    match schemathesis::provide() {
        Ok(missing) => missing.iter().for_each(|reason| say::line(&format!("missing: {reason}"))),
        Err(error) => say::line(&format!("missing: who tries the API: {error:#}")),
    }
    match browser::provide() {
        Ok(missing) => missing.iter().for_each(|reason| say::line(&format!("missing: {reason}"))),
        Err(error) => say::line(&format!("missing: who looks at the console: {error:#}")),
    }
    if let Err(error) = provide_machines() {
        say::line(&format!("missing: machines for guests: {error:#}"));
    }
    let journal_writer = journal::provide().unwrap_or_else(|error| {
        say::line(&format!("missing: who writes journal files: {error:#}"));
        None
    });
    let steps = Steps {
        root: workspace.root.clone(),
        programs: workspace.program_folder("debug"),
        logs,
        journal_writer,
    };
    let mut tally = console(&workspace);
    tally.add(steps.build_and_test()?);
    if options.quick {
        tally.add(Tally::skip("dependencies", "--quick leaves them out"));
        tally.add(Tally::skip("the demo", "--quick leaves it out"));
    } else {
        tally.add(deny::check(&steps, options.advisories)?);
        tally.add(steps.demo(&workspace)?);
    }
    report(&tally, watch.elapsed());
    Ok(tally.failed == 0)
}

/// The console's own checks, and its files for the collector that is built afterwards.
fn console(workspace: &Workspace) -> Tally {
    let what = "the web console: types, lints, units, build";
    let console = match Console::find(workspace) {
        Ok(console) => console,
        Err(reason) => {
            say::line(&reason);
            return Tally::skip("the web console", &reason);
        }
    };
    say::begin(what);
    let watch = Stopwatch::start();
    match console.build().and_then(|()| console.check()) {
        Ok(()) => {
            say::step("ok", watch.elapsed(), what);
            Tally::pass()
        }
        Err(error) => {
            say::step("FAIL", watch.elapsed(), what);
            say::output(&format!("{error:#}"));
            Tally::fail()
        }
    }
}

/// qemu, a kernel for guests and a disk to start one from, in the cache.
fn provide_machines() -> Result<()> {
    if !packages::can_be_fetched() {
        return Ok(());
    }
    if Depot::find().is_err() {
        Depot::fetch()?;
    }
    let depot = Depot::find().map_err(anyhow::Error::msg)?;
    release::fetch_all(&depot)?;
    system::PLAIN.fetch(&depot).map(drop)
}

struct Steps {
    root: PathBuf,
    programs: PathBuf,
    logs: PathBuf,
    /// What the tests of the journal write its files with, where they do not find it themselves.
    journal_writer: Option<PathBuf>,
}

impl Steps {
    fn build_and_test(&self) -> Result<Tally> {
        let mut tally = Tally::default();
        tally.add(self.cargo("formatting", "fmt", &["fmt", "--all", "--check"])?);
        let clippy = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
        tally.add(self.cargo("lints", "clippy", &clippy)?);
        // Tests of the whole start the programs, which testing alone would not build.
        tally.add(self.cargo("programs", "build", &["build", "--workspace", "--bins"])?);
        tally.add(self.tests()?);
        Ok(tally)
    }

    /// A step that passes or fails as a whole.
    fn cargo(&self, what: &str, log: &str, arguments: &[&str]) -> Result<Tally> {
        self.command(what, log, &mut cargo(arguments))
    }

    fn command(&self, what: &str, log: &str, command: &mut Command) -> Result<Tally> {
        let ran = self.run(what, log, command)?;
        let tally = if ran.status.success() { Tally::pass() } else { Tally::fail() };
        finish(what, &ran, &tally, str::to_owned);
        Ok(tally)
    }

    fn tests(&self) -> Result<Tally> {
        let what = "tests: units, properties, the whole, house rules";
        let arguments = ["test", "--workspace", "--no-fail-fast"];
        let mut command = cargo(&arguments);
        if let Some(writer) = &self.journal_writer {
            command.env(journal::VARIABLE, writer);
        }
        let ran = self.run(what, "test", &mut command)?;
        let tally = judge_tests(&ran.output, ran.status.success());
        finish(&format!("{what}: {}", tally.summary()), &ran, &tally, failures::digest);
        if tally.failed > 0 {
            say::line(&format!("all that was printed: {}", self.logs.join("test.log").display()));
        }
        Ok(tally)
    }

    fn demo(&self, workspace: &Workspace) -> Result<Tally> {
        let watch = Stopwatch::start();
        match demo::check(workspace) {
            Ok(None) => {
                say::step("ok", watch.elapsed(), "the demo, end to end");
                Ok(Tally::pass())
            }
            Ok(Some(reason)) => {
                say::step("skip", watch.elapsed(), &format!("the demo, end to end: {reason}"));
                Ok(Tally::skip("the demo", &reason))
            }
            Err(error) => {
                say::step("FAIL", watch.elapsed(), &format!("the demo, end to end: {error:#}"));
                Ok(Tally::fail())
            }
        }
    }

    fn run(&self, what: &str, log: &str, command: &mut Command) -> Result<Ran> {
        say::begin(what);
        command.current_dir(&self.root).env(FOLDER_VARIABLE, &self.programs);
        run_command(what, command, &self.logs.join(format!("{log}.log")))
    }
}

/// A run that failed without a failed test did not get as far as testing; one that passed without
/// a passed test tested nothing.
fn judge_tests(output: &str, succeeded: bool) -> Tally {
    let mut tally = Tally::read(output);
    let said_failed = tally.failed > 0;
    if (!succeeded && !said_failed) || (succeeded && tally.passed == 0) {
        tally.add(Tally::fail());
    }
    tally
}

/// `told` is what of a failed step's output is printed.
fn finish(what: &str, ran: &Ran, tally: &Tally, told: impl FnOnce(&str) -> String) {
    if tally.failed == 0 {
        return say::step("ok", ran.took, what);
    }
    say::step("FAIL", ran.took, &format!("{what} ({})", ran.status));
    say::output(&told(&ran.output));
}

fn report(tally: &Tally, took: Duration) {
    for skip in &tally.skipped {
        say::line(&format!("skipped: {}: {}", skip.name, skip.reason));
    }
    say::line(&format!("verified in {} s", took.as_secs()));
    say::line(&tally.summary());
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSED: &str = "test result: ok. 3 passed; 0 failed; 0 ignored";
    const FAILED: &str = "test result: FAILED. 2 passed; 1 failed; 0 ignored";

    #[track_caller]
    fn check(output: &str, succeeded: bool, summary: &str) {
        assert_eq!(judge_tests(output, succeeded).summary(), summary);
    }

    #[test]
    fn tests_that_passed_are_counted() {
        check(PASSED, true, "3 passed, 0 failed, 0 skipped");
        check(FAILED, false, "2 passed, 1 failed, 0 skipped");
    }

    #[test]
    fn a_run_that_never_came_to_testing_has_failed() {
        check("error: could not compile", false, "0 passed, 1 failed, 0 skipped");
        check(PASSED, false, "3 passed, 1 failed, 0 skipped");
    }

    #[test]
    fn a_run_that_tested_nothing_has_failed() {
        check("", true, "0 passed, 1 failed, 0 skipped");
    }
}
