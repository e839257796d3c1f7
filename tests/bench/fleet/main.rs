//! `cargo measure fleet`: thousands of agents at one collector: what a connection costs, how it takes a
//! storm of reconnections and one command to all, and what a person at the console feels of it.
//!
//! The agents enrol through the collector's door and speak over TLS websockets with the very link,
//! session and guard of the real one; only the machine around them is missing. Everything happens on
//! loopback.

mod command;
mod door;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use cordon_packaging::clock::{Stopwatch, wait_until};
use cordon_packaging::fleet::Fleet;
use cordon_tests::connected::{self, Crowd, Seen};
use cordon_tests::measure::proc_file::{self, Memory};
use cordon_tests::measure::spread::percentile;
use cordon_tests::measure::{self, Options, Report, whole, workload};

use door::{Door, Listed, Person};

/// How long any one step may take before the benchmark gives up.
const STEP_MAX: Duration = Duration::from_secs(180);

/// What the person at the console lives through, in order.
const PHASES: [&str; 4] = ["while all connect", "in calm", "in the storm", "during the command"];

fn main() -> ExitCode {
    measure::main_anywhere("fleet", fleet)
}

fn fleet(options: Options, report: &mut Report) -> Result<()> {
    ensure!(options.seed.is_none(), "its rounds are not drawn from seeds");
    let count: u32 = if options.quick { 500 } else { 5000 };
    let calm = Duration::from_secs(if options.quick { 5 } else { 30 });
    let (fleet, enrolled, enrolling) = connected::fleet(count)?;
    report.figure("connections", "simulated agents", f64::from(count), "")?;
    report.row("enrolling them all", enrolling.as_secs_f64(), "s");
    let (_, identity) = enrolled.identities.first().context("nobody enrolled")?;
    let (pin, roster) = (identity.pins.ca, enrolled.roster.reference);
    let person = Person::start(Door::open(&fleet, pin)?)?;
    let before = memory(&fleet)?;

    let crowd = Crowd::start(enrolled)?;
    let all = usize::try_from(count)?;
    let took = crowd.wait("connecting", STEP_MAX, |seen| seen.live == all)?;
    report.row("until all were connected, all dialling at once", took.as_secs_f64(), "s");
    person.enter(1);
    rest(&fleet, calm, count, before, report)?;

    person.enter(2);
    let begun = crowd.seen().begun;
    let cpu = collector_cpu(&fleet)?;
    crowd.cut();
    let back = |seen: &Seen| seen.begun >= begun + all && seen.live == all;
    let storm = crowd.wait("coming back", STEP_MAX, back)?;
    let storm_cpu = collector_cpu(&fleet)? - cpu;

    let mut door = Door::open(&fleet, pin)?;
    let targets = command::targets(&mut door)?;
    ensure!(targets.len() == all, "{} endpoints are listed", targets.len());
    person.enter(3);
    let commands = command::sign(&targets, roster, &command::keys(fleet.folder())?)?;
    let watch = Stopwatch::start();
    command::bring(&mut door, &commands)?;
    let brought = watch.elapsed();
    crowd.wait("obeying", STEP_MAX, |seen| seen.commanded == all)?;
    let obeyed = watch.elapsed();
    crowd.wait("answering", STEP_MAX, |seen| seen.answered == all)?;
    let answered = watch.elapsed();
    let shown = wait_until(STEP_MAX, || {
        anyhow::Ok((command::applied(&mut door, &commands)? == all).then(|| watch.elapsed()))
    })?;
    let shown = shown.context("the collector does not show the command as applied everywhere")?;
    let listed = person.end()?;
    let peak = whole(memory(&fleet)?.rss_peak_kib) / 1024.0;
    let seen = crowd.seen();
    ensure!(seen.commanded == all, "{} of {all} obeyed: some twice", seen.commanded);
    drop(crowd);

    report.figure("storm_s", "all cut at once, until all were back", storm.as_secs_f64(), "s")?;
    report.row("CPU of the collector for each that came back", per(storm_cpu, count), "ms");
    report.row("dials that came to nothing, of all", whole(seen.failed_dials), "");
    report.row("commands, signed by two", whole(commands.len()), "");
    report.row("until all were brought", brought.as_secs_f64(), "s");
    report.row("until every endpoint had it", obeyed.as_secs_f64(), "s");
    let what = "one command to all, until every receipt was durable";
    report.figure("command_to_all_s", what, answered.as_secs_f64(), "s")?;
    report.row("until the API showed every one as applied", shown.as_secs_f64(), "s");
    report.figure("rss_peak_mib", "peak of the collector's memory", peak, "MiB")?;
    listing(&listed, report)?;
    report.not_measured("a driver on another machine: it shares the CPUs with the collector");
    report.not_measured("the kernel's own memory for each connection's buffers");
    report.not_measured("telemetry: the agents report health and answer commands");
    Ok(())
}

/// All are connected and report their health; what that costs.
fn rest(
    fleet: &Fleet,
    calm: Duration,
    count: u32,
    before: Memory,
    report: &mut Report,
) -> Result<()> {
    let cpu = collector_cpu(fleet)?;
    workload::pause(calm);
    let share = (collector_cpu(fleet)? - cpu).as_secs_f64() / calm.as_secs_f64() * 100.0;
    let after = memory(fleet)?;
    let grown_kib = whole(after.rss_kib) - whole(before.rss_kib);
    report.row("memory of the collector before", whole(before.rss_kib) / 1024.0, "MiB");
    let rss = whole(after.rss_kib) / 1024.0;
    report.figure("rss_mib", "memory with all connected", rss, "MiB")?;
    let each = grown_kib / f64::from(count);
    report.figure("kib_per_connection", "memory of each connection", each, "KiB")?;
    report.row("CPU of the collector, health from each every 30 s", share, "% of a core");
    Ok(())
}

/// How long lists of endpoints took, phase by phase.
fn listing(listed: &[Listed], report: &mut Report) -> Result<()> {
    let all: Vec<f64> = listed.iter().map(|one| one.server_ms).collect();
    for (phase, name) in PHASES.iter().enumerate() {
        let of = || listed.iter().filter(move |one| one.phase == phase);
        let server: Vec<f64> = of().map(|one| one.server_ms).collect();
        let seen: Vec<f64> = of().map(|one| one.seen_ms).collect();
        let (Some(server), Some(seen)) = (percentile(&server, 99), percentile(&seen, 99)) else {
            bail!("nothing was listed {name}");
        };
        report.row(&format!("GET /endpoints {name}, p99, server"), server, "ms");
        report.row(&format!("GET /endpoints {name}, p99, as seen"), seen, "ms");
    }
    report.row("lists of endpoints", whole(all.len()), "");
    let p99 = percentile(&all, 99).context("nothing was listed")?;
    report.figure("endpoints_page_p99_ms", "GET /endpoints, p99 of all, server", p99, "ms")
}

fn memory(fleet: &Fleet) -> Result<Memory> {
    proc_file::memory(fleet.collector_pid().context("the collector does not run")?)
}

fn collector_cpu(fleet: &Fleet) -> Result<Duration> {
    proc_file::cpu(fleet.collector_pid().context("the collector does not run")?)
}

/// Milliseconds for each.
fn per(time: Duration, count: u32) -> f64 {
    time.as_secs_f64() * 1000.0 / f64::from(count)
}
