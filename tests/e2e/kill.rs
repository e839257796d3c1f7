//! SIGKILL at random moments, of the agent, the collector or both, while lines are written, logs
//! are rotated and processes run: afterwards everything is there once, or its loss is told.
//!
//! `CORDON_KILL_SECS` lets it run longer; `CORDON_KILL_SEED` repeats the moments of a run.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cordon_collector::clock::Clock;
use cordon_packaging::clock::Stopwatch;
use cordon_packaging::fleet::Fleet;
use cordon_packaging::say;
use cordon_proto::event::process::{ProcessEvent, Tier};
use cordon_proto::event::{Body, Class, Event, Gap};

use crate::scene::{
    Dice, PATIENCE, Stored, WEB, await_lines, fleet_of_one, log_file, pass, write_lines,
};

const SECS_DEFAULT: u64 = 30;

/// Lines at once, and after how many such bursts the log is renamed.
const BURST_LINES: u64 = 10;
const BURSTS_PER_FILE: u64 = 25;

/// Between bursts, and between processes.
const BEAT: Duration = Duration::from_millis(40);

/// The longest time between two kills, and for which what was killed stays away.
const CALM_MILLIS_MAX: u64 = 3_000;
const AWAY_MILLIS_MAX: u64 = 1_500;

pub(crate) fn at_random() -> Result<()> {
    let seed =
        number("CORDON_KILL_SEED")?.unwrap_or_else(|| RandomState::new().build_hasher().finish());
    let secs = number("CORDON_KILL_SECS")?.unwrap_or(SECS_DEFAULT);
    say::line(&format!("killing at random for {secs} s: CORDON_KILL_SEED={seed}"));
    rampage(seed, Duration::from_secs(secs)).with_context(|| format!("CORDON_KILL_SEED={seed}"))
}

fn number(variable: &str) -> Result<Option<u64>> {
    match std::env::var(variable) {
        Ok(text) => Ok(Some(text.parse().with_context(|| format!("{variable}={text}"))?)),
        Err(_) => Ok(None),
    }
}

fn rampage(seed: u64, time: Duration) -> Result<()> {
    let mut fleet = fleet_of_one()?;
    // The logs are where they are however often the fleet's parts come and go.
    let logs = log_file(&fleet, WEB);
    let over = AtomicBool::new(false);
    let (kills, lines, launched) = std::thread::scope(|scope| {
        let lines = scope.spawn(|| write_and_rotate(&logs, &over));
        let launched = scope.spawn(|| launch(&over));
        let kills = kill(&mut fleet, seed, time);
        over.store(true, Ordering::Relaxed);
        let lines = lines.join().map_err(|_panic| anyhow::anyhow!("the writer panicked"))?;
        let launched =
            launched.join().map_err(|_panic| anyhow::anyhow!("the launcher panicked"))?;
        anyhow::Ok((kills?, lines?, launched?))
    })?;
    fleet.wait_for_state(WEB, "online", PATIENCE)?;
    // One more, written in calm, so that an agent that went deaf does not pass for a fast one.
    let calm = write_lines(&fleet, WEB, "calm", 0..1)?;
    await_lines(&fleet, WEB, &[lines.clone(), calm].concat())?;
    judge(&Stored::of(&fleet, WEB)?, &kills, &lines, &launched)
}

/// How often what was killed.
#[derive(Debug, Default)]
struct Kills {
    agent: u64,
    collector: u64,
}

fn kill(fleet: &mut Fleet, seed: u64, time: Duration) -> Result<Kills> {
    let (mut dice, mut kills) = (Dice::new(seed), Kills::default());
    let watch = Stopwatch::start();
    while watch.elapsed() < time {
        pass(Duration::from_millis(dice.below(CALM_MILLIS_MAX)))?;
        let (agent, collector) = match dice.below(4) {
            0 => (false, true),
            1 => (true, true),
            _ => (true, false),
        };
        if collector {
            fleet.kill_collector()?;
            kills.collector += 1;
        }
        if agent {
            fleet.kill_agent(WEB)?;
            kills.agent += 1;
        }
        pass(Duration::from_millis(dice.below(AWAY_MILLIS_MAX)))?;
        // Either may be the first to be back.
        if agent {
            fleet.start_agent(WEB)?;
        }
        if collector {
            fleet.start_collector()?;
        }
    }
    Ok(kills)
}

fn write_and_rotate(log: &std::path::Path, over: &AtomicBool) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    let (mut burst, mut file_number) = (0, 0);
    while !over.load(Ordering::Relaxed) {
        let numbers = burst * BURST_LINES..(burst + 1) * BURST_LINES;
        let new: Vec<_> = numbers.map(|number| format!("kill-line-{number}-end")).collect();
        let mut file = fs::File::options().create(true).append(true).open(log)?;
        std::io::Write::write_all(&mut file, format!("{}\n", new.join("\n")).as_bytes())?;
        lines.extend(new);
        burst += 1;
        if burst % BURSTS_PER_FILE == 0 {
            file_number += 1;
            fs::rename(log, log.with_extension(format!("log.{file_number}")))?;
        }
        pass(BEAT)?;
    }
    Ok(lines)
}

/// A process, and between which moments it began: nanoseconds since 1970.
#[derive(Clone, Debug)]
struct Launched {
    mark: String,
    from_ns: u64,
    to_ns: u64,
}

fn launch(over: &AtomicBool) -> Result<Vec<Launched>> {
    let clock = Clock::system();
    let mut launched = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let mark = format!("kill-process-{}-{}-end", std::process::id(), launched.len());
        let from_ns = clock.wall_ns();
        let status = Command::new("true").arg(&mark).status()?;
        ensure!(status.success(), "true ended with {status}");
        launched.push(Launched { mark, from_ns, to_ns: clock.wall_ns() });
        pass(BEAT)?;
    }
    Ok(launched)
}

fn judge(stored: &Stored, kills: &Kills, lines: &[String], launched: &[Launched]) -> Result<()> {
    let events: Vec<Event> = stored.events()?.into_iter().map(|(_, event)| event).collect();
    let gaps: Vec<&Gap> = events.iter().filter_map(of_processes).collect();
    let seen = count_processes(&events);
    let doubled: Vec<_> =
        launched.iter().filter(|p| seen.get(&p.mark).is_some_and(|n| *n > 1)).collect();
    let missing: Vec<_> = launched.iter().filter(|p| !seen.contains_key(&p.mark)).collect();
    let told = |process: &&&Launched| {
        gaps.iter().any(|gap| gap.from_ns <= process.to_ns && process.from_ns <= gap.to_ns)
    };
    let untold: Vec<_> = missing.iter().filter(|process| !told(process)).collect();
    say::line(&format!(
        "killed the agent {} times and the collector {} times; {} lines: 0 lost, 0 doubled; \
         {} processes: {} seen, {} doubled, {} missing inside {} signed gaps, {} missing untold \
         (the agent was away, or the gaps reach back over what it may have had in hand, for {} s); \
         {} events verified",
        kills.agent,
        kills.collector,
        lines.len(),
        launched.len(),
        launched.len() - missing.len(),
        doubled.len(),
        missing.len() - untold.len(),
        gaps.len(),
        untold.len(),
        covered_ns(&gaps) / 1_000_000_000,
        stored.report.events
    ));
    ensure!(kills.agent > 0, "nothing was killed: the test shows nothing");
    ensure!(lines.len() > 1000, "too few lines were written: {}", lines.len());
    ensure!(doubled.is_empty(), "processes were told twice: {doubled:?}");
    let complete = events.iter().any(is_of_complete_tier);
    if !complete {
        // Short processes are not seen by the lesser tiers, which say so in every event.
        say::line("processes are watched here by a lesser tier: missing ones were not judged");
        return Ok(());
    }
    ensure!(untold.is_empty(), "processes are missing and no gap tells: {untold:?}\n{gaps:#?}");
    Ok(())
}

/// How much time gaps cover together.
fn covered_ns(gaps: &[&Gap]) -> u64 {
    let mut spans: Vec<_> = gaps.iter().map(|gap| (gap.from_ns, gap.to_ns)).collect();
    spans.sort_unstable();
    let (mut covered, mut until) = (0, 0);
    for (from_ns, to_ns) in spans {
        covered += to_ns.saturating_sub(from_ns.max(until));
        until = until.max(to_ns);
    }
    covered
}

/// The gap, if it tells of processes missing.
fn of_processes(event: &Event) -> Option<&Gap> {
    let Body::Gap(gap) = &event.body else { return None };
    gap.counts.iter().any(|count| count.class == Class::Process).then_some(gap)
}

fn count_processes(events: &[Event]) -> BTreeMap<String, u64> {
    let mut seen = BTreeMap::new();
    for event in events {
        let Body::Process(ProcessEvent::Exec(exec)) = &event.body else { continue };
        let Some(args) = &exec.args else { continue };
        for argument in cordon_proto::event::process::split_args(args) {
            let argument = String::from_utf8_lossy(argument);
            if argument.starts_with("kill-process-") {
                *seen.entry(argument.into_owned()).or_default() += 1;
            }
        }
    }
    seen
}

fn is_of_complete_tier(event: &Event) -> bool {
    matches!(&event.body, Body::Process(ProcessEvent::Exec(exec)) if exec.tier == Tier::Bpf)
}
