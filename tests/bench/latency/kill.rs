//! From the start of `cordon kill` until the process is gone, as its parent sees it.

use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use cordon_packaging::clock::Stopwatch;
use cordon_packaging::fleet::Fleet;
use cordon_tests::measure::Report;
use cordon_tests::measure::fleet::ENDPOINT;

use crate::{ms, tell};

/// Longer than any round: it ends by being killed, or with its time.
const VICTIM: [&str; 2] = ["sleep", "120"];

pub(crate) fn measure(fleet: &Fleet, count: usize, report: &mut Report) -> Result<()> {
    let mut times_ms = Vec::new();
    for round in 0..count {
        times_ms.push(once(fleet).with_context(|| format!("kill {round}"))?);
    }
    tell(report, "kill", "`cordon kill` to gone", &times_ms)
}

fn once(fleet: &Fleet) -> Result<f64> {
    let mut victim = start(fleet)?;
    let pid = victim.id().to_string();
    let watch = Stopwatch::start();
    let gone = std::thread::spawn(move || victim.wait().map(|status| (watch.elapsed(), status)));
    fleet.cordon(&["kill", ENDPOINT, &pid, "--reason", "benchmark", "--wait"])?;
    let joined = gone.join().ok().context("waiting for the process panicked")?;
    let (elapsed, status) = joined.context("waiting for the process")?;
    ensure!(!status.success(), "the process ended by itself");
    Ok(ms(elapsed))
}

/// In the agent's own control group: in a lab it acts on no other process.
fn start(fleet: &Fleet) -> Result<Child> {
    let group = fleet.agent_cgroup(ENDPOINT).context("there are no control groups here")?;
    let mut command = Command::new(VICTIM[0]);
    let mut child = command.args(&VICTIM[1..]).stdin(Stdio::null()).spawn()?;
    let moved = std::fs::write(group.path().join("cgroup.procs"), child.id().to_string());
    if let Err(error) = moved {
        child.kill()?;
        child.wait()?;
        return Err(error).context("moving a process into the agent's control group");
    }
    Ok(child)
}
