//! Finds a tree of processes and holds every one of it still, so that none can fork away.
//!
//! Sweeps over all processes are made until two find nothing new. A tree that forks and leaves
//! faster than it can be looked at is caught where its control group could be frozen first, and
//! where it stays in the process group of a session that it leads: the kernel stops such a group at
//! once.

use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

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
    pub(super) family: Family,
    /// Who is in one of these stands still already and is not stopped.
    pub(super) frozen: Vec<Group>,
    /// Process groups that were stopped at once; who is found in one later was stopped with it.
    stopped_groups: BTreeSet<u32>,
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
        let stopped_here = self.stopped_groups.contains(&held.stat.group);
        self.caught.push(Caught { held, stopped_here });
    }

    /// Stops those that are held, and nobody else.
    pub(super) fn stop(&mut self) {
        for at in 0..self.caught.len() {
            self.stop_one(at);
        }
    }

    /// Stops the process groups of those that lead a session, whose groups are nobody else's: a
    /// fork that is under way is stopped with them.
    fn stop_groups(&mut self) {
        for at in 0..self.caught.len() {
            let Some(leader) = self.caught.get(at).and_then(|caught| caught.held.now()) else {
                continue;
            };
            let number = i32::try_from(leader.pid).ok().and_then(Pid::from_raw);
            let Some(number) = number.filter(|_| leader.session == leader.pid) else { continue };
            if self.frozen.iter().any(|group| group.has(leader.pid)) {
                continue;
            }
            // From now on they stand still by what is done here, unless they did before.
            for caught in &mut self.caught {
                let now = caught.held.now().filter(|now| now.group == leader.pid);
                caught.stopped_here |= now.is_some_and(|now| !now.is_stopped);
            }
            let stopped = kill_process_group(number, Signal::STOP);
            self.stopped_groups.insert(leader.pid);
            // The number is the leader's for as long as it is not waited for.
            let is_its = self.caught.get(at).is_some_and(|caught| caught.held.is_there());
            if stopped.is_ok() && !is_its {
                let title = leader.title();
                self.missing.push(format!("process {title} ended while its group was stopped"));
            }
        }
    }

    /// Finds the rest of the tree.
    pub(super) fn sweep(&mut self, manner: Manner) -> io::Result<()> {
        if manner == Manner::Stop {
            self.stop_groups();
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

    /// Lists all processes once; how many are new, those included that were gone again before they
    /// could be stopped.
    pub(super) fn sweep_once(&mut self, manner: Manner) -> io::Result<usize> {
        let all = Stat::all()?;
        let mut new = 0;
        for stat in self.family.grow(&all) {
            let Some(held) = Held::open(stat.pid)? else {
                new += usize::from(manner == Manner::Stop);
                continue;
            };
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
        let stands = self.frozen.iter().any(|group| group.has(pid));
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
