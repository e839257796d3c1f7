//! Which hash a program's file has: what is known, what is being found out, what was skipped. Pure.
//!
//! A file is known by device, inode, length and times; as long as these stay it is not read again.

use std::collections::HashSet;

use cordon_proto::Text;
use cordon_proto::event::process::{Exec, FileId, ImageHash};
use cordon_proto::id::Hash;

use super::recent::Recent;

/// Files whose hashes are remembered, at least: more than a server runs in a day.
const KNOWN_HALF: usize = 1024;

/// Files that may wait for being read. What does not fit is skipped and asked for when it is run
/// again.
pub(super) const ASKED_MAX: usize = 64;

/// How often a file that was gone is asked for again. Some file systems show a file differently to
/// the kernel and to programs; such a file is never found.
const TRIES_MAX: u8 = 3;

/// A file to be read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Request {
    pub(super) file: FileId,
    /// A process that runs it, or did.
    pub(super) pid: u32,
    /// The path by which it was run.
    pub(super) path: Option<Text>,
}

/// What came of a request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Answer {
    pub(super) request: Request,
    pub(super) result: Result<Hash, Unread>,
}

/// Why a file has no hash.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Unread {
    /// It is longer than the agent reads.
    TooLong,
    /// It was gone, changed or closed to us before it was read.
    Gone,
}

/// What is known of files.
#[derive(Debug)]
pub(super) struct Hashes {
    known: Recent<FileId, Option<Hash>>,
    asked: HashSet<FileId>,
    /// How often files were asked for in vain.
    tries: Recent<FileId, u8>,
    /// Files that were not hashed when they were run.
    pub(super) skipped: u64,
}

impl Default for Hashes {
    fn default() -> Self {
        let (known, tries) = (Recent::new(KNOWN_HALF), Recent::new(ASKED_MAX));
        Self { known, asked: HashSet::new(), tries, skipped: 0 }
    }
}

impl Hashes {
    /// Fills the hash in where it is known; answers what is to be read where it is not.
    pub(super) fn exec(&mut self, exec: &mut Exec) -> Option<Request> {
        let file = exec.file?;
        if let Some(known) = self.known.get(&file) {
            exec.sha256 = *known;
            return None;
        }
        if self.asked.contains(&file) {
            return None;
        }
        if self.asked.len() >= ASKED_MAX {
            self.skipped += 1;
            return None;
        }
        self.asked.insert(file);
        let path = exec.image.clone().or_else(|| exec.image_resolved.clone());
        Some(Request { file, pid: exec.pid, path })
    }

    /// Takes an answer; a hash, or that there is none, is told once.
    pub(super) fn answer(&mut self, answer: Answer) -> Option<ImageHash> {
        let Answer { request: Request { file, path, .. }, result } = answer;
        self.asked.remove(&file);
        let sha256 = match result {
            Ok(hash) => Some(hash),
            Err(Unread::TooLong) => None,
            Err(Unread::Gone) => {
                self.skipped += 1;
                let tries = self.tries.get(&file).map_or(1, |tries| tries + 1);
                if tries < TRIES_MAX {
                    self.tries.insert(file, tries);
                } else {
                    self.known.insert(file, None);
                }
                return None;
            }
        };
        self.known.insert(file, sha256);
        Some(ImageHash { file, path, sha256 })
    }
}

#[cfg(test)]
mod tests {
    use cordon_proto::event::process::Tier;

    use super::*;

    fn run(hashes: &mut Hashes, inode: u64) -> (Option<Request>, Option<Hash>) {
        let file = FileId { device: 1, inode, bytes: 3, modified_ns: 4, changed_ns: 5 };
        let mut exec =
            Exec { file: Some(file), image: Some("/a".into()), ..Exec::new(Tier::Bpf, 7) };
        let request = hashes.exec(&mut exec);
        (request, exec.sha256)
    }

    #[test]
    fn a_file_is_asked_for_once_and_known_from_then_on() {
        let mut hashes = Hashes::default();
        let (request, none) = run(&mut hashes, 1);
        let request = request.unwrap();
        assert_eq!((none, run(&mut hashes, 1)), (None, (None, None)));
        let hash = Hash::of(b"a");
        let told = hashes.answer(Answer { request, result: Ok(hash) }).unwrap();
        assert_eq!((told.sha256, told.path), (Some(hash), Some("/a".into())));
        assert_eq!(run(&mut hashes, 1), (None, Some(hash)));
        assert!(run(&mut hashes, 2).0.is_some(), "another file");
    }

    #[test]
    fn a_file_that_is_too_long_is_told_once_and_not_asked_for_again() {
        let mut hashes = Hashes::default();
        let request = run(&mut hashes, 1).0.unwrap();
        let told = hashes.answer(Answer { request, result: Err(Unread::TooLong) }).unwrap();
        assert_eq!(told.sha256, None);
        assert_eq!(run(&mut hashes, 1), (None, None));
    }

    #[test]
    fn what_is_gone_or_finds_no_room_is_counted_and_asked_for_again() {
        let mut hashes = Hashes::default();
        let request = run(&mut hashes, 0).0.unwrap();
        assert_eq!(hashes.answer(Answer { request, result: Err(Unread::Gone) }), None);
        assert_eq!(hashes.skipped, 1);
        let room = u64::try_from(ASKED_MAX).unwrap();
        for inode in 0..room {
            assert!(run(&mut hashes, inode).0.is_some());
        }
        assert_eq!(run(&mut hashes, room), (None, None));
        assert_eq!(hashes.skipped, 2);
    }

    #[test]
    fn what_is_never_found_is_not_asked_for_for_ever() {
        let mut hashes = Hashes::default();
        for _ in 0..TRIES_MAX {
            let request = run(&mut hashes, 0).0.unwrap();
            hashes.answer(Answer { request, result: Err(Unread::Gone) });
        }
        assert_eq!(run(&mut hashes, 0), (None, None));
    }
}
