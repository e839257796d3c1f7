//! Ends what an account runs: through logind where it runs, then each process that is left by its
//! pidfd, first asked and then killed.
//!
//! A process belongs to an account whose real or effective user it has, so that what sudo or su
//! started for it ends too. Outside of the machine's own namespaces only processes of the agent's
//! own control group are touched.

use std::fs::read_dir;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::inventory::child;
use crate::inventory::number;
use crate::platform::linux::cgroup_scope::{self, Scope};
use crate::platform::linux::netns::Netns;

const LOGINCTL: &str = "/usr/bin/loginctl";
const LOGIND: &str = "/run/systemd/seats";
const LOGIND_WITHIN: Duration = Duration::from_secs(10);
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// What a process may take to write down its work.
const ASKED_WITHIN: Duration = Duration::from_secs(3);
/// What the kernel takes to end one that it kills.
const KILLED_WITHIN: Duration = Duration::from_secs(2);
/// Looks for what was started meanwhile.
const ROUNDS_MAX: usize = 5;
/// No chain of processes is that long.
const ANCESTORS_MAX: usize = 256;
/// Processes that one look takes up; the next takes the rest.
const PROCESSES_MAX: usize = 1024;

/// Whose processes may be touched.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Reach {
    Machine,
    /// Those of this control group and of the groups below it.
    Group(Vec<u8>),
}

impl Reach {
    pub(super) fn here(lab: bool) -> Result<Self, String> {
        let is_initial = Netns::own().and_then(Netns::is_initial).ok();
        if is_initial == Some(true) && !lab {
            return Ok(Self::Machine);
        }
        match cgroup_scope::group(is_initial, lab).map_err(|error| error.to_string())?.scope {
            Scope::Machine => Ok(Self::Machine),
            Scope::Own => {
                let own = group(Path::new("/proc/thread-self"));
                let own = own.filter(|own| own.len() > 1).ok_or("it has no group of its own")?;
                Ok(Self::Group(own))
            }
        }
    }

    fn holds(&self, process: &Path) -> bool {
        match self {
            Self::Machine => true,
            Self::Group(own) => group(process).is_some_and(|group| {
                group
                    .strip_prefix(own.as_slice())
                    .is_some_and(|rest| matches!(rest, [] | [b'/', ..]))
            }),
        }
    }
}

fn group(process: &Path) -> Option<Vec<u8>> {
    let text = std::fs::read(process.join("cgroup")).ok()?;
    let line = text.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"0::"))?;
    Some(line.to_vec())
}

/// Who started this process, and who started that, up to the first.
pub(super) fn ancestors() -> Vec<u32> {
    let mut pids = Vec::new();
    let mut next = Some(std::process::id());
    while let Some(pid) = next.filter(|pid| *pid > 0 && pids.len() < ANCESTORS_MAX) {
        let status = std::fs::read(Path::new("/proc").join(pid.to_string()).join("status"));
        let status = status.unwrap_or_default();
        next = line(&status, b"PPid:").and_then(number);
        pids.extend(next.filter(|parent| *parent > 0));
    }
    pids
}

/// What stands behind a name in `/proc/PID/status`.
fn line<'a>(status: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    status.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(name))
}

/// A process of an account, held so that its number cannot become another's.
struct Held {
    pid: u32,
    fd: OwnedFd,
}

/// How many processes there are of an account.
pub(super) fn count(uid: u32, reach: &Reach) -> usize {
    held(uid, reach).len()
}

/// Ends all of them; answers what could not be ended.
pub(super) fn end(name: &str, uid: u32, reach: &Reach, now: fn() -> Duration) -> Vec<String> {
    let mut missing = Vec::new();
    if *reach == Reach::Machine && Path::new(LOGIND).is_dir() && Path::new(LOGINCTL).exists() {
        // An account without a session is an error to it; what is left is looked for below.
        let arguments = ["--no-ask-password", "terminate-user", name];
        let asked = child::ask(LOGINCTL, &arguments, LOGIND_WITHIN, ANSWER_BYTES_MAX, now);
        if let Err(error) = asked {
            tracing::debug!(%error, "logind ended no session");
        }
    }
    for _round in 0..ROUNDS_MAX {
        let found = held(uid, reach);
        if found.is_empty() {
            return missing;
        }
        signal(&found, Signal::TERM);
        let left = until_ended(found, ASKED_WITHIN, now);
        signal(&left, Signal::KILL);
        until_ended(left, KILLED_WITHIN, now);
    }
    let left = held(uid, reach);
    if !left.is_empty() {
        let pids: Vec<_> = left.iter().take(8).map(|held| held.pid.to_string()).collect();
        let (count, pids) = (left.len(), pids.join(", "));
        missing.push(format!("{count} process(es) of the account do not end, such as {pids}"));
    }
    missing
}

fn held(uid: u32, reach: &Reach) -> Vec<Held> {
    let Ok(entries) = read_dir("/proc") else { return Vec::new() };
    let own = std::process::id();
    let pids = entries.filter_map(Result::ok).filter_map(|entry| {
        number::<u32>(entry.file_name().as_encoded_bytes()).filter(|pid| *pid > 1 && *pid != own)
    });
    pids.filter_map(|pid| hold(pid, uid, reach)).take(PROCESSES_MAX).collect()
}

/// The file descriptor first: what is read while its process lives is that process's.
fn hold(pid: u32, uid: u32, reach: &Reach) -> Option<Held> {
    let process = Path::new("/proc").join(pid.to_string());
    if !is_of(&std::fs::read(process.join("status")).ok()?, uid) {
        return None;
    }
    let fd = pidfd_open(Pid::from_raw(i32::try_from(pid).ok()?)?, PidfdFlags::empty()).ok()?;
    let is_his = is_of(&std::fs::read(process.join("status")).ok()?, uid) && reach.holds(&process);
    (is_his && !has_ended(&fd)).then_some(Held { pid, fd })
}

/// By the lines of `/proc/PID/status`: not a dead one, and of this real or effective user.
fn is_of(status: &[u8], uid: u32) -> bool {
    let is_dead = line(status, b"State:").is_none_or(|state| state.trim_ascii().starts_with(b"Z"));
    let users = line(status, b"Uid:").unwrap_or_default();
    let users = users.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    !is_dead && users.take(2).any(|word| number(word) == Some(uid))
}

fn signal(processes: &[Held], signal: Signal) {
    for held in processes {
        // One that has ended meanwhile is as wanted; any other is found again.
        if let Err(error) = pidfd_send_signal(&held.fd, signal) {
            tracing::debug!(pid = held.pid, %error, "a process takes no signal");
        }
    }
}

/// Waits; answers those that live on.
fn until_ended(mut processes: Vec<Held>, within: Duration, now: fn() -> Duration) -> Vec<Held> {
    let deadline = now().saturating_add(within);
    loop {
        processes.retain(|held| !has_ended(&held.fd));
        let left = deadline.saturating_sub(now());
        let Some(first) = processes.first() else { return processes };
        if left.is_zero() {
            return processes;
        }
        let wait = Timespec::try_from(left).unwrap_or_default();
        poll(&mut [PollFd::new(&first.fd, PollFlags::IN)], Some(&wait)).ok();
    }
}

fn has_ended(fd: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(fd, PollFlags::IN)];
    matches!(poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })), Ok(count) if count > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_of_its_real_and_its_effective_user_and_a_dead_one_of_nobody() {
        let status = |state: &str, uids: &str| format!("Name:\tx\nState:\t{state}\nUid:\t{uids}\n");
        let check = |state, uids, uid| is_of(status(state, uids).as_bytes(), uid);
        assert!(check("S (sleeping)", "7\t7\t7\t7", 7));
        assert!(check("R (running)", "7\t0\t0\t0", 7));
        assert!(check("R (running)", "0\t7\t0\t0", 7));
        assert!(!check("R (running)", "0\t0\t7\t7", 7));
        assert!(!check("S (sleeping)", "77\t77\t77\t77", 7));
        assert!(!check("Z (zombie)", "7\t7\t7\t7", 7));
        assert!(!is_of(b"", 7));
    }

    #[test]
    fn a_group_holds_what_is_below_it_and_no_neighbour() {
        let reach = Reach::Group(b"/a/lab".to_vec());
        let dir = tempfile::tempdir().unwrap();
        for (line, holds) in [
            ("0::/a/lab\n", true),
            ("1:cpu:/\n0::/a/lab/inner\n", true),
            ("0::/a/laboratory\n", false),
            ("0::/a\n", false),
            ("0::/\n", false),
            ("", false),
        ] {
            std::fs::write(dir.path().join("cgroup"), line).unwrap();
            assert_eq!(reach.holds(dir.path()), holds, "{line}");
        }
    }
}
