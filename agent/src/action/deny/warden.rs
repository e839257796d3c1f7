//! All that is denied on this endpoint, and the process that the kernel asks about it: started with
//! the first denial, ended with the last, and ended when it does not say that it lives.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use cordon_proto::command::Executable;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::sync::mpsc;

use super::canary::Canary;
use super::frame::{self, Orders, Told};
use super::told::Findings;
use crate::own_program::{OWN_PROGRAM, worker};
use crate::sensor::Report;

/// The word by which the program knows that it is to be asked.
pub const WORD: &str = "deny-worker";

/// The process must have said within this time that it lives; until then starts may hang.
const SILENCE_MAX: Duration = Duration::from_secs(5);

/// How long new orders may take.
const ORDER_MAX: Duration = Duration::from_secs(10);

/// All that is denied.
#[derive(Debug, Default)]
pub struct Warden {
    state: Mutex<State>,
    reports: OnceLock<mpsc::Sender<(&'static str, Report)>>,
}

#[derive(Debug, Default)]
struct State {
    rules: Vec<Executable>,
    version: u64,
    guard: Option<Guard>,
    canary: Option<Arc<Canary>>,
}

/// The process.
#[derive(Debug)]
struct Guard {
    stdin: ChildStdin,
    pidfd: OwnedFd,
    heard: Arc<Heard>,
}

#[derive(Debug, Default)]
struct Heard {
    said: Mutex<Said>,
    changed: Condvar,
}

/// What the process has said so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
    version: u64,
    pub(super) watched: u64,
    pub(super) unwatched: Vec<String>,
    pub(super) let_through: u64,
    has_ended: bool,
}

impl Warden {
    /// Where attempts are told.
    pub fn connect(&self, reports: mpsc::Sender<(&'static str, Report)>) {
        // The first is the only one.
        self.reports.set(reports).ok();
    }

    /// Denies it from now on.
    pub(super) fn deny(&self, rule: &Executable, own_mounts_only: bool) -> Result<Said, String> {
        let mut state = lock(&self.state);
        let is_new = !state.rules.contains(rule);
        if is_new {
            state.rules.push(rule.clone());
        }
        let armed = self.arm(&mut state, own_mounts_only);
        if armed.is_err() && is_new {
            state.rules.retain(|known| known != rule);
        }
        armed
    }

    /// Denies it no more. With the last one the process ends.
    pub(super) fn allow(&self, rule: &Executable, own_mounts_only: bool) -> Result<(), String> {
        let mut state = lock(&self.state);
        state.rules.retain(|known| known != rule);
        if state.rules.is_empty() {
            state.guard = None;
            return Ok(());
        }
        self.arm(&mut state, own_mounts_only).map(drop)
    }

    /// What the process last said, if it lives and denies this.
    pub(super) fn denies(&self, rule: &Executable) -> Option<Said> {
        let state = lock(&self.state);
        let said = lock(&state.guard.as_ref()?.heard.said).clone();
        (state.rules.contains(rule) && !said.has_ended).then_some(said)
    }

    pub(super) fn canary(&self) -> Arc<Canary> {
        Arc::clone(lock(&self.state).canary.get_or_insert_with(|| Arc::new(Canary::new())))
    }

    fn arm(&self, state: &mut State, own_mounts_only: bool) -> Result<Said, String> {
        state.version = state.version.saturating_add(1);
        let canary = state.canary.get_or_insert_with(|| Arc::new(Canary::new())).hash();
        let (version, rules) = (state.version, state.rules.clone());
        let orders = Orders { version, rules, canary, own_mounts_only };
        let has_ended = |guard: &Guard| lock(&guard.heard.said).has_ended;
        if let Some(mut guard) = state.guard.take_if(|guard| !has_ended(guard)) {
            match guard.order(&orders) {
                Ok(said) => {
                    state.guard = Some(guard);
                    return Ok(said);
                }
                // It may have ended since, which nobody was told yet.
                Err(error) => tracing::warn!(error, "another is started"),
            }
        }
        state.guard = None;
        let mut guard = self.start().map_err(|error| format!("asking the kernel: {error}"))?;
        let said = guard.order(&orders)?;
        state.guard = Some(guard);
        Ok(said)
    }

    fn start(&self) -> io::Result<Guard> {
        let mut child = worker(Path::new(OWN_PROGRAM), WORD).spawn()?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let pipes = child.stdin.take().zip(child.stdout.take()).zip(pid);
        let opened = pipes.ok_or_else(|| io::Error::other("it has no pipes")).and_then(
            |((stdin, out), pid)| {
                let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
                Ok((stdin, out, pidfd.try_clone()?, pidfd))
            },
        );
        let (stdin, out, reader_pidfd, pidfd) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                child.kill()?;
                child.wait()?;
                return Err(error);
            }
        };
        let heard = Arc::new(Heard::default());
        let listener = Listener {
            child,
            out,
            pidfd: reader_pidfd,
            heard: Arc::clone(&heard),
            findings: Findings::new(self.reports.get().cloned()),
        };
        let name = "deny".to_owned();
        std::thread::Builder::new().name(name).spawn(move || listener.run())?;
        Ok(Guard { stdin, pidfd, heard })
    }
}

impl Guard {
    fn order(&mut self, orders: &Orders) -> Result<Said, String> {
        let written = frame::write(&mut self.stdin, orders);
        written.map_err(|error| format!("who asks the kernel takes no orders: {error}"))?;
        let waits = |said: &mut Said| said.version < orders.version && !said.has_ended;
        let said = lock(&self.heard.said);
        let waited = self.heard.changed.wait_timeout_while(said, ORDER_MAX, waits);
        let (said, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if said.version >= orders.version {
            return Ok(said.clone());
        }
        let how = if said.has_ended { "has ended" } else { "does not answer" };
        Err(format!("who asks the kernel before programs start {how}"))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // It fails only if it is gone already. Its listener waits for it.
        pidfd_send_signal(&self.pidfd, Signal::KILL).ok();
    }
}

/// Hears what the process says.
struct Listener {
    child: Child,
    out: ChildStdout,
    pidfd: OwnedFd,
    heard: Arc<Heard>,
    findings: Findings,
}

impl Listener {
    fn run(mut self) {
        if let Err(error) = self.listen() {
            tracing::error!(%error, "who asks the kernel before programs start was ended");
        }
        pidfd_send_signal(&self.pidfd, Signal::KILL).ok();
        if let Err(error) = self.child.wait() {
            tracing::warn!(%error, "who asked the kernel could not be waited for");
        }
        self.said(|said| said.has_ended = true);
    }

    fn listen(&mut self) -> io::Result<()> {
        loop {
            self.wait()?;
            match frame::read::<Told>(&mut self.out)? {
                None => return Ok(()),
                Some(Told::Alive) => {}
                Some(Told::Armed { version, watched, unwatched }) => self.said(|said| {
                    (said.version, said.watched, said.unwatched) = (version, watched, unwatched);
                }),
                Some(Told::Denied { rule, path, actor }) => {
                    self.findings.denied(&rule, path, actor)
                }
                Some(Told::LetThrough(count)) => self.said(|said| said.let_through = count),
            }
        }
    }

    fn wait(&self) -> io::Result<()> {
        let time = Timespec {
            tv_sec: i64::try_from(SILENCE_MAX.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: 0,
        };
        loop {
            let mut fds = [PollFd::from_borrowed_fd(self.out.as_fd(), PollFlags::IN)];
            match poll(&mut fds, Some(&time)) {
                Ok(0) => return Err(io::Error::other("it was silent for too long")),
                Ok(_) => return Ok(()),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn said(&self, change: impl FnOnce(&mut Said)) {
        change(&mut lock(&self.heard.said));
        self.heard.changed.notify_all();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
