//! `cargo demo`: Cordon at work in a lab of network namespaces, step by step, each step checked.

mod step;

use anyhow::{Result, bail};

use crate::arguments::DemoOptions;
use crate::workspace::Workspace;
use crate::{lab, need, say};

use crate::stage::Stage;
pub use step::step;

/// What the demo starts.
const PROGRAMS: [&str; 3] = ["cordon", "cordon-agent", "cordon-collector"];

/// True if every step did what it says.
pub fn run(options: &DemoOptions) -> Result<bool> {
    let workspace = Workspace::read()?;
    need::provide(&need::FOR_THE_LAB, &workspace.task_folder("demo"))?;
    match play(&workspace, !options.check)? {
        None => Ok(true),
        Some(reason) => bail!("the demo cannot be shown here: {reason}"),
    }
}

/// Goes through every step and cleans up; the reason if it cannot be shown here at all.
pub fn check(workspace: &Workspace) -> Result<Option<String>> {
    play(workspace, false)
}

fn play(workspace: &Workspace, stays_up: bool) -> Result<Option<String>> {
    let refusal = lab::unavailable().or_else(|| missing_programs(workspace));
    if refusal.is_some() {
        return Ok(refusal);
    }
    let stage = step("made a lab: a collector's door, three endpoints, one switch", Stage::make)?;
    step("every endpoint reaches the collector's door over IPv4 and IPv6", || stage.check())?;
    if stays_up {
        say::line("Ctrl-C ends the demo and removes all of it");
    }
    Ok(None)
}

fn missing_programs(workspace: &Workspace) -> Option<String> {
    let built = workspace.programs();
    let is_missing = |name: &&str| !built.iter().any(|program| program.name == *name);
    let missing: Vec<&str> = PROGRAMS.into_iter().filter(is_missing).collect();
    (!missing.is_empty())
        .then(|| format!("this checkout does not build {} yet", missing.join(", ")))
}
