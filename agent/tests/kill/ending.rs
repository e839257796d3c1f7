//! One process, trees, and trees that fork faster than they can be looked at.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use cordon_agent::action::deed::{Hand, NotDone};
use cordon_proto::command::ProcessTarget;
use cordon_proto::id::Hash;
use libtest_mimic::Failed;

use crate::ensure::{ensure, until};
use crate::scene::{Home, Outcome, act, field, kill, pids, proved, target};

pub(crate) fn one(home: &Home) -> Outcome {
    let (victim, neighbour) = (home.sleeper(&home.group)?, home.sleeper(&home.group)?);
    let sha256 = Some(Hash::of(&fs::read(fs::canonicalize("/bin/sleep")?)?));
    let action = kill(ProcessTarget { sha256, ..victim.target()? }, false);
    let hand = home.hand(&[])?;
    let (_, done) = act(&hand, &action).map_err(|why| why.to_string())?;
    proved(&done)?;
    ensure(victim.has_ended(), "it has ended")?;
    ensure(field(neighbour.pid(), 3).as_deref() == Some("S"), "its neighbour was left alone")?;
    // Asked once more it says that there is nothing to end.
    match act(&hand, &action) {
        Err(NotDone::Failed(why)) if why.contains("is gone") || why.contains("has ended") => Ok(()),
        other => Err(format!("{other:?}").into()),
    }
}

/// Children, a child of a child in a session of its own, and one whose maker has ended.
const TREE: &str =
    "sleep 300 & setsid sh -c 'sleep 300 & sleep 300 & wait' & ( sleep 300 & ) & wait";

pub(crate) fn tree(home: &Home) -> Outcome {
    let group = home.inner("tree")?;
    let (root, neighbour) = (home.shell(&group, TREE)?, home.sleeper(&group)?);
    until("the tree has grown", || pids(&group).is_ok_and(|pids| pids.len() == 7))?;
    let (_, done) =
        act(&home.hand(&[])?, &kill(root.target()?, true)).map_err(|why| why.to_string())?;
    proved(&done)?;
    ensure(root.has_ended(), "the root has ended")?;
    until("only the neighbour is left", || {
        pids(&group).is_ok_and(|pids| pids == [neighbour.pid()])
    })?;
    let frozen = fs::read_to_string(group.join("cgroup.freeze"))?;
    ensure(frozen.trim() == "0", "the group is let go")?;
    until("the neighbour goes on", || field(neighbour.pid(), 3).as_deref() == Some("S"))
}

pub(crate) fn without_its_root(home: &Home) -> Outcome {
    let group = home.inner("headless")?;
    let (root, neighbour) = (home.shell(&group, TREE)?, home.sleeper(&group)?);
    until("the tree has grown", || pids(&group).is_ok_and(|pids| pids.len() == 7))?;
    let (hand, action) = (home.hand(&[])?, kill(root.target()?, true));
    let deed = hand.deed(&action).map_err(|why| why.to_string())?;
    let before = deed.prepare().map_err(|why| why.to_string())?;
    root.end()?;
    proved(&deed.apply(&before).map_err(|why| why.to_string())?)?;
    until("only the neighbour is left", || pids(&group).is_ok_and(|pids| pids == [neighbour.pid()]))
}

/// One link of a chain: it starts the next and ends at once, so that the next is an orphan. A chain
/// ends by itself after so many links.
const LINK: &str = "[ $1 -le 0 ] || sh \"$0\" $(($1 - 1)) &\n";

/// Eight chains.
const WORM: &str = "for c in 1 2 3 4 5 6 7 8; do sh WORM 5000; done; exec sleep 300";

fn caught(home: &Home, group: &Path) -> Result<Vec<String>, Failed> {
    let link = home.folder().join("worm");
    fs::write(&link, LINK)?;
    let root = home.shell(group, &WORM.replace("WORM", &link.to_string_lossy()))?;
    let name = || fs::read_to_string(format!("/proc/{}/comm", root.pid())).unwrap_or_default();
    until("the worm runs", || name().trim() == "sleep")?;
    let mut seen = BTreeSet::new();
    until("the worm forks", || {
        seen.extend(pids(group).unwrap_or_default());
        seen.len() > 24
    })?;
    let action = kill(root.target()?, true);
    let (_, done) = act(&home.hand(&[])?, &action).map_err(|why| why.to_string())?;
    ensure(root.has_ended(), "the root has ended")?;
    Ok(done.missing)
}

pub(crate) fn worm_in_a_group(home: &Home) -> Outcome {
    let group = home.inner("worm")?;
    for _ in 0..5 {
        let missing = caught(home, &group)?;
        ensure(missing.is_empty(), &format!("nothing is missing: {missing:?}"))?;
        until("the last are waited for", || pids(&group).is_ok_and(|pids| pids.is_empty()))?;
    }
    Ok(())
}

pub(crate) fn worm_beside(home: &Home) -> Outcome {
    for _ in 0..5 {
        worm_beside_once(home)?;
    }
    Ok(())
}

fn worm_beside_once(home: &Home) -> Outcome {
    let missing = caught(home, &home.group)?;
    // A group in which the agent is cannot be frozen: the worm's process group is stopped at once.
    ensure(missing.is_empty(), &format!("nothing is missing: {missing:?}"))?;
    let own = std::process::id();
    let left = || pids(&home.group).map(|pids| pids.iter().filter(|pid| **pid != own).count());
    until("nobody is left", || left().is_ok_and(|left| left == 0))
}

pub(crate) fn after_a_crash(home: &Home) -> Outcome {
    let group = home.inner("crash")?;
    let (victim, neighbour) = (home.sleeper(&group)?, home.sleeper(&group)?);
    let action = kill(target(victim.pid())?, true);
    let first: Hand = home.hand(&[])?;
    let before = first.deed(&action).and_then(|deed| deed.prepare()).map_err(|e| e.to_string())?;
    // So far it came, and then it died.
    fs::write(group.join("cgroup.freeze"), "1")?;
    let second = home.hand(&[])?;
    let deed = second.deed(&action).map_err(|why| why.to_string())?;
    proved(&deed.apply(&before).map_err(|why| why.to_string())?)?;
    ensure(victim.has_ended(), "it has ended")?;
    proved(&deed.apply(&before).map_err(|why| why.to_string())?)?;
    let frozen = fs::read_to_string(group.join("cgroup.freeze"))?;
    ensure(frozen.trim() == "0" && neighbour.target().is_ok(), "the neighbour is let go")
}
