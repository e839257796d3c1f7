//! What an endpoint does by itself: with its collector gone, once, for as long as its policy says,
//! and told exactly once when the collector is back.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cordon_packaging::clock::{Stopwatch, wait_until};
use cordon_packaging::fleet::{CLIENT, Fleet};
use cordon_proto::command::ActionKind;
use cordon_proto::event::receipt::{EndCause, Outcome};
use cordon_proto::event::{Body, Event, Lane, Reacted};
use cordon_proto::roster::Autonomy;

use crate::processes::{begin, has_ended};
use crate::scene::{
    DB, PATIENCE, Stored, WEB, await_some, fleet_of_one, let_one_set_policy, listen, ruleset,
    traffic,
};

const LEASE: Duration = Duration::from_secs(20);
const TWICE_AN_HOUR: u32 = 2;

/// How long an endpoint may keep to itself that it met the same again, over a crash.
const SUMMED_UP: Duration = Duration::from_secs(120);

pub(crate) fn cuts_itself_off() -> Result<()> {
    let mut fleet = fleet_of_one()?;
    let _listening = [listen(&fleet, WEB)?, listen(&fleet, DB)?];
    let marker = marker(&fleet)?;
    let file = policy(&fleet, &marker)?;
    let refused = fleet.cordon(&["policy", "set", &file, WEB, "--reason", "e2e"]);
    ensure!(refused.is_err(), "the first roster lets endpoints do nothing by themselves");
    let_endpoints(&fleet, ActionKind::Isolate)?;
    fleet.cordon(&["policy", "set", &file, WEB, "--reason", "e2e", "--wait"])?;
    shown(&fleet, &file)?;
    let before = ruleset(fleet.namespace(WEB)?)?;

    fleet.kill_collector()?;
    let watch = Stopwatch::start();
    meet(&fleet, &marker)?;
    await_closed(&fleet)?;
    meet(&fleet, &marker)?;
    let open = wait_until(LEASE + PATIENCE, || {
        anyhow::Ok((traffic(&fleet, WEB, DB)? == [true; 4]).then(|| watch.elapsed()))
    })?;
    let took = open.context("the endpoint did not let itself back")?;
    ensure!(took >= LEASE - Duration::from_secs(2), "let back after {took:?} of {LEASE:?}");
    ensure!(ruleset(fleet.namespace(WEB)?)? == before, "the firewall is not as before");

    fleet.start_collector()?;
    fleet.wait_for_state(WEB, "online", PATIENCE)?;
    let first = told_once(&fleet, 1)?;

    // With the collector there it is listed while it stands, and undone as a command's is.
    meet(&fleet, &marker)?;
    let listed = await_some("what the endpoint did by itself is listed", || {
        Ok(fleet.cordon_json(&["containment", "list"])?.into_iter().next())
    })?;
    let id = listed["command"].as_str().context("a containment without an id")?.to_owned();
    ensure!(id != first, "another reaction has the id of the first");
    ensure!(listed["by"] == "policy response marker, version 1", "{listed}");
    fleet.cordon(&["undo", &id, "--reason", "e2e"])?;
    await_some("traffic passes after undoing it", || {
        Ok((traffic(&fleet, WEB, DB)? == [true; 4]).then_some(()))
    })?;
    ensure!(ruleset(fleet.namespace(WEB)?)? == before, "undone, and the firewall is not as before");

    // The limit holds over a crash.
    fleet.kill_agent(WEB)?;
    fleet.start_agent(WEB)?;
    fleet.wait_for_state(WEB, "online", PATIENCE)?;
    // What is met again within a minute is summed up, and a crash takes endpoint time back by up to
    // a minute: so long nothing is told.
    let told = wait_until(SUMMED_UP + PATIENCE, || {
        meet(&fleet, &marker)?;
        let told = reactions(&fleet)?;
        let withheld = |one: &Reacted| one.withheld.is_some() && one.policy_version == 1;
        anyhow::Ok(told.iter().any(withheld).then_some(()))
    })?;
    told.context("the third time was not told as withheld")?;
    ensure!(traffic(&fleet, WEB, DB)? == [true; 4], "withheld, and it is cut off");
    let done = reactions(&fleet)?.iter().filter(|one| one.action.is_some()).count();
    ensure!(done == usize::try_from(TWICE_AN_HOUR)?, "it was done {done} times within an hour");
    Ok(())
}

/// What was set is what is shown, of the client and of the endpoint, and nothing differs from it.
fn shown(fleet: &Fleet, file: &str) -> Result<()> {
    await_some("the endpoint tells that it holds the policy", || {
        let listed = fleet.cordon_json(&["policy", "status", "--client", CLIENT]);
        // It ends with 11 while somebody holds another.
        Ok(listed.ok().filter(|listed| listed.iter().any(|one| one["holds"] == 1)))
    })?;
    for whose in [["--client", CLIENT].as_slice(), &[WEB]] {
        let shown = fleet.cordon_json(&[["policy", "show"].as_slice(), whose].concat())?;
        let name = shown.first().and_then(|policy| policy.pointer("/responses/0/name"));
        ensure!(name.is_some_and(|name| name == "marker"), "{shown:?}");
    }
    let diff = fleet.cordon_json(&["policy", "diff", file, WEB])?;
    let said = diff.first().and_then(|diff| diff["changes"].as_array()).map(Vec::len);
    ensure!(said == Some(1), "the file that was set differs from what is held: {diff:?}");
    fleet.cordon(&["policy", "check", file, "--client", CLIENT])?;
    Ok(())
}

/// A program that nothing else on this machine runs.
fn marker(fleet: &Fleet) -> Result<PathBuf> {
    let path = fleet.folder().join("marker");
    fs::copy("/bin/true", &path).context("copying a program")?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Ok(path)
}

fn meet(fleet: &Fleet, marker: &std::path::Path) -> Result<()> {
    let ran = fleet.namespace(WEB)?.run(|| Command::new(marker).status())?;
    ensure!(ran.context("running the marker")?.success(), "the marker failed");
    Ok(())
}

fn policy(fleet: &Fleet, marker: &std::path::Path) -> Result<String> {
    policy_that(fleet, marker, &format!("do = \"isolate\", lease_secs = {}", LEASE.as_secs()))
}

/// A policy that does this to whoever starts a program.
fn policy_that(fleet: &Fleet, program: &std::path::Path, does: &str) -> Result<String> {
    let path = fleet.folder().join("policy.toml");
    let program = program.display().to_string();
    let text = format!(
        "client = \"{CLIENT}\"\nversion = 1\n[[responses]]\nname = \"marker\"\n\
         per_hour_max = {TWICE_AN_HOUR}\n\
         when = [{{ field = \"process_path\", comparison = \"is\", value = {program:?} }}]\n\
         then = {{ {does} }}\n"
    );
    fs::write(&path, text)?;
    Ok(path.display().to_string())
}

/// A program that policy names is ended as soon as it starts, without a collector, and told of once;
/// where the agent may not, nothing is done and that is told.
pub(crate) fn kills() -> Result<()> {
    let mut fleet = fleet_of_one()?;
    let group =
        fleet.agent_cgroup(WEB).context("no control groups of version 2")?.path().to_owned();
    let victim = fleet.folder().join("victim");
    fs::copy("/bin/sleep", &victim).context("copying a program")?;
    fs::set_permissions(&victim, fs::Permissions::from_mode(0o755))?;
    let file = policy_that(&fleet, &victim, "do = \"kill\", tree = false")?;
    let_endpoints(&fleet, ActionKind::Kill)?;
    fleet.cordon(&["policy", "set", &file, WEB, "--reason", "e2e", "--wait"])?;
    fleet.kill_collector()?;
    let line = format!("exec {} 300", victim.display());
    let neighbour = begin(&fleet, &group, "exec sleep 300")?;
    let pid = begin(&fleet, &group, &line)?;
    await_some("what policy names is ended", || Ok(has_ended(pid).then_some(())))
        .with_context(|| fleet.log_tail(WEB))?;
    ensure!(!has_ended(neighbour), "another was ended, too");
    let outside = begin(&fleet, group.parent().context("a group above")?, &line)?;

    fleet.start_collector()?;
    fleet.wait_for_state(WEB, "online", PATIENCE)?;
    let told = await_some("both are told", || {
        let told = reactions(&fleet)?;
        Ok((told.len() == usize::try_from(TWICE_AN_HOUR)?).then_some(told))
    })?;
    let outcomes = |id| -> Result<Vec<&'static str>> {
        let events = Stored::of(&fleet, WEB)?.events()?;
        let of_it = events.iter().filter_map(|(_, event)| {
            let Body::Receipt(receipt) = &event.body else { return None };
            (receipt.command == Some(id)).then(|| receipt.outcome.name())
        });
        Ok(of_it.collect())
    };
    let [done, not_done] = told.as_slice() else { anyhow::bail!("not two: {told:?}") };
    await_some("the end of the process is observed", || {
        let said = outcomes(done.id)?;
        Ok((said == ["applied", "observed"]).then_some(()))
    })?;
    await_some("that the other may not be ended is told", || {
        Ok((outcomes(not_done.id)? == ["refused"]).then_some(()))
    })
    .with_context(|| format!("{:?}", outcomes(not_done.id)))?;
    ensure!(!has_ended(outside), "a process outside of the agent's own group was ended");
    let ended = Command::new("kill").args(["-s", "KILL", &outside.to_string()]).status()?;
    ensure!(ended.success(), "what was started outside stays");
    Ok(())
}

/// A roster that lets one administrator set policy, and policy let endpoints do this.
fn let_endpoints(fleet: &Fleet, action: ActionKind) -> Result<()> {
    let actions = vec![action];
    let (lease_secs_max, per_hour_max) = (LEASE.as_secs(), TWICE_AN_HOUR);
    let_one_set_policy(fleet, |roster| {
        roster.ceilings.autonomy = Some(Autonomy { actions, lease_secs_max, per_hour_max });
    })
}

fn await_closed(fleet: &Fleet) -> Result<()> {
    await_some("the endpoint cuts itself off", || {
        Ok((traffic(fleet, WEB, DB)? == [false; 4]).then_some(()))
    })
    .with_context(|| fleet.log_tail(WEB))
}

/// Waits for the end of what was done to arrive; it and what was done are told exactly once.
/// Answers the id.
fn told_once(fleet: &Fleet, count: usize) -> Result<String> {
    let events = await_some("the end of what it did by itself is told", || {
        let events = Stored::of(fleet, WEB)?.events()?;
        Ok(events.iter().any(|(_, event)| ended(event)).then_some(events))
    })?;
    let of_control: Vec<&Event> =
        events.iter().filter(|(lane, _)| *lane == Lane::Control).map(|(_, event)| event).collect();
    let done: Vec<&Reacted> = of_control
        .iter()
        .filter_map(|event| reacted(event))
        .filter(|reacted| reacted.action.is_some())
        .collect();
    ensure!(done.len() == count, "told {} time(s) instead of {count}: {done:?}", done.len());
    let [one] = done.as_slice() else { anyhow::bail!("not one reaction: {done:?}") };
    let of_it = |event: &&&Event| {
        let Body::Receipt(receipt) = &event.body else { return false };
        receipt.command == Some(one.id)
    };
    let receipts: Vec<_> = of_control.iter().filter(of_it).collect();
    let named = |name: &str| {
        let named = |event: &&&&Event| {
            let Body::Receipt(receipt) = &event.body else { return false };
            receipt.outcome.name() == name
        };
        receipts.iter().filter(named).count()
    };
    for name in ["applied", "ended"] {
        ensure!(named(name) == 1, "{} receipts say '{name}'", named(name));
    }
    ensure!(named("proved") > 0, "it was never proved");
    Ok(one.id.to_string())
}

pub(crate) fn reactions(fleet: &Fleet) -> Result<Vec<Reacted>> {
    let events = Stored::of(fleet, WEB)?.events()?;
    Ok(events.iter().filter_map(|(_, event)| reacted(event).cloned()).collect())
}

fn reacted(event: &Event) -> Option<&Reacted> {
    if let Body::Response(reacted) = &event.body { Some(reacted) } else { None }
}

fn ended(event: &Event) -> bool {
    let Body::Receipt(receipt) = &event.body else { return false };
    matches!(&receipt.outcome, Outcome::Ended { cause: EndCause::LeaseEnded, observed_gone: true })
}
