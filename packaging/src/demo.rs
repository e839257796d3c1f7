//! `cargo demo`: Cordon at work in a lab of network namespaces, step by step, each step checked.

mod containment;
mod evidence;
mod follow;
mod sensing;
mod step;

use std::time::Duration;

use anyhow::{Result, bail};

use crate::arguments::DemoOptions;
use crate::fleet::{Fleet, Plan};
use crate::workspace::Workspace;
use crate::{console, lab, need, say};

pub use step::step;

/// The endpoint whose agent runs; the lab's others are peers without one.
const ENDPOINT: &str = "web-01";

/// The machine that tries to talk with it from outside.
const PEER: &str = "db-01";

/// Where people find the demo's console.
const PEOPLE_PORT: u16 = 8443;

const ONLINE_MAX: Duration = Duration::from_secs(30);

/// True if every step did what it says.
pub fn run(options: &DemoOptions) -> Result<bool> {
    let workspace = Workspace::read()?;
    need::provide(&need::FOR_THE_LAB, &workspace.task_folder("demo"))?;
    build(&workspace)?;
    let people_port = (!options.check).then_some(PEOPLE_PORT);
    match play(people_port)? {
        None => Ok(true),
        Some(reason) => bail!("the demo cannot be shown here: {reason}"),
    }
}

/// Goes through every step and cleans up; the reason if it cannot be shown here at all.
pub fn check(workspace: &Workspace) -> Result<Option<String>> {
    build(workspace)?;
    play(None)
}

fn build(workspace: &Workspace) -> Result<()> {
    console::build_if_possible(workspace)?;
    step("built the agent, the collector and the terminal program", || {
        let mut command = crate::run_command::cargo(&["build", "--workspace", "--bins"]);
        command.current_dir(&workspace.root);
        let log = workspace.task_folder("demo").join("build.log");
        let ran = crate::run_command::run("building", &mut command, &log)?;
        anyhow::ensure!(ran.status.success(), "building failed:\n{}", ran.output);
        Ok(())
    })
}

/// Plays the demo: to its end, or until Ctrl-C where people are to look at it.
fn play(people_port: Option<u16>) -> Result<Option<String>> {
    let lab = need::is_root();
    if lab && let Some(reason) = lab::unavailable() {
        return Ok(Some(reason));
    }
    if !lab {
        say::line("not root: no lab, so the agent meets the collector on loopback");
        say::line("not root: processes are seen by listing /proc only; isolation is left out");
    }
    let plan = Plan { people_port, ..Plan::default() };
    let mut fleet =
        step("made throw-away keys (unprotected: for this demo only) and a collector", || {
            Fleet::make(plan)
        })?;
    let name = if lab { ENDPOINT.to_owned() } else { sensing::host_name()? };
    step("enrolled an endpoint and started its agent", || {
        fleet.enrol(&name)?;
        fleet.wait_for_state(&name, "online", ONLINE_MAX).map(drop)
    })?;
    say::line(&format!("console and API: {}", fleet.people_url()));
    say::line(&format!("cordon's settings: CORDON_CONFIG_DIR={}", fleet.operator().display()));
    if people_port.is_some() {
        return follow::until_interrupted(&fleet).map(|()| None);
    }
    sensing::processes(&fleet, &name, "watched")?;
    sensing::logs(&fleet, &name)?;
    if lab {
        sensing::disks(&fleet, &name)?;
        containment::isolate_and_release(&fleet, &name)?;
    }
    evidence::export_verify_tamper(&fleet, &name)?;
    step("stopped the agent in order", || fleet.stop_agent(&name))?;
    Ok(None)
}
