//! Where the roster wants two persons, one alone gets nothing, not even by signing twice.

use std::fs;

use anyhow::{Context, Result, ensure};
use cordon_proto::command::ActionKind;

use crate::scene::{WEB, await_some, cordon, first_roster, fleet_of_one, ruleset, sign_roster};

/// Exit codes of `cordon`: see `cordon exit-codes`.
const NOT_AUTHORISED: Option<i32> = Some(10);

pub(crate) fn approve() -> Result<()> {
    let fleet = fleet_of_one()?;
    let (mut roster, _, _) = first_roster(&fleet)?;
    roster.version = 2;
    for grant in roster.grants.iter_mut().filter(|grant| grant.action == ActionKind::Isolate) {
        grant.approvals = 2;
    }
    let path = fleet.folder().join("two-persons.cbor");
    fs::write(&path, sign_roster(&fleet, &roster)?)?;
    fleet.cordon(&["roster", "push", &path.to_string_lossy()])?;
    await_some("the endpoint holds the new roster", || {
        let shown = fleet.endpoint_json(WEB)?;
        let version = &shown["roster_version"];
        Ok((version == 2 || version == "2").then_some(()))
    })?;

    let namespace = fleet.namespace(WEB)?;
    let before = ruleset(namespace)?;
    let mut command = fleet.command("cordon")?;
    let output = command.args(["isolate", WEB, "--reason", "e2e", "--json"]).output()?;
    ensure!(output.status.code() == NOT_AUTHORISED, "one alone: {output:?}");
    let told: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let id = told["command"].as_str().context("no id was told")?;

    let (code, said) = cordon(&fleet, &["command", "approve", id, "--yes"])?;
    ensure!(code == Some(1) && said.contains("another person must"), "ann twice: {code:?} {said}");
    ensure!(ruleset(namespace)? == before, "one person alone changed the firewall");
    let (code, said) = cordon(&fleet, &["command", "show", id])?;
    ensure!(code == NOT_AUTHORISED, "it stands otherwise: {code:?} {said}");

    let second = ["--profile", "bob", "command", "approve", id, "--yes", "--wait"];
    let (code, said) = cordon(&fleet, &second)?;
    ensure!(code == Some(0), "with the second signature: {code:?} {said}");
    ensure!(ruleset(namespace)? != before, "proved, and the firewall is as before");
    fleet.cordon(&["release", WEB, "--reason", "e2e", "--wait"])?;
    ensure!(ruleset(namespace)? == before, "released, and the firewall is not as before");
    Ok(())
}
