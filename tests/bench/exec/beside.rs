//! The agent and, in the same machine with the same processes, auditd with LAUREL behind it.
//!
//! Audit rules are a whole machine's, so that this machine's are never touched: all of it happens
//! in one of qemu's. That is emulated, and slower by a factor that nobody knows, for the one as for
//! the other: only how they stand to each other, and to nothing at all, says something.

use std::time::Duration;

use anyhow::{Context, Result};
use cordon_packaging::clock::{Stopwatch, wait_until};
use cordon_packaging::fleet::{Fleet, Plan};
use cordon_packaging::say;
use cordon_packaging::vm::depot::Depot;
use cordon_packaging::vm::system::{AUDITED, Image, System, SystemPlan};
use cordon_tests::guest::{self, WITHIN};
use cordon_tests::measure::fleet::{self, Captured, ENDPOINT};
use cordon_tests::measure::spread::median;
use cordon_tests::measure::{Report, whole, workload};
use serde_json::Value;

use crate::guest::{COUNT, last_line, workload_line};

/// Processes of one burst: half a minute where it is emulated on a busy machine.
const PROCESSES: usize = 400;
const ROUNDS: usize = 2;

/// The agent has taken its first inventories when it takes less than this share of the time.
const CALM: Duration = Duration::from_secs(5);
const CALM_PART: u32 = 20;

/// What an administrator would write to see every start.
const PREPARE: &str = "mkdir -p /var/log/audit /var/log/laurel
sed -i 's/^user =.*/user = \"root\"/; s/^size =.*/size = 100000000/' /etc/laurel/config.toml
sed -i 's/^write_logs.*/write_logs = no/' /etc/audit/auditd.conf
systemctl start auditd.service && auditctl -D && auditctl -b 8192
auditctl -a always,exit -F arch=b64 -S execve,execveat
auditctl -l | grep execve && pgrep -x laurel";
const STOP: &str = "auditctl -D && auditctl -e 0; systemctl kill auditd.service";
const LOGS: &str = "/var/log/laurel";

const AGENT_GROUP: &str = "/sys/fs/cgroup/system.slice/cordon-agent.service/cpu.stat";
/// LAUREL is auditd's child and in its group; the kernel's own part is a thread of the kernel.
const AUDIT_GROUP: &str = "/sys/fs/cgroup/system.slice/auditd.service/cpu.stat";

/// Who watches a burst.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Watcher {
    Nobody,
    Agent,
    Audit,
}

/// How long who watches is left without anything of ours to see, before a burst.
const IDLE: Duration = Duration::from_secs(10);

/// What one burst came to.
#[derive(Clone, Copy, Debug)]
struct Round {
    cpu_s: f64,
    watcher_cpu_s: f64,
    /// Of a core, while there was no burst.
    idle: f64,
    elapsed_s: f64,
    captured: Captured,
}

pub(crate) fn measure(report: &mut Report) -> Result<()> {
    let (depot, image) = match Depot::find().and_then(|depot| Ok((depot, AUDITED.find()?))) {
        Ok(found) => found,
        Err(_not_here) => match fetch() {
            Ok(found) => found,
            Err(error) => {
                report.not_measured(format!("auditd with LAUREL: {error:#}"));
                return Ok(());
            }
        },
    };
    let fleet = Fleet::make(Plan::default())?;
    let folder = tempfile::tempdir().context("making a folder for the machine")?;
    let own = std::env::current_exe().context("this program's file")?;
    let plan = SystemPlan {
        folder: folder.path().to_owned(),
        files: guest::files(folder.path(), &[&own])?,
        kernel_arguments: "mitigations=off".to_owned(),
        hardware: Vec::new(),
    };
    let door = fleet.stage()?.door.clone();
    say::line("auditd with LAUREL and the agent, in a machine of qemu's: starting it");
    let mut system = door.run(|| System::start(&depot, &image, &plan))??;
    guest::install(&mut system, &fleet, ENDPOINT)?;
    let name = own.file_name().and_then(|name| name.to_str()).context("this program's name")?;
    let mut machine = Inside { system, fleet, program: format!("/mnt/{name}"), bursts: 0 };
    machine.system.run("systemctl stop cordon-agent.service")?;
    machine.compare(report)?;
    report.not_measured(
        "auditd and the agent outside emulation: their figures are those of an emulated machine \
         of one processor, comparable with each other alone",
    );
    report.not_measured("auditd at 100, 400 and 1,600 processes a second: flat out only");
    machine.system.cut_power()
}

fn fetch() -> Result<(Depot, Image)> {
    Depot::fetch()?;
    let depot = Depot::find().map_err(anyhow::Error::msg)?;
    let image = AUDITED.fetch(&depot)?;
    Ok((depot, image))
}

struct Inside {
    system: System,
    fleet: Fleet,
    /// This program, as it is called there.
    program: String,
    bursts: usize,
}

impl Inside {
    /// The audit daemon comes last: whoever has ever switched the kernel's audit on pays for it
    /// until the next boot.
    fn compare(&mut self, report: &mut Report) -> Result<()> {
        let (mut alone, mut agent, mut audit) = (Vec::new(), Vec::new(), Vec::new());
        alone.push(self.burst(Watcher::Nobody)?);
        for _ in 0..ROUNDS {
            self.start_agent()?;
            agent.push(self.burst(Watcher::Agent)?);
            self.system.run("systemctl stop cordon-agent.service")?;
            alone.push(self.burst(Watcher::Nobody)?);
        }
        self.system.await_success(PREPARE)?;
        for _ in 0..ROUNDS {
            audit.push(self.burst(Watcher::Audit)?);
        }
        self.system.try_run(STOP)?;
        tell("vm_agent", "the agent", &alone, &agent, report)?;
        tell("auditd", "auditd with LAUREL", &alone, &audit, report)
    }

    fn start_agent(&mut self) -> Result<()> {
        self.system.run("systemctl start cordon-agent.service")?;
        self.fleet.wait_for_state(ENDPOINT, "online", WITHIN)?;
        let mark = format!("cordon-settle-{}", self.bursts);
        self.system.run(&last_line(&mark))?;
        fleet::wait_for(&self.fleet, &mark)?;
        let watch = Stopwatch::start();
        while watch.elapsed() < WITHIN {
            let before = self.used(Watcher::Agent)?;
            workload::pause(CALM);
            if self.used(Watcher::Agent)? - before < CALM.as_secs_f64() / f64::from(CALM_PART) {
                break;
            }
        }
        Ok(())
    }

    fn burst(&mut self, watcher: Watcher) -> Result<Round> {
        self.bursts += 1;
        let mark = format!("cordon-beside-{}-", self.bursts);
        let idle = self.idle(watcher)?;
        let before = self.used(watcher)?;
        let said = self.json(&workload_line(&self.program, &mark, PROCESSES))?;
        let captured = self.captured(watcher, &mark)?;
        let watcher_cpu_s = self.used(watcher)? - before;
        let cpu_s = said["cpu_s"].as_f64().context("the time of a burst")?;
        say::line(&format!(
            "{watcher:?}: {PROCESSES} processes in {} s: {cpu_s:.2} s of CPU, {watcher_cpu_s:.2} s \
             of who watches; {captured:?}",
            said["elapsed_s"]
        ));
        let elapsed_s = said["elapsed_s"].as_f64().context("the length of a burst")?;
        Ok(Round { cpu_s, watcher_cpu_s, idle, elapsed_s, captured })
    }

    fn idle(&mut self, watcher: Watcher) -> Result<f64> {
        if watcher == Watcher::Nobody {
            return Ok(0.0);
        }
        let (before, watch) = (self.used(watcher)?, Stopwatch::start());
        workload::pause(IDLE);
        Ok((self.used(watcher)? - before) / watch.elapsed().as_secs_f64())
    }

    /// Waits until one process more has come through, or nothing more is to be waited for.
    fn captured(&mut self, watcher: Watcher, mark: &str) -> Result<Captured> {
        let last = mark.replace("beside", "last");
        match watcher {
            Watcher::Nobody => Ok(Captured::default()),
            Watcher::Agent => {
                self.system.run(&last_line(&last))?;
                fleet::wait_for(&self.fleet, &last)?;
                fleet::captured(&self.fleet, mark)
            }
            Watcher::Audit => {
                self.system.run(&last_line(&last))?;
                let there = format!("grep -q {last} {LOGS}/*");
                let come = wait_until(WITHIN, || {
                    anyhow::Ok((self.system.try_run(&there)?.0 == 0).then_some(()))
                })?;
                if come.is_none() {
                    say::line("the last process never came to LAUREL's log");
                }
                let said = self.json(&format!("{} {COUNT} {mark} {LOGS}", self.program))?;
                let number = |name: &str| said[name].as_u64().and_then(|n| usize::try_from(n).ok());
                let [seen, complete] = [number("seen"), number("complete")];
                let counted = seen.zip(complete).context("what LAUREL has written")?;
                Ok(Captured { seen: counted.0, complete: counted.1 })
            }
        }
    }

    fn json(&mut self, script: &str) -> Result<Value> {
        let said = self.system.run(script)?;
        let last = said.lines().last().with_context(|| format!("{script} says nothing"))?;
        serde_json::from_str(last).with_context(|| format!("{script} says {said}"))
    }

    /// CPU time of who watches, so far, in seconds.
    fn used(&mut self, watcher: Watcher) -> Result<f64> {
        let script = match watcher {
            Watcher::Nobody => return Ok(0.0),
            Watcher::Agent => format!("grep usage_usec {AGENT_GROUP}"),
            Watcher::Audit => {
                format!("grep usage_usec {AUDIT_GROUP}; cat /proc/$(pgrep -x kauditd)/schedstat")
            }
        };
        let said = self.system.run(&script)?;
        let group = said.lines().find_map(|line| line.strip_prefix("usage_usec "));
        let group_us: f64 = group.context("no time of a group")?.trim().parse()?;
        // The first of three numbers: nanoseconds on the processor.
        let kernel = said.lines().find(|line| line.split(' ').count() == 3);
        let kernel_ns = kernel.and_then(|line| line.split(' ').next()).map_or(Ok(0.0), str::parse);
        let kernel_ns: f64 = kernel_ns?;
        Ok(group_us / 1e6 + kernel_ns / 1e9)
    }
}

fn tell(key: &str, who: &str, alone: &[Round], with: &[Round], report: &mut Report) -> Result<()> {
    let middle = |rounds: &[Round], of: fn(&Round) -> f64| {
        let all: Vec<f64> = rounds.iter().map(of).collect();
        median(&all).context("there was no burst")
    };
    let started = whole(PROCESSES * with.len());
    let complete: usize = with.iter().map(|round| round.captured.complete).sum();
    let ratio = middle(with, |round| round.cpu_s)? / middle(alone, |round| round.cpu_s)?;
    let cpu = middle(with, |round| round.watcher_cpu_s)? / whole(PROCESSES) * 10_000.0;
    let mut figure = |name: &str, what: &str, value: f64, unit: &str| {
        let what = format!("[emulated] {who}: {what}");
        report.figure(&format!("{key}_{name}_max"), &what, value, unit)
    };
    figure("captured_complete_ratio", "captured complete", whole(complete) / started, "")?;
    // What its presence alone costs is the same however few processes there are, and a burst of an
    // emulated machine is few.
    let idle = middle(with, |round| round.idle)?;
    let beyond = |round: &Round| (round.watcher_cpu_s - round.idle * round.elapsed_s).max(0.0);
    let beyond = middle(with, beyond)? / whole(PROCESSES) * 10_000.0;
    figure("idle_core_percent", "CPU without a burst, of a core", idle * 100.0, "%")?;
    figure("burst_cpu_s_per_10k", "CPU per 10,000 beyond that", beyond, "s")?;
    figure("cpu_s_per_10k", "CPU per 10,000", cpu, "s")?;
    figure("workload_cpu_ratio", "CPU of the burst, against none", ratio, "")
}
