//! What is refused, each with its reason, and nothing is done to it.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use cordon_proto::command::ProcessTarget;
use cordon_proto::id::Hash;
use libtest_mimic::Failed;

use crate::ensure::{ensure, until};
use crate::scene::{Home, Outcome, is_stopped, kill, pids, refused, suspend, target};

pub(crate) fn essential(home: &Home) -> Outcome {
    let hand = home.hand(&[])?;
    let (own, maker) = (std::process::id(), std::os::unix::process::parent_id());
    let mut child = Command::new("sleep").arg("300").stdin(Stdio::null()).spawn()?;
    let table = [
        (1, "is the first of the machine"),
        (2, "is a thread of the kernel"),
        (own, "is the agent, or works for it"),
        (child.id(), "is the agent, or works for it"),
        (maker, "has started the agent"),
    ];
    let all = table.iter().try_for_each(|(pid, words)| {
        refused(&hand, &kill(target(*pid)?, false), words)?;
        refused(&hand, &suspend(target(*pid)?, false), words)?;
        ensure(!is_stopped(*pid), words)
    });
    // A tree is refused for anybody in it.
    let trees = refused(&hand, &kill(target(maker)?, true), "process");
    child.kill()?;
    child.wait()?;
    all.and(trees)
}

pub(crate) fn other(home: &Home) -> Outcome {
    let hand = home.hand(&[])?;
    let victim = home.sleeper(&home.group)?;
    let is = victim.target()?;
    let starts = [is.start_boot_ns - 10_000_000, is.start_boot_ns + 10_000_000, 0, u64::MAX];
    for start_boot_ns in starts {
        let action = kill(ProcessTarget { start_boot_ns, ..is }, true);
        refused(&hand, &action, "is not the one that the command names")?;
    }
    let other = ProcessTarget { sha256: Some(Hash::of(b"another program")), ..is };
    refused(&hand, &kill(other, false), "runs a program with the SHA-256")?;
    refused(&hand, &suspend(other, true), "runs a program with the SHA-256")?;
    let (ends, waits) = std::sync::mpsc::sync_channel::<()>(0);
    let thread = std::thread::spawn(move || waits.recv().is_err());
    let named = ProcessTarget { pid: thread_of_this()?, ..is };
    refused(&hand, &kill(named, false), "is a thread of process")?;
    drop(ends);
    ensure(thread.join().is_ok_and(|ended| ended), "the thread has ended")?;
    ensure(!victim.has_ended() && !is_stopped(victim.pid()), "it was left alone")
}

/// A thread that is not the first of this process.
fn thread_of_this() -> Result<u32, Failed> {
    let own = std::process::id();
    let entries = fs::read_dir("/proc/self/task")?.flatten();
    let mut threads = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    Ok(threads.find(|thread| *thread != own).ok_or("a second thread")?)
}

pub(crate) fn outside(home: &Home) -> Outcome {
    let hand = home.hand(&[])?;
    let parent = home.group.parent().ok_or("a group above")?;
    let beside = parent.join(format!("cordon-kill-beside-{}", std::process::id()));
    fs::create_dir_all(&beside)?;
    let tried = beside_is_refused(home, &hand, &beside);
    fs::write(beside.join("cgroup.kill"), "1")?;
    until("the group beside is empty", || fs::remove_dir(&beside).is_ok())?;
    tried
}

fn beside_is_refused(
    home: &Home,
    hand: &cordon_agent::action::deed::Hand,
    beside: &Path,
) -> Outcome {
    let victim = home.sleeper(beside)?;
    let words = "is outside of the agent's own control group";
    refused(hand, &kill(victim.target()?, false), words)?;
    refused(hand, &suspend(victim.target()?, true), words)?;
    // One of the tree has moved out.
    let into = beside.join("cgroup.procs");
    let line = format!("sh -c 'echo 0 > {} && exec sleep 299' & wait", into.display());
    let root = home.shell(&home.group, &line)?;
    until("it has moved", || pids(beside).is_ok_and(|pids| pids.len() == 2))?;
    refused(hand, &kill(root.target()?, true), words)?;
    let frozen = fs::read_to_string(beside.join("cgroup.freeze"))?;
    ensure(!victim.has_ended() && !root.has_ended() && frozen.trim() == "0", "it was left alone")
}

pub(crate) fn policy(home: &Home) -> Outcome {
    let folder = tempfile::tempdir()?;
    let (program, link) = (folder.path().join("backup"), folder.path().join("link"));
    fs::copy("/bin/sleep", &program)?;
    std::os::unix::fs::symlink(&program, &link)?;
    let line = format!("{} 300 & wait", program.display());
    let root = home.shell(&home.group, &line)?;
    let child = || {
        let all = pids(&home.group).unwrap_or_default();
        all.into_iter()
            .find(|pid| fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == program))
    };
    until("the program runs", || child().is_some())?;
    let pid = child().ok_or("the program")?;
    for path in [program.as_path(), link.as_path()] {
        let hand = home.hand(&[path])?;
        refused(&hand, &kill(target(pid)?, false), "is protected: it runs")?;
        refused(&hand, &kill(root.target()?, true), "is protected: it runs")?;
        refused(&hand, &suspend(root.target()?, true), "is protected: it runs")?;
    }
    ensure(!is_stopped(pid) && !is_stopped(root.pid()) && !root.has_ended(), "it was left alone")
}
