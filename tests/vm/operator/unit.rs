//! The agent as its package and the service manager run it: what its unit closes to it is closed, and
//! no sensor misses anything by it.

use anyhow::{Context, Result, ensure};
use cordon_packaging::clock::wait_until;
use serde_json::Value;

use crate::endpoint::{Endpoint, GUEST, WITHIN};

const UNITS: &str = "cordon-agent.service cordon-hold.service cordon-hold.path";

pub(super) fn fares_well(here: &mut Endpoint<'_>) -> Result<()> {
    // It warns of every line that the service manager does not understand.
    let said = here
        .system
        .run(&format!("cd /usr/lib/systemd/system && systemd-analyze --man=no verify {UNITS}"))?;
    ensure!(said.is_empty(), "the units are not understood:\n{said}");
    is_closed(here)?;
    sensors_run(here)?;
    doctor_finds_nothing(here)
}

fn is_closed(here: &mut Endpoint<'_>) -> Result<()> {
    let status = here
        .system
        .run("cat /proc/$(systemctl show --value -p MainPID cordon-agent.service)/status")?;
    let line = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.map(str::trim).with_context(|| format!("no {name} in:\n{status}"))
    };
    ensure!(line("NoNewPrivs:")? == "1" && line("Seccomp:")? == "2", "not closed:\n{status}");
    let bounds = u64::from_str_radix(line("CapBnd:")?, 16)?;
    // Setting the clock, changing users, making device files.
    for (number, name) in [(25, "CAP_SYS_TIME"), (7, "CAP_SETUID"), (27, "CAP_MKNOD")] {
        ensure!(bounds & (1 << number) == 0, "the agent has {name}");
    }
    let shown = here.system.run(
        "systemd-analyze security --no-pager cordon-agent.service | tail -n 1; \
         systemctl show -p MemoryCurrent,TasksCurrent,NRestarts cordon-agent.service",
    )?;
    ensure!(shown.contains("NRestarts=0"), "the agent was started again:\n{shown}");
    cordon_packaging::say::line(&shown);
    Ok(())
}

fn sensors_run(here: &Endpoint<'_>) -> Result<()> {
    let mut last = Value::Null;
    let found = wait_until(WITHIN, || {
        let shown = here.fleet.cordon_json(&["endpoint", "show", GUEST])?;
        last = shown.into_iter().next().unwrap_or_default()["health"]["sensors"].clone();
        let sensors = last.as_array().context("health tells no sensors")?;
        let runs = |sensor: &Value| sensor["state"] == "running";
        anyhow::Ok((!sensors.is_empty() && sensors.iter().all(runs)).then_some(()))
    })?;
    ensure!(found.is_some(), "not every sensor runs: {last:#}");
    Ok(())
}

fn doctor_finds_nothing(here: &mut Endpoint<'_>) -> Result<()> {
    let said = here.system.run("cordon-agent doctor")?;
    ensure!(!said.contains("BAD"), "the doctor finds:\n{said}");
    cordon_packaging::say::line(&said);
    Ok(())
}
