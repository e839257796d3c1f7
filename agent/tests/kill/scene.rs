//! A control group of the test's own, processes in it, and deeds done by an agent in a lab.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cordon_agent::action::deed::{Done, Hand, NotDone, Seen, Tools};
use cordon_agent::identity::StateDir;
use cordon_proto::Text;
use cordon_proto::command::{Action, Kill, ProcessTarget, Suspend};
use cordon_proto::policy::Policy;
use libtest_mimic::Failed;

use crate::ensure::{ensure, until};

pub(crate) type Outcome = Result<(), Failed>;

/// The test itself is in this group while it lives; all else in it ends with it.
pub(crate) struct Home {
    pub(crate) group: PathBuf,
    came_from: PathBuf,
    state: tempfile::TempDir,
}

impl Home {
    /// None where the second version is not mounted.
    pub(crate) fn enter() -> Result<Option<Self>, Failed> {
        let mounts = fs::read_to_string("/proc/self/mounts")?;
        let mut mounts = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        let Some(mount) = mounts.find(|fields| fields.get(2) == Some(&"cgroup2")) else {
            return Ok(None);
        };
        let groups = fs::read_to_string("/proc/self/cgroup")?;
        let own = groups.lines().find_map(|line| line.strip_prefix("0::/"));
        let came_from = Path::new(mount[1]).join(own.unwrap_or_default());
        let group = came_from.join(format!("cordon-kill-{}", std::process::id()));
        fs::create_dir_all(&group)?;
        fs::write(group.join("cgroup.procs"), "0")?;
        Ok(Some(Self { group, came_from, state: tempfile::tempdir()? }))
    }

    /// What an agent in a lab does its deeds with.
    pub(crate) fn hand(&self, protected: &[&Path]) -> Result<Hand, Failed> {
        let dir = StateDir::open(self.state.path().join("state"))?;
        let protected = protected.iter().map(|path| Text::from(path.to_string_lossy().as_ref()));
        let protected = Some(protected.collect());
        let policy = Policy { protected, ..Policy::new("acme".parse()?, 1) };
        Ok(Hand { policy: Some(policy), ..Hand::new(Tools::new(dir, true)) })
    }

    /// Where the test may write.
    pub(crate) fn folder(&self) -> &Path {
        self.state.path()
    }

    /// A group below the own one.
    pub(crate) fn inner(&self, name: &str) -> Result<PathBuf, Failed> {
        let path = self.group.join(name);
        fs::create_dir_all(&path)?;
        Ok(path)
    }

    /// Starts a shell in a group, in a session of its own. It is nobody's child, because what works
    /// for the agent is protected.
    pub(crate) fn shell(&self, group: &Path, line: &str) -> Result<Started, Failed> {
        let (into, pid) = (group.join("cgroup.procs"), self.state.path().join("pid"));
        fs::write(&pid, "")?;
        let told = format!("echo $$ > {}", pid.display());
        let line = format!("echo 0 > {} && {told} && {{ {line}\n}}", into.display());
        let mut command = Command::new("setsid");
        command.args(["--fork", "sh", "-c", &line]).stdin(Stdio::null()).stdout(Stdio::null());
        ensure(command.status()?.success(), "a shell was started")?;
        let mut started = None;
        until("the shell says its number", || {
            let text = fs::read_to_string(&pid).unwrap_or_default();
            started = text.strip_suffix('\n').and_then(|pid| pid.parse().ok());
            started.is_some()
        })?;
        Ok(Started(started.unwrap_or_default()))
    }

    /// A process that does nothing for long enough.
    pub(crate) fn sleeper(&self, group: &Path) -> Result<Started, Failed> {
        let started = self.shell(group, "exec sleep 300")?;
        until("it sleeps", || name(started.pid()).as_deref() == Some("sleep"))?;
        Ok(started)
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        drop(fs::write(self.came_from.join("cgroup.procs"), "0"));
        drop(fs::write(self.group.join("cgroup.kill"), "1"));
        let gone = until("the group is empty", || {
            let folders = fs::read_dir(&self.group).into_iter().flatten().flatten();
            folders.for_each(|entry| drop(fs::remove_dir(entry.path())));
            fs::remove_dir(&self.group).is_ok()
        });
        assert!(gone.is_ok() || std::thread::panicking(), "{} stays", self.group.display());
    }
}

/// A process that was started here.
pub(crate) struct Started(u32);

impl Started {
    pub(crate) fn pid(&self) -> u32 {
        self.0
    }

    pub(crate) fn target(&self) -> Result<ProcessTarget, Failed> {
        target(self.0)
    }

    /// Ends it and waits until it is gone.
    pub(crate) fn end(&self) -> Outcome {
        signal(self.0, "KILL")?;
        until("it is gone", || field(self.0, 3).is_none())
    }

    /// Whoever has taken it on may not have waited for it yet.
    pub(crate) fn has_ended(&self) -> bool {
        field(self.0, 3).is_none_or(|state| state == "Z" || state == "X")
    }
}

/// A field of `stat`, by its number.
pub(crate) fn field(pid: u32, number: usize) -> Option<String> {
    let line = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let rest = line.get(line.rfind(')')? + 2..)?;
    rest.split(' ').nth(number - 3).map(str::to_owned)
}

pub(crate) fn name(pid: u32) -> Option<String> {
    Some(fs::read_to_string(format!("/proc/{pid}/comm")).ok()?.trim().to_owned())
}

pub(crate) fn is_stopped(pid: u32) -> bool {
    field(pid, 3).as_deref() == Some("T")
}

pub(crate) fn target(pid: u32) -> Result<ProcessTarget, Failed> {
    let ticks: u64 = field(pid, 22).ok_or("no such process")?.parse()?;
    Ok(ProcessTarget { pid, start_boot_ns: ticks * 10_000_000 + 1234, sha256: None })
}

pub(crate) fn kill(process: ProcessTarget, tree: bool) -> Action {
    Action::Kill(Kill { process, tree })
}

pub(crate) fn suspend(process: ProcessTarget, tree: bool) -> Action {
    Action::Suspend(Suspend { process, tree, lease_secs: None })
}

/// Prepares and does it.
pub(crate) fn act(hand: &Hand, action: &Action) -> Result<(Vec<u8>, Done), NotDone> {
    let deed = hand.deed(action)?;
    let before = deed.prepare()?;
    let done = deed.apply(&before)?;
    Ok((before, done))
}

/// It must be done whole, and seen to be.
pub(crate) fn proved(done: &Done) -> Outcome {
    let passed = !done.probes.is_empty() && done.probes.iter().all(|probe| probe.passed);
    ensure(passed && done.missing.is_empty(), &format!("{done:?}"))
}

/// It must be refused, with these words.
pub(crate) fn refused(hand: &Hand, action: &Action, words: &str) -> Outcome {
    match act(hand, action) {
        Err(NotDone::Refused(why)) if why.contains(words) => Ok(()),
        other => Err(format!("not refused with '{words}': {other:?}").into()),
    }
}

pub(crate) fn look(hand: &Hand, action: &Action, before: &[u8]) -> Result<Seen, Failed> {
    Ok(hand.deed(action).map_err(|why| why.to_string())?.look(before))
}

/// All processes in a group.
pub(crate) fn pids(group: &Path) -> Result<Vec<u32>, Failed> {
    let text = fs::read_to_string(group.join("cgroup.procs"))?;
    Ok(text.lines().filter_map(|line| line.parse().ok()).collect())
}

pub(crate) fn signal(pid: u32, name: &str) -> Outcome {
    let sent = Command::new("kill").args(["-s", name, &pid.to_string()]).status()?;
    ensure(sent.success(), "the signal was sent")
}

/// All that a program said.
pub(crate) fn said(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}
