//! The way out when nothing else is left: a code made and sealed beforehand, typed at the endpoint
//! while the collector is gone, with the agent running or dead.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;

use anyhow::{Context, Result, ensure};
use cordon_packaging::fleet::Fleet;
use cordon_proto::event::Body;
use cordon_proto::event::receipt::{EndCause, Outcome};
use serde_json::Value;

use crate::scene::{DB, PATIENCE, Stored, WEB, await_some, fleet_of_one, listen, ruleset, traffic};

const NO_CODE: &str = "0000-0000-0000-0000";

pub(crate) fn agent_running() -> Result<()> {
    let mut fleet = fleet_of_one()?;
    let _listening = [listen(&fleet, WEB)?, listen(&fleet, DB)?];
    let before = ruleset(fleet.namespace(WEB)?)?;
    let code = fetched(&fleet, "1")?;
    fleet.cordon(&["isolate", WEB, "--reason", "e2e", "--lease", "1h", "--wait"])?;
    fleet.kill_collector()?;
    closed(&fleet)?;
    refused(&type_code(&fleet, NO_CODE)?, "That is not the code")?;
    refused(&type_code(&fleet, "not a code")?, "nothing was tried")?;
    closed(&fleet)?;
    // As somebody types what he hears.
    let heard = code.to_lowercase().replace('-', " ").replace('0', "o").replace('1', "l");
    opened(&type_code(&fleet, &heard)?)?;
    ensure!(traffic(&fleet, WEB, DB)? == [true; 4], "let back, and traffic does not pass");
    ensure!(ruleset(fleet.namespace(WEB)?)? == before, "rules are left");
    await_some("the next code is made", || {
        let said = type_code(&fleet, &code)?;
        refused(&said, "")?;
        Ok(text(&said).contains("That is not the code").then_some(()))
    })?;
    fleet.start_collector()?;
    reported_once(&fleet, "2")?;
    let fetches = fleet.cordon_json(&["audit", "list"])?;
    let fetches = fetches.iter().filter(|entry| entry["what"] == "way-out.fetch").count();
    ensure!(fetches == 1, "{fetches} fetches are in the audit trail");
    Ok(())
}

pub(crate) fn agent_dead() -> Result<()> {
    let mut fleet = fleet_of_one()?;
    let _listening = [listen(&fleet, WEB)?, listen(&fleet, DB)?];
    let before = ruleset(fleet.namespace(WEB)?)?;
    let code = fetched(&fleet, "1")?;
    fleet.cordon(&["isolate", WEB, "--reason", "e2e", "--lease", "1h", "--wait"])?;
    fleet.kill_agent(WEB)?;
    fleet.kill_collector()?;
    closed(&fleet)?;
    refused(&type_code(&fleet, NO_CODE)?, "That is not the code")?;
    closed(&fleet)?;
    let record = fleet.agent_state(WEB).join("isolation.cbor");
    let recorded = std::fs::read(&record)?;
    opened(&type_code(&fleet, &code)?)?;
    ensure!(traffic(&fleet, WEB, DB)? == [true; 4], "let back, and traffic does not pass");
    ensure!(ruleset(fleet.namespace(WEB)?)? == before, "rules are left");
    // As if power had been lost before the record was removed, and the machine had started again.
    private(&record, &recorded)?;
    let mut hold = fleet.start_hold(WEB)?;
    let status = hold.wait_at_most(PATIENCE)?.context("the supervisor did not end")?;
    ensure!(status.success(), "the supervisor ended with {status}");
    ensure!(!record.exists(), "the record of what a code has ended is left");
    ensure!(traffic(&fleet, WEB, DB)? == [true; 4], "the supervisor put the wall up again");
    fleet.start_agent(WEB)?;
    await_some("the agent is up", || {
        let log = fleet.log_tail(WEB);
        let since = log.rsplit("-- started").next().unwrap_or_default();
        Ok(since.contains("a way out is sealed").then_some(()))
    })?;
    await_some("the agent made the next code", || {
        let said = type_code(&fleet, &code)?;
        refused(&said, "")?;
        Ok(text(&said).contains("That is not the code").then_some(()))
    })?;
    ensure!(traffic(&fleet, WEB, DB)? == [true; 4], "the agent put the wall up again");
    fleet.start_collector()?;
    reported_once(&fleet, "2")
}

pub(crate) fn supervisor_holds() -> Result<()> {
    let mut fleet = fleet_of_one()?;
    let _listening = [listen(&fleet, WEB)?, listen(&fleet, DB)?];
    let before = ruleset(fleet.namespace(WEB)?)?;
    let code = fetched(&fleet, "1")?;
    fleet.cordon(&["isolate", WEB, "--reason", "e2e", "--lease", "1h", "--wait"])?;
    fleet.kill_agent(WEB)?;
    let mut hold = fleet.start_hold(WEB)?;
    fleet.kill_collector()?;
    closed(&fleet)?;
    refused(&type_code(&fleet, NO_CODE)?, "That is not the code")?;
    await_some("the supervisor goes on after a wrong code", || {
        Ok((traffic(&fleet, WEB, DB)? == [false; 4]).then_some(()))
    })?;
    opened(&type_code(&fleet, &code)?)?;
    let status = hold.wait_at_most(PATIENCE)?.context("the supervisor did not end")?;
    ensure!(status.success(), "the supervisor ended with {status}");
    ensure!(traffic(&fleet, WEB, DB)? == [true; 4], "let back, and traffic does not pass");
    ensure!(ruleset(fleet.namespace(WEB)?)? == before, "rules are left");
    fleet.start_agent(WEB)?;
    fleet.start_collector()?;
    reported_once(&fleet, "2")
}

/// Writes what only the agent's user may read, as the agent does.
fn private(path: &Path, bytes: &[u8]) -> Result<()> {
    std::fs::write(path, bytes)?;
    Ok(std::fs::set_permissions(path, Permissions::from_mode(0o600))?)
}

/// The code that an operator opens, once the collector has it.
fn fetched(fleet: &Fleet, serial: &str) -> Result<String> {
    await_some("a way out is stored", || {
        Ok((fleet.endpoint_json(WEB)?["way_out"]["serial"] == serial).then_some(()))
    })?;
    let shown = fleet.cordon_json(&["break-glass", WEB])?.pop().context("no answer")?;
    ensure!(shown["serial"] == serial, "{shown}");
    Ok(shown["code"].as_str().context("no code")?.to_owned())
}

fn type_code(fleet: &Fleet, typed: &str) -> Result<Output> {
    let config = fleet.agent_config(WEB);
    let arguments = ["release".as_ref(), "--config".as_ref(), config.as_os_str()];
    fleet.run_agent_typing(WEB, &arguments, &format!("{typed}\n"))
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

fn opened(output: &Output) -> Result<()> {
    let said = text(output);
    ensure!(output.status.success() && said.contains("The code was right"), "it said: {said}");
    Ok(())
}

fn refused(output: &Output, says: &str) -> Result<()> {
    let said = text(output);
    ensure!(!output.status.success() && said.contains(says), "it said: {said}");
    Ok(())
}

fn closed(fleet: &Fleet) -> Result<()> {
    let passes = traffic(fleet, WEB, DB)?;
    ensure!(passes == [false; 4], "something passes: {passes:?}");
    Ok(())
}

/// The end and the use arrive, each once, and the next code is stored.
fn reported_once(fleet: &Fleet, serial: &str) -> Result<()> {
    fleet.wait_for_state(WEB, "online", PATIENCE)?;
    await_some("the next way out is stored, and the isolation is over", || {
        let shown = fleet.endpoint_json(WEB)?;
        let over = shown["isolated"] == Value::Bool(false);
        Ok((shown["way_out"]["serial"] == serial && over).then_some(()))
    })?;
    let events = Stored::of(fleet, WEB)?.events()?;
    let ends = events.iter().filter(|(_, event)| is_end(&event.body)).count();
    let uses = events.iter().filter(|(_, event)| is_use(&event.body)).count();
    ensure!((ends, uses) == (1, 1), "{ends} ends and {uses} uses were told");
    Ok(())
}

fn is_end(body: &Body) -> bool {
    let Body::Receipt(receipt) = body else { return false };
    receipt.outcome == Outcome::Ended { cause: EndCause::BreakGlass, observed_gone: true }
}

fn is_use(body: &Body) -> bool {
    matches!(body, Body::Finding(finding) if finding.rule == "containment.break_glass")
}
