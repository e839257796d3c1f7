//! Disks without room: what is lost is counted, and what can wait waits.

use std::fs;

use anyhow::{Context, Result, ensure};
use cordon_packaging::clock::wait_until;
use cordon_packaging::fleet::Fleet;
use cordon_packaging::say;
use cordon_proto::event::Class;

use crate::scene::{
    PATIENCE, Stored, Tmpfs, WEB, await_lines, await_some, fleet, fleet_with, join, log_file, pass,
    write_lines,
};

/// The spool's disk, in KiB: the least that settings allow the spool itself, so that the disk is
/// full before the spool is.
const SPOOL_KIB: u32 = 16 << 10;

/// Written while nobody takes it: several times that disk, and hard to pack.
const FLOOD_LINES: u64 = 60_000;
const FLOOD_LINE_BYTES: usize = 700;

pub(crate) fn under_the_spool() -> Result<()> {
    let mut fleet = fleet()?;
    let _disk = Tmpfs::mount(&fleet.agent_state(WEB), SPOOL_KIB)?;
    join(&mut fleet, WEB)?;
    let before = write_lines(&fleet, WEB, "before", 0..10)?;
    await_lines(&fleet, WEB, &before)?;
    ensure!(has_reserve(&fleet)?, "the spool has no reserve: its disk is too small for this test");
    fleet.kill_collector()?;
    let pid = fleet.agent_pid(WEB).context("the agent is not running")?;
    let flood = flood(&fleet)?;
    await_some("the spool gives its reserve up", || Ok((!has_reserve(&fleet)?).then_some(())))?;
    // It must bear that for a while, not only reach it.
    pass(std::time::Duration::from_secs(5))?;
    ensure!(is_alive(pid), "a full disk ended the agent:\n{}", fleet.log_tail(WEB));
    fleet.start_collector()?;
    fleet.wait_for_state(WEB, "online", PATIENCE)?;
    let after = write_lines(&fleet, WEB, "after", 0..10)?;
    await_lines(&fleet, WEB, &after)?;
    judge(&fleet, &flood)
}

/// Whether the spool still has the room that it gives up when its disk is full.
fn has_reserve(fleet: &Fleet) -> Result<bool> {
    for entry in fs::read_dir(fleet.agent_state(WEB))? {
        if entry?.path().join("spool.reserve").exists() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Lines that no compression makes small.
fn flood(fleet: &Fleet) -> Result<Vec<String>> {
    use std::io::Write;
    let mut dice = crate::scene::Dice::new(7);
    let mut file = fs::File::options().create(true).append(true).open(log_file(fleet, WEB))?;
    let mut lines = Vec::new();
    for number in 0..FLOOD_LINES {
        let mut line = format!("flood-{number}-");
        while line.len() < FLOOD_LINE_BYTES {
            line.push_str(&format!("{:016x}", dice.below(u64::MAX)));
        }
        writeln!(file, "{line}")?;
        lines.push(line);
    }
    Ok(lines)
}

fn judge(fleet: &Fleet, flood: &[String]) -> Result<()> {
    let mut result = (0, 0);
    // The sensor may still be reading what it could not hand over before.
    let settled = wait_until(PATIENCE, || {
        let stored = Stored::of(fleet, WEB)?;
        let lines = stored.lines()?;
        let doubled = flood.iter().filter(|line| lines.get(*line).is_some_and(|n| *n > 1)).count();
        ensure!(doubled == 0, "{doubled} lines were stored twice");
        let missing = flood.iter().filter(|line| !lines.contains_key(*line)).count();
        result = (u64::try_from(missing)?, counted(&stored)?);
        Ok((result.0 <= result.1).then_some(()))
    })?;
    let (missing, counted) = result;
    say::line(&format!(
        "a disk of {SPOOL_KIB} KiB under the spool, {FLOOD_LINES} lines of {FLOOD_LINE_BYTES} \
         bytes: {missing} lost, {counted} counted as lost by signed gaps, 0 doubled"
    ));
    ensure!(settled.is_some(), "{missing} lines are missing, and signed gaps count {counted}");
    Ok(())
}

/// Log lines that signed gaps count as lost.
fn counted(stored: &Stored) -> Result<u64> {
    let events = stored.events()?;
    let gaps = events.iter().filter_map(|(_, event)| event.body.gap());
    let counts = gaps.flat_map(|gap| &gap.counts).filter(|count| count.class == Class::Log);
    Ok(counts.map(|count| count.count).sum())
}

fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
}

/// The disk of the collector's log, and how much of it must stay free.
const LOG_KIB: u32 = 64 << 10;
const LOG_FREE_BYTES_MIN: u64 = 16 << 20;

pub(crate) fn under_the_collector() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let disk = folder.path().join("log");
    let _disk = Tmpfs::mount(&disk, LOG_KIB)?;
    let log = disk.join("log.db");
    let settings =
        format!("log = \"sqlite:{}\"\nfree_bytes_min = {LOG_FREE_BYTES_MIN}\n", log.display());
    let mut fleet = fleet_with(&settings)?;
    join(&mut fleet, WEB)?;
    let before = write_lines(&fleet, WEB, "before", 0..100)?;
    await_lines(&fleet, WEB, &before)?;

    let filling = disk.join("filling");
    let free = rustix::fs::statvfs(disk.as_path())?;
    let room = (free.f_bavail * free.f_frsize).saturating_sub(LOG_FREE_BYTES_MIN / 2);
    fs::write(&filling, vec![0_u8; usize::try_from(room)?])?;
    let during = write_lines(&fleet, WEB, "during", 0..500)?;
    pass(std::time::Duration::from_secs(8))?;
    let stored = Stored::of(&fleet, WEB)?.lines()?;
    let early = during.iter().filter(|line| stored.contains_key(*line)).count();
    ensure!(early == 0, "{early} lines were stored on a disk without room");
    ensure!(fleet.collector_pid().is_some_and(is_alive), "a full disk ended the collector");

    fs::remove_file(&filling)?;
    await_lines(&fleet, WEB, &[before, during].concat())
}
