//! Schemathesis, which tries an API by its OpenAPI document: from PyPI into a folder of the cache, where
//! there are python3 and PyPI. Nothing of the machine is changed.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::run_command::{ask, find_program};
use crate::workspace::cache_folder;

const VERSION: &str = "4.32.5";

/// The program; the reason of a skipped test where it is not here.
pub fn find() -> Result<PathBuf, String> {
    let program = folder().map(|folder| folder.join("bin/schemathesis"));
    let found = program.ok().filter(|program| program.is_file());
    found.ok_or_else(|| format!("schemathesis {VERSION} is not here; `cargo verify` fetches it"))
}

/// Fetches it, unless that was done before; the reason where it cannot be.
pub fn provide() -> Result<Option<String>> {
    if find().is_ok() {
        return Ok(None);
    }
    let Some(python) = find_program("python3") else {
        return Ok(Some("python3 is missing, which schemathesis runs in".to_owned()));
    };
    // What it starts with names its own folder, so that it cannot be made elsewhere and moved; a
    // program stands in it only once everything it needs does.
    let folder = folder()?;
    let made = make(&python, &folder);
    if let Err(error) = made {
        std::fs::remove_dir_all(&folder).ok();
        return Ok(Some(format!("schemathesis {VERSION} could not be fetched: {error:#}")));
    }
    Ok(None)
}

fn make(python: &PathBuf, folder: &PathBuf) -> Result<()> {
    let mut venv = Command::new(python);
    venv.args(["-m", "venv"]).arg(folder);
    ask("making a folder for python packages", &mut venv)?;
    let mut install = Command::new(folder.join("bin/python"));
    let package = format!("schemathesis=={VERSION}");
    install.args(["-m", "pip", "install", "--quiet", &package]);
    ask(&format!("installing {package}"), &mut install)?;
    find().map_err(anyhow::Error::msg).map(drop).context("it was installed and is not there")
}

fn folder() -> Result<PathBuf> {
    Ok(cache_folder()?.join(format!("schemathesis-{VERSION}")))
}
