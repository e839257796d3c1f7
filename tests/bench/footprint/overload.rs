//! The agent at its worst: no collector, a tiny spool, a fork storm and a flood of log lines at
//! once; whether it stays within its memory, and whether its gaps add up to what is missing.
//!
//! Days without a collector are not waited for: what counts of them is that the spool runs over
//! many times, and the flood makes it do so.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use cordon_packaging::fleet::Fleet;
use cordon_tests::measure::fleet::{self, ENDPOINT};
use cordon_tests::measure::proc_file::memory;
use cordon_tests::measure::workload::{self, Burst};
use cordon_tests::measure::{Options, Report, whole};

use super::mib;

/// The smallest spool that the settings allow.
const SETTINGS: &str = "[spool]\nbytes_max = 16777216\n";

const LINES_AT_ONCE: usize = 2000;

/// What a line carries, so that it does not shrink to nothing: sixteen numbers.
const NUMBERS: u64 = 16;

pub(super) fn overload(fleet: &mut Fleet, options: Options, report: &mut Report) -> Result<()> {
    let (processes, lines) = if options.quick { (5_000, 300_000) } else { (50_000, 2_000_000) };
    fleet.stop_agent(ENDPOINT)?;
    fleet.configure(ENDPOINT, SETTINGS)?;
    let pid = fleet::start(fleet)?;
    let lost_before = fleet::lost(fleet, "log")?;
    fleet.stop_collector()?;
    let mark = format!("overload-{pid}-");
    let log = fleet.logs(ENDPOINT).join("overload.log");
    let burst = Burst { mark: format!("cordon-{mark}"), count: processes, rate_per_s: None };
    std::thread::scope(|scope| {
        let flood = scope.spawn(|| flood(&log, &mark, lines));
        let stormed = burst.run();
        match flood.join() {
            Ok(flooded) => flooded.and(stormed.map(drop)),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })?;
    // The agent reads on until it has the last line; only then is all of it stored or counted.
    let last = format!("{mark}last");
    std::fs::OpenOptions::new()
        .append(true)
        .open(&log)?
        .write_all(format!("{last}\n").as_bytes())?;
    let peak = memory(pid)?.rss_peak_kib;
    fleet.start_collector()?;
    fleet::wait_for_line(fleet, &last)?;
    let marker = format!("cordon-overloaded-{pid}");
    workload::start(&marker)?;
    fleet::wait_for(fleet, &marker)?;
    let peak = memory(pid)?.rss_peak_kib.max(peak);
    report.figure("rss_overload_peak_mib", "peak resident under overload", mib(peak), "MiB")?;
    let kept = numbers(fleet, &mark)?;
    let counted = fleet::lost(fleet, "log")?.saturating_sub(lost_before);
    let missing = lines.saturating_sub(whole_number(kept)?);
    report.row("overload: log lines written", whole(lines), "");
    report.row("overload: lines that came in", whole(kept), "");
    report.row("overload: lines that gaps count", whole(counted), "");
    ensure!(missing > 0, "the spool did not run over: {lines} lines are no overload here");
    let mismatch = missing.abs_diff(counted);
    report.figure("gap_mismatch", "lines missing, against lines in gaps", whole(mismatch), "")
}

fn whole_number(count: usize) -> Result<u64> {
    u64::try_from(count).context("a count of lines")
}

fn flood(log: &Path, mark: &str, lines: u64) -> Result<()> {
    let mut file = File::create(log).context("making the log of the overload")?;
    let (mut text, mut random) = (String::new(), 0x9e37_79b9_7f4a_7c15_u64);
    for number in 0..lines {
        write!(text, "{mark}{number} ")?;
        for _ in 0..NUMBERS {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            write!(text, "{random:x}")?;
        }
        text.push('\n');
        if text.len() > LINES_AT_ONCE * 64 || number + 1 == lines {
            file.write_all(text.as_bytes())?;
            text.clear();
        }
    }
    Ok(())
}

/// How many different lines of the flood came in.
fn numbers(fleet: &Fleet, mark: &str) -> Result<usize> {
    let mut found = BTreeSet::new();
    for line in fleet::lines(fleet, mark)? {
        let number = line.strip_prefix(mark).and_then(|rest| rest.split(' ').next());
        found.extend(number.and_then(|number| number.parse::<u64>().ok()));
    }
    Ok(found.len())
}
