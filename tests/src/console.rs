//! The web console's own browser tests, started over a fleet that stands: what they need, and how each
//! file of them is run.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use cordon_packaging::fleet::Fleet;
use cordon_packaging::{browser, programs, run_command::find_program};

/// Why the console cannot be looked at here.
#[must_use]
pub fn missing(programs: &[&str]) -> Option<String> {
    for program in programs {
        if let Err(reason) = programs::find(program) {
            return Some(reason.to_string());
        }
    }
    if find_program("node").is_none() {
        return Some("node is not here".to_owned());
    }
    for built in ["node_modules/vitest", "dist/console/index.html"] {
        if !web().join(built).exists() {
            return Some("the console is not built; `cargo verify` builds it".to_owned());
        }
    }
    browser::find().err()
}

fn web() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../collector/console/web")
}

/// Runs one file of the console's browser tests; an error with what it said, if it did not pass.
pub fn run(file: &str, told: Vec<(&'static str, String)>) -> Result<()> {
    let mut command = Command::new("node");
    command.current_dir(web()).args(["node_modules/vitest/vitest.mjs", "run"]);
    command.args(["--config", "tests/vitest.config.ts", &format!("tests/{file}.test.ts")]);
    command.env("CORDON_CHROMIUM", browser::find().map_err(anyhow::Error::msg)?);
    let output = command.envs(told).output().context("starting node")?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{file}:\n{said}\n{errors}");
    Ok(())
}

/// A code with which an operator sets a way into the console up.
pub fn invite(fleet: &Fleet, operator: &str) -> Result<String> {
    let mut command = fleet.command("cordon-collector")?;
    command.args(["operator", "invite", operator, "--config"]);
    let output = command.arg(fleet.folder().join("collector.toml")).output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let code = said.lines().find_map(|line| line.strip_prefix("invitation"));
    Ok(code.with_context(|| format!("no invitation in {said:?}"))?.trim().to_owned())
}
