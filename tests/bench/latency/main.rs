//! `cargo measure latency`: from a process on the endpoint to the live feed, from a command to what
//! it does there, and what gets through meanwhile.

mod isolate;
mod kill;
mod leak;
mod probe;
mod session;
mod tamper;

use std::io::{BufRead, BufReader};
use std::process::{ExitCode, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use anyhow::{Context, Result};
use cordon_packaging::clock::{Stopwatch, wait_until};
use cordon_packaging::fleet::{Fleet, Plan};
use cordon_packaging::process::Process;
use cordon_tests::measure::fleet::{self, ENDPOINT};
use cordon_tests::measure::spread::percentile;
use cordon_tests::measure::workload;
use cordon_tests::measure::{self, Options, Report};

/// How long an event may take to show.
const SHOWN_MAX: Duration = Duration::from_secs(30);

/// How often each thing is done.
#[derive(Debug)]
struct Rounds {
    processes: usize,
    isolations: usize,
    kills: usize,
    leaks: usize,
    edits: usize,
}

const QUICK: Rounds = Rounds { processes: 40, isolations: 10, kills: 10, leaks: 3, edits: 20 };
const FULL: Rounds = Rounds { processes: 200, isolations: 50, kills: 50, leaks: 15, edits: 120 };

fn main() -> ExitCode {
    measure::main("latency", latency)
}

fn latency(options: Options, report: &mut Report) -> Result<()> {
    let rounds = if options.quick { &QUICK } else { &FULL };
    // More commands than people send in an hour.
    let settings = "commands_per_hour_max = 1000".to_owned();
    let mut fleet = Fleet::make(Plan { collector_settings: settings, ..Plan::default() })?;
    fleet::enrol(&mut fleet)?;
    let shown = exec_to_feed(&fleet, rounds.processes)?;
    tell(report, "exec_to_feed", "process to live feed", &shown)?;
    isolate::measure(&fleet, rounds.isolations, report)?;
    kill::measure(&fleet, rounds.kills, report)?;
    leak::measure(&fleet, rounds.leaks, report)?;
    tamper::measure(&mut fleet, rounds.edits, report)?;
    report.not_measured("a network: endpoint, collector and operator share this machine");
    Ok(())
}

/// Middle and far end of some times, in milliseconds.
pub(crate) fn tell(report: &mut Report, key: &str, what: &str, times_ms: &[f64]) -> Result<()> {
    for percent in [50, 99] {
        let value = percentile(times_ms, percent).context("nothing was measured")?;
        let what = format!("{what}, p{percent} of {}", times_ms.len());
        report.figure(&format!("{key}_p{percent}_ms"), &what, value, "ms")?;
    }
    Ok(())
}

pub(crate) fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// From before each process is started until its line comes out of `cordon events --follow`.
fn exec_to_feed(fleet: &Fleet, count: usize) -> Result<Vec<f64>> {
    let mark = format!("cordon-latency-{}-", std::process::id());
    let watch = Stopwatch::start();
    let (_following, lines) = follow(fleet, &mark, watch)?;
    wait_for_feed(&mark, &lines)?;
    let mut times_ms = Vec::new();
    for number in 0..count {
        let argument = format!("{mark}{number}.");
        let started = watch.elapsed();
        workload::start(&argument)?;
        let shown = loop {
            let (at, line) = lines.recv_timeout(SHOWN_MAX).context("an event is not shown")?;
            if line.contains(&argument) {
                break at;
            }
        };
        times_ms.push(ms(shown.saturating_sub(started)));
        // Not in step with anything that the agent does at times of its own.
        let uneven = u64::try_from(number * 37 % 101).unwrap_or_default();
        workload::pause(Duration::from_millis(20 + uneven));
    }
    Ok(times_ms)
}

/// Lines of the feed, each with the time at which it came out.
type Lines = Receiver<(Duration, String)>;

fn follow(fleet: &Fleet, mark: &str, watch: Stopwatch) -> Result<(Process, Lines)> {
    let mut command = fleet.command("cordon")?;
    command.args(["events", "--class", "process", "--endpoint", ENDPOINT, "--text", mark]);
    command.args(["--follow", "--json"]).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut following = Process::start("cordon events --follow", &mut command)?;
    let output = following.pipes().stdout.take().context("the feed has no output")?;
    let (send, lines) = sync_channel(1024);
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if send.send((watch.elapsed(), line)).is_err() {
                return;
            }
        }
    });
    Ok((following, lines))
}

/// The feed is open once it shows something.
fn wait_for_feed(mark: &str, lines: &Lines) -> Result<()> {
    let opened = wait_until(SHOWN_MAX, || {
        workload::start(&format!("{mark}open"))?;
        anyhow::Ok(lines.try_iter().next())
    })?;
    opened.context("the live feed shows nothing").map(drop)
}
