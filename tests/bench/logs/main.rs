//! `cargo measure logs`: numbered lines appended and rotated by renaming, copying and compressing
//! while the agent is killed at random, and how many of them are lost or doubled; then one large
//! log from its file to the spool, against rsyslog and `cat`.
//!
//! Lines are counted in the agent's own spool, signed as they lie there: the collector is stopped,
//! so that it is not what is measured. A rotation by copying loses by its nature what is written
//! between the copy and the emptying; the writer here waits for that long, so that every line is
//! one that a reader can see; that something may have been lost is told all the same, once for each.
//!
//! Keys of the last line: `lines`, `lost` and `doubled` under rotation; `mib_per_s` of the agent on
//! one large file, and `mib_per_cpu_s` for each second of a core, beside `cat_mib_per_s` and
//! `rsyslog_mib_per_s`.

mod agent;
mod count;
mod rsyslog;
mod writer;

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cordon_packaging::clock::Stopwatch;
use cordon_tests::measure::{self, Options, Report, whole};

use agent::Agent;
use count::Counted;
use writer::{Plan, Rotation};

/// What is written in all, under rotation and then in one file.
const BYTES: u64 = 1 << 30;
const BYTES_QUICK: u64 = 100 << 20;

/// How long the writer takes for its part, and how often the agent is killed meanwhile.
const WRITING: Duration = Duration::from_secs(90);
const WRITING_QUICK: Duration = Duration::from_secs(12);
const KILLS: u32 = 40;
const KILLS_QUICK: u32 = 8;

/// Files that each log is rotated into.
const GENERATIONS: u64 = 12;

const MIB: f64 = 1_048_576.0;

fn main() -> ExitCode {
    measure::main("logs", logs)
}

fn logs(options: Options, report: &mut Report) -> Result<()> {
    let bytes = if options.quick { BYTES_QUICK } else { BYTES };
    let mut agent = Agent::make()?;
    rotated(options, bytes, &mut agent, report)?;
    let big = agent.folder().join("big");
    let lines = writer::write_one(&big, bytes)?;
    let size = std::fs::metadata(&big)?.len();
    tell_speed(report, "cat_mib_per_s", "cat >/dev/null", size, cat(&big)?)?;
    match rsyslog::measure(&big, &agent.folder().join("rsyslog")) {
        Ok(took) => {
            tell_speed(report, "rsyslog_mib_per_s", "rsyslog, imfile to omfile", size, took)?;
        }
        Err(error) => report.not_measured(format!("rsyslog (rsyslog_mib_per_s): {error:#}")),
    }
    large(&mut agent, &big, size, lines, report)?;
    report.not_measured("sending: the collector is stopped, lines are counted in the spool");
    report.not_measured("power lost: a killed agent loses no page that it has written");
    Ok(())
}

/// The lines under rotation, with an agent that does not live long.
fn rotated(options: Options, bytes: u64, agent: &mut Agent, report: &mut Report) -> Result<()> {
    let (span, kills) = if options.quick { (WRITING_QUICK, KILLS_QUICK) } else { (WRITING, KILLS) };
    let folder = agent.logs();
    agent.start()?;
    agent.settle()?;
    let plan = |rotation| Plan { rotation, bytes: bytes / 3, generations: GENERATIONS, span };
    let plans = [Rotation::Rename, Rotation::Copy, Rotation::Compress].map(plan);
    let seed = std::process::id();
    let lines = std::thread::scope(|scope| -> Result<Vec<u64>> {
        let writers: Vec<_> =
            plans.iter().map(|plan| scope.spawn(|| plan.write(&folder))).collect();
        agent.killed_at_random(kills, span, seed)?;
        writers
            .into_iter()
            .map(|writer| match writer.join() {
                Ok(lines) => lines,
                Err(panic) => std::panic::resume_unwind(panic),
            })
            .collect()
    })?;
    agent.settle()?;
    agent.stop()?;
    let counted = count::count(agent)?;
    report.row("the agent was killed", whole(kills), "times");
    let (mut written, mut lost, mut doubled) = (0, 0, 0);
    for (plan, lines) in plans.iter().zip(lines) {
        let name = plan.rotation.name();
        let of_this = counted.of(name, lines);
        written += lines;
        lost += of_this.lost;
        doubled += of_this.doubled;
        let what = format!("{name}: lines, lost, doubled: {lines}, {}, ", of_this.lost);
        report.row(&what, whole(of_this.doubled), "");
    }
    report.figure("lines", "lines written under rotation", whole(written), "")?;
    report.figure("lost", "of these lost", whole(lost), "")?;
    report.figure("doubled", "of these doubled", whole(doubled), "")?;
    report.row("gaps of log lines told", whole(counted.gaps.len()), "");
    for gap in &counted.gaps {
        report.row(&format!("gap: {gap}"), 1.0, "");
    }
    std::fs::remove_dir_all(&folder)?;
    std::fs::create_dir(&folder)?;
    agent.forget()
}

/// One large file from where it lies to where it is durable.
fn large(agent: &mut Agent, big: &Path, size: u64, lines: u64, report: &mut Report) -> Result<()> {
    agent.start()?;
    agent.settle()?;
    let cpu_before = agent.cpu()?;
    let watch = Stopwatch::start();
    std::fs::rename(big, agent.logs().join("big.log"))?;
    let took = agent.busy_until(watch)?;
    let cpu = agent.cpu()? - cpu_before;
    report.row("RSS of the agent, peak", whole(agent.rss_peak_kib()?) / 1024.0, "MiB");
    agent.stop()?;
    let counted: Counted = count::count(agent)?;
    let of_big = counted.of("one", lines);
    ensure!(
        (of_big.lost, of_big.doubled) == (0, 0),
        "{} of {lines} lines of one large file are lost, {} doubled",
        of_big.lost,
        of_big.doubled
    );
    tell_speed(report, "mib_per_s", "the agent, file to spool", size, took)?;
    let per_cpu = whole(size) / MIB / cpu.as_secs_f64();
    report.figure("mib_per_cpu_s", "the agent, for each second of a core", per_cpu, "MiB/s")
}

fn cat(big: &Path) -> Result<Duration> {
    let watch = Stopwatch::start();
    let status = Command::new("cat").arg(big).stdout(Stdio::null()).status().context("cat")?;
    ensure!(status.success(), "cat: {status}");
    Ok(watch.elapsed())
}

fn tell_speed(report: &mut Report, key: &str, what: &str, size: u64, took: Duration) -> Result<()> {
    report.figure(key, what, whole(size) / MIB / took.as_secs_f64(), "MiB/s")
}
