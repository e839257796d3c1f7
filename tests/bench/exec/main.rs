//! `cargo measure exec`: short-lived processes, flat out and at rates; how many are captured whole,
//! what the agent spends on them, and what they lose to it.
//!
//! Bursts without the agent and with it take turns, so that the cost of the agent stands beside the
//! noise of the machine. The agent sees every process of this machine; only those of the burst are
//! counted, but all cost it time. The whole of it takes a quarter of an hour, of which the peer in a
//! machine of its own is the last third; `--quick` leaves that and the slower rates out.
//!
//! Keys of the last line, each with the suffix of its rate (`_100`, `_400`, `_1600`, `_max`):
//! `captured_complete_ratio`, `captured_or_counted_ratio`, `uncounted`, `agent_cpu_s_per_10k`, and
//! `agent_core_percent` at a rate; `workload_cpu_ratio_max`, `workload_noise_ratio_max`. Of the
//! machine of its own, with `vm_agent_` and with `auditd_` (with LAUREL) before them:
//! `captured_complete_ratio_max`, `idle_core_percent_max`, `burst_cpu_s_per_10k_max`,
//! `cpu_s_per_10k_max`, `workload_cpu_ratio_max`.

mod beside;
mod guest;

use std::process::ExitCode;

use anyhow::{Context, Result};
use cordon_packaging::fleet::{Fleet, Plan};
use cordon_packaging::say;
use cordon_tests::measure::fleet::{self, Captured, ENDPOINT};
use cordon_tests::measure::spread::median;
use cordon_tests::measure::workload::{self, Burst, Spent};
use cordon_tests::measure::{self, Options, Report, whole};

const ROUNDS: usize = 3;

/// Processes of all rounds with the agent, flat out.
const PROCESSES: usize = 100_002;
const PROCESSES_QUICK: usize = 20_001;

/// The slower rates, and how many processes at each: between one and four minutes.
const RATES_PER_S: [(u32, usize); 3] = [(100, 20_000), (400, 20_000), (1_600, 100_000)];

/// Below this share of a rate it was not the rate that was measured.
const REACHED_MIN: f64 = 0.95;

fn main() -> ExitCode {
    if let Some(code) = guest::play() {
        return code;
    }
    measure::main("exec", exec)
}

fn exec(options: Options, report: &mut Report) -> Result<()> {
    let mut fleet = Fleet::make(Plan::default())?;
    fleet::enrol(&mut fleet)?;
    fleet.stop_agent(ENDPOINT)?;
    let mut costs = Costs::default();
    let mut sum = Sum::default();
    let processes = if options.quick { PROCESSES_QUICK } else { PROCESSES };
    let burst = |what: &str| Burst {
        mark: format!("cordon-exec-{}-{what}-", std::process::id()),
        count: processes / ROUNDS,
        rate_per_s: None,
    };
    say::line(&format!("{processes} processes flat out, in {ROUNDS} rounds"));
    costs.without.push(burst("without").run()?);
    for round in 0..ROUNDS {
        fleet::start(&mut fleet)?;
        let (_took, cost) = fleet::calm(&fleet)?;
        report.row("CPU of the agent's start, before the burst", cost.as_secs_f64(), "s");
        let watched = watch(&fleet, &burst(&round.to_string()))?;
        fleet.stop_agent(ENDPOINT)?;
        costs.with.push(watched.spent);
        costs.without.push(burst("without").run()?);
        sum.add(&watched);
    }
    sum.tell("max", report)?;
    costs.tell(report)?;
    if !options.quick {
        fleet::start(&mut fleet)?;
        fleet::calm(&fleet)?;
        for (rate, count) in RATES_PER_S {
            say::line(&format!("{count} processes at {rate}/s"));
            let mut sum = Sum::default();
            sum.add(&watch(&fleet, &at_rate(rate, count))?);
            sum.tell(&rate.to_string(), report)?;
            let reached = sum.started / sum.elapsed_s;
            if reached < f64::from(rate) * REACHED_MIN {
                report.not_measured(format!("{rate}/s: this machine reached {reached:.0}/s only"));
            }
        }
        drop(fleet);
        beside::measure(report)?;
    } else {
        report.not_measured("100, 400 and 1,600 processes a second: --quick");
        report.not_measured("100,000 processes: --quick");
        report.not_measured("auditd with LAUREL in a machine of its own: --quick");
    }
    report.not_measured("more than one shape of process: every one is /bin/true with one argument");
    report.not_measured("the machine alone: other processes of it cost the agent time, too");
    Ok(())
}

fn at_rate(rate: u32, count: usize) -> Burst {
    let mark = format!("cordon-exec-{}-rate{rate}-", std::process::id());
    Burst { mark, count, rate_per_s: Some(rate) }
}

/// One burst with the agent.
#[derive(Clone, Copy, Debug)]
struct Watched {
    started: usize,
    captured: Captured,
    /// Process events of whatever process that the agent counted as lost meanwhile.
    lost: u64,
    agent_cpu_s: f64,
    spent: Spent,
}

fn watch(fleet: &Fleet, burst: &Burst) -> Result<Watched> {
    let (lost_before, cpu_before) = (fleet::lost(fleet, "process")?, fleet::agent_cpu(fleet)?);
    let spent = burst.run()?;
    let last = format!("{}last", burst.mark.replace("exec", "last"));
    workload::start(&last)?;
    fleet::wait_for(fleet, &last)?;
    let agent_cpu_s = (fleet::agent_cpu(fleet)? - cpu_before).as_secs_f64();
    let captured = fleet::captured(fleet, &burst.mark)?;
    let lost = fleet::lost(fleet, "process")?.saturating_sub(lost_before);
    Ok(Watched { started: burst.count, captured, lost, agent_cpu_s, spent })
}

/// Several bursts at one rate.
#[derive(Debug, Default)]
struct Sum {
    started: f64,
    seen: f64,
    complete: f64,
    /// Not captured, though counted in a gap.
    counted: f64,
    agent_cpu_s: f64,
    elapsed_s: f64,
}

impl Sum {
    fn add(&mut self, watched: &Watched) {
        let Watched { started, captured, lost, agent_cpu_s, spent } = watched;
        let missing = whole(started.saturating_sub(captured.seen));
        self.started += whole(*started);
        self.seen += whole(captured.seen);
        self.complete += whole(captured.complete);
        self.counted += missing.min(whole(*lost));
        self.agent_cpu_s += agent_cpu_s;
        self.elapsed_s += spent.elapsed.as_secs_f64();
    }

    fn tell(&self, suffix: &str, report: &mut Report) -> Result<()> {
        let Self { started, seen, complete, counted, agent_cpu_s, elapsed_s } = self;
        report.row(&format!("[{suffix}] processes started"), *started, "");
        report.row(&format!("[{suffix}] at a rate of"), started / elapsed_s, "/s");
        let mut figure = |key: &str, what: &str, value: f64, unit: &str| {
            report.figure(&format!("{key}_{suffix}"), &format!("[{suffix}] {what}"), value, unit)
        };
        let what = "captured with path, full arguments, parent, user";
        figure("captured_complete_ratio", what, complete / started, "")?;
        let known = seen + counted;
        figure("captured_or_counted_ratio", "captured or in a gap", known / started, "")?;
        figure("uncounted", "neither captured nor in a gap", started - known, "")?;
        let cpu = agent_cpu_s / started * 10_000.0;
        figure("agent_cpu_s_per_10k", "CPU of the agent per 10,000", cpu, "s")?;
        if suffix != "max" {
            let percent = agent_cpu_s / elapsed_s * 100.0;
            figure("agent_core_percent", "CPU of the agent, of one core", percent, "%")?;
        }
        Ok(())
    }
}

/// What the bursts themselves cost, in CPU time, without and with the agent.
#[derive(Debug, Default)]
struct Costs {
    /// One before each burst with the agent, and one after the last.
    without: Vec<Spent>,
    with: Vec<Spent>,
}

impl Costs {
    fn tell(&self, report: &mut Report) -> Result<()> {
        let cpu_s = |spent: &Spent| spent.cpu.as_secs_f64();
        let middle = |bursts: &[Spent]| {
            median(&bursts.iter().map(cpu_s).collect::<Vec<_>>()).context("there was no burst")
        };
        let (without, with) = (middle(&self.without)?, middle(&self.with)?);
        report.row("CPU of a burst without the agent, median", without, "s");
        report.row("CPU of a burst with the agent, median", with, "s");
        let what = "CPU of the burst, with against without";
        report.figure("workload_cpu_ratio_max", what, with / without, "")?;
        // Neighbours in time: the dearer against the cheaper.
        let dearer = |pair: &[Spent]| {
            let [one, other] = [pair.first(), pair.last()].map(|spent| spent.map_or(0.0, cpu_s));
            one.max(other) / one.min(other)
        };
        let noise: Vec<f64> = self.without.windows(2).map(dearer).collect();
        let noise = median(&noise).context("there was no burst")?;
        let what = "without against without, median of neighbours";
        report.figure("workload_noise_ratio_max", what, noise, "")
    }
}
