//! What every benchmark shares: its two options, its table, and the one line of JSON that was
//! agreed on.

pub mod fleet;
pub mod proc_file;
pub mod spread;
pub mod workload;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use cordon_packaging::{lab, programs, say};
use serde_json::{Map, Value, json};

/// The commit that is measured, as the task runner names it.
const COMMIT_VARIABLE: &str = "CORDON_COMMIT";

/// What a benchmark was asked for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Options {
    /// Fewer rounds: under a minute.
    pub quick: bool,
    /// This one round alone, told step by step; only where rounds are drawn from seeds.
    pub seed: Option<u64>,
}

/// What a benchmark found, as it goes along.
#[derive(Debug, Default)]
pub struct Report {
    figures: Map<String, Value>,
    not_measured: Vec<String>,
}

impl Report {
    /// A row of the table.
    pub fn row(&self, what: &str, value: f64, unit: &str) {
        say::line(&format!("{what:<58} {value:>14} {unit}", value = readable(value)));
    }

    /// A row of the table that is one of the figures, too.
    pub fn figure(&mut self, key: &str, what: &str, value: f64, unit: &str) -> Result<()> {
        self.row(what, value, unit);
        let number = serde_json::Number::from_f64(value);
        let number = number.with_context(|| format!("{key} is {value}, which is no figure"))?;
        self.figures.insert(key.to_owned(), Value::Number(number));
        Ok(())
    }

    /// What this run does not show.
    pub fn not_measured(&mut self, what: impl Into<String>) {
        self.not_measured.push(what.into());
    }

    fn line(self, name: &str, machine: &Machine) -> Value {
        json!({
            "measure": name,
            "commit": machine.commit,
            "kernel": machine.kernel,
            "cpus": machine.cpus,
            "profile": machine.profile,
            "figures": self.figures,
            "not_measured": self.not_measured,
        })
    }
}

/// A count as a number to reckon with.
#[expect(clippy::cast_precision_loss, reason = "counts of a benchmark are far below 2^53")]
pub fn whole(count: impl TryInto<u64>) -> f64 {
    count.try_into().unwrap_or(u64::MAX) as f64
}

/// Numbers for people: as many digits as say something.
fn readable(value: f64) -> String {
    match value.abs() {
        size if size >= 1000.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}

/// Where and of what a benchmark measures.
#[derive(Debug)]
struct Machine {
    commit: String,
    kernel: String,
    cpus: usize,
    profile: &'static str,
}

impl Machine {
    /// With the program that is measured, where the benchmark starts one.
    fn look(program: Option<&Path>) -> Result<Self> {
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease");
        let kernel = kernel.context("reading the kernel's release")?.trim().to_owned();
        let cpus = std::thread::available_parallelism().context("counting the CPUs")?.get();
        let commit = std::env::var(COMMIT_VARIABLE).unwrap_or_else(|_| "unknown".to_owned());
        Ok(Self { commit, kernel, cpus, profile: profile(program, cfg!(debug_assertions)) })
    }
}

/// Only a benchmark built in release that starts programs built in release says that it is one.
fn profile(program: Option<&Path>, is_debug: bool) -> &'static str {
    let in_release = |program: &Path| program.parent().is_some_and(|at| at.ends_with("release"));
    let released = program.is_none_or(in_release);
    if released && !is_debug { "release" } else { "dev" }
}

/// Runs a benchmark as its program's `main`: reads the options, prints the table and the last line.
pub fn main(name: &str, measure: impl FnOnce(Options, &mut Report) -> Result<()>) -> ExitCode {
    exit(
        name,
        options(std::env::args().skip(1)).and_then(|options| {
            if options.seed.is_some() {
                bail!("its rounds are not drawn from seeds");
            }
            if let Some(reason) = lab::unavailable() {
                bail!("this cannot be measured here: {reason}");
            }
            let agent = programs::find("cordon-agent").context("finding what is measured")?;
            run(name, options, Some(&agent), measure)
        }),
    )
}

/// The same for one that needs neither lab nor programs, and draws its rounds from seeds.
pub fn main_anywhere(
    name: &str,
    measure: impl FnOnce(Options, &mut Report) -> Result<()>,
) -> ExitCode {
    let options = options(std::env::args().skip(1));
    exit(name, options.and_then(|options| run(name, options, None, measure)))
}

fn exit(name: &str, measured: Result<()>) -> ExitCode {
    match measured {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say::error(&format!("{name}: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(
    name: &str,
    options: Options,
    program: Option<&Path>,
    measure: impl FnOnce(Options, &mut Report) -> Result<()>,
) -> Result<()> {
    let machine = Machine::look(program)?;
    let Machine { commit, kernel, cpus, profile } = &machine;
    say::line(&format!("{name} of {commit} ({profile}), Linux {kernel}, {cpus} CPUs"));
    let mut report = Report::default();
    measure(options, &mut report)?;
    for what in &report.not_measured {
        say::line(&format!("not measured: {what}"));
    }
    say::line(&report.line(name, &machine).to_string());
    Ok(())
}

/// `cargo bench` says `--bench` to everything that it runs.
fn options(mut arguments: impl Iterator<Item = String>) -> Result<Options> {
    let mut options = Options::default();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--quick" => options.quick = true,
            "--seed" => {
                let seed = arguments.next().context("--seed needs a number")?;
                options.seed = Some(seed.parse().context("--seed needs a number")?);
            }
            "--bench" => {}
            other => bail!("{other:?} is not understood; there are --quick and --seed N"),
        }
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(arguments: &[&str], expected: Option<(bool, Option<u64>)>) {
        let read = options(arguments.iter().map(|&argument| argument.to_owned()));
        let read = read.ok().map(|options| (options.quick, options.seed));
        assert_eq!(read, expected, "{arguments:?}");
    }

    #[test]
    fn a_benchmark_is_quick_or_of_one_seed_and_knows_nothing_else() {
        check(&[], Some((false, None)));
        check(&["--quick", "--bench"], Some((true, None)));
        check(&["--seed", "7"], Some((false, Some(7))));
        check(&["--seed"], None);
        check(&["--fast"], None);
    }

    #[test]
    fn a_debug_build_never_calls_itself_a_release() {
        let program = |profile: &str| format!("/build/{profile}/cordon-agent");
        let [released, debug] = ["release", "debug"].map(program);
        assert_eq!(profile(Some(Path::new(&released)), false), "release");
        assert_eq!(profile(Some(Path::new(&released)), true), "dev");
        assert_eq!(profile(Some(Path::new(&debug)), false), "dev");
        assert_eq!((profile(None, false), profile(None, true)), ("release", "dev"));
    }

    #[test]
    fn a_figure_that_is_none_is_an_error_and_the_line_has_what_was_agreed_on() {
        let mut report = Report::default();
        assert!(report.figure("ratio", "a ratio", f64::NAN, "").is_err());
        report.figure("rss_mib", "resident", 9.5, "MiB").unwrap();
        report.not_measured("an hour of load");
        let machine = Machine {
            commit: "abc".to_owned(),
            kernel: "6.18".to_owned(),
            cpus: 2,
            profile: "release",
        };
        assert_eq!(
            report.line("footprint", &machine).to_string(),
            r#"{"commit":"abc","cpus":2,"figures":{"rss_mib":9.5},"kernel":"6.18","measure":"footprint","not_measured":["an hour of load"],"profile":"release"}"#
        );
    }
}
