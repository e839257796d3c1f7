//! Numbers of processes that are given anew, on purpose: in a namespace of numbers of the test's
//! own the kernel can be told which number comes next.

use std::fs;
use std::io::Write;
use std::process::{Command, ExitCode, Stdio};

use cordon_agent::action::deed::{Hand, NotDone};
use cordon_proto::command::{Action, ProcessTarget};
use libtest_mimic::Failed;

use crate::ensure::ensure;
use crate::scene::{Home, Outcome, act, is_stopped, kill, said, suspend};

/// By this the program knows that it is in the namespace.
const INSIDE: &str = "CORDON_KILL_INSIDE";

/// Numbers that are used twice.
const ROUNDS: usize = 50;

pub(crate) fn refused(_home: &Home) -> Outcome {
    let program = std::env::current_exe()?;
    // Process 1 of the namespace takes orphans on; what works for the agent is protected.
    let line = format!("'{}' & wait $!", program.display());
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--kill-child", "--mount", "--mount-proc", "sh", "-c", &line]);
    let output = command.env(INSIDE, "1").stdin(Stdio::null()).output()?;
    ensure(output.status.success(), &said(&output))
}

/// What the program does instead of its tests in there.
pub(crate) fn inside_if_asked() -> Option<ExitCode> {
    std::env::var_os(INSIDE)?;
    match inside() {
        Ok(()) => Some(ExitCode::SUCCESS),
        Err(error) => {
            let said = writeln!(std::io::stderr(), "{}", error.message().unwrap_or("it failed"));
            Some(if said.is_ok() { ExitCode::FAILURE } else { ExitCode::from(2) })
        }
    }
}

fn inside() -> Outcome {
    let home = Home::enter()?.ok_or("control groups")?;
    let hand = home.hand(&[])?;
    let group = home.inner("twice")?;
    let (mut twice, mut rounds) = (0, 0);
    while twice < ROUNDS {
        rounds += 1;
        ensure(rounds < ROUNDS * 4, "the kernel gives numbers anew")?;
        let first = home.sleeper(&group)?;
        let old = first.target()?;
        let actions = [false, true].map(|tree| [kill(old, tree), suspend(old, tree)]).concat();
        let befores = prepare(&hand, &actions)?;
        let (_, done) = act(&hand, &kill(old, false)).map_err(|why| why.to_string())?;
        ensure(done.missing.is_empty(), "the first was ended")?;
        let Some(second) = again(&home, &group, old)? else { continue };
        twice += 1;
        for (action, before) in actions.iter().zip(befores) {
            let deed = hand.deed(action).map_err(|why| why.to_string())?;
            match deed.prepare() {
                Err(NotDone::Refused(_)) => {}
                other => return Err(format!("{other:?}").into()),
            }
            // It was looked at while the number was the first one's, and is done now.
            deed.apply(&before).map_err(|why| why.to_string())?;
            ensure(!is_stopped(second.pid()), "the wrong one was left alone")?;
        }
        ensure(!second.has_ended(), "the wrong one lives")?;
        act(&hand, &kill(second.target()?, false)).map_err(|why| why.to_string())?;
        ensure(second.has_ended(), "the right one has ended")?;
    }
    Ok(())
}

fn prepare(hand: &Hand, actions: &[Action]) -> Result<Vec<Vec<u8>>, Failed> {
    let prepare = |action| hand.deed(action)?.prepare();
    let befores: Result<Vec<_>, NotDone> = actions.iter().map(prepare).collect();
    Ok(befores.map_err(|why| why.to_string())?)
}

/// Another process of the same number, started later as far as /proc can tell.
fn again(
    home: &Home,
    group: &std::path::Path,
    old: ProcessTarget,
) -> Result<Option<crate::scene::Started>, Failed> {
    // What starts the process takes a number, and so does what that starts.
    for before in 1..=4 {
        let last = old.pid.saturating_sub(before);
        fs::write("/proc/sys/kernel/ns_last_pid", last.to_string())?;
        let started = home.sleeper(group)?;
        let is = started.target()?;
        if is.pid == old.pid && is.start_boot_ns != old.start_boot_ns {
            return Ok(Some(started));
        }
        started.end()?;
    }
    Ok(None)
}
