//! The journal of a running journald: each entry is told once over rotation, vacuuming and the
//! agent's restart, and what was vacuumed before it could be read is told as a gap.

use anyhow::{Result, ensure};
use cordon_packaging::clock::wait_until;

use crate::endpoint::{Endpoint, WITHIN};

const LINES: &str = "for number in 1 2 3 4 5 6 7 8 9; do echo \"line $at-$number end\"; done | \
                     systemd-cat -t vm";

pub(super) fn is_followed(here: &mut Endpoint<'_>) -> Result<()> {
    say(here, "first")?;
    await_lines(here, "first")?;
    here.system.run("journalctl --rotate")?;
    say(here, "rotated")?;
    here.system.run("journalctl --sync && journalctl --rotate && journalctl --vacuum-files=1")?;
    say(here, "vacuumed")?;
    await_lines(here, "rotated")?;
    await_lines(here, "vacuumed")?;

    here.system.run("systemctl stop cordon-agent.service")?;
    say(here, "stopped")?;
    here.system.run("journalctl --sync && systemctl start cordon-agent.service")?;
    await_lines(here, "stopped")?;

    here.system.run("systemctl stop cordon-agent.service")?;
    say(here, "lost")?;
    let vacuum = "journalctl --sync && journalctl --rotate && journalctl --vacuum-size=1 && \
                  journalctl --vacuum-time=1us && journalctl --vacuum-files=1";
    here.system.run(vacuum)?;
    let gone = here.system.try_run("journalctl -t vm -o cat | grep lost-1")?;
    ensure!(gone.0 != 0, "the lines are still there: {}", gone.1);
    say(here, "after")?;
    here.system.run("systemctl start cordon-agent.service")?;
    await_lines(here, "after")?;
    let gaps = wait_until(WITHIN, || {
        let gaps = here.events("gap", "no longer holds the entry")?;
        anyhow::Ok((!gaps.is_empty()).then_some(gaps))
    })?;
    ensure!(gaps.as_ref().is_some_and(|gaps| gaps.len() == 1), "gaps told: {gaps:#?}");
    for at in ["first", "rotated", "vacuumed", "stopped", "after"] {
        ensure!(lines(here, at)? == [1; 9], "not each line once: {at} {:?}", lines(here, at)?);
    }
    here.await_fresh()
}

fn say(here: &mut Endpoint<'_>, at: &str) -> Result<()> {
    here.system.run(&format!("at={at}; {LINES}")).map(drop)
}

/// How often each of the nine was told.
fn lines(here: &Endpoint<'_>, at: &str) -> Result<[usize; 9]> {
    let events = here.events("log", &format!("line {at}-"))?;
    let events: Vec<_> = events.iter().map(ToString::to_string).collect();
    let mut found = [0; 9];
    for (count, number) in found.iter_mut().zip(1..) {
        let line = format!("line {at}-{number} end");
        *count = events.iter().filter(|event| event.contains(&line)).count();
    }
    Ok(found)
}

fn await_lines(here: &Endpoint<'_>, at: &str) -> Result<()> {
    let mut last = [0; 9];
    let found = wait_until(WITHIN, || {
        last = lines(here, at)?;
        anyhow::Ok((last.iter().all(|count| *count > 0)).then_some(()))
    })?;
    ensure!(found.is_some(), "lines {at} were told {last:?} times");
    Ok(())
}
