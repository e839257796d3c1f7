//! Finds a tree of processes and holds every one of it still, so that none can fork away.
//!
//! Sweeps over all processes are made until two find nothing new. A tree that forks and leaves
//! faster than it can be looked at is caught only where its control group could be frozen first.

use std::io;
use std::time::Duration;

use rustix::process::Signal;

use super::family::{Family, Tie};
use super::freeze::Group;
use super::hold::Held;
use super::stat::Stat;
use crate::clock::Clock;

/// Sweeps that must find nothing new.
const QUIET_SWEEPS: u32 = 2;

/// How long a tree may be swept.
const SWEEP_MAX: Duration = Duration::from_secs(5);

/// Processes of one tree; each is held by a descriptor.
const MEMBERS_MAX: usize = 4096;

/// A tree, or a single process, held.
#[derive(Debug, Default)]
pub(super) struct Hunt {
    family: Family,
    /// Who is in one of these stands still already and is not stopped.
    pub(super) frozen: Vec<Group>,
    pub(super) caught: Vec<Caught>,
    /// The tree could not be caught whole.
    pub(super) missing: Vec<String>,
}

/// One of the tree.
#[derive(Debug)]
pub(super) struct Caught {
    pub(super) held: Held,
    /// It was stopped here; otherwise it was stopped before, or is only looked at.
    pub(super) stopped_here: bool,
}

/// Whether those that are found are stopped.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Manner {
    Look,
    Stop,
}

impl Hunt {
    pub(super) fn of(root: Held) -> Self {
        let mut hunt = Self::default();
        hunt.take(root);
        hunt
    }

    /// One more that is known to belong to it.
    pub(super) fn take(&mut self, held: Held) {
        self.family.add(&held.stat);
        self.caught.push(Caught { held, stopped_here: false });
    }

    /// Stops those that are held, and nobody else.
    pub(super) fn stop(&mut self) {
        for at in 0..self.caught.len() {
            self.stop_one(at);
        }
    }

    /// Finds the rest of the tree.
    pub(super) fn sweep(&mut self, manner: Manner) -> io::Result<()> {
        if manner == Manner::Stop {
            self.stop();
        }
        let clock = Clock::start();
        let mut quiet = 0;
        while quiet < QUIET_SWEEPS {
            let found = self.sweep_once(manner)?;
            quiet = if found == 0 { quiet.saturating_add(1) } else { 0 };
            if self.caught.len() > MEMBERS_MAX {
                self.missing.push(format!("the tree has more than {MEMBERS_MAX} processes"));
                break;
            }
            if clock.now() > SWEEP_MAX {
                let secs = SWEEP_MAX.as_secs();
                self.missing.push(format!("the tree still grew after {secs} s"));
                break;
            }
        }
        Ok(())
    }

    /// Lists all processes once; how many are new.
    pub(super) fn sweep_once(&mut self, manner: Manner) -> io::Result<usize> {
        let all = Stat::all()?;
        let mut new = 0;
        for stat in self.family.grow(&all) {
            let Some(held) = Held::open(stat.pid)? else { continue };
            // As it is now that it is held, and not as it was listed.
            let Some(tie) = self.family.tie(&held.stat) else { continue };
            if held.stat.start_ticks != stat.start_ticks || !self.vouched(tie) {
                continue;
            }
            self.take(held);
            new += 1;
            if manner == Manner::Stop {
                self.stop_one(self.caught.len() - 1);
            }
        }
        Ok(new)
    }

    /// A number means the member that had it only while that member, or another of its session,
    /// is there.
    fn vouched(&self, tie: Tie) -> bool {
        self.caught.iter().any(|caught| {
            let stat = &caught.held.stat;
            let names = match tie {
                Tie::Parent(pid) => stat.pid == pid,
                Tie::Session(session) => stat.session == session,
            };
            names && caught.held.is_there()
        })
    }

    fn stop_one(&mut self, at: usize) {
        let Some(caught) = self.caught.get_mut(at) else { return };
        let pid = caught.held.stat.pid;
        let stands = caught.stopped_here || self.frozen.iter().any(|group| group.has(pid));
        if stands || caught.held.now().is_none_or(|stat| stat.is_stopped) {
            return;
        }
        match caught.held.signal(Signal::STOP) {
            Ok(()) => caught.stopped_here = true,
            Err(error) => {
                let title = caught.held.stat.title();
                self.missing.push(format!("process {title} could not be stopped: {error}"));
            }
        }
    }

    /// Lets those go on that were stopped here.
    pub(super) fn let_go(&mut self) {
        for caught in self.caught.iter_mut().filter(|caught| caught.stopped_here) {
            if let Err(error) = caught.held.signal(Signal::CONT) {
                let title = caught.held.stat.title();
                self.missing.push(format!("process {title} could not be continued: {error}"));
            }
            caught.stopped_here = false;
        }
    }

    /// The processes as they are now, without those that ended.
    pub(super) fn now(&self) -> Vec<Stat> {
        let alive = self.caught.iter().filter(|caught| !caught.held.has_ended());
        alive.filter_map(|caught| caught.held.now()).collect()
    }
}
