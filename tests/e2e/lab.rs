//! The agent's own guard of the machine that tests run on: with `lab` set it isolates nothing in
//! the initial network namespace, and says so in a signed receipt.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use cordon_packaging::fleet::{Fleet, Plan};
use cordon_proto::event::Body;
use cordon_proto::event::receipt::Outcome;

use crate::scene::{PATIENCE, Stored, cordon, said};

/// Exit code of `cordon`: the endpoint could not do it.
const ACTION_FAILED: Option<i32> = Some(12);

pub(crate) fn initial_namespace() -> Result<()> {
    let mut fleet = Fleet::make(Plan { on_loopback: true, ..Plan::default() })?;
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname")?.trim().to_owned();
    fleet.enrol(&name)?;
    fleet.wait_for_state(&name, "online", PATIENCE)?;
    // Without that setting the command below would cut this machine off.
    let settings = std::fs::read_to_string(fleet.agent_config(&name))?;
    ensure!(settings.lines().any(|line| line == "lab = true"), "not told that it is in a lab");
    let agent = fleet.agent_pid(&name).context("the agent is not running")?;
    let (own, its) = (network("self")?, network(&agent.to_string())?);
    ensure!(own == its, "the agent is in another namespace than this test");

    let before = initial_ruleset()?;
    let isolate = ["isolate", &name, "--reason", "e2e", "--lease", "60s", "--wait"];
    let (code, words) = cordon(&fleet, &isolate)?;
    ensure!(code == ACTION_FAILED, "it ended with {code:?}: {words}");
    let after = initial_ruleset()?;
    ensure!(after == before, "the firewall was:\n{before}\nand is:\n{after}");
    let events = Stored::of(&fleet, &name)?.events()?;
    let reasons: Vec<_> = events.iter().filter_map(|(_, event)| failed(&event.body)).collect();
    ensure!(
        reasons.iter().any(|reason| reason.contains("initial network namespace")),
        "no signed receipt gives the namespace as the reason: {reasons:?}"
    );
    Ok(())
}

fn failed(body: &Body) -> Option<&str> {
    let Body::Receipt(receipt) = body else { return None };
    if let Outcome::Failed { reason } = &receipt.outcome { Some(reason) } else { None }
}

fn network(process: &str) -> Result<String> {
    Ok(std::fs::read_link(format!("/proc/{process}/ns/net"))?.display().to_string())
}

/// Only read, and by another program.
fn initial_ruleset() -> Result<String> {
    let output = Command::new("nft").args(["list", "ruleset"]).output()?;
    ensure!(output.status.success(), "nft: {}", said(&output));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
