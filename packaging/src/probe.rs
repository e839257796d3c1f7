//! `cargo lab`: the containment lab by hand, with its table of what passed and what did not.

use std::process::Stdio;

use anyhow::Result;

use crate::process::Process;
use crate::programs::FOLDER_VARIABLE;
use crate::run_command::cargo;
use crate::workspace::Workspace;
use crate::{need, peers, say};

/// True if everything that was tried was as the design wants it.
pub fn run() -> Result<bool> {
    let workspace = Workspace::read()?;
    let mut missing = need::provide(&need::FOR_THE_LAB, &workspace.task_folder("lab"))?;
    missing.extend(peers::provide()?);
    missing.iter().for_each(|reason| say::line(&format!("missing: {reason}")));
    // Testing alone would not build the programs of other packages.
    let build = ["build", "--workspace", "--bins"];
    let test = ["test", "--package", "cordon-tests", "--test", "lab", "--", "--nocapture"];
    for (what, arguments) in [("building the programs", &build[..]), ("the lab", &test)] {
        let mut command = cargo(arguments);
        command.current_dir(&workspace.root).stdin(Stdio::null());
        command.env(FOLDER_VARIABLE, workspace.program_folder("debug"));
        if !Process::start(what, &mut command)?.wait()?.success() {
            return Ok(false);
        }
    }
    say::line(&format!("the tables lie in {}", workspace.task_folder("lab").display()));
    Ok(true)
}
