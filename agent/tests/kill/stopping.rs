//! Stopping, looking, stopping again, and letting go only what was stopped.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use cordon_agent::action::deed::{NotDone, Seen};
use libtest_mimic::Failed;

use crate::ensure::{ensure, until};
use crate::scene::{
    Home, Outcome, act, field, is_stopped, look, name, pids, proved, signal, suspend,
};

pub(crate) fn one(home: &Home) -> Outcome {
    let (victim, neighbour) = (home.sleeper(&home.group)?, home.sleeper(&home.group)?);
    let hand = home.hand(&[])?;
    let action = suspend(victim.target()?, false);
    let (before, done) = act(&hand, &action).map_err(|why| why.to_string())?;
    proved(&done)?;
    ensure(is_stopped(victim.pid()) && !is_stopped(neighbour.pid()), "it alone is stopped")?;
    ensure(matches!(look(&hand, &action, &before)?, Seen::Holds(_)), "it holds")?;
    signal(victim.pid(), "CONT")?;
    until("it runs", || !is_stopped(victim.pid()))?;
    let seen = look(&hand, &action, &before)?;
    ensure(matches!(&seen, Seen::Drifted(why) if why.contains("runs again")), "it drifted")?;
    let deed = hand.deed(&action).map_err(|why| why.to_string())?;
    proved(&deed.apply(&before).map_err(|why| why.to_string())?)?;
    ensure(is_stopped(victim.pid()), "it is stopped again")?;
    proved(&deed.undo(&before).map_err(|why| why.to_string())?)?;
    ensure(!is_stopped(victim.pid()), "it goes on")?;
    // Twice does no harm.
    proved(&deed.undo(&before).map_err(|why| why.to_string())?)?;
    victim.end()?;
    let seen = look(&hand, &action, &before)?;
    ensure(matches!(seen, Seen::Gone(_)), "nothing is left to stand")
}

const TREE: &str = "sleep 300 & setsid sleep 300 & ( sleep 300 & ) & wait";

fn frozen(group: &Path) -> Result<bool, Failed> {
    let events = fs::read_to_string(group.join("cgroup.events"))?;
    Ok(events.lines().any(|line| line == "frozen 1"))
}

pub(crate) fn group(home: &Home) -> Outcome {
    let group = home.inner("frozen")?;
    let root = home.shell(&group, TREE)?;
    until("the tree has grown", || sleepers(&group) == 3)?;
    let hand = home.hand(&[])?;
    let action = suspend(root.target()?, true);
    let (before, done) = act(&hand, &action).map_err(|why| why.to_string())?;
    proved(&done)?;
    ensure(frozen(&group)? && !is_stopped(root.pid()), "the group is frozen, by no signal")?;
    ensure(matches!(look(&hand, &action, &before)?, Seen::Holds(_)), "it holds")?;
    fs::write(group.join("cgroup.freeze"), "0")?;
    until("it runs", || frozen(&group).is_ok_and(|frozen| !frozen))?;
    ensure(matches!(look(&hand, &action, &before)?, Seen::Drifted(_)), "it drifted")?;
    let deed = hand.deed(&action).map_err(|why| why.to_string())?;
    proved(&deed.apply(&before).map_err(|why| why.to_string())?)?;
    ensure(frozen(&group)?, "it is frozen again")?;
    proved(&deed.undo(&before).map_err(|why| why.to_string())?)?;
    ensure(!frozen(&group)?, "it goes on")
}

pub(crate) fn before(home: &Home) -> Outcome {
    let group = home.inner("mixed")?;
    let neighbour = home.sleeper(&group)?;
    let root = home.shell(&group, TREE)?;
    until("the tree has grown", || sleepers(&group) == 4)?;
    let of_root = |pid: &u32| field(*pid, 4) == Some(root.pid().to_string());
    let child = *pids(&group)?.iter().find(|pid| of_root(pid)).ok_or("a child")?;
    signal(child, "STOP")?;
    until("it is stopped", || is_stopped(child))?;
    let action = suspend(root.target()?, true);
    let (before, done) = act(&home.hand(&[])?, &action).map_err(|why| why.to_string())?;
    proved(&done)?;
    let tree: Vec<u32> = pids(&group)?.into_iter().filter(|pid| *pid != neighbour.pid()).collect();
    ensure(tree.len() == 4 && tree.iter().all(|pid| is_stopped(*pid)), "all are stopped")?;
    ensure(!frozen(&group)? && !is_stopped(neighbour.pid()), "the neighbour runs")?;
    // The root is ended while it is stopped; what it started is known all the same, to another
    // agent too.
    root.end()?;
    let hand = home.hand(&[])?;
    ensure(matches!(look(&hand, &action, &before)?, Seen::Holds(_)), "it holds")?;
    let deed = hand.deed(&action).map_err(|why| why.to_string())?;
    let undone = deed.undo(&before).map_err(|why: NotDone| why.to_string())?;
    proved(&undone)?;
    let left: Vec<u32> = pids(&group)?.into_iter().filter(|pid| is_stopped(*pid)).collect();
    ensure(left == [child], &format!("just one of {left:?} is stopped"))
}

/// Those that sleep, once nobody else but the root of the tree is left.
fn sleepers(group: &Path) -> usize {
    let pids = pids(group).unwrap_or_default();
    let sleeps = |pid: &&u32| name(**pid).as_deref() == Some("sleep");
    let count = pids.iter().filter(sleeps).count();
    if pids.len() == count + 1 { count } else { 0 }
}

/// An orphan that was born after the tree was looked at is known by its session, though nobody
/// else of that is left but one who was there before.
pub(crate) fn born_between(home: &Home) -> Outcome {
    let group = home.inner("born")?;
    let gate = home.folder().join("gate");
    ensure(Command::new("mkfifo").arg(&gate).status()?.success(), "a gate")?;
    let line = format!("sleep 300 & ( read go < {}; sleep 300 & ) & wait", gate.display());
    let _neighbour = home.sleeper(&group)?;
    let root = home.shell(&group, &line)?;
    until("all are there", || pids(&group).is_ok_and(|pids| pids.len() == 4))?;
    let (hand, action) = (home.hand(&[])?, suspend(root.target()?, true));
    let deed = hand.deed(&action).map_err(|why| why.to_string())?;
    let before = deed.prepare().map_err(|why| why.to_string())?;
    fs::OpenOptions::new().write(true).open(&gate)?.write_all(b"go\n")?;
    until("the orphan is born", || sleepers(&group) == 3)?;
    proved(&deed.apply(&before).map_err(|why| why.to_string())?)?;
    let stopped =
        || pids(&group).map(|pids| pids.into_iter().filter(|pid| is_stopped(*pid)).count());
    ensure(stopped()? == 3, "the tree is stopped, its neighbour is not")?;
    root.end()?;
    proved(&deed.undo(&before).map_err(|why| why.to_string())?)?;
    ensure(stopped()? == 0, "nobody stays stopped")
}
