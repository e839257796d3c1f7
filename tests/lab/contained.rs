//! An endpoint is isolated, worked against and let back; everything is tried before, three times
//! while it stands, and after.

use std::io::{Write, stdout};
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cordon_packaging::clock::{Stopwatch, wait_until};

use crate::attempt;
use crate::ground::{ENDPOINT, Ground};
use crate::place::Place;
use crate::table::{Must, Table, When, wanted};

/// As on a kernel where any root process can edit any table.
const PLAIN: &str = "[isolation]\nown_tables = false\n";
/// So many trials go on at once: most of them only wait.
const AT_ONCE: usize = 96;
const PUT_BACK_MAX: Duration = Duration::from_secs(60);

/// What somebody with root tries on our rules. Each is refused or put back.
const EDITS: [&str; 6] = [
    "insert rule inet cordon output accept",
    "insert rule inet cordon forward accept",
    "delete table inet cordon",
    "flush chain inet cordon input",
    "add table inet cordon { flags dormant; }",
    "delete table netdev cordon",
];

/// The kernel lets nobody else edit the rules.
pub(crate) fn owned() -> Result<()> {
    run("")
}

/// Anybody with root may edit them, as on kernels before 6.12.
pub(crate) fn plain() -> Result<()> {
    run(PLAIN)
}

fn run(agent_settings: &str) -> Result<()> {
    let watch = Stopwatch::start();
    let mut laps = Vec::new();
    let mut lap = |what: &str| laps.push(format!("{what} {:.0}", watch.elapsed().as_secs_f32()));
    let ground = Ground::make(agent_settings)?;
    ground.listen_as_dhcp_client()?;
    lap("made");
    let mut table = Table::new();
    let rules = ground.ruleset()?;
    ensure!(rules.contains("masquerade") && !rules.contains("cordon"), "{rules}");
    round(&ground, &mut table, When::Before)?;
    lap("before");
    ensure!(ground.tracked()? > 0, "connection tracking is not warm");
    ground.fleet.cordon(&["isolate", ENDPOINT, "--reason", "lab", "--lease", "1h", "--wait"])?;
    ground.witness.begin();
    lap("isolated");
    round(&ground, &mut table, When::Cut)?;
    lap("cut off");
    ground.add_devices()?;
    ground.grow_older()?;
    lap("older");
    round(&ground, &mut table, When::Later)?;
    lap("later");
    let taken = tamper(&ground)?;
    round(&ground, &mut table, When::Tampered)?;
    lap("tampered");
    let (strays, frames) = ground.witness.end()?;
    ground.fleet.cordon(&["release", ENDPOINT, "--reason", "lab", "--wait"])?;
    let after = ground.ruleset()?;
    lap("released");
    round(&ground, &mut table, When::After)?;
    lap("after");
    let faults = table.faults();
    let report = report(&table, taken, (&strays, frames), &laps);
    stdout().write_all(report.as_bytes())?;
    save(agent_settings, &report)?;
    ensure!(faults.is_empty(), "{} not as wanted:\n{}", faults.len(), faults.join("\n"));
    ensure!(strays.is_empty(), "the endpoint sent what it must not:\n{}", strays.join("\n"));
    ensure!(frames > 0, "the captures saw nothing at all");
    ensure!(after == rules, "the ruleset was:\n{rules}\nand after the release it is:\n{after}");
    Ok(())
}

/// Tries everything that is due, much of it at once.
fn round(ground: &Ground, table: &mut Table, when: When) -> Result<()> {
    let due = table.due(when);
    let next = AtomicUsize::new(0);
    let seen = Mutex::new(Vec::new());
    let work = || -> Result<()> {
        while let Some((row, trial)) = due.get(next.fetch_add(1, Ordering::Relaxed)) {
            let must_pass = wanted(trial, when).0 == Must::Pass;
            let what = || format!("{when:?}: {trial:?}");
            let found = attempt::carry_out(ground, trial, must_pass).with_context(what)?;
            seen.lock().unwrap_or_else(PoisonError::into_inner).push((*row, found));
        }
        Ok(())
    };
    std::thread::scope(|scope| -> Result<()> {
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            worker.join().unwrap_or_else(|panic| resume_unwind(panic))?;
        }
        Ok(())
    })?;
    for (row, found) in seen.into_inner().unwrap_or_else(PoisonError::into_inner) {
        table.note(row, when, found);
    }
    Ok(())
}

/// Works against the rules and waits each time until they stand as before; how many of the edits
/// the kernel took.
fn tamper(ground: &Ground) -> Result<usize> {
    let before = ground.walls()?;
    let mut taken = 0;
    for edit in EDITS {
        taken += usize::from(ground.space(Place::Endpoint).output("nft", &[edit]).is_ok());
        let back = || anyhow::Ok((ground.walls()? == before).then_some(()));
        let put_back = wait_until(PUT_BACK_MAX, back)?;
        put_back.with_context(|| format!("{edit:?} was not put back"))?;
    }
    Ok(taken)
}

fn report(
    table: &Table,
    taken: usize,
    (strays, frames): (&[String], u64),
    laps: &[String],
) -> String {
    let strays = if strays.is_empty() { "none".to_owned() } else { strays.join("\n") };
    format!(
        "{table}\nOf {} edits of the rules the kernel took {taken}; each was refused or put back.\n\
         Frames seen at other machines while it was isolated: {frames}; of the endpoint's own, not \
         allowed: {strays}\nSeconds: {}.\n",
        EDITS.len(),
        laps.join(", "),
    )
}

/// Where people look at it: `target/cordon/lab`, beside the logs of the task runner.
fn save(agent_settings: &str, report: &str) -> Result<()> {
    let program = std::env::current_exe()?;
    let target = program.ancestors().nth(3).context("where is the build folder?")?;
    let folder = target.join("cordon/lab");
    std::fs::create_dir_all(&folder)?;
    let name = if agent_settings.is_empty() { "owned.txt" } else { "plain.txt" };
    Ok(std::fs::write(folder.join(name), report)?)
}
