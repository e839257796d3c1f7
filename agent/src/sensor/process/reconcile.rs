//! Compares lists of /proc with what was told, each minute: whatever lives and was never told, or
//! is gone without an end, is told then.
//!
//! The lists are read on a thread of their own. One is compared only after everything that the
//! kernel told until then was taken in, so that being late is not mistaken for being lost.

use std::time::Duration;

use cordon_proto::event::process::{Exit, ProcessId, Tier};
use cordon_proto::event::{Observation, ProcessEvent};
use tokio::sync::mpsc;

use crate::clock::Stamp;

use super::lineage::{Difference, List, is_same};
use super::memory::Memory;
use super::observation;
use super::proc_file::Proc;

/// Told of one list at most; the next has the rest.
const TOLD_MAX: usize = 256;

/// Enough for reading files of /proc.
const STACK_BYTES: usize = 256 << 10;

/// What lists have shown since the sensor started.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Found {
    pub(super) untold: u64,
    pub(super) gone: u64,
}

/// Reads a list now and then.
pub(super) struct Reconciler {
    period: Duration,
    /// /proc, if its numbers are the kernel's own; else there is nothing to compare.
    proc: Option<Proc>,
    /// When the next list is due, boot-time clock.
    due_ns: u64,
    list: mpsc::Sender<Option<List>>,
    lists: mpsc::Receiver<Option<List>>,
    pub(super) found: Found,
}

impl Reconciler {
    pub(super) fn new(period: Duration, now: Stamp) -> Self {
        let proc = Proc::open().ok().filter(Proc::is_initial);
        let (list, lists) = mpsc::channel(1);
        let due_ns = next(now.boot_ns, period);
        Self { period, proc, due_ns, list, lists, found: Found::default() }
    }

    /// Whether lists can be compared at all.
    pub(super) fn works(&self) -> bool {
        self.proc.is_some()
    }

    /// How often lists are compared.
    pub(super) fn period(&self) -> Duration {
        self.period
    }

    /// What runs when the sensor starts.
    pub(super) fn first(&self, now: Stamp) -> List {
        let list = self.proc.as_ref().and_then(|proc| proc.list(now.boot_ns).ok());
        list.unwrap_or_default()
    }

    /// Begins to read a list if it is time.
    pub(super) fn begin_if_due(&mut self, now: Stamp) {
        if self.proc.is_none() || now.boot_ns < self.due_ns {
            return;
        }
        self.due_ns = next(now.boot_ns, self.period);
        let list = self.list.clone();
        let thread = std::thread::Builder::new().name("cordon-list".to_owned());
        let thread = thread.stack_size(STACK_BYTES).spawn(move || {
            let read = Proc::open().and_then(|proc| proc.list(now.boot_ns)).ok();
            // One that nobody has taken yet is good enough.
            drop(list.try_send(read));
        });
        if let Err(error) = thread {
            tracing::warn!(%error, "no thread to list processes with");
        }
    }

    /// Waits for a list.
    pub(super) async fn listed(&mut self) -> List {
        loop {
            match self.lists.recv().await {
                Some(Some(list)) => return list,
                Some(None) => tracing::warn!("processes could not be listed"),
                None => std::future::pending().await,
            }
        }
    }

    /// What is to be told of a list, now that all else is told.
    pub(super) fn compare(
        &mut self,
        list: &List,
        memory: &mut Memory,
        now: Stamp,
    ) -> Vec<Observation> {
        let Difference { untold, gone } = memory.lineage.difference(list);
        let mut told = Vec::new();
        for (id, maker) in gone.into_iter().take(TOLD_MAX) {
            memory.lineage.exit(id);
            self.found.gone += 1;
            told.push(observation(now, ended(id, maker)));
        }
        for id in untold.into_iter().take(TOLD_MAX.saturating_sub(told.len())) {
            let Some(exec) = self.untold(id, memory, now) else { continue };
            self.found.untold += 1;
            told.push(observation(now, exec));
        }
        told
    }

    /// As /proc shows it, if it still lives: one that has ended meanwhile was told of in time.
    fn untold(&self, id: ProcessId, memory: &mut Memory, now: Stamp) -> Option<ProcessEvent> {
        let process = self.proc.as_ref()?.process(id.pid)?;
        let stat = process.stat()?;
        if stat.is_zombie || !is_same(Some(stat.start_boot_ns), id.start_boot_ns) {
            return None;
        }
        let mut exec = process.exec(Tier::ProcList, id.pid, Some(stat));
        memory.exec(&mut exec, now.boot_ns);
        Some(ProcessEvent::Exec(Box::new(exec)))
    }
}

/// How it ended, and when, is not known.
fn ended(id: ProcessId, maker: Option<ProcessId>) -> ProcessEvent {
    let ProcessId { pid, start_boot_ns } = id;
    let parent_pid = maker.map(|maker| maker.pid);
    let (tier, uid, wait_status) = (Tier::ProcList, None, None);
    ProcessEvent::Exit(Exit { tier, pid, start_boot_ns, parent_pid, uid, wait_status })
}

fn next(now_ns: u64, period: Duration) -> u64 {
    now_ns.saturating_add(u64::try_from(period.as_nanos()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use cordon_proto::event::Body;

    use super::*;
    use crate::clock::stamp;

    #[test]
    fn what_was_never_told_is_told_once_with_its_makers_and_so_is_its_end() {
        let mut reconciler = Reconciler::new(Duration::from_secs(60), Stamp::default());
        // In a pid namespace of its own there is nothing to compare.
        let Some(proc) = &reconciler.proc else { return };
        let mut memory = Memory::new(0);
        memory.lineage.seed(&proc.list(stamp().boot_ns).unwrap());
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = child.id();
        let list = || Proc::open().unwrap().list(stamp().boot_ns).unwrap();
        let mut compare = |list: &List| {
            let told = reconciler.compare(list, &mut memory, stamp());
            let of_child = |seen: Observation| {
                let Body::Process(event) = seen.body else { return None };
                let of = match &event {
                    ProcessEvent::Exec(exec) => exec.pid,
                    ProcessEvent::Exit(exit) => exit.pid,
                    ProcessEvent::Fork(_) | ProcessEvent::ImageHash(_) => return None,
                };
                (of == pid).then_some(event)
            };
            told.into_iter().filter_map(of_child).collect::<Vec<_>>()
        };
        let both = list();
        let told = compare(&both);
        let [ProcessEvent::Exec(exec)] = told.as_slice() else { panic!("{told:?}") };
        assert_eq!(exec.tier, Tier::ProcList);
        assert_eq!(exec.ancestors.as_ref().unwrap()[0].pid, std::process::id());
        assert_eq!(compare(&list()), []);
        child.kill().unwrap();
        child.wait().unwrap();
        let after = list();
        let told = compare(&after);
        let [ProcessEvent::Exit(exit)] = told.as_slice() else { panic!("{told:?}") };
        assert_eq!((exit.wait_status, exit.parent_pid), (None, Some(std::process::id())));
        assert_eq!(compare(&both), [], "an old list shows a process that is gone");
    }
}
