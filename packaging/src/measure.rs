//! `cargo measure NAME`: builds one benchmark in release, and the programs where it starts any, runs
//! it, and sees to it that its last line is the JSON that was agreed on.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::arguments::MeasureOptions;
use crate::pack::build_programs;
use crate::process::Process;
use crate::run_command::{ask, cargo};
use crate::workspace::Workspace;
use crate::{programs, say};

/// Benchmarks that start none of the programs.
const ALONE: [&str; 1] = ["faults"];

/// True if the benchmark ended well and said what it measured.
pub fn run(options: &MeasureOptions) -> Result<bool> {
    let workspace = Workspace::read()?;
    let names = workspace.benchmarks();
    let Some(name) = &options.name else {
        say::line(&list(&names));
        return Ok(true);
    };
    if !names.contains(name) {
        bail!("there is no benchmark {name:?}; {}", list(&names));
    }
    if !ALONE.contains(&name.as_str()) {
        build_programs(&workspace, &workspace.task_folder("measure"))?;
    }
    let program = build_benchmark(name)?;
    let last_line = play(&workspace, name, &program, options)?;
    if let Err(fault) = check_last_line(name, &last_line) {
        bail!("the last line of {name} is not what was agreed on: {fault}");
    }
    Ok(true)
}

fn list(names: &[String]) -> String {
    match names {
        [] => "this checkout has no benchmarks yet".into(),
        names => format!("benchmarks: {}", names.join(", ")),
    }
}

/// Where cargo put it: only cargo knows the name.
fn build_benchmark(name: &str) -> Result<PathBuf> {
    let what = format!("building the benchmark {name}");
    let mut command = cargo(&["bench", "--package", "cordon-tests", "--no-run", "--bench", name]);
    command.arg("--message-format=json-render-diagnostics");
    let answer = ask(&what, &mut command)?;
    executable(&answer, name).with_context(|| format!("{what}: cargo names no program"))
}

fn executable(messages: &str, name: &str) -> Option<PathBuf> {
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut ours = messages.filter(|message| message["target"]["name"] == name);
    ours.find_map(|message| message["executable"].as_str().map(PathBuf::from))
}

/// Runs it with its output passed on as it comes; the last line that is not empty.
fn play(
    workspace: &Workspace,
    name: &str,
    program: &Path,
    options: &MeasureOptions,
) -> Result<String> {
    let mut command = Command::new(program);
    command.args(options.quick.then_some("--quick"));
    command.args(options.seed.iter().flat_map(|seed| ["--seed".to_owned(), seed.to_string()]));
    command.args(&options.rest);
    command.env(programs::FOLDER_VARIABLE, workspace.program_folder("release"));
    command.env("CORDON_COMMIT", commit(workspace));
    command.current_dir(&workspace.root).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut process = Process::start(name, &mut command)?;
    let output = process.pipes().stdout.take().context("the benchmark has no output")?;
    let mut last_line = String::new();
    for line in BufReader::new(output).lines() {
        let line = line.with_context(|| format!("reading the output of {name}"))?;
        say::line(&line);
        if !line.trim().is_empty() {
            last_line = line;
        }
    }
    let status = process.wait()?;
    if !status.success() {
        bail!("the benchmark {name} failed: {status}");
    }
    Ok(last_line)
}

/// What is measured: the commit, marked where the checkout differs from it.
fn commit(workspace: &Workspace) -> String {
    let mut command = Command::new("git");
    command.current_dir(&workspace.root).args(["describe", "--always", "--dirty", "--abbrev=12"]);
    match ask("asking git for the commit", &mut command) {
        Ok(answer) => answer.trim().to_owned(),
        Err(error) => {
            say::error(&format!("{error:#}"));
            "unknown".into()
        }
    }
}

fn check_last_line(name: &str, line: &str) -> Result<(), String> {
    let value: Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
    if value["measure"] != name {
        return Err(format!("\"measure\" is {}, not {name:?}", value["measure"]));
    }
    if value["profile"] != "release" {
        return Err(format!("\"profile\" is {}, not \"release\"", value["profile"]));
    }
    for key in ["commit", "kernel"] {
        value[key].as_str().ok_or_else(|| format!("\"{key}\" is no text"))?;
    }
    value["cpus"].as_u64().ok_or("\"cpus\" is no number")?;
    let figures = value["figures"].as_object().ok_or("\"figures\" is no object")?;
    if figures.is_empty() {
        return Err("\"figures\" is empty".into());
    }
    if let Some((key, _)) = figures.iter().find(|(_, figure)| !figure.is_number()) {
        return Err(format!("the figure \"{key}\" is no number"));
    }
    let not_measured = value["not_measured"].as_array().ok_or("\"not_measured\" is no list")?;
    if not_measured.iter().all(Value::is_string) {
        return Ok(());
    }
    Err("\"not_measured\" is not a list of texts".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"measure": "footprint", "commit": "abc", "kernel": "6.18", "cpus": 2,
        "profile": "release", "figures": {"rss_mib": 9.5}, "not_measured": ["an hour of load"]}"#;

    #[track_caller]
    fn check(replace: &str, with: &str, fault: Result<(), &str>) {
        let line = GOOD.replace(replace, with);
        assert_eq!(check_last_line("footprint", &line), fault.map_err(str::to_owned));
    }

    #[test]
    fn the_line_that_was_agreed_on_is_taken() {
        check("", "", Ok(()));
    }

    #[test]
    fn a_line_that_says_less_is_refused_with_its_fault() {
        check("\"footprint\"", "\"exec\"", Err("\"measure\" is \"exec\", not \"footprint\""));
        check("release", "dev", Err("\"profile\" is \"dev\", not \"release\""));
        check("9.5", "\"9.5\"", Err("the figure \"rss_mib\" is no number"));
        check("\"rss_mib\": 9.5", "", Err("\"figures\" is empty"));
        check("\"cpus\": 2", "\"cpus\": \"two\"", Err("\"cpus\" is no number"));
        check("[\"an hour of load\"]", "[1]", Err("\"not_measured\" is not a list of texts"));
    }

    #[test]
    fn the_program_is_found_among_what_cargo_says() {
        let messages = "{\"target\": {\"name\": \"cordon_tests\"}, \"executable\": null}\n\
            {\"target\": {\"name\": \"exec\"}, \"executable\": \"/build/exec-1\"}\nnoise\n";
        assert_eq!(executable(messages, "exec"), Some("/build/exec-1".into()));
        assert_eq!(executable(messages, "logs"), None);
    }
}
