//! Tier 3: lists /proc each second and reports the differences. Needs nothing, misses whatever
//! comes and goes between two lists.
//!
//! A process is known by number and start time; one whose program changes counts as a new start.
//! What runs already when the sensor starts is not reported. A process whose parent was never in a
//! list has no makers beyond it.

use std::collections::HashMap;
use std::time::Duration;

use cordon_proto::event::ProcessEvent;
use cordon_proto::event::process::{Exec, Exit, ProcessId, Tier};
use rustix::io;
use tokio::time::MissedTickBehavior;

use crate::clock::Stamp;
use crate::sensor::{Outlet, SAMPLE_EVENTS_MAX, Sample};

use super::memory::Memory;
use super::proc_file::{Proc, Process, Stat};
use super::{End, ProcessSettings, observation};

const LIST_EVERY: Duration = Duration::from_secs(1);

/// Why this tier is not available.
#[derive(Debug, thiserror::Error)]
#[error("listing /proc: {0}")]
pub(super) struct ListError(#[from] io::Errno);

/// /proc, and what was in it last.
pub(super) struct Watch {
    proc: Proc,
    known: HashMap<u32, Known>,
    memory: Memory,
}

/// A process as it was last seen.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Known {
    start_boot_ns: u64,
    parent: u32,
    /// The program's path; none for what may not be seen.
    program: Option<Vec<u8>>,
    uid: Option<u32>,
}

impl Watch {
    /// Takes the first list, which is not reported.
    pub(super) fn open(settings: &ProcessSettings) -> Result<Self, ListError> {
        let memory = Memory::new(settings.hash_bytes_max);
        let mut watch = Self { proc: Proc::open()?, known: HashMap::new(), memory };
        watch.memory.lineage.seed(&watch.proc.list(0)?);
        watch.list()?;
        Ok(watch)
    }

    pub(super) async fn run(mut self, stamp: fn() -> Stamp, outlet: &Outlet) -> End {
        let mut ticks = tokio::time::interval(LIST_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.tick().await;
        loop {
            let answer = tokio::select! {
                _at = ticks.tick() => None,
                answer = self.memory.answer() => Some(answer),
            };
            let listed = match answer {
                Some(answer) => Ok(self
                    .memory
                    .hashed(answer)
                    .map(ProcessEvent::ImageHash)
                    .into_iter()
                    .collect()),
                None => self.list(),
            };
            let mut events: Vec<_> = match listed {
                Ok(events) => events,
                Err(error) => {
                    return End::Failed { tier: Tier::ProcList, reason: error.to_string() };
                }
            };
            let now = stamp();
            events.iter_mut().for_each(|event| self.remember(event, now));
            for events in events.chunks(SAMPLE_EVENTS_MAX) {
                let observations = events.iter().cloned();
                let observations = observations.map(|event| observation(now, event)).collect();
                let sample = Sample { observations, ..Sample::default() };
                if let Err(stopping) = outlet.sample(sample).await {
                    return stopping.into();
                }
            }
        }
    }

    fn remember(&mut self, event: &mut ProcessEvent, now: Stamp) {
        match event {
            ProcessEvent::Exec(exec) => self.memory.exec(exec, now.boot_ns),
            ProcessEvent::Exit(Exit { pid, start_boot_ns, .. }) => {
                let id = ProcessId { pid: *pid, start_boot_ns: *start_boot_ns };
                self.memory.lineage.exit(id);
            }
            ProcessEvent::Fork(_) | ProcessEvent::ImageHash(_) => {}
        }
    }

    /// What has changed since the last list: ends first, so that a number used again reads right.
    fn list(&mut self) -> Result<Vec<ProcessEvent>, ListError> {
        let mut before = std::mem::take(&mut self.known);
        let (mut ends, mut starts) = (Vec::new(), Vec::new());
        for pid in self.proc.pids()? {
            let known = before.remove(&pid);
            let Some(process) = self.proc.process(pid) else {
                ends.extend(known.map(|known| known.exit(pid)));
                continue;
            };
            let Some(stat) = process.stat() else {
                ends.extend(known.map(|known| known.exit(pid)));
                continue;
            };
            if stat.is_kernel_thread {
                continue;
            }
            let (end, start, known) = compare(pid, known, stat, &process);
            ends.extend(end);
            starts.extend(start);
            self.known.extend(known.map(|known| (pid, known)));
        }
        ends.extend(before.into_iter().map(|(pid, known)| known.exit(pid)));
        ends.append(&mut starts);
        Ok(ends)
    }
}

type Change = (Option<ProcessEvent>, Option<ProcessEvent>, Option<Known>);

/// What became of one number between two lists.
fn compare(pid: u32, known: Option<Known>, stat: Stat, process: &Process) -> Change {
    let is_same = |known: &Known| known.start_boot_ns == stat.start_boot_ns;
    let (same, other) = match known {
        Some(known) if is_same(&known) => (Some(known), None),
        other => (None, other),
    };
    let end = other.map(|known| known.exit(pid));
    // One that has ended and still waits for its parent has no program and no arguments any more.
    if stat.is_zombie {
        return match same {
            Some(known) => (Some(known.exit(pid)), None, None),
            None => (end, None, None),
        };
    }
    let program = process.program();
    match same {
        Some(known) if known.program == program => {
            (None, None, Some(Known { parent: stat.parent, ..known }))
        }
        Some(_) | None => {
            let exec = process.exec(Tier::ProcList, pid, Some(stat));
            let known = Known::new(&exec, stat, program);
            (end, Some(ProcessEvent::Exec(Box::new(exec))), Some(known))
        }
    }
}

impl Known {
    fn new(exec: &Exec, stat: Stat, program: Option<Vec<u8>>) -> Self {
        Self { start_boot_ns: stat.start_boot_ns, parent: stat.parent, program, uid: exec.uid }
    }

    /// How it ended is not known: nobody but its parent is told.
    fn exit(self, pid: u32) -> ProcessEvent {
        ProcessEvent::Exit(Exit {
            tier: Tier::ProcList,
            pid,
            start_boot_ns: Some(self.start_boot_ns),
            parent_pid: Some(self.parent),
            uid: self.uid,
            wait_status: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(program: &str) -> Known {
        let program = Some(program.as_bytes().to_vec());
        Known { start_boot_ns: 7, parent: 1, program, uid: Some(5) }
    }

    /// The numbers that ended and started when this very process is found where `known` was.
    #[track_caller]
    fn check(known: Option<Known>, change: impl FnOnce(&mut Stat), expected: (bool, bool, bool)) {
        let proc = Proc::open().unwrap();
        let process = proc.process(std::process::id()).unwrap();
        let mut stat = process.stat().unwrap();
        stat.start_boot_ns = 7;
        change(&mut stat);
        let (end, start, known) = compare(9, known, stat, &process);
        assert_eq!((end.is_some(), start.is_some(), known.is_some()), expected);
    }

    fn this_program() -> String {
        std::env::current_exe().unwrap().to_str().unwrap().to_owned()
    }

    #[test]
    fn what_has_not_changed_is_not_reported() {
        check(Some(known(&this_program())), |_| {}, (false, false, true));
    }

    #[test]
    fn a_new_number_and_a_new_program_are_starts() {
        check(None, |_| {}, (false, true, true));
        check(Some(known("/bin/other")), |_| {}, (false, true, true));
    }

    #[test]
    fn a_number_used_again_is_an_end_and_a_start() {
        check(Some(known(&this_program())), |stat| stat.start_boot_ns = 8, (true, true, true));
    }

    #[test]
    fn a_zombie_has_ended_and_is_told_once() {
        check(Some(known(&this_program())), |stat| stat.is_zombie = true, (true, false, false));
        check(None, |stat| stat.is_zombie = true, (false, false, false));
    }

    #[test]
    fn a_process_that_came_and_went_is_listed_as_a_start_and_an_end() {
        let mut watch = Watch::open(&ProcessSettings::default()).unwrap();
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = child.id();
        let starts = watch.list().unwrap();
        assert!(starts.iter().any(|event| matches!(event, ProcessEvent::Exec(e) if e.pid == pid)));
        child.kill().unwrap();
        child.wait().unwrap();
        let ends = watch.list().unwrap();
        assert!(ends.iter().any(|event| matches!(event, ProcessEvent::Exit(e) if e.pid == pid)));
        let nothing = watch.list().unwrap();
        assert!(
            !nothing.iter().any(|event| matches!(event, ProcessEvent::Exit(e) if e.pid == pid))
        );
    }
}
