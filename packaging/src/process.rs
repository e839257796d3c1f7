//! A program that runs beside us, in a process group of its own, and never outlives us.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open, pidfd_send_signal};

use crate::clock::Stopwatch;
use crate::undo::{self, Undo};

/// How long a program may take to end after SIGTERM before it is killed.
pub const GRACE: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    #[error("starting {what}: {cause}")]
    Start { what: String, cause: io::Error },
    #[error("watching {what}, process {pid}: {cause}")]
    Watch { what: String, pid: u32, cause: io::Error },
}

/// Ended when dropped: SIGTERM to its group, [`GRACE`], SIGKILL.
#[derive(Debug)]
pub struct Process {
    what: String,
    child: Child,
    pidfd: Arc<OwnedFd>,
    undo: Option<Undo>,
}

impl Process {
    /// Starts the command; `what` names it in messages.
    pub fn start(what: &str, command: &mut Command) -> Result<Self, ProcessError> {
        let started: Arc<OnceLock<(Pid, Arc<OwnedFd>)>> = Arc::default();
        let running = Arc::clone(&started);
        let end = move || match running.get() {
            Some((pid, pidfd)) => end_group(*pid, pidfd).map_err(|error| error.to_string()),
            None => Ok(()),
        };
        let ((child, pidfd), undo) = undo::make(what, end, || {
            let (child, pid, pidfd) = spawn(what, command)?;
            let (_, pidfd) = started.get_or_init(|| (pid, pidfd));
            Ok::<_, ProcessError>((child, Arc::clone(pidfd)))
        })?;
        Ok(Self { what: what.to_owned(), child, pidfd, undo: Some(undo) })
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn what(&self) -> &str {
        &self.what
    }

    /// What it was given as `Stdio::piped()`.
    pub fn pipes(&mut self) -> &mut Child {
        &mut self.child
    }

    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(pidfd_send_signal(&*self.pidfd, signal)?)
    }

    /// Waits for its end, without limit.
    pub fn wait(mut self) -> io::Result<ExitStatus> {
        wait_for(&*self.pidfd, PollFlags::IN, None)?;
        self.reap()
    }

    /// Its exit status, if it ends within the limit; it runs on if not.
    pub fn wait_at_most(&mut self, limit: Duration) -> io::Result<Option<ExitStatus>> {
        if !wait_for(&*self.pidfd, PollFlags::IN, Some(limit))? {
            return Ok(None);
        }
        self.reap().map(Some)
    }

    /// Ends it now: SIGTERM, [`GRACE`], SIGKILL.
    pub fn stop(mut self) -> io::Result<ExitStatus> {
        drop(self.undo.take());
        self.child.wait()
    }

    fn reap(&mut self) -> io::Result<ExitStatus> {
        // Before the number is free for another process, which must not be ended in its place.
        if let Some(undo) = self.undo.take() {
            undo.forget();
        }
        self.child.wait()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.undo.take());
        // An error here means that it has been waited for already.
        drop(self.child.wait());
    }
}

fn spawn(what: &str, command: &mut Command) -> Result<(Child, Pid, Arc<OwnedFd>), ProcessError> {
    let mut child = command.process_group(0).spawn().map_err(|cause| {
        let program = command.get_program().display();
        ProcessError::Start { what: format!("{what} ({program})"), cause }
    })?;
    let pid = Pid::from_child(&child);
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(pidfd) => Ok((child, pid, Arc::new(pidfd))),
        Err(error) => {
            // Nobody could wait for it or end it: better not to have it at all.
            drop(child.kill().and_then(|()| child.wait()));
            Err(ProcessError::Watch { what: what.to_owned(), pid: child.id(), cause: error.into() })
        }
    }
}

fn end_group(leader: Pid, pidfd: &OwnedFd) -> io::Result<()> {
    for signal in [Signal::TERM, Signal::KILL] {
        match kill_process_group(leader, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(error) => return Err(error.into()),
        }
        if wait_for(pidfd, PollFlags::IN, Some(GRACE))? {
            return Ok(());
        }
    }
    Err(io::Error::other(format!("process {leader} did not end even after SIGKILL")))
}

/// Waits until the descriptor shows one of the flags; false when the limit passed first.
pub(crate) fn wait_for(
    descriptor: impl AsFd,
    flags: PollFlags,
    limit: Option<Duration>,
) -> io::Result<bool> {
    let watch = Stopwatch::start();
    loop {
        let left = limit.map(|limit| watch.left_of(limit));
        let timeout = left.map(Timespec::try_from).transpose().map_err(io::Error::other)?;
        let mut watched = [PollFd::new(&descriptor, flags)];
        match poll(&mut watched, timeout.as_ref()) {
            Ok(ready) => return Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Stdio;

    fn shell(script: &str) -> Process {
        let mut command = Command::new("sh");
        Process::start("a shell", command.args(["-c", script]).stdin(Stdio::null())).unwrap()
    }

    fn is_alive(pid: u32) -> bool {
        std::path::Path::new(&format!("/proc/{pid}")).exists()
    }

    #[test]
    fn a_dropped_process_is_gone() {
        let process = shell("exec sleep 60");
        let pid = process.id();
        assert!(is_alive(pid));
        drop(process);
        assert!(!is_alive(pid));
    }

    #[test]
    fn a_process_that_ends_by_itself_tells_its_exit_code() {
        assert_eq!(shell("exit 7").wait().unwrap().code(), Some(7));
    }

    #[test]
    fn waiting_with_a_limit_leaves_the_process_running() {
        let mut process = shell("exec sleep 60");
        assert_eq!(process.wait_at_most(Duration::from_millis(20)).unwrap(), None);
        assert!(is_alive(process.id()));
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let error = Process::start("the agent", &mut Command::new("/nowhere/cordon-agent"));
        let text = error.unwrap_err().to_string();
        assert!(text.starts_with("starting the agent (/nowhere/cordon-agent): "), "{text}");
    }
}
