//! What an operator of a fleet does: runs `cordon` and reads what it says.

use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::Fleet;
use crate::programs;

impl Fleet {
    /// One of the programs, with this fleet's settings folder.
    pub fn command(&self, program: &str) -> Result<Command> {
        let mut command = Command::new(programs::find(program)?);
        command.env("CORDON_CONFIG_DIR", self.operator()).env_remove("CORDON_PROFILE");
        Ok(command)
    }

    /// Runs `cordon`; its output, or an error with what it said.
    pub fn cordon(&self, arguments: &[&str]) -> Result<String> {
        let mut command = self.command("cordon")?;
        let output = succeed(&format!("cordon {}", arguments.join(" ")), command.args(arguments))?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The same with `--json`: one value a line.
    pub fn cordon_json(&self, arguments: &[&str]) -> Result<Vec<Value>> {
        let output = self.cordon(&[arguments, &["--json"]].concat())?;
        let read = |line: &str| {
            serde_json::from_str(line).with_context(|| format!("reading {line:?} of cordon"))
        };
        output.lines().filter(|line| !line.trim().is_empty()).map(read).collect()
    }
}

/// Runs to the end; its output, or an error with what it said.
pub(super) fn succeed(what: &str, command: &mut Command) -> Result<Output> {
    let output = command.output().with_context(|| format!("starting {what}"))?;
    ensure!(output.status.success(), "{what}: {}: {}", output.status, text(&output));
    Ok(output)
}

pub(super) fn text(output: &Output) -> String {
    let both = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&both).trim().to_owned()
}
