//! What the sensor remembers between events, whichever tier tells them: who made whom, where
//! control groups stand, which hash a program has.

use std::io;

use cordon_proto::Text;
use cordon_proto::event::process::{Exec, ImageHash, ProcessId};

use crate::platform::linux::cgroup::CgroupTree;

use super::hash::{Answer, Hashes};
use super::hash_thread::HashThread;
use super::lineage::Lineage;
use super::recent::Recent;

/// Control groups whose paths are remembered, at least.
const GROUPS_HALF: usize = 256;

/// What is remembered.
#[derive(Debug)]
pub(super) struct Memory {
    pub(super) lineage: Lineage,
    groups: Groups,
    hashes: Hashes,
    thread: Option<HashThread>,
}

/// Paths of control groups. The kernel gives a number once and a group of version 2 cannot be
/// renamed, so that what was found, or was gone, stays so.
#[derive(Debug)]
struct Groups {
    tree: Option<CgroupTree>,
    known: Recent<u64, Option<Text>>,
}

impl Memory {
    /// Begins to remember. Programs' files of up to so many bytes are hashed, none for 0.
    pub(super) fn new(hash_bytes_max: u64) -> Self {
        let thread =
            if hash_bytes_max > 0 { HashThread::start(hash_bytes_max) } else { Err(off()) };
        let groups = Groups { tree: CgroupTree::open().ok(), known: Recent::new(GROUPS_HALF) };
        let (lineage, hashes) = (Lineage::default(), Hashes::default());
        Self { lineage, groups, hashes, thread: thread.ok() }
    }

    /// Fills in what is known beyond the event itself.
    pub(super) fn exec(&mut self, exec: &mut Exec, now_ns: u64) {
        let id = ProcessId { pid: exec.pid, start_boot_ns: exec.start_boot_ns };
        let start_boot_ns = exec.parent_start_boot_ns;
        let parent = exec.parent_pid.map(|pid| ProcessId { pid, start_boot_ns });
        let bytes = exec.file.map(|file| file.bytes);
        let makers = self.lineage.exec(id, parent, bytes, now_ns);
        // A process without makers is the first of all, or one of which nothing was heard.
        if let Some(nearest) = makers.first().filter(|maker| Some(maker.pid) == exec.parent_pid) {
            exec.parent_start_boot_ns = exec.parent_start_boot_ns.or(nearest.start_boot_ns);
        }
        exec.ancestors = (!makers.is_empty()).then(|| makers.to_vec());
        if exec.cgroup.is_none() {
            exec.cgroup = exec.cgroup_id.and_then(|id| self.groups.path(id));
        }
        let Some(thread) = &self.thread else { return };
        if let Some(request) = self.hashes.exec(exec)
            && let Err(answer) = thread.ask(request)
        {
            drop(self.hashes.answer(answer));
        }
    }

    /// Waits for a hash; for ever where none are made.
    pub(super) async fn answer(&mut self) -> Answer {
        let answer = match &mut self.thread {
            Some(thread) => thread.answers.recv().await,
            None => None,
        };
        match answer {
            Some(answer) => answer,
            None => std::future::pending().await,
        }
    }

    /// What is to be told of an answer.
    pub(super) fn hashed(&mut self, answer: Answer) -> Option<ImageHash> {
        self.hashes.answer(answer)
    }

    /// Files that were not hashed when they were run.
    pub(super) fn hashes_skipped(&self) -> u64 {
        self.hashes.skipped
    }
}

impl Groups {
    fn path(&mut self, id: u64) -> Option<Text> {
        if let Some(known) = self.known.get(&id) {
            return known.clone();
        }
        let path = self.tree.as_ref()?.path(id).ok().map(|path| Text::shared(&path));
        self.known.insert(id, path.clone());
        path
    }
}

fn off() -> io::Error {
    io::Error::other("switched off")
}
