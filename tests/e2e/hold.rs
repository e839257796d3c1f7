//! The supervisor: it puts an isolation up again where no agent runs, hands it over without a gap,
//! and ends it by its lease or by a signed release in a file.

use std::path::PathBuf;
use std::process::Output;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cordon_packaging::clock::wait_until;
use cordon_packaging::fleet::Fleet;
use cordon_packaging::process::Process;
use cordon_proto::event::Body;
use cordon_proto::event::receipt::{EndCause, Outcome};

use crate::scene::{
    DB, PATIENCE, Stored, Tmpfs, WEB, await_some, failed_with, fleet, fleet_of_one, join, listen,
    pass, ruleset, said, traffic,
};

/// A disk for an agent's state, in KiB.
const STATE_KIB: u32 = 32 << 10;

/// A fleet with two endpoints, and the rules of the first before it was isolated.
fn isolated(lease: &str) -> Result<(Fleet, String)> {
    let mut fleet = fleet_of_one()?;
    join(&mut fleet, DB)?;
    let before = ruleset(fleet.namespace(WEB)?)?;
    fleet.cordon(&["isolate", WEB, "--reason", "e2e", "--lease", lease, "--wait"])?;
    Ok((fleet, before))
}

/// As after a boot: no agent, and no rules.
fn power_lost(fleet: &mut Fleet) -> Result<()> {
    fleet.kill_agent(WEB)?;
    delete_tables(fleet)?;
    ensure!(traffic(fleet, WEB, DB)? == [true; 4], "without rules traffic does not pass");
    Ok(())
}

/// One by one: flushing the ruleset leaves tables that a process owned.
fn delete_tables(fleet: &Fleet) -> Result<()> {
    let namespace = fleet.namespace(WEB)?;
    for table in namespace.output("nft", &["list", "tables"])?.lines() {
        let words: Vec<_> = table.split_whitespace().collect();
        namespace.output("nft", &[&["delete"], words.as_slice()].concat())?;
    }
    Ok(())
}

fn await_closed(fleet: &Fleet, when: &str) -> Result<()> {
    await_some(when, || Ok((traffic(fleet, WEB, DB)? == [false; 4]).then_some(())))
}

fn closed(fleet: &Fleet, when: &str) -> Result<()> {
    let passes = traffic(fleet, WEB, DB)?;
    ensure!(passes == [false; 4], "{when}: something passes: {passes:?}");
    Ok(())
}

fn open(fleet: &Fleet, before: &str) -> Result<()> {
    await_some("the endpoint is let back", || {
        Ok((traffic(fleet, WEB, DB)? == [true; 4]).then_some(()))
    })?;
    let after = ruleset(fleet.namespace(WEB)?)?;
    ensure!(after == before, "before:\n{before}\nafter:\n{after}");
    Ok(())
}

fn ends(mut hold: Process) -> Result<()> {
    let status = hold.wait_at_most(PATIENCE)?.context("the supervisor did not end")?;
    ensure!(status.success(), "the supervisor ended with {status}");
    Ok(())
}

/// Waits until the collector was told why the isolation ended.
fn told(fleet: &Fleet, wanted: EndCause) -> Result<()> {
    await_some("the collector is told how it ended", || {
        let events = Stored::of(fleet, WEB)?.events()?;
        let ended = events.iter().any(|(_, event)| {
            let Body::Receipt(receipt) = &event.body else { return false };
            matches!(&receipt.outcome, Outcome::Ended { cause, .. } if *cause == wanted)
        });
        Ok(ended.then_some(()))
    })
}

fn file(fleet: &Fleet, action: &str) -> Result<PathBuf> {
    let path = fleet.folder().join(format!("{action}.cordon"));
    let shown = path.display().to_string();
    fleet.cordon(&["release", WEB, "--reason", "e2e", "--queued", "--to", &shown])?;
    Ok(path)
}

fn release(fleet: &Fleet, file: &std::path::Path) -> Result<Output> {
    let config = fleet.agent_config(WEB);
    fleet.run_agent(
        WEB,
        &["release".as_ref(), "--config".as_ref(), config.as_os_str(), file.as_os_str()],
    )
}

pub(crate) fn without_an_agent() -> Result<()> {
    let (mut fleet, before) = isolated("1h")?;
    let _listening = [listen(&fleet, WEB)?, listen(&fleet, DB)?];
    power_lost(&mut fleet)?;
    let hold = fleet.start_hold(WEB)?;
    await_closed(&fleet, "the supervisor has put the rules up")?;
    // Somebody removes them: they come back. Where the kernel lets tables be owned nobody can.
    if delete_tables(&fleet).is_ok() {
        await_closed(&fleet, "the supervisor has put the rules up again")?;
    }
    fleet.start_agent(WEB)?;
    closed(&fleet, "an agent starts beside the supervisor")?;
    fleet.wait_for_state(WEB, "online", PATIENCE)?;
    closed(&fleet, "the agent has taken over")?;
    fleet.kill_agent(WEB)?;
    closed(&fleet, "the agent was killed beside the supervisor")?;
    fleet.start_agent(WEB)?;
    fleet.wait_for_state(WEB, "online", PATIENCE)?;
    closed(&fleet, "the agent has taken over once more")?;
    await_some("signed health tells that it stands", || {
        Ok((fleet.endpoint_json(WEB)?["isolated"] == true).then_some(()))
    })?;
    fleet.cordon(&["release", WEB, "--reason", "e2e", "--wait"])?;
    open(&fleet, &before)?;
    // It waits for the agent's end, finds nothing recorded, and goes.
    fleet.stop_agent(WEB)?;
    ends(hold)?;
    open(&fleet, &before)
}

pub(crate) fn ends_the_lease() -> Result<()> {
    let (mut fleet, before) = isolated("25s")?;
    let _listening = [listen(&fleet, WEB)?, listen(&fleet, DB)?];
    power_lost(&mut fleet)?;
    let hold = fleet.start_hold(WEB)?;
    await_closed(&fleet, "the supervisor has put the rules up")?;
    open(&fleet, &before)?;
    ends(hold)?;
    fleet.start_agent(WEB)?;
    fleet.wait_for_state(WEB, "online", PATIENCE)?;
    told(&fleet, EndCause::LeaseEnded)
}

pub(crate) fn released_by_file() -> Result<()> {
    let (mut fleet, before) = isolated("1h")?;
    let _listening = [listen(&fleet, WEB)?, listen(&fleet, DB)?];
    let signed = file(&fleet, "release")?;
    fleet.kill_agent(WEB)?;
    let hold = fleet.start_hold(WEB)?;
    let forged = fleet.folder().join("forged.cordon");
    let mut bytes = std::fs::read(&signed)?;
    *bytes.last_mut().context("an empty file")? ^= 1;
    std::fs::write(&forged, bytes)?;
    await_some("the supervisor has its socket", || {
        let output = release(&fleet, &forged)?;
        Ok((!said(&output).contains("somebody owns the rules")).then_some(()))
    })?;
    failed_with("a forged release", &release(&fleet, &forged)?, "does not verify")?;
    closed(&fleet, "a forged release was refused")?;
    let output = release(&fleet, &signed)?;
    ensure!(output.status.success(), "the supervisor refused: {}", said(&output));
    open(&fleet, &before)?;
    ends(hold)?;
    fleet.start_agent(WEB)?;
    fleet.wait_for_state(WEB, "online", PATIENCE)?;
    told(&fleet, EndCause::Released)?;
    failed_with("the same file again", &release(&fleet, &signed)?, "not released")?;
    // By the agent itself, and by nobody at all.
    for agent in [true, false] {
        fleet.cordon(&["isolate", WEB, "--reason", "e2e", "--lease", "1h", "--wait"])?;
        let signed = file(&fleet, &format!("again-{agent}"))?;
        if !agent {
            fleet.stop_agent(WEB)?;
        }
        let output = release(&fleet, &signed)?;
        ensure!(output.status.success(), "agent {agent}: {}", said(&output));
        open(&fleet, &before)?;
    }
    Ok(())
}

/// The agent cannot start on it, and tries again ever less often; meanwhile the rules stand, and
/// nobody keeps a signed release from being obeyed.
pub(crate) fn read_only_disk() -> Result<()> {
    let mut fleet = fleet()?;
    let disk = Tmpfs::mount(&fleet.agent_state(WEB), STATE_KIB)?;
    join(&mut fleet, WEB)?;
    let _listening = [listen(&fleet, WEB)?, listen(&fleet, DB)?];
    let before = ruleset(fleet.namespace(WEB)?)?;
    fleet.cordon(&["isolate", WEB, "--reason", "e2e", "--lease", "1h", "--wait"])?;
    let signed = file(&fleet, "release")?;
    fleet.kill_agent(WEB)?;
    disk.remount("ro")?;
    fleet.start_agent(WEB)?;
    let log = fleet.folder().join(format!("{WEB}.log"));
    await_some("the agent has tried twice", || {
        let text = std::fs::read_to_string(&log)?;
        Ok((text.matches("it tries again").count() > 1).then_some(()))
    })
    .with_context(|| fleet.log_tail(WEB))?;
    ensure!(fleet.agent_pid(WEB).is_some(), "the agent gave up:\n{}", fleet.log_tail(WEB));
    closed(&fleet, "the agent cannot start")?;
    // The agent may just be trying, and have the lock.
    let said = await_some("a signed release is obeyed", || {
        let output = release(&fleet, &signed)?;
        Ok(output.status.success().then(|| said(&output)))
    })?;
    ensure!(said.contains("isolated again after a reboot"), "it says: {said}");
    open(&fleet, &before)?;
    // With the disk back the agent finds the record that could not be removed.
    disk.remount("rw")?;
    fleet.wait_for_state(WEB, "online", PATIENCE)?;
    await_closed(&fleet, "the agent holds what is recorded")?;
    fleet.cordon(&["release", WEB, "--reason", "e2e", "--wait"])?;
    open(&fleet, &before)
}

/// What passes of [`traffic`] while the other endpoint's IPv4 address is blocked.
const BLOCKED: [bool; 4] = [false, true, false, true];

/// A fleet of two, the one of which blocks the other's IPv4 address; its rules before that, and the
/// command.
fn blocking() -> Result<(Fleet, String, String)> {
    let mut fleet = fleet_of_one()?;
    join(&mut fleet, DB)?;
    let before = ruleset(fleet.namespace(WEB)?)?;
    let address = fleet.endpoint(DB)?.machine.v4;
    let reason = ["--reason", "e2e", "--lease", "1h", "--wait"];
    fleet.cordon(&[&["block", WEB, "--address", address], &reason[..]].concat())?;
    let listed = fleet.cordon_json(&["containment", "list"])?;
    let command = listed.first().and_then(|standing| standing["command"].as_str());
    let command = command.context("the block is not listed")?.to_owned();
    Ok((fleet, before, command))
}

fn await_blocked(fleet: &Fleet, when: &str) -> Result<()> {
    await_some(when, || Ok((traffic(fleet, WEB, DB)? == BLOCKED).then_some(())))
        .with_context(|| fleet.log_tail(WEB))
}

fn blocked(fleet: &Fleet, when: &str) -> Result<()> {
    let passes = traffic(fleet, WEB, DB)?;
    ensure!(passes == BLOCKED, "{when}: what passes is {passes:?}");
    Ok(())
}

/// What is blocked is blocked again before any agent runs, and its lease ends without one.
pub(crate) fn blocks() -> Result<()> {
    let (mut fleet, before, command) = blocking()?;
    let _listening = [listen(&fleet, WEB)?, listen(&fleet, DB)?];
    blocked(&fleet, "blocked by the agent")?;
    power_lost(&mut fleet)?;
    let hold = fleet.start_hold(WEB)?;
    await_blocked(&fleet, "the supervisor has put the block up")?;
    // Somebody removes it: it comes back. Where the kernel lets tables be owned nobody can.
    if delete_tables(&fleet).is_ok() {
        await_blocked(&fleet, "the supervisor has put the block up again")?;
    }
    fleet.start_agent(WEB)?;
    blocked(&fleet, "an agent starts beside the supervisor")?;
    fleet.wait_for_state(WEB, "online", PATIENCE)?;
    blocked(&fleet, "the agent has taken over")?;
    fleet.cordon(&["unblock", &command, "--reason", "e2e", "--wait"])?;
    open(&fleet, &before)?;
    fleet.stop_agent(WEB)?;
    ends(hold)?;
    open(&fleet, &before)?;

    fleet.start_agent(WEB)?;
    fleet.wait_for_state(WEB, "online", PATIENCE)?;
    let address = fleet.endpoint(DB)?.machine.v4;
    let reason = ["--reason", "e2e", "--lease", "25s", "--wait"];
    fleet.cordon(&[&["block", WEB, "--address", address], &reason[..]].concat())?;
    power_lost(&mut fleet)?;
    let hold = fleet.start_hold(WEB)?;
    await_blocked(&fleet, "the supervisor has put the short block up")?;
    open(&fleet, &before)?;
    ends(hold)?;
    fleet.start_agent(WEB)?;
    fleet.wait_for_state(WEB, "online", PATIENCE)?;
    told(&fleet, EndCause::LeaseEnded)
}

/// This machine's own rules must be the same before and after.
pub(crate) fn outside() -> Result<()> {
    let (mut fleet, _) = isolated("1h")?;
    fleet.kill_agent(WEB)?;
    let rules = || {
        let output = std::process::Command::new("nft").args(["list", "ruleset"]).output()?;
        anyhow::Ok(said(&output))
    };
    let before = rules()?;
    let hold = fleet.start_hold_outside(WEB)?;
    let refused = wait_until(PATIENCE, || {
        anyhow::Ok(
            fleet
                .log_tail(WEB)
                .contains("only outside the initial network namespace")
                .then_some(()),
        )
    })?;
    refused.with_context(|| format!("it did not refuse:\n{}", fleet.log_tail(WEB)))?;
    pass(Duration::from_secs(2))?;
    hold.stop()?;
    let after = rules()?;
    ensure!(before == after, "before:\n{before}\nafter:\n{after}");
    Ok(())
}
