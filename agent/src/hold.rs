//! The early supervisor, `cordon-agent hold`: puts an isolation and what is blocked up again before
//! the network is up, and looks after both for as long as no agent runs: counts leases, puts back
//! what somebody changed, obeys a signed release of the isolation. What a break-glass code has ended
//! it never puts up again.
//!
//! It needs none of what an agent needs: no spool, no link, no room on the disk. Whoever holds the
//! lock of the state directory owns the rules; an agent that starts asks the supervisor to stand
//! aside ([`take_over`]), and the supervisor waits for the agent's end by waiting for the lock.
//! Between the two the rules stand in the kernel, and each replaces the other's in one transaction.
//! It proves nothing to the collector: that is the agent's.

mod fenced;
pub mod found;
mod holder;

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use crate::break_glass::alone::AloneError;
use crate::clock::Clock;
use crate::config::Config;
use crate::control::{self, Answer, Ask};
use crate::identity::{StateDir, StateDirError};
use crate::kept::{BLOCKS, ISOLATION};
use crate::platform::linux::poll;
use crate::sd_notify;
use fenced::Fenced;

pub use holder::{Holder, only_release};

/// How often leases and rules are looked at.
const TICK: Duration = Duration::from_secs(1);
/// How often the supervisor that waits for an agent's end looks whether there is still anything
/// to wait for.
const STANDBY_TICK: Duration = Duration::from_secs(60);
/// How long the machine's start waits for rules that cannot be put up. A machine that hangs for
/// ever could not be mended by anybody.
const READY_MAX: Duration = Duration::from_secs(30);
/// How long a starting agent waits for the supervisor's lock.
const LOCK_MAX: Duration = Duration::from_secs(10);

/// Why the supervisor does not hold.
#[derive(Debug, thiserror::Error)]
pub enum HoldError {
    /// The state directory cannot be used.
    #[error(transparent)]
    StateDir(#[from] StateDirError),
    /// The machine does not let itself be looked at.
    #[error("the machine cannot be looked at: {0}")]
    Machine(io::Error),
    /// What a break-glass code has ended could not be finished.
    #[error("the break-glass code was typed, and its work is not done: {0}")]
    BreakGlass(#[from] AloneError),
    /// Its socket cannot be used.
    #[error("the supervisor cannot wait for what it is asked: {0}")]
    Wait(io::Error),
    /// There is one already.
    #[error("another `cordon-agent hold` is running")]
    Twice,
}

/// Holds what is to be held until it is over.
pub fn run(config: &Config) -> Result<(), HoldError> {
    let mut ready = Ready::new();
    if !config.state_dir.is_dir() {
        ready.tell();
        return Ok(());
    }
    let dir = StateDir::open(&config.state_dir)?;
    let listener = match control::listen(&control::hold_socket(config)) {
        Ok(listener) => Some(listener),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(HoldError::Twice),
        Err(error) => {
            // A release then takes the lock itself, once this process is stopped.
            tracing::error!(%error, "nobody can ask this supervisor for a release");
            None
        }
    };
    loop {
        let Some(lock) = stand_by(&dir, listener.as_ref(), &mut ready)? else { return Ok(()) };
        let held =
            Held { isolation: Holder::open(config, &dir)?, blocks: Fenced::open(config, &dir)? };
        match hold(held, listener.as_ref(), &mut ready)? {
            None => return Ok(()),
            Some(mut agent) => {
                drop(lock);
                tracing::info!("an agent takes over");
                if let Err(error) = control::answer(&mut agent, &Answer::done("it is yours")) {
                    tracing::warn!(%error, "the agent did not wait for the answer");
                }
                // Its end says that the agent has the lock, or has died.
                drop(poll::readable(&[agent.as_fd()], LOCK_MAX));
            }
        }
    }
}

/// What is held, as far as there is any of it.
struct Held {
    isolation: Option<Holder>,
    blocks: Option<Fenced>,
}

impl Held {
    /// Answers whether everything stands as it must; what is over is let go of.
    fn tick(&mut self) -> bool {
        if let Some(isolation) = &mut self.isolation {
            isolation.tick();
        }
        let keeps_time = self.isolation.is_none();
        if let Some(blocks) = &mut self.blocks {
            blocks.tick(keeps_time);
        }
        self.isolation.take_if(|isolation| isolation.is_over());
        self.blocks.take_if(|blocks| blocks.is_over());
        self.isolation.as_ref().is_none_or(Holder::stands)
            && self.blocks.as_ref().is_none_or(Fenced::stands)
    }

    fn is_over(&self) -> bool {
        self.isolation.is_none() && self.blocks.is_none()
    }

    fn release(&mut self, bytes: &[u8]) -> Answer {
        let isolation = self.isolation.as_mut();
        isolation.map_or_else(|| Answer::done("it is not isolated"), |held| held.release(bytes))
    }
}

/// The lock, once no agent runs; none if nothing is recorded any more.
fn stand_by(
    dir: &StateDir,
    listener: Option<&UnixListener>,
    ready: &mut Ready,
) -> Result<Option<File>, HoldError> {
    match dir.lock() {
        Ok(lock) => return Ok(Some(lock)),
        Err(StateDirError::InUse(_)) => ready.tell(),
        Err(error) => return Err(error.into()),
    }
    let (told, tells) = UnixStream::pair().map_err(HoldError::Wait)?;
    let waiting = dir.clone();
    // It ends with this process at the latest: nothing interrupts the wait for a lock.
    let lock = std::thread::spawn(move || {
        let _tells = tells;
        waiting.wait_for_lock()
    });
    loop {
        let mut watched = vec![told.as_fd()];
        watched.extend(listener.map(AsFd::as_fd));
        let woken = poll::readable(&watched, STANDBY_TICK).map_err(HoldError::Wait)?;
        if woken.first() == Some(&true) {
            let lock = lock.join().map_err(|_panic| {
                HoldError::Wait(io::Error::other("the thread that waited for the lock failed"))
            })?;
            return Ok(Some(lock?));
        }
        if woken.get(1) == Some(&true)
            && let Some((mut stream, _ask)) = listener.and_then(taken)
        {
            let says = "the agent runs; ask the agent";
            drop(control::answer(&mut stream, &Answer::refused(says)));
        }
        let is_gone = |name| matches!(std::fs::exists(dir.path(name)), Ok(false));
        if is_gone(ISOLATION) && is_gone(BLOCKS) {
            return Ok(None);
        }
    }
}

/// Holds until it is over, or until an agent asks for it: then its connection comes back.
fn hold(
    mut held: Held,
    listener: Option<&UnixListener>,
    ready: &mut Ready,
) -> Result<Option<UnixStream>, HoldError> {
    let clock = Clock::start();
    loop {
        if held.tick() || clock.now() >= READY_MAX {
            ready.tell();
        }
        if held.is_over() {
            ready.tell();
            return Ok(None);
        }
        let watched: Vec<_> = listener.map(AsFd::as_fd).into_iter().collect();
        let woken = poll::readable(&watched, TICK).map_err(HoldError::Wait)?;
        if woken.first() == Some(&true)
            && let Some((mut stream, ask)) = listener.and_then(taken)
        {
            let answer = match ask {
                Ask::StandAside => return Ok(Some(stream)),
                Ask::Release(bytes) => held.release(&bytes),
                Ask::MayType | Ask::Code(_) => {
                    Answer::refused("`cordon-agent release` judges codes itself, and then asks me")
                }
            };
            drop(control::answer(&mut stream, &answer));
        }
    }
}

fn taken(listener: &UnixListener) -> Option<(UnixStream, Ask)> {
    let heard = listener.accept().and_then(|(mut stream, _)| {
        let ask = control::hear(&mut stream)?;
        Ok((stream, ask))
    });
    heard.inspect_err(|error| tracing::warn!(%error, "not understood")).ok()
}

/// The lock of the state directory for an agent that starts: from the supervisor, if one holds.
pub fn take_over(config: &Config, dir: &StateDir) -> Result<File, StateDirError> {
    let refused = match dir.lock() {
        Err(error @ StateDirError::InUse(_)) => error,
        decided => return decided,
    };
    match control::ask(&control::hold_socket(config), &Ask::StandAside) {
        // The connection is closed after the lock is taken, and not before.
        Ok(Some((answer, _connection))) if answer.done => dir.lock(),
        Ok(_) => Err(refused),
        Err(error) => {
            tracing::warn!(%error, "the supervisor does not answer");
            Err(refused)
        }
    }
}

/// Tells the service manager once that what comes after may start.
#[derive(Debug)]
struct Ready(bool);

impl Ready {
    fn new() -> Self {
        Self(false)
    }

    fn tell(&mut self) {
        if std::mem::replace(&mut self.0, true) {
            return;
        }
        sd_notify::tell("READY=1");
    }
}

#[cfg(test)]
pub(crate) mod tests;
