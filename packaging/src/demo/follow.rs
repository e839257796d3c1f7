//! The demo for people: events as they come, until Ctrl-C.

use anyhow::{Context, Result};

use crate::fleet::Fleet;
use crate::process::Process;
use crate::say;

/// Streams the live feed to the terminal. Ctrl-C ends the process, and everything made is put back.
pub(super) fn until_interrupted(fleet: &Fleet) -> Result<()> {
    say::line("events as they happen; Ctrl-C ends the demo and removes all of it");
    let mut command = fleet.command("cordon")?;
    command.args(["events", "--follow", "--since", "1m"]);
    let process = Process::start("cordon events --follow", &mut command)?;
    process.wait().map(drop).context("following the events")
}
