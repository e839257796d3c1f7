//! `cargo measure footprint`: what one agent costs its machine, idle with every sensor on and after
//! a bounded load.
//!
//! It sees every process of this machine, so that a busy machine shows as a busy agent: how many
//! it saw while it was meant to be idle stands in the table.
//!
//! Keys of the last line beside those of memory, threads and wake-ups when idle:
//! `rss_after_load_mib` is what stays resident after the load, `rss_peak_mib` the most during it,
//! `rss_overload_peak_mib` the most under overload, `gap_mismatch` the lines that are neither there
//! nor in a gap.

mod overload;

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use cordon_packaging::clock::Stopwatch;
use cordon_packaging::fleet::{Fleet, Plan};
use cordon_packaging::{programs, say};
use cordon_tests::measure::fleet::{self, ENDPOINT};
use cordon_tests::measure::proc_file::{self, memory, switched, switches};
use cordon_tests::measure::workload::{self, Burst};
use cordon_tests::measure::{self, Options, Report, whole};

/// How long an agent that has just come up is left alone before it counts as idle.
const SETTLE: Duration = Duration::from_secs(5);

/// An hour of a busy machine's load, twenty processes and twenty lines of a log a second, in two
/// minutes.
const LOAD: Load = Load { count: 72_000, rate_per_s: Some(600) };
/// What `--quick` has instead: flat out.
const LOAD_QUICK: Load = Load { count: 20_000, rate_per_s: None };

/// So many processes, and as many lines of a log beside them.
#[derive(Clone, Copy, Debug)]
struct Load {
    count: usize,
    rate_per_s: Option<u32>,
}

/// Between two such appends, where there is no rate.
const PAUSE_FLAT_OUT: Duration = Duration::from_millis(10);

/// Lines appended at once, as a busy service does.
const LINES_AT_ONCE: usize = 100;

fn main() -> ExitCode {
    measure::main("footprint", footprint)
}

fn footprint(options: Options, report: &mut Report) -> Result<()> {
    let window = Duration::from_secs(if options.quick { 15 } else { 600 });
    let mut fleet = Fleet::make(Plan { unhurried: true, ..Plan::default() })?;
    let pid = fleet::enrol(&mut fleet)?;
    workload::pause(SETTLE);
    fleet::calm(&fleet)?;
    say::line(&format!("idle for {} s", window.as_secs()));
    idle(&fleet, pid, window, report)?;
    load(&fleet, pid, if options.quick { LOAD_QUICK } else { LOAD }, report)?;
    overload::overload(&mut fleet, options, report)?;
    let program = std::fs::metadata(programs::find("cordon-agent")?)?.len();
    report.figure("binary_mib", "the agent's program", mib(program >> 10), "MiB")?;
    report.not_measured("MeshCentral's agent in the same run (mesh_agent_rss_mib)");
    if options.quick {
        report.not_measured("an hour of load, compressed: --quick has a burst instead");
    }
    report.not_measured("an hour that takes an hour: its load comes within two minutes");
    report.not_measured("overload for days: its spool runs over many times within minutes");
    report.not_measured("detection rules: this agent has none");
    report.not_measured("a machine without other work: the agent sees all processes of this one");
    Ok(())
}

fn mib(kib: u64) -> f64 {
    whole(kib) / 1024.0
}

fn idle(fleet: &Fleet, pid: u32, window: Duration, report: &mut Report) -> Result<()> {
    let seen_before = fleet::came_in(fleet)?;
    let (watch, cpu_before, before) =
        (Stopwatch::start(), fleet::agent_cpu(fleet)?, switches(pid)?);
    workload::pause(window);
    let cpu = fleet::agent_cpu(fleet)? - cpu_before;
    let (after, secs) = (switches(pid)?, watch.elapsed().as_secs_f64());
    let now = memory(pid)?;
    report.row("idle for", secs, "s");
    let seen = fleet::came_in(fleet)?.saturating_sub(seen_before);
    report.row("events of this machine meanwhile", whole(seen), "");
    report.figure("rss_mib", "resident", mib(now.rss_kib), "MiB")?;
    report.figure("pss_mib", "resident, shared pages by share", mib(now.pss_kib), "MiB")?;
    report.figure("threads", "threads", whole(now.threads), "")?;
    let percent = cpu.as_secs_f64() / secs * 100.0;
    report.figure("cpu_idle_percent", "CPU, of one core", percent, "%")?;
    let wakeups = whole(switched(&before, &after)) / secs;
    report.figure("wakeups_per_s", "wake-ups (switches, all threads)", wakeups, "/s")
}

fn load(fleet: &Fleet, pid: u32, load: Load, report: &mut Report) -> Result<()> {
    let Load { count, rate_per_s } = load;
    say::line(&format!("{count} processes and as many lines"));
    let log = fleet.logs(ENDPOINT).join("load.log");
    let burst = Burst { mark: format!("cordon-load-{pid}-"), count, rate_per_s };
    let spent = std::thread::scope(|scope| {
        let writing = scope.spawn(|| append(&log, load));
        let spent = burst.run();
        match writing.join() {
            Ok(written) => written.and(spent),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })?;
    let last = format!("cordon-loaded-{pid}");
    workload::start(&last)?;
    fleet::wait_for(fleet, &last)?;
    let rate = whole(count) / spent.elapsed.as_secs_f64();
    report.row("load: processes, beside as many lines of a log", rate, "/s");
    let captured = fleet::captured(fleet, &burst.mark)?;
    report.row(&format!("of {count} processes came in"), whole(captured.seen), "");
    fleet::calm(fleet)?;
    let memory = memory(pid)?;
    report.figure("rss_after_load_mib", "resident after it", mib(memory.rss_kib), "MiB")?;
    let peak = memory.rss_peak_kib;
    report.figure("rss_peak_mib", "peak resident, load included", mib(peak), "MiB")?;
    report.row("CPU since the agent began", proc_file::cpu(pid)?.as_secs_f64(), "s");
    Ok(())
}

fn append(log: &Path, load: Load) -> Result<()> {
    let mut file = File::create(log).context("making the log of the load")?;
    let at_once = u32::try_from(LINES_AT_ONCE).context("lines at once")?;
    let pause =
        load.rate_per_s.map_or(PAUSE_FLAT_OUT, |rate| Duration::from_secs(1) * at_once / rate);
    for first in (0..load.count).step_by(LINES_AT_ONCE) {
        let mut lines = String::new();
        for number in first..first + LINES_AT_ONCE {
            writeln!(
                lines,
                "sshd[{number}]: Failed password for root from 192.0.2.7 port {number}"
            )?;
        }
        file.write_all(lines.as_bytes())?;
        workload::pause(pause);
    }
    Ok(())
}
