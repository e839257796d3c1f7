//! What messages of the process connector tell of the processes that live, and the events that
//! come of it.

use std::collections::HashMap;

use cordon_proto::event::process::{Exec, Exit, Fork, Tier};
use cordon_proto::event::{Class, ClassCount, GapReason, ProcessEvent};

use crate::sensor::Loss;

use super::ProcessSettings;
use super::message::{Change, Message};
use super::proc_file::{Ids, Proc};

/// Processes whose parent and user are remembered; twice what a machine runs by default.
const KNOWN_MAX: usize = 1 << 16;

/// The processes that live, as far as they are known.
#[derive(Debug)]
pub(super) struct Lives {
    proc: Option<Proc>,
    known: HashMap<u32, Known>,
    /// The last number of each processor's messages.
    numbers: HashMap<u32, u32>,
}

/// What messages have told of a process before it ran anything.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    parent: Option<u32>,
    ids: Option<Ids>,
    start_boot_ns: Option<u64>,
}

impl Default for Lives {
    fn default() -> Self {
        Self { proc: Proc::open().ok(), known: HashMap::new(), numbers: HashMap::new() }
    }
}

impl Lives {
    /// Users of what runs already, so that its children's are known.
    pub(super) fn seed(&mut self) {
        let Some(proc) = &self.proc else { return };
        for pid in proc.pids().unwrap_or_default().into_iter().take(KNOWN_MAX) {
            let Some(process) = proc.process(pid) else { continue };
            let (ids, stat) = (process.ids(), process.stat());
            let parent = stat.map(|stat| stat.parent);
            let start_boot_ns = stat.map(|stat| stat.start_boot_ns);
            self.known.insert(pid, Known { parent, ids, start_boot_ns });
        }
    }

    /// How many messages of the same processor are missing before this one. Answers to whoever
    /// began to listen carry that one's number instead.
    pub(super) fn missed(&mut self, message: &Message) -> u64 {
        if matches!(message.change, Change::Acknowledged { .. }) {
            return 0;
        }
        let last = self.numbers.insert(message.processor, message.number);
        last.map_or(0, |last| u64::from(message.number.wrapping_sub(last.wrapping_add(1))))
    }

    pub(super) fn event(
        &mut self,
        settings: &ProcessSettings,
        change: Change,
    ) -> Option<ProcessEvent> {
        match change {
            Change::Fork { parent, child } => {
                let ids = self.known.get(&parent).and_then(|known| known.ids);
                let uid = ids.map(|ids| ids.uid);
                self.remember(child, Known { parent: Some(parent), ids, start_boot_ns: None });
                let (tier, pid, parent_pid) = (Tier::ProcConnector, child, Some(parent));
                let fork = Fork { tier, pid, start_boot_ns: None, parent_pid, uid };
                settings.forks.then_some(ProcessEvent::Fork(fork))
            }
            Change::Ids { pid, ids } => {
                self.known.entry(pid).and_modify(|known| known.ids = Some(ids));
                None
            }
            Change::Exec { pid } => Some(ProcessEvent::Exec(self.exec(pid))),
            Change::Exit { pid, parent, wait_status } => {
                let known = self.known.remove(&pid).unwrap_or_default();
                Some(ProcessEvent::Exit(Exit {
                    tier: Tier::ProcConnector,
                    pid,
                    start_boot_ns: known.start_boot_ns,
                    parent_pid: parent.or(known.parent),
                    uid: known.ids.map(|ids| ids.uid),
                    wait_status: Some(wait_status),
                }))
            }
            Change::Acknowledged { .. } | Change::Other => None,
        }
    }

    /// From /proc what is still there, from earlier messages what is not.
    fn exec(&mut self, pid: u32) -> Exec {
        let process = self.proc.as_ref().and_then(|proc| proc.process(pid));
        let stat = process.as_ref().and_then(|process| process.stat());
        let mut exec = match process {
            Some(process) => process.exec(Tier::ProcConnector, pid, stat),
            None => nothing_but(pid),
        };
        let before = self.known.get(&pid).copied().unwrap_or_default();
        exec.parent_pid = exec.parent_pid.or(before.parent);
        exec.uid = exec.uid.or(before.ids.map(|ids| ids.uid));
        exec.euid = exec.euid.or(before.ids.map(|ids| ids.euid));
        let ids = exec.uid.zip(exec.euid).map(|(uid, euid)| Ids { uid, euid });
        let (parent, start_boot_ns) = (exec.parent_pid, exec.start_boot_ns);
        self.remember(pid, Known { parent, ids, start_boot_ns });
        exec
    }

    /// Where there is no room, less is known of the new ones.
    fn remember(&mut self, pid: u32, known: Known) {
        if self.known.len() < KNOWN_MAX || self.known.contains_key(&pid) {
            self.known.insert(pid, known);
        }
    }
}

fn nothing_but(pid: u32) -> Exec {
    Exec {
        tier: Tier::ProcConnector,
        pid,
        start_boot_ns: None,
        parent_pid: None,
        uid: None,
        euid: None,
        cgroup_id: None,
        image: None,
        image_resolved: None,
        args: None,
        args_bytes: None,
        redacted: None,
    }
}

pub(super) fn loss(count: u64, from_ns: u64, to_ns: u64) -> Loss {
    let detail = "messages of the process connector, of which some are of threads and forks";
    Loss {
        reason: GapReason::KernelRing,
        counts: vec![ClassCount { class: Class::Process, count }],
        from_ns,
        to_ns,
        detail: Some(detail.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(lives: &mut Lives, change: Change) -> Option<ProcessEvent> {
        lives.event(&ProcessSettings::default(), change)
    }

    /// A number above any that Linux gives.
    const GONE: u32 = 1 << 30;

    #[test]
    fn a_process_that_is_gone_keeps_parent_and_user_and_nothing_is_guessed() {
        let mut lives = Lives::default();
        let ids = Ids { uid: 1000, euid: 0 };
        assert_eq!(event(&mut lives, Change::Fork { parent: 4, child: GONE }), None);
        assert_eq!(event(&mut lives, Change::Ids { pid: GONE, ids }), None);
        let exec = event(&mut lives, Change::Exec { pid: GONE });
        let (parent_pid, uid, euid) = (Some(4), Some(1000), Some(0));
        let expected = Exec { parent_pid, uid, euid, ..nothing_but(GONE) };
        assert_eq!(exec, Some(ProcessEvent::Exec(expected)));
    }

    #[test]
    fn a_child_has_its_parents_user_and_an_end_forgets_it() {
        let mut lives = Lives::default();
        let ids = Ids { uid: 7, euid: 7 };
        for child in [GONE, GONE + 1] {
            event(&mut lives, Change::Fork { parent: child - 1, child });
            event(&mut lives, Change::Ids { pid: GONE, ids });
        }
        let end = Change::Exit { pid: GONE + 1, parent: None, wait_status: 9 };
        let exit = |parent_pid, uid| {
            let (tier, pid) = (Tier::ProcConnector, GONE + 1);
            let wait_status = Some(9);
            let exit = Exit { tier, pid, start_boot_ns: None, parent_pid, uid, wait_status };
            Some(ProcessEvent::Exit(exit))
        };
        assert_eq!(event(&mut lives, end), exit(Some(GONE), Some(7)));
        assert_eq!(event(&mut lives, end), exit(None, None));
    }

    #[test]
    fn what_is_missing_is_counted_for_each_processor() {
        let mut lives = Lives::default();
        let mut missed =
            |processor, number| lives.missed(&Message { number, processor, change: Change::Other });
        let seen = [(0, u32::MAX), (1, 5), (0, 0), (0, 1), (1, 9), (1, 10)];
        let seen = seen.map(|(processor, number)| missed(processor, number));
        assert_eq!(seen, [0, 0, 0, 0, 3, 0]);
        let change = Change::Acknowledged { error: 0 };
        assert_eq!(lives.missed(&Message { number: 77, processor: 0, change }), 0);
        assert_eq!(lives.missed(&Message { number: 2, processor: 0, change: Change::Other }), 0);
    }

    #[test]
    fn no_more_is_remembered_than_there_is_room_for() {
        let mut lives = Lives::default();
        for child in 0..u32::try_from(KNOWN_MAX).unwrap() + 10 {
            lives.remember(child, Known::default());
        }
        assert_eq!(lives.known.len(), KNOWN_MAX);
    }
}
