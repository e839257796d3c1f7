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
    DB, PATIENCE, Stored, WEB, await_some, failed_with, fleet_of_one, join, listen, pass, ruleset,
    said, traffic,
};

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
