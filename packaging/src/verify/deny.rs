//! The dependencies: nothing banned, every licence known, no unknown source (`.deny.toml`).
//!
//! cargo-deny is built once into the cache if it is not here, with little optimising: it runs for a
//! second, and building it well would take many minutes.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use super::Steps;
use crate::run_command::{cargo, find_program};
use crate::say;
use crate::tally::Tally;
use crate::workspace::cache_folder;

const VERSION: &str = "0.20.2";

pub(super) fn check(steps: &Steps, with_advisories: bool) -> Result<Tally> {
    let what = "dependencies: bans, licences, sources";
    let program = match find() {
        Some(program) => program,
        None => match build(steps)? {
            Ok(program) => program,
            Err(failure) => return Ok(failure),
        },
    };
    let checks = ["check", "bans", "licenses", "sources"];
    let mut tally = steps.command(what, "deny", Command::new(&program).args(checks))?;
    if with_advisories {
        let mut command = Command::new(&program);
        command.args(["check", "advisories"]);
        tally.add(steps.command("dependencies: advisories", "deny-advisories", &mut command)?);
    } else {
        let reason = "not checked: the advisory database comes from the network; \
            `cargo verify --advisories` fetches it";
        tally.add(Tally::skip("dependencies: advisories", reason));
    }
    Ok(tally)
}

fn find() -> Option<PathBuf> {
    let cached = tools_folder().ok().map(|folder| folder.join("bin/cargo-deny"));
    cached.filter(|file| file.is_file()).or_else(|| find_program("cargo-deny"))
}

fn tools_folder() -> Result<PathBuf> {
    Ok(cache_folder()?.join("tools"))
}

/// The program, or what to count if it cannot be built: a failure where everything must be
/// checked (CI), a skip on a machine that may be offline.
fn build(steps: &Steps) -> Result<std::result::Result<PathBuf, Tally>> {
    let folder = tools_folder()?;
    let build_folder = folder.join("build");
    let what = format!("built cargo-deny {VERSION} into {} (once)", folder.display());
    say::begin(&what);
    let mut command = cargo(&["install", "cargo-deny", "--locked", "--version", VERSION, "--root"]);
    command.arg(&folder).env("CARGO_TARGET_DIR", &build_folder).envs([
        ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1"),
        ("CARGO_PROFILE_RELEASE_LTO", "off"),
        ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16"),
        ("CARGO_PROFILE_RELEASE_DEBUG", "false"),
        ("CARGO_PROFILE_RELEASE_STRIP", "true"),
    ]);
    let ran = steps.run(&what, "deny-install", &mut command)?;
    if ran.status.success() {
        say::step("ok", ran.took, &what);
        // 300 MiB that nobody needs again.
        if let Err(error) = std::fs::remove_dir_all(&build_folder) {
            say::error(&format!("removing {}: {error}", build_folder.display()));
        }
        return Ok(Ok(folder.join("bin/cargo-deny")));
    }
    say::step("FAIL", ran.took, &format!("building cargo-deny {VERSION}"));
    say::output(&ran.output);
    let is_ci = std::env::var_os("CI").is_some();
    let reason = "cargo-deny is not here and could not be built (see above)";
    Ok(Err(if is_ci { Tally::fail() } else { Tally::skip("dependencies", reason) }))
}
