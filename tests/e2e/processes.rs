//! Processes ended and stopped by signed commands, proved by signed receipts; and refusals.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use cordon_packaging::fleet::Fleet;
use cordon_proto::event::Body;
use cordon_proto::event::receipt::{Check, Outcome};

use crate::scene::{Stored, WEB, await_some, cordon, fleet_of_one};

/// Exit codes of `cordon`: see `cordon exit-codes`.
const DONE: Option<i32> = Some(0);
const REFUSED: Option<i32> = Some(13);

const WHY: [&str; 3] = ["--reason", "e2e", "--wait"];

pub(crate) fn held() -> Result<()> {
    let fleet = fleet_of_one()?;
    let group = fleet.agent_cgroup(WEB).context("no control groups of version 2")?.path();
    killed(&fleet, group)?;
    tree(&fleet, group)?;
    suspended(&fleet, group)?;
    refused(&fleet, group)
}

fn ask(fleet: &Fleet, arguments: &[&str], expected: Option<i32>) -> Result<String> {
    let (code, said) = cordon(fleet, &[arguments, &WHY].concat())?;
    ensure!(code == expected, "{arguments:?}: {code:?}: {said}");
    Ok(said)
}

fn killed(fleet: &Fleet, group: &Path) -> Result<()> {
    let (victim, neighbour) = (start(fleet, group)?, start(fleet, group)?);
    let said = ask(fleet, &["kill", WEB, &victim.to_string()], DONE)?;
    ensure!(said.contains("sleep 300") && said.contains("of root"), "it was not shown: {said}");
    ensure!(has_ended(victim) && !has_ended(neighbour), "another was ended, or it was not");
    let (code, said) = cordon(fleet, &[&["kill", WEB, &victim.to_string()][..], &WHY].concat())?;
    // The second: whoever has taken it on has not waited for it yet.
    let is_told = ["has no process", "has ended"].iter().any(|words| said.contains(words));
    ensure!(code != DONE && is_told, "{code:?}: {said}");
    Ok(())
}

fn tree(fleet: &Fleet, group: &Path) -> Result<()> {
    let inner = group.join("tree");
    fs::create_dir_all(&inner)?;
    let root = begin(fleet, &inner, "sleep 300 & sleep 299 & wait")?;
    await_some("the tree has grown", || Ok((pids(&inner)?.len() == 3).then_some(())))?;
    let dry = ["kill", WEB, &root.to_string(), "--tree", "--reason", "e2e", "--dry-run"];
    let (code, said) = cordon(fleet, &dry)?;
    let shown = pids(&inner)?.iter().all(|pid| said.contains(&pid.to_string()));
    ensure!(code == DONE && shown && said.contains("sleep 299"), "{code:?}: {said}");
    ensure!(pids(&inner)?.len() == 3, "something was done");
    ask(fleet, &["kill", WEB, &root.to_string(), "--tree"], DONE)?;
    await_some("the tree is gone", || Ok(pids(&inner)?.is_empty().then_some(())))
}

fn suspended(fleet: &Fleet, group: &Path) -> Result<()> {
    let victim = start(fleet, group)?;
    let pid = victim.to_string();
    ask(fleet, &["suspend", WEB, &pid, "--lease", "10m"], DONE)?;
    ensure!(state(victim).as_deref() == Some("T"), "it is not stopped: {:?}", state(victim));
    let listed = fleet.cordon(&["containment", "list"])?;
    ensure!(listed.contains("suspend"), "{listed}");
    ask(fleet, &["resume", WEB, &pid], DONE)?;
    ensure!(state(victim).as_deref() == Some("S"), "it does not run: {:?}", state(victim));
    let (code, said) = cordon(fleet, &[&["resume", WEB, &pid][..], &WHY].concat())?;
    ensure!(
        code == Some(1) && said.contains("is stopped by no command that stands"),
        "{code:?}: {said}"
    );
    Ok(())
}

/// Each is a signed receipt; nothing is done.
fn refused(fleet: &Fleet, group: &Path) -> Result<()> {
    let agent = fleet.agent_pid(WEB).context("the agent is not running")?.to_string();
    ask(fleet, &["kill", WEB, &agent], REFUSED)?;
    ask(fleet, &["suspend", WEB, "1"], REFUSED)?;
    let outside = start(fleet, group.parent().context("a group above")?)?;
    ask(fleet, &["kill", WEB, &outside.to_string()], REFUSED)?;
    let other = start(fleet, group)?.to_string();
    ask(fleet, &["kill", WEB, &other, "--start", "70000000"], REFUSED)?;
    ask(fleet, &["deny", WEB, "--path", "/usr/bin/nc.openbsd"], REFUSED)?;
    ensure!(!has_ended(outside), "it was ended");
    let ended = Command::new("kill").args(["-s", "KILL", &outside.to_string()]).status()?;
    ensure!(ended.success(), "what was started outside stays");
    let words = [
        "is the agent, or works for it",
        "is the first of the machine",
        "is outside of the agent's own control group",
        "is not the one that the command names",
        "in the machine's own mount namespace",
    ];
    await_some("every refusal is stored", || {
        let events = Stored::of(fleet, WEB)?.events()?;
        let reasons: Vec<_> = events.iter().filter_map(|(_, event)| reason(&event.body)).collect();
        let told = |words: &&str| reasons.iter().any(|reason| reason.contains(words));
        Ok(words.iter().all(told).then_some(()))
    })
}

fn reason(body: &Body) -> Option<&str> {
    let Body::Receipt(receipt) = body else { return None };
    if let Outcome::Refused { check: Check::Subject, reason } = &receipt.outcome {
        return Some(reason);
    }
    None
}

fn start(fleet: &Fleet, group: &Path) -> Result<u32> {
    let pid = begin(fleet, group, "exec sleep 300")?;
    await_some("it sleeps", || {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        Ok((name.trim() == "sleep").then_some(pid))
    })
}

/// A process in a group that is nobody's child: what works for the agent would be protected.
pub(crate) fn begin(fleet: &Fleet, group: &Path, line: &str) -> Result<u32> {
    let told = fleet.folder().join("started");
    fs::write(&told, "")?;
    let into = group.join("cgroup.procs");
    let (into, out) = (into.display(), told.display());
    let line = format!("echo 0 > {into} && echo $$ > {out} && {{ {line}\n}}");
    let mut command = Command::new("setsid");
    command.args(["--fork", "sh", "-c", &line]).stdin(Stdio::null()).stdout(Stdio::null());
    ensure!(command.stderr(Stdio::null()).status()?.success(), "setsid failed");
    await_some("a process says its number", || {
        let text = fs::read_to_string(&told)?;
        Ok(text.strip_suffix('\n').and_then(|pid| pid.parse().ok()))
    })
}

fn state(pid: u32) -> Option<String> {
    let line = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    line.get(line.rfind(')')? + 2..)?.split(' ').next().map(str::to_owned)
}

pub(crate) fn has_ended(pid: u32) -> bool {
    state(pid).is_none_or(|state| state == "Z")
}

fn pids(group: &Path) -> Result<Vec<u32>> {
    let text = fs::read_to_string(group.join("cgroup.procs"))?;
    Ok(text.lines().filter_map(|line| line.parse().ok()).collect())
}
