//! Somebody with root works against an isolation while its agent runs, or while it does not.

use std::io::{Write, stdout};
use std::time::Duration;

use anyhow::{Result, ensure};
use cordon_packaging::clock::{Stopwatch, wait_until};
use cordon_packaging::fleet::{Fleet, Plan};
use cordon_proto::event::Body;
use cordon_proto::event::receipt::Outcome;

use crate::scene::{DB, PATIENCE, Stored, WEB, await_some, join, listen, ruleset, traffic};

/// As on a kernel where any root process can edit any table.
const PLAIN: &str = "[isolation]\nown_tables = false\n";
/// What the isolation promises.
const PUT_BACK_MAX: Duration = Duration::from_secs(1);
const EDITS: [&str; 6] = [
    "insert rule inet cordon output accept",
    "delete table inet cordon",
    "flush chain inet cordon input",
    "add table inet cordon { flags dormant; }",
    "delete table netdev cordon",
    "flush ruleset",
];
const ROUNDS: usize = 5;

fn isolated(agent_settings: &str) -> Result<Fleet> {
    let agent_settings = agent_settings.to_owned();
    let mut fleet = Fleet::make(Plan { agent_settings, ..Plan::default() })?;
    join(&mut fleet, WEB)?;
    // An endpoint that has just enrolled may not have told its first nonce.
    let isolate = ["isolate", WEB, "--reason", "e2e", "--lease", "1h", "--wait"];
    await_some("the endpoint can be isolated", || Ok(fleet.cordon(&isolate).ok()))?;
    Ok(fleet)
}

/// The rules without the counts of their counters.
fn rules(fleet: &Fleet) -> Result<String> {
    let text = ruleset(fleet.namespace(WEB)?)?;
    let counts = |line: &str| line.trim_start().starts_with("counter packets");
    Ok(text.lines().filter(|line| !counts(line)).collect::<Vec<_>>().join("\n"))
}

fn drifts(fleet: &Fleet) -> Result<Vec<String>> {
    let events = Stored::of(fleet, WEB)?.events()?;
    let found = events.into_iter().filter_map(|(_, event)| {
        let Body::Receipt(receipt) = event.body else { return None };
        if let Outcome::Drifted { found, reapplied: true } = receipt.outcome {
            return Some(found);
        }
        None
    });
    Ok(found.collect())
}

pub(crate) fn put_back() -> Result<()> {
    let fleet = isolated(PLAIN)?;
    let _listening = [listen(&fleet, WEB)?, listen(&fleet, DB)?];
    let space = fleet.namespace(WEB)?;
    let before = rules(&fleet)?;
    // An administrator's own rules beside ours are no drift.
    space.output("nft", &["add table inet admin"])?;
    space.output("nft", &["delete table inet admin"])?;
    ensure!(drifts(&fleet)?.is_empty(), "an administrator's change was told as a drift");
    let mut took = Vec::new();
    for edit in EDITS.iter().cycle().take(EDITS.len() * ROUNDS) {
        space.output("nft", &[edit])?;
        let watch = Stopwatch::start();
        let back = wait_until(PATIENCE, || {
            anyhow::Ok((rules(&fleet)? == before).then(|| watch.elapsed()))
        })?;
        took.push(back.ok_or_else(|| anyhow::anyhow!("{edit:?} was not put back"))?);
    }
    took.sort();
    let (half, most) = (took[took.len() / 2], took[took.len() - 1]);
    writeln!(
        stdout(),
        "{} edits put back, seen after {half:?} (median), {most:?} (longest)",
        took.len()
    )?;
    ensure!(half < PUT_BACK_MAX, "put back after {half:?}");
    ensure!(traffic(&fleet, WEB, DB)? == [false; 4], "something passes after it was put back");
    let told = await_some("the sum of the drifts is told", || {
        let told = drifts(&fleet)?;
        Ok(told.iter().any(|text| text.contains("more times in a minute")).then_some(told))
    })?;
    ensure!(told.len() < took.len() / 2, "not summed up: {told:?}");
    let named = |text: &String| text.contains("changed by nft (process ");
    ensure!(told.iter().all(named), "the process is not named: {told:?}");
    Ok(())
}

/// A device appears while the endpoint is cut off.
pub(crate) fn new_device() -> Result<()> {
    let fleet = isolated("")?;
    let space = fleet.namespace(WEB)?;
    let mut took = Vec::new();
    for at in 0..10 {
        let name = format!("late{at}");
        space.ip(&["link", "add", &name, "type", "veth", "peer", "name", &format!("peer{at}")])?;
        let watch = Stopwatch::start();
        let closed = wait_until(PATIENCE, || {
            let rules = space.output("nft", &["list", "table", "netdev", "cordon"])?;
            let mut words = rules.split(|letter: char| !letter.is_ascii_alphanumeric());
            anyhow::Ok(words.any(|word| word == name).then(|| watch.elapsed()))
        })?;
        let log = || anyhow::anyhow!("{name} was not closed; {}", fleet.log_tail(WEB));
        took.push(closed.ok_or_else(log)?);
    }
    took.sort();
    writeln!(
        stdout(),
        "10 devices closed, seen after {:?} (median), {:?} (longest)",
        took[5],
        took[9]
    )?;
    ensure!(took[5] < PUT_BACK_MAX, "closed after {:?}", took[5]);
    ensure!(drifts(&fleet)?.is_empty(), "a new device was told as somebody's doing");
    Ok(())
}
