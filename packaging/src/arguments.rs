//! What the task runner can be asked to do, and the help that teaches it.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Builds, shows, checks, measures and packs Cordon.
///
/// Each task is an alias of cargo's: `cargo demo`, `cargo verify`, `cargo lab`, `cargo shots`,
/// `cargo measure`, `cargo pack`.
#[derive(Debug, Parser)]
#[command(name = "cargo", bin_name = "cargo", subcommand_required = true)]
pub struct Arguments {
    #[command(subcommand)]
    pub task: Task,
}

#[derive(Debug, Subcommand)]
pub enum Task {
    Demo(DemoOptions),
    Verify(VerifyOptions),
    /// Tries everything that could pass an isolation, before, during and after it; prints the table.
    ///
    /// Everything runs in network namespaces of this machine, and needs root. nmap, dnsmasq and
    /// dhclient are unpacked into the cache where they are not installed; nothing is installed.
    /// The tables lie in the build directory under cordon/lab afterwards.
    Lab,
    Shots(ShotsOptions),
    Measure(MeasureOptions),
    Pack(PackOptions),
}

/// Shows Cordon at work: a collector and endpoints, watched, attacked, contained, let back.
///
/// Everything runs on this machine, in network namespaces and control groups that the demo makes
/// and removes again; nothing outside them is changed. It needs root for that, and iproute2.
/// Without --check it stays up until Ctrl-C, so that the console can be looked at.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    sudo -E cargo demo            show it, then wait at https://localhost:8443\n  \
    sudo -E cargo demo --check    go through every step, check each, clean up, end")]
pub struct DemoOptions {
    /// Go through every step once, check its effect, clean up and end; fails if a step fails
    #[arg(long)]
    pub check: bool,
}

/// Checks everything that can be checked here; ends with `N passed, N failed, N skipped`.
///
/// In order: the web console (where node is), formatting, lints, build, all tests (what needs root skips by name without it),
/// dependencies (cargo-deny, built once into the cache), the demo end to end.
/// The full output of each step lies in the build directory under cordon/verify.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    cargo verify --quick     before a commit: formatting, lints, build, tests\n  \
    sudo -E cargo verify     everything, as continuous integration runs it")]
pub struct VerifyOptions {
    /// Leave out the dependency check and the demo
    #[arg(long)]
    pub quick: bool,
    /// Also fetch the advisory database and check the dependencies against it
    #[arg(long, conflicts_with = "quick")]
    pub advisories: bool,
}

/// Makes pictures of every page of the web console: desktop and phone, dark and light.
///
/// A collector and endpoints run in network namespaces of this machine, and a browser looks at
/// them: it needs root, node, and Debian's chromium, which is fetched where it is missing.
#[derive(Debug, Args)]
pub struct ShotsOptions {
    /// Where the pictures go [default: cordon-shots in the folder for temporary files]
    #[arg(long, value_name = "FOLDER")]
    pub into: Option<PathBuf>,
}

/// Runs one benchmark of tests/bench in release: prints its table, then one line of JSON.
///
/// Without a name it lists the benchmarks there are. What is after `--` goes to the benchmark.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    cargo measure                      which benchmarks there are\n  \
    cargo measure footprint --quick    the same in under a minute, with fewer rounds\n  \
    cargo measure faults --seed 7      one life of an endpoint, told step by step")]
pub struct MeasureOptions {
    /// Which benchmark
    pub name: Option<String>,
    /// Fewer rounds: under a minute
    #[arg(long)]
    pub quick: bool,
    /// One round alone, told step by step (faults)
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Handed on to the benchmark as they stand
    #[arg(last = true)]
    pub rest: Vec<OsString>,
}

/// Builds the programs in release, one package at a time, and makes the archive people install.
#[derive(Debug, Args)]
pub struct PackOptions {
    /// Where the archive goes [default: the build directory, under cordon/pack]
    #[arg(long, value_name = "FOLDER")]
    pub into: Option<PathBuf>,
}

/// Drops one `--` right after the task's name: cargo passes on the literal one of
/// `cargo demo -- --check`, which must mean the same as `cargo demo --check`.
pub fn without_literal_dashes(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = arguments.into_iter().collect();
    if arguments.get(2).is_some_and(|third| third == "--") {
        arguments.remove(2);
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[track_caller]
    fn check(typed: &str, understood: &str) {
        let cleaned = without_literal_dashes(typed.split_whitespace().map(OsString::from));
        let expected: Vec<OsString> = understood.split_whitespace().map(OsString::from).collect();
        assert_eq!(cleaned, expected, "for {typed:?}");
        Arguments::try_parse_from(cleaned).expect("the arguments are understood");
    }

    #[test]
    fn a_literal_double_dash_after_the_task_means_nothing() {
        check("cargo demo -- --check", "cargo demo --check");
        check("cargo demo --check", "cargo demo --check");
        check("cargo verify", "cargo verify");
        check("cargo verify --", "cargo verify");
    }

    #[test]
    fn a_later_double_dash_stays() {
        check("cargo measure exec -- --rate 400", "cargo measure exec -- --rate 400");
        check("cargo measure -- exec --quick -- x", "cargo measure exec --quick -- x");
    }

    #[test]
    fn the_grammar_is_sound() {
        Arguments::command().debug_assert();
    }
}
