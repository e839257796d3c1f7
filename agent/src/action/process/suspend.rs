//! Stops a process, or it and all that it started, where it is (D3FEND D3-PS): frozen where it has
//! a control group of its own, else stopped by a signal, which whoever may signal it can lift.
//!
//! Who was born between looking and stopping is let go by its maker or its session; if somebody
//! ends both while all stand still, it stays stopped.

use std::io;
use std::time::Duration;

use cordon_proto::command::Suspend;
use cordon_proto::event::receipt::Probe;
use rustix::process::Signal;

use super::before::{self, Before};
use super::freeze::Group;
use super::hunt::{Hunt, Manner};
use super::protect::Protection;
use super::stat::Stat;
use crate::action::deed::{Deed, Done, Hand, NotDone, Seen};
use crate::clock::Clock;

/// How long is waited until all stand still, or go on.
const STILL_MAX: Duration = Duration::from_secs(2);

/// Looked at so often while waiting.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Processes that a receipt names.
const NAMED_MAX: usize = 16;

/// Stops one process or tree.
#[derive(Debug)]
pub struct SuspendDeed<'a> {
    hand: &'a Hand,
    suspend: &'a Suspend,
}

impl<'a> SuspendDeed<'a> {
    /// The deed that an action asks for.
    #[must_use]
    pub fn new(hand: &'a Hand, suspend: &'a Suspend) -> Self {
        Self { hand, suspend }
    }

    /// Finds the rest of a tree.
    fn sweep(&self, hunt: &mut Hunt, manner: Manner) -> io::Result<()> {
        match (self.suspend.tree, manner) {
            (true, _) => hunt.sweep(manner),
            (false, Manner::Stop) => {
                hunt.stop();
                Ok(())
            }
            (false, Manner::Look) => Ok(()),
        }
    }

    fn stop(&self, before: &Before, hunt: &mut Hunt) -> Result<(), NotDone> {
        let failed =
            |error: io::Error| NotDone::Failed(format!("the tree cannot be found: {error}"));
        for group in before.groups.iter().filter(|group| !group.was_frozen()) {
            if let Err(error) = group.freeze() {
                let group = group.path().display();
                tracing::warn!(%error, %group, "a control group cannot be frozen");
            }
        }
        self.sweep(hunt, Manner::Look).map_err(failed)?;
        before::check(&Protection::of(self.hand)?, hunt)?;
        // A group in which nobody else is stays frozen.
        let own: Vec<u32> = hunt.now().iter().map(|stat| stat.pid).collect();
        let is_own = |group: &&Group| {
            group.is_frozen()
                && group.pids().is_ok_and(|pids| pids.iter().all(|pid| own.contains(pid)))
        };
        hunt.frozen = before.groups.iter().filter(is_own).cloned().collect();
        self.sweep(hunt, Manner::Stop).map_err(failed)?;
        before::check(&Protection::of(self.hand)?, hunt)?;
        for group in before.groups.iter().filter(|group| !hunt.frozen.contains(group)) {
            if let Err(error) = group.put_back() {
                let path = group.path().display();
                hunt.missing.push(format!("the control group {path} stays frozen: {error}"));
            }
        }
        Ok(())
    }
}

impl Deed for SuspendDeed<'_> {
    fn prepare(&self) -> Result<Vec<u8>, NotDone> {
        let Suspend { process, tree, .. } = self.suspend;
        Before::read(self.hand, process, *tree).map(|before| before.encode())
    }

    fn apply(&self, before: &[u8]) -> Result<Done, NotDone> {
        let before = Before::decode(before)?;
        let mut hunt = before.hold();
        if let Err(why) = self.stop(&before, &mut hunt) {
            hunt.let_go();
            for error in before.thaw() {
                tracing::error!(error, "what was begun could not be put back");
            }
            return Err(why);
        }
        let running = wait(&hunt, |stat| !stands(&before, stat));
        let mut missing = std::mem::take(&mut hunt.missing);
        missing.extend(names(&running, "still runs"));
        Ok(Done { probes: vec![standing(&hunt, &running)], done: Vec::new(), missing })
    }

    fn look(&self, before: &[u8]) -> Seen {
        let before = match Before::decode(before) {
            Ok(before) => before,
            Err(why) => return Seen::CannotLook(why.to_string()),
        };
        let mut hunt = before.hold();
        if let Err(error) = self.sweep(&mut hunt, Manner::Look) {
            return Seen::CannotLook(error.to_string());
        }
        if let Some(missing) = hunt.missing.first() {
            return Seen::CannotLook(missing.clone());
        }
        let now = hunt.now();
        if now.is_empty() {
            return Seen::Gone("everything that was stopped has ended".to_owned());
        }
        match now.iter().find(|stat| !stands(&before, stat)) {
            Some(stat) => Seen::Drifted(format!("process {} runs again", stat.title())),
            None => Seen::Holds(vec![standing(&hunt, &[])]),
        }
    }

    fn undo(&self, before: &[u8]) -> Result<Done, NotDone> {
        let before = Before::decode(before)?;
        let mut hunt = before.hold();
        let swept = self.sweep(&mut hunt, Manner::Look);
        swept.map_err(|error| NotDone::Failed(format!("the tree cannot be found: {error}")))?;
        let frozen: Vec<_> =
            before.groups.iter().filter(|group| !group.was_frozen() && group.is_frozen()).collect();
        // Who stands still in a frozen group was not stopped by a signal of ours.
        let ours = |stat: &Stat| {
            !before.was_stopped(stat) && !frozen.iter().any(|group| group.has(stat.pid))
        };
        let mut missing = before.thaw();
        for caught in &hunt.caught {
            let Some(now) = caught.held.now().filter(|now| now.is_stopped && ours(now)) else {
                continue;
            };
            if let Err(error) = caught.held.signal(Signal::CONT) {
                missing.push(format!("process {} cannot go on: {error}", now.title()));
            }
        }
        let still = wait(&hunt, |stat| stands(&before, stat) && ours(stat));
        missing.extend(names(&still, "still stands"));
        missing.append(&mut hunt.missing);
        let count = hunt.now().len();
        let seen = format!("{count} processes, {} of them stand still", still.len());
        let what = "what was stopped goes on, unless it was stopped before".to_owned();
        let probes = vec![Probe { what, passed: still.is_empty(), seen }];
        Ok(Done { probes, done: Vec::new(), missing })
    }
}

/// Whether a process stands still, by a signal or in a frozen group.
fn stands(before: &Before, stat: &Stat) -> bool {
    let frozen = |group: &Group| group.has(stat.pid) && group.is_frozen();
    stat.is_stopped || stat.has_ended || before.groups.iter().any(frozen)
}

/// Those of whom it is still true when the time is over.
fn wait(hunt: &Hunt, is: impl Fn(&Stat) -> bool) -> Vec<Stat> {
    let clock = Clock::start();
    loop {
        let left: Vec<Stat> = hunt.now().into_iter().filter(|stat| is(stat)).collect();
        let held =
            hunt.caught.iter().find(|c| left.first().is_some_and(|s| s.pid == c.held.stat.pid));
        let Some(held) = held.filter(|_left| clock.now() < STILL_MAX) else { return left };
        // The kernel tells of an end, and of nothing else.
        held.held.wait_for_end(LOOK_EVERY);
    }
}

fn standing(hunt: &Hunt, running: &[Stat]) -> Probe {
    let now = hunt.now();
    let seen = format!("{} processes, {} of them run", now.len(), running.len());
    let what = "every process that the command names stands still".to_owned();
    Probe { what, passed: running.is_empty(), seen }
}

fn names(stats: &[Stat], how: &str) -> Vec<String> {
    let some = stats.iter().take(NAMED_MAX);
    some.map(|stat| format!("process {} {how}", stat.title())).collect()
}
