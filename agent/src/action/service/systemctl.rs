//! Asks systemd and tells it what to do, by its own program and within a time.

use std::path::Path;
use std::time::Duration;

use super::unit::{self, Unit};
use crate::clock;
use crate::inventory::child;

const SHOW_WITHIN: Duration = Duration::from_secs(20);
/// A unit may take 90 s to stop or to start before systemd itself gives up.
const JOB_WITHIN: Duration = Duration::from_secs(100);
const RELOAD_WITHIN: Duration = Duration::from_secs(60);
const ANSWER_BYTES_MAX: usize = 1 << 20;

#[derive(Clone, Copy, Debug)]
pub(super) struct Systemctl<'a> {
    pub(super) program: &'a Path,
}

impl Systemctl<'_> {
    /// What it knows of units, in their order.
    pub(super) fn show(self, names: &[String]) -> Result<Vec<Unit>, String> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let answer = self.run(&["show", "--no-pager", unit::PROPERTIES], names, SHOW_WITHIN)?;
        Ok(unit::parse(&answer))
    }

    pub(super) fn stop(self, names: &[String]) -> Result<(), String> {
        self.run(&["stop"], names, JOB_WITHIN).map(drop)
    }

    pub(super) fn start(self, names: &[String]) -> Result<(), String> {
        if names.is_empty() {
            return Ok(());
        }
        self.run(&["start"], names, JOB_WITHIN).map(drop)
    }

    /// Has it read its files of units again.
    pub(super) fn reload(self) -> Result<(), String> {
        self.run(&["daemon-reload"], &[], RELOAD_WITHIN).map(drop)
    }

    fn run(self, what: &[&str], names: &[String], within: Duration) -> Result<Vec<u8>, String> {
        let program = self.program.to_str().ok_or("systemctl has no name")?;
        let mut arguments = vec!["--system", "--no-ask-password"];
        arguments.extend(what);
        if !names.is_empty() {
            arguments.push("--");
            arguments.extend(names.iter().map(String::as_str));
        }
        let now = || Duration::from_nanos(clock::boot_ns());
        let answer = child::ask(program, &arguments, within, ANSWER_BYTES_MAX, now);
        answer.map_err(|error| format!("{}: {error}", what.first().copied().unwrap_or_default()))
    }
}
