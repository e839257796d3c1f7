//! What the collector says of an endpoint that is silent, and of one whose sensors are shown to see.

use anyhow::{Result, ensure};
use cordon_packaging::clock::wait_until;
use cordon_packaging::fleet::Fleet;
use rustix::process::{Pid, Signal, kill_process};

use crate::scene::{PATIENCE, WEB, fleet_of_one};

pub(crate) fn silences() -> Result<()> {
    let mut fleet = fleet_of_one()?;
    fleet.stop_agent(WEB)?;
    await_silence(&fleet, "stopped")?;
    fleet.start_agent(WEB)?;
    fleet.wait_for_state(WEB, "online", PATIENCE)?;
    await_canaries(&fleet)?;
    fleet.kill_agent(WEB)?;
    await_silence(&fleet, "agent_dead")?;
    fleet.start_agent(WEB)?;
    fleet.wait_for_state(WEB, "online", PATIENCE)?;
    // As the hook does that systemd runs before the machine sleeps.
    let before = notices(&fleet)?;
    let pid = fleet.agent_pid(WEB).and_then(|pid| i32::try_from(pid).ok());
    kill_process(pid.and_then(Pid::from_raw).expect("it runs"), Signal::USR1)?;
    let told =
        wait_until(PATIENCE, || anyhow::Ok(Some(notices(&fleet)?).filter(|now| *now > before)))?;
    let log = fleet.log_tail(WEB);
    ensure!(
        told.is_some(),
        "the agent was told that the machine sleeps and is silent; log:\n{log}"
    );
    fleet.kill_agent(WEB)?;
    await_silence(&fleet, "asleep")
}

fn await_silence(fleet: &Fleet, expected: &str) -> Result<()> {
    fleet.wait_for_state(WEB, "offline", PATIENCE)?;
    let mut last = None;
    let found = wait_until(PATIENCE, || {
        let shown = fleet.endpoint_json(WEB)?;
        last = shown["silence"].as_str().map(str::to_owned);
        anyhow::Ok(last.as_deref().filter(|silence| *silence == expected).map(|_| ()))
    })?;
    let log = fleet.log_tail(WEB);
    ensure!(found.is_some(), "silent for another reason than {expected}: {last:?}; log:\n{log}");
    Ok(())
}

/// Each sensor that only waits for what happens has been shown to see.
fn await_canaries(fleet: &Fleet) -> Result<()> {
    let mut last = serde_json::Value::Null;
    let found = wait_until(PATIENCE * 2, || {
        let shown: Vec<_> = fleet.cordon_json(&["endpoint", "show", WEB])?;
        last = shown.into_iter().next().unwrap_or_default()["health"]["sensors"].clone();
        let sensors = last.as_array().into_iter().flatten();
        let watched =
            sensors.filter(|sensor| sensor["state"] != "off" && sensor["state"] != "blind");
        let mut proved = watched.map(|sensor| sensor["proved_secs"].is_u64()).peekable();
        anyhow::Ok((proved.peek().is_some() && proved.all(|is| is)).then_some(()))
    })?;
    ensure!(found.is_some(), "not every sensor was shown to see: {last}");
    Ok(())
}

fn notices(fleet: &Fleet) -> Result<usize> {
    let events = ["events", "--class", "lifecycle", "--endpoint", WEB, "--since", "5m"];
    let events = fleet.cordon_json(&events)?;
    Ok(events.iter().filter(|event| event["activity_name"] == "Sleeping").count())
}
