//! Runs a program to its end with all it prints kept in one file, in the order it was printed.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::clock::Stopwatch;
use crate::process::Process;

/// Longer than any step takes on two slow cores; shorter than continuous integration waits.
const RUN_MAX: Duration = Duration::from_secs(60 * 60);

#[derive(Debug)]
pub struct Ran {
    pub status: ExitStatus,
    pub output: String,
    pub took: Duration,
}

/// A cargo command that does not see what the cargo that runs us said about our own package:
/// build scripts that look at it would run again each time.
pub fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(is_about_our_package) {
            command.env_remove(name);
        }
    }
    command.args(arguments);
    command
}

fn is_about_our_package(name: &str) -> bool {
    const NAMES: [&str; 5] = [
        "CARGO_MANIFEST_DIR",
        "CARGO_MANIFEST_PATH",
        "CARGO_CRATE_NAME",
        "CARGO_BIN_NAME",
        "CARGO_PRIMARY_PACKAGE",
    ];
    name.starts_with("CARGO_PKG_") || NAMES.contains(&name)
}

/// Runs the command; standard output and error go to the file and come back as text.
pub fn run(what: &str, command: &mut Command, log: &Path) -> Result<Ran> {
    let watch = Stopwatch::start();
    let file = create(log)?;
    let error_file =
        file.try_clone().with_context(|| format!("opening {} twice", log.display()))?;
    command.stdin(Stdio::null()).stdout(file).stderr(error_file);
    let mut process = Process::start(what, command)?;
    let ended = process.wait_at_most(RUN_MAX).with_context(|| format!("waiting for {what}"))?;
    let status = match ended {
        Some(status) => status,
        None => process.stop().with_context(|| format!("stopping {what} after an hour"))?,
    };
    let bytes = fs::read(log).with_context(|| format!("reading {}", log.display()))?;
    let output = String::from_utf8_lossy(&bytes).into_owned();
    Ok(Ran { status, output, took: watch.elapsed() })
}

/// Runs a short command whose standard output is the answer; an error carries what it complained.
pub fn ask(what: &str, command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| what.to_owned())?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        anyhow::bail!("{what}: {}: {}", output.status, complaint.trim());
    }
    String::from_utf8(output.stdout).with_context(|| format!("{what}: the answer is not text"))
}

/// The program, if it lies in PATH or where administrators' programs lie.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    folders.map(|folder| folder.join(name)).find(|file| file.is_file())
}

fn create(log: &Path) -> Result<File> {
    if let Some(folder) = log.parent() {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    }
    // Emptied first, then opened to append: output and errors share one end of file.
    let open = || {
        File::create(log)?;
        OpenOptions::new().append(true).open(log)
    };
    open().with_context(|| format!("creating {}", log.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_and_errors_are_kept_in_the_order_they_came() {
        let log = std::env::temp_dir().join(format!("cordon-run-{}.log", std::process::id()));
        let mut command = Command::new("sh");
        command.args(["-c", "echo one; echo two >&2; echo three; exit 3"]);
        let ran = run("a shell", &mut command, &log).unwrap();
        fs::remove_file(&log).unwrap();
        assert_eq!((ran.output.as_str(), ran.status.code()), ("one\ntwo\nthree\n", Some(3)));
    }

    #[test]
    fn a_question_that_fails_says_what_was_complained() {
        let mut command = Command::new("sh");
        let error = ask("asking", command.args(["-c", "echo no such thing >&2; exit 1"]));
        assert_eq!(error.unwrap_err().to_string(), "asking: exit status: 1: no such thing");
    }

    #[test]
    fn a_cargo_of_ours_does_not_hear_about_our_package() {
        assert!(is_about_our_package("CARGO_PKG_NAME"));
        assert!(is_about_our_package("CARGO_MANIFEST_DIR"));
        assert!(!is_about_our_package("CARGO_TARGET_DIR"));
        assert!(!is_about_our_package("CARGO_HOME"));
    }
}
