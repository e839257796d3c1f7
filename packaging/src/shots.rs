//! `cargo shots`: pictures of every page of the console, over a real collector and real agents.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, bail};

use crate::arguments::ShotsOptions;
use crate::console::Console;
use crate::lab::unavailable;
use crate::process::Process;
use crate::programs::FOLDER_VARIABLE;
use crate::run_command::cargo;
use crate::workspace::Workspace;
use crate::{browser, need, say};

/// Tells the browser tests where the pictures go.
pub const INTO_VARIABLE: &str = "CORDON_SHOTS";

/// Where they go if nothing else is said: outside every checkout.
#[must_use]
pub fn usual_folder() -> PathBuf {
    std::env::temp_dir().join("cordon-shots")
}

/// True if every picture was made.
pub fn run(options: &ShotsOptions) -> Result<bool> {
    let workspace = Workspace::read()?;
    let mut missing = need::provide(&need::FOR_THE_LAB, &workspace.task_folder("shots"))?;
    missing.extend(browser::provide()?);
    missing.iter().for_each(|reason| say::line(&format!("missing: {reason}")));
    if let Some(reason) = unavailable() {
        bail!("no pictures can be made here: {reason}");
    }
    browser::find().map_err(anyhow::Error::msg)?;
    Console::find(&workspace).map_err(anyhow::Error::msg)?.build()?;
    let into = options.into.clone().unwrap_or_else(usual_folder);
    let into = std::path::absolute(&into).with_context(|| format!("the folder {into:?}"))?;
    // Testing alone would not build the programs of other packages.
    let build = ["build", "--workspace", "--bins"];
    let test = ["test", "-p", "cordon-tests", "--test", "browser", "--", "--ignored"];
    for (what, arguments) in [("building the programs", &build[..]), ("the pictures", &test)] {
        say::begin(what);
        let mut command = cargo(arguments);
        command.current_dir(&workspace.root).stdin(Stdio::null());
        command.env(FOLDER_VARIABLE, workspace.program_folder("debug")).env(INTO_VARIABLE, &into);
        if !Process::start(what, &mut command)?.wait()?.success() {
            return Ok(false);
        }
    }
    say::line(&format!("the pictures lie in {}", into.display()));
    Ok(true)
}
