//! Who made whom: the processes that live, each with the chain of those that made it. Pure.
//!
//! The chain is taken when a process is made and never changes, so that an orphan keeps its makers
//! although its parent becomes init. For what ran before the agent started it is the chain of
//! parents that /proc named then. Starts from /proc are rounded down to a hundredth of a second.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::sync::Arc;

use cordon_proto::event::process::{ANCESTORS_MAX, ProcessId};

use super::pid_hasher::PidHasher;

/// Processes that are remembered; twice what most machines may run. Beyond it chains end early.
const LIVES_MAX: usize = 1 << 16;

/// Linux shows times in /proc in hundredths of a second, whatever it counts in itself.
const TICK_NS: u64 = 10_000_000;

/// Makers, the nearest first. Children of one process share theirs.
pub(super) type Chain = Arc<[ProcessId]>;

/// The processes that live, as far as they were told of.
#[derive(Debug, Default)]
pub(super) struct Lineage {
    lives: HashMap<u32, Life, BuildHasherDefault<PidHasher>>,
}

#[derive(Debug)]
struct Life {
    start_boot_ns: Option<u64>,
    /// When it was heard of last, boot-time clock.
    heard_ns: u64,
    /// How long the file of its program is, to notice that it runs another.
    program_bytes: Option<u64>,
    makers: Chain,
    /// What its children's makers are, once it has one.
    offspring: Option<Chain>,
}

/// A list of /proc.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct List {
    /// When it was begun, boot-time clock.
    pub(super) begun_ns: u64,
    pub(super) lives: Vec<Listed>,
}

/// A process in a list of /proc.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Listed {
    pub(super) pid: u32,
    pub(super) start_boot_ns: u64,
    pub(super) parent: u32,
    /// A kernel thread, or one that has ended and waits for its parent: it runs no program.
    pub(super) runs_nothing: bool,
    pub(super) program_bytes: Option<u64>,
}

/// What a list shows that was not told.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Difference {
    /// They live, and their start or their newest program was never told.
    pub(super) untold: Vec<ProcessId>,
    /// They are gone, and their end was never told; each with its maker.
    pub(super) gone: Vec<(ProcessId, Option<ProcessId>)>,
}

impl Lineage {
    /// What runs already when the sensor starts. What was told meanwhile knows better.
    pub(super) fn seed(&mut self, list: &List) {
        let parents: HashMap<u32, &Listed> = list.lives.iter().map(|one| (one.pid, one)).collect();
        for one in &list.lives {
            if self.lives.contains_key(&one.pid) {
                continue;
            }
            let parent = |of: &&Listed| parents.get(&of.parent).copied();
            let makers = std::iter::successors(parents.get(&one.parent).copied(), parent);
            let makers = makers.take(ANCESTORS_MAX).map(|maker| maker.id()).collect();
            let Listed { program_bytes, .. } = *one;
            self.insert(one.id(), makers, program_bytes, list.begun_ns);
        }
    }

    /// A process was made.
    pub(super) fn fork(&mut self, child: ProcessId, maker: ProcessId, now_ns: u64) {
        let program_bytes = self.lives.get(&maker.pid).and_then(|life| life.program_bytes);
        let makers = self.offspring(maker);
        self.insert(child, makers, program_bytes, now_ns);
    }

    /// A process began to run a program; answers its makers. Its parent counts only where nothing
    /// was told of it before.
    pub(super) fn exec(
        &mut self,
        id: ProcessId,
        parent: Option<ProcessId>,
        program_bytes: Option<u64>,
        now_ns: u64,
    ) -> Chain {
        if let Some(life) = self.lives.get_mut(&id.pid)
            && is_same(life.start_boot_ns, id.start_boot_ns)
        {
            life.learn(id.start_boot_ns);
            life.heard_ns = now_ns;
            life.program_bytes = program_bytes;
            return Arc::clone(&life.makers);
        }
        let makers = parent.map_or_else(|| Arc::from([]), |parent| self.offspring(parent));
        self.insert(id, Arc::clone(&makers), program_bytes, now_ns);
        makers
    }

    /// A process ended. Answers when it was made, where that is known.
    pub(super) fn exit(&mut self, id: ProcessId) -> Option<u64> {
        let life = self.lives.get(&id.pid)?;
        if !is_same(life.start_boot_ns, id.start_boot_ns) {
            return None;
        }
        self.lives.remove(&id.pid)?.start_boot_ns
    }

    /// Compares with a list, once everything that happened before the list was read is told.
    pub(super) fn difference(&self, list: &List) -> Difference {
        let mut found = Difference::default();
        let listed: HashMap<u32, &Listed> = list.lives.iter().map(|one| (one.pid, one)).collect();
        for one in list.lives.iter().filter(|one| !one.runs_nothing) {
            let is_told = match self.lives.get(&one.pid) {
                // Whatever was heard since the list was begun is newer than the list.
                Some(life) => life.heard_ns >= list.begun_ns || life.is_listed(one),
                // Nobody knows whether it was told, or left out because there was no room.
                None => self.lives.len() >= LIVES_MAX,
            };
            if !is_told {
                found.untold.push(one.id());
            }
        }
        for (pid, life) in &self.lives {
            let start_boot_ns = life.start_boot_ns;
            let lives = listed.get(pid).is_some_and(|one| is_same(start_boot_ns, one.start()));
            if !lives && life.heard_ns < list.begun_ns {
                let id = ProcessId { pid: *pid, start_boot_ns };
                found.gone.push((id, life.makers.first().copied()));
            }
        }
        found
    }

    /// The makers of what a process makes: itself, then its own.
    fn offspring(&mut self, maker: ProcessId) -> Chain {
        match self.lives.get_mut(&maker.pid) {
            Some(life) if is_same(life.start_boot_ns, maker.start_boot_ns) => {
                life.learn(maker.start_boot_ns);
                let id = ProcessId { start_boot_ns: life.start_boot_ns, ..maker };
                let Life { makers, offspring, .. } = life;
                let chain = || std::iter::once(id).chain(makers.iter().copied());
                Arc::clone(offspring.get_or_insert_with(|| chain().take(ANCESTORS_MAX).collect()))
            }
            Some(_) | None => Arc::from([maker]),
        }
    }

    fn insert(&mut self, id: ProcessId, makers: Chain, program_bytes: Option<u64>, now_ns: u64) {
        let ProcessId { pid, start_boot_ns } = id;
        if self.lives.len() < LIVES_MAX || self.lives.contains_key(&pid) {
            let heard_ns = now_ns;
            let life = Life { start_boot_ns, heard_ns, program_bytes, makers, offspring: None };
            self.lives.insert(pid, life);
        }
    }
}

impl Life {
    /// Takes over a start that is exact where ours is rounded or missing.
    fn learn(&mut self, start_boot_ns: Option<u64>) {
        let is_exact = |start: Option<u64>| start.is_some_and(|ns| !ns.is_multiple_of(TICK_NS));
        let is_better = self.start_boot_ns.is_none() && start_boot_ns.is_some();
        if is_better || is_exact(start_boot_ns) && !is_exact(self.start_boot_ns) {
            self.start_boot_ns = start_boot_ns;
            self.offspring = None;
        }
    }

    /// The same process, with a program of the same length as it was told. (Inodes are not
    /// compared: those of overlays differ between the kernel's own view and a program's.)
    fn is_listed(&self, one: &Listed) -> bool {
        let programs = self.program_bytes.zip(one.program_bytes);
        is_same(self.start_boot_ns, one.start()) && programs.is_none_or(|(ours, its)| ours == its)
    }
}

impl Listed {
    pub(super) fn id(&self) -> ProcessId {
        ProcessId { pid: self.pid, start_boot_ns: self.start() }
    }

    fn start(&self) -> Option<u64> {
        Some(self.start_boot_ns)
    }
}

/// Whether two starts can be of one process: equal, or one of them rounded or not known.
pub(super) fn is_same(one: Option<u64>, other: Option<u64>) -> bool {
    let (Some(one), Some(other)) = (one, other) else { return true };
    let is_rounded = one.is_multiple_of(TICK_NS) || other.is_multiple_of(TICK_NS);
    one == other || is_rounded && one / TICK_NS == other / TICK_NS
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Process `pid` made at `pid` seconds and seven nanoseconds.
    fn id(pid: u32) -> ProcessId {
        ProcessId { pid, start_boot_ns: Some(u64::from(pid) * 1_000_000_000 + 7) }
    }

    fn listed(pid: u32, parent: u32) -> Listed {
        let start_boot_ns = u64::from(pid) * 1_000_000_000;
        let (runs_nothing, program_bytes) = (false, Some(100));
        Listed { pid, start_boot_ns, parent, runs_nothing, program_bytes }
    }

    fn list(lives: &[Listed]) -> List {
        List { begun_ns: 1000, lives: lives.to_vec() }
    }

    #[track_caller]
    fn check(lineage: &mut Lineage, of: u32, parent: u32, expected: &[u32]) {
        let chain = lineage.exec(id(of), Some(id(parent)), Some(100), 1);
        assert_eq!(chain.iter().map(|one| one.pid).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn an_orphan_keeps_its_makers() {
        let mut lineage = Lineage::default();
        lineage.seed(&list(&[listed(1, 0), listed(2, 1)]));
        lineage.fork(id(3), id(2), 0);
        lineage.fork(id(4), id(3), 0);
        assert_eq!(lineage.exit(id(3)), id(3).start_boot_ns);
        check(&mut lineage, 4, 1, &[3, 2, 1]);
    }

    #[test]
    fn a_process_that_was_never_heard_of_has_its_parents_chain() {
        let mut lineage = Lineage::default();
        check(&mut lineage, 5, 4, &[4]);
        check(&mut lineage, 6, 5, &[5, 4]);
    }

    #[test]
    fn a_number_used_again_has_nothing_of_the_one_before() {
        let mut lineage = Lineage::default();
        lineage.fork(id(7), id(2), 0);
        let again = ProcessId { pid: 7, start_boot_ns: Some(99_000_000_001) };
        let chain = lineage.exec(again, Some(id(3)), None, 1);
        assert_eq!(&*chain, [id(3)]);
        assert_eq!(lineage.exit(id(7)), None, "the end of the one before comes late");
        assert_eq!(lineage.exit(again), again.start_boot_ns);
    }

    #[test]
    fn a_rounded_start_becomes_exact_when_the_kernel_tells_it() {
        let mut lineage = Lineage::default();
        lineage.seed(&list(&[listed(1, 0), listed(2, 1)]));
        lineage.fork(id(3), id(2), 0);
        let chain = lineage.exec(id(3), None, None, 1);
        let rounded = ProcessId { pid: 1, start_boot_ns: Some(1_000_000_000) };
        assert_eq!(&*chain, [id(2), rounded]);
    }

    #[test]
    fn chains_are_no_longer_than_their_bound_even_where_parents_go_in_a_circle() {
        let mut lineage = Lineage::default();
        lineage.seed(&list(&[listed(1, 2), listed(2, 1)]));
        for pid in 3..30 {
            lineage.fork(id(pid), id(pid - 1), 0);
        }
        let chain = lineage.exec(id(29), None, None, 1);
        assert_eq!(chain.len(), ANCESTORS_MAX);
        assert_eq!(chain[0], id(28));
    }

    #[track_caller]
    fn check_list(lineage: &Lineage, lives: &[Listed], untold: &[u32], gone: &[u32]) {
        let found = lineage.difference(&list(lives));
        let pids = |of: &mut dyn Iterator<Item = u32>| {
            let mut pids: Vec<_> = of.collect();
            pids.sort_unstable();
            pids
        };
        assert_eq!(pids(&mut found.untold.iter().map(|one| one.pid)), untold);
        assert_eq!(pids(&mut found.gone.iter().map(|(one, _)| one.pid)), gone);
    }

    #[test]
    fn a_list_shows_what_was_not_told() {
        let mut lineage = Lineage::default();
        lineage.fork(id(3), id(2), 1);
        lineage.exec(id(4), Some(id(2)), Some(100), 1);
        check_list(&lineage, &[listed(3, 2), listed(4, 2)], &[], &[]);
        check_list(&lineage, &[listed(3, 2), listed(4, 2), listed(5, 2)], &[5], &[]);
        check_list(&lineage, &[listed(3, 2)], &[], &[4]);
        let other = Listed { program_bytes: Some(200), ..listed(4, 2) };
        check_list(&lineage, &[listed(3, 2), other], &[4], &[]);
        let again = Listed { start_boot_ns: 50_000_000_000, ..listed(4, 2) };
        check_list(&lineage, &[listed(3, 2), again], &[4], &[4]);
    }

    #[test]
    fn what_is_newer_than_the_list_or_runs_nothing_is_left_alone() {
        let mut lineage = Lineage::default();
        lineage.exec(id(4), None, Some(5), 1000);
        check_list(&lineage, &[], &[], &[]);
        check_list(&lineage, &[listed(4, 2)], &[], &[]);
        let nothing = Listed { runs_nothing: true, ..listed(9, 2) };
        check_list(&lineage, &[nothing], &[], &[]);
    }

    #[test]
    fn no_more_is_remembered_than_there_is_room_for() {
        let mut lineage = Lineage::default();
        for pid in 0..u32::try_from(LIVES_MAX).unwrap() + 10 {
            lineage.fork(id(pid), id(1), 0);
        }
        assert_eq!(lineage.lives.len(), LIVES_MAX);
        let beyond = listed(u32::MAX, 1);
        assert_eq!(lineage.difference(&list(&[beyond])).untold, []);
    }
}
