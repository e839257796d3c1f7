//! What this program does inside a machine beside another's: starts the processes, and counts what
//! LAUREL has written of them. It says one line of JSON.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use cordon_packaging::say;
use cordon_tests::measure::fleet::Captured;
use cordon_tests::measure::workload::{self, Burst};
use serde_json::{Value, json};

/// The first argument of who starts processes: `workload MARK COUNT`.
pub(crate) const WORKLOAD: &str = "workload";
/// The first argument of who counts lines: `count MARK FOLDER`.
pub(crate) const COUNT: &str = "count";

/// Plays a part if this process is asked to.
pub(crate) fn play() -> Option<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let said = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [WORKLOAD, mark, count] => burst(mark, count),
        [COUNT, mark, folder] => count(mark, Path::new(folder)),
        _ => return None,
    };
    Some(match said {
        Ok(said) => {
            say::line(&said.to_string());
            ExitCode::SUCCESS
        }
        Err(error) => {
            say::error(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    })
}

fn burst(mark: &str, count: &str) -> Result<Value> {
    let count = count.parse().context("how many")?;
    let spent = Burst { mark: mark.to_owned(), count, rate_per_s: None }.run()?;
    Ok(json!({ "elapsed_s": spent.elapsed.as_secs_f64(), "cpu_s": spent.cpu.as_secs_f64() }))
}

/// Reads the log and those that it was rotated to.
fn count(mark: &str, folder: &Path) -> Result<Value> {
    let (mut seen, mut complete) = (BTreeSet::new(), BTreeSet::new());
    for entry in std::fs::read_dir(folder).context("listing logs")? {
        let file = std::fs::File::open(entry?.path()).context("opening a log")?;
        for line in BufReader::new(file).split(b'\n') {
            let line = line.context("reading a log")?;
            let Ok(event) = serde_json::from_slice::<Value>(&line) else { continue };
            if let Some((argument, whole)) = started(&event, mark) {
                seen.insert(argument.clone());
                if whole {
                    complete.insert(argument);
                }
            }
        }
    }
    let Captured { seen, complete } = Captured { seen: seen.len(), complete: complete.len() };
    Ok(json!({ "seen": seen, "complete": complete }))
}

/// The argument of one of the processes, and whether path, arguments, parent and user are there.
fn started(event: &Value, mark: &str) -> Option<(String, bool)> {
    let arguments = event["EXECVE"]["ARGV"].as_array()?;
    let argument = arguments.last()?.as_str()?.to_owned();
    let call = &event["SYSCALL"];
    let number = |name: &str| !call[name].is_null();
    let path = call["exe"].as_str().is_some_and(|exe| exe.ends_with("/bin/true"));
    let whole = path && arguments.len() == 2 && number("ppid") && number("uid");
    argument.starts_with(mark).then_some((argument, whole))
}

/// The processes that one burst starts, as its command line inside says it.
pub(crate) fn workload_line(program: &str, mark: &str, count: usize) -> String {
    format!("{program} {WORKLOAD} {mark} {count}")
}

/// One process more, by which is known that those before it have come through.
pub(crate) fn last_line(mark: &str) -> String {
    format!("{} {mark}", workload::PROGRAM)
}
