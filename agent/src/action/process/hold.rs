//! One process, held by a pidfd: whatever is read or done through it is about that process and
//! never about another that got its number.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use cordon_proto::command::ProcessTarget;
use cordon_proto::id::Hash;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::stat::Stat;
use crate::action::hash;
use crate::ledger::NotDone;
use crate::platform::linux::pidfd;

/// A process, held.
#[derive(Debug)]
pub(super) struct Held {
    /// As it was when it was taken hold of.
    pub(super) stat: Stat,
    fd: OwnedFd,
}

/// What a command names, as it was found.
#[derive(Debug)]
pub(super) enum Found {
    It(Held),
    /// There is none of its number, or only what is left of it.
    Gone(String),
    /// It has ended, and another has its number.
    Other(String),
}

impl Held {
    /// None if it is gone, or is no process but a thread of one.
    pub(super) fn open(pid: u32) -> io::Result<Option<Self>> {
        let Some(number) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
            return Ok(None);
        };
        let fd = match pidfd_open(number, PidfdFlags::empty()) {
            Ok(fd) => fd,
            Err(Errno::SRCH | Errno::INVAL | Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let Some(stat) = Stat::read(pid) else { return Ok(None) };
        let held = Self { stat, fd };
        // If its number is still its own, it was so when the line was read.
        Ok(held.is_there().then_some(held))
    }

    /// Whether its number is its own: it is alive, or ended and not yet waited for.
    pub(super) fn is_there(&self) -> bool {
        pidfd::is_there(self.fd.as_fd())
    }

    /// Whether it has ended, with all its threads.
    pub(super) fn has_ended(&self) -> bool {
        self.wait_for_end(Duration::ZERO)
    }

    /// Waits until it has ended; false if it has not within that time.
    pub(super) fn wait_for_end(&self, time: Duration) -> bool {
        let time = Timespec {
            tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: time.subsec_nanos().into(),
        };
        let mut fds = [PollFd::new(&self.fd, PollFlags::IN)];
        matches!(poll(&mut fds, Some(&time)), Ok(ready) if ready > 0)
    }

    /// As it is now; none if it is gone.
    pub(super) fn now(&self) -> Option<Stat> {
        let stat = Stat::read(self.stat.pid)?;
        self.is_there().then_some(stat)
    }

    /// An end that came sooner is no error.
    pub(super) fn signal(&self, signal: Signal) -> io::Result<()> {
        match pidfd_send_signal(&self.fd, signal) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The hash of the program that it runs.
    fn sha256(&self) -> io::Result<Hash> {
        let hash = hash::sha256(File::open(format!("/proc/{}/exe", self.stat.pid))?)?;
        if self.is_there() { Ok(hash) } else { Err(io::Error::other("it has ended")) }
    }
}

/// Takes hold of what a command names. Another process, a thread, or one with another program is
/// refused.
pub(super) fn find(target: &ProcessTarget) -> Result<Found, NotDone> {
    let pid = target.pid;
    let failed = |error: io::Error| NotDone::Failed(format!("process {pid}: {error}"));
    let Some(held) = Held::open(pid).map_err(failed)? else {
        if let Some(leader) = leader_of(pid).filter(|leader| *leader != pid) {
            let why = format!("{pid} is a thread of process {leader}, and no process");
            return Err(NotDone::Refused(why));
        }
        return Ok(Found::Gone(format!("process {pid} is gone")));
    };
    if !held.stat.started_at(target.start_boot_ns) {
        let (title, ticks) = (held.stat.title(), held.stat.start_ticks);
        let why = format!(
            "process {title} was started {ticks}0 ms after boot and is not the one that the \
             command names"
        );
        return Ok(Found::Other(why));
    }
    if held.has_ended() {
        return Ok(Found::Gone(format!("process {} has ended", held.stat.title())));
    }
    if let Some(wanted) = target.sha256 {
        let found = held.sha256().map_err(|error| {
            NotDone::Failed(format!("the program of process {pid} cannot be hashed: {error}"))
        })?;
        if found != wanted {
            let title = held.stat.title();
            let why = format!("process {title} runs a program with the SHA-256 {found}");
            return Err(NotDone::Refused(why));
        }
    }
    Ok(Found::It(held))
}

fn leader_of(pid: u32) -> Option<u32> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Tgid:"))?;
    line.trim().parse().ok()
}
