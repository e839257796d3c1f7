//! What watched files were like when they were last looked at. Pure.
//!
//! Kept in the sensor's checkpoints, so that what changed while the agent was stopped is found at
//! its next start.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::ops::Bound;
use std::os::unix::ffi::OsStrExt;

use cordon_proto::Text;
use cordon_proto::codec::{decode_lenient, encode};
use cordon_proto::event::file::{FileKind, FileState};
use minicbor::{Decode, Encode};

use crate::sensor::Checkpoint;

/// Everything that this sensor keeps begins so.
pub(super) const PREFIX: &str = "file/";

const FILES: &str = "file/known/";
const ENTRIES: &str = "file/entry/";

/// What a file was like, and by what is seen cheaply that it has not changed.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub(super) struct Kept {
    #[n(0)]
    pub(super) state: FileState,
    #[n(1)]
    pub(super) inode: u64,
    /// When the kernel last noted a change of content or attributes; nobody can set it back
    /// without setting the clock or writing to the disk beneath.
    #[n(2)]
    pub(super) changed_ns: u64,
}

/// A kept file with its path, as it stands in a checkpoint.
#[derive(Debug, Encode, Decode)]
struct Record {
    #[n(0)]
    path: Text,
    #[n(1)]
    kept: Kept,
}

/// All files that are known.
#[derive(Debug, Default)]
pub(super) struct Baseline {
    files: BTreeMap<Box<[u8]>, Known>,
    /// Entries of the list whose files are all known.
    entries: HashSet<String>,
    files_max: usize,
    /// Files that there was no room for since the start.
    left_out: usize,
}

#[derive(Debug)]
struct Known {
    kept: Kept,
    /// The walk that saw it last.
    walk: u32,
}

impl Kept {
    /// Whether nothing can have changed.
    pub(super) fn is_untouched(&self, now: &Self) -> bool {
        let FileState { kind, bytes, mode, uid, gid, modified_ns, .. } = &self.state;
        let other = &now.state;
        (*kind, *bytes, *mode, *uid, *gid, *modified_ns)
            == (other.kind, other.bytes, other.mode, other.uid, other.gid, other.modified_ns)
            && (self.inode, self.changed_ns) == (now.inode, now.changed_ns)
    }
}

impl Baseline {
    /// Reads this sensor's checkpoints; what cannot be read is taken anew.
    pub(super) fn read(checkpoints: &[Checkpoint], files_max: usize) -> Self {
        let mut baseline = Self { files_max, ..Self::default() };
        for Checkpoint { key, value } in checkpoints {
            let Some(value) = value else { continue };
            if let Some(entry) = key.strip_prefix(ENTRIES) {
                baseline.entries.insert(entry.to_owned());
            }
            if let Some(Record { path, kept }) =
                key.strip_prefix(FILES).and_then(|_| decode_lenient(value).ok())
            {
                baseline.files.insert(path.as_bytes().into(), Known { kept, walk: 0 });
            }
        }
        baseline
    }

    pub(super) fn get(&self, path: &[u8]) -> Option<&Kept> {
        self.files.get(path).map(|known| &known.kept)
    }

    /// Takes note of what a file is like now, or that it is gone; answers what is to be kept.
    pub(super) fn put(&mut self, path: &[u8], now: Option<Kept>, walk: u32) -> Option<Checkpoint> {
        let key = format!("{FILES}{}", path.escape_ascii());
        let Some(kept) = now else {
            self.files.remove(path)?;
            return Some(Checkpoint { key, value: None });
        };
        if self.files.len() >= self.files_max && !self.files.contains_key(path) {
            self.left_out += 1;
            return None;
        }
        let value = Some(encode(&Record { path: Text::from(path), kept: kept.clone() }));
        self.files.insert(path.into(), Known { kept, walk });
        Some(Checkpoint { key, value })
    }

    /// A walk has seen a file that has not changed.
    pub(super) fn seen(&mut self, path: &[u8], walk: u32) {
        if let Some(known) = self.files.get_mut(path) {
            known.walk = walk;
        }
    }

    /// Files that a walk did not see, though it looked everywhere.
    pub(super) fn unseen(&self, walk: u32) -> Vec<Vec<u8>> {
        let unseen = self.files.iter().filter(|(_, known)| known.walk != walk);
        unseen.map(|(path, _)| path.to_vec()).collect()
    }

    /// What is below a directory.
    pub(super) fn below(&self, directory: &[u8]) -> Vec<Vec<u8>> {
        let mut from = directory.to_vec();
        from.push(b'/');
        let bounds = (Bound::Included(from.as_slice()), Bound::Unbounded);
        let below = self.files.range::<[u8], _>(bounds);
        below
            .take_while(|(path, _)| path.starts_with(&from))
            .map(|(path, _)| path.to_vec())
            .collect()
    }

    /// Whether all files of an entry were known before: then one that is not is new.
    pub(super) fn knows_entry(&self, entry: &str) -> bool {
        self.entries.contains(entry)
    }

    /// All files of these entries are known from now on; answers what is to be kept.
    pub(super) fn complete(&mut self, entries: &[String]) -> Vec<Checkpoint> {
        if self.left_out > 0 {
            return Vec::new();
        }
        let now: HashSet<String> = entries.iter().cloned().collect();
        let checkpoint =
            |entry: &String, value| Checkpoint { key: format!("{ENTRIES}{entry}"), value };
        let gone = self.entries.difference(&now).map(|entry| checkpoint(entry, None));
        let new = now.difference(&self.entries).map(|entry| checkpoint(entry, Some(Vec::new())));
        let changes = gone.chain(new).collect();
        self.entries = now;
        changes
    }

    pub(super) fn left_out(&self) -> usize {
        self.left_out
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.files.len()
    }
}

/// Whether a path is that of a directory that was known.
pub(super) fn is_directory(kept: Option<&Kept>) -> bool {
    kept.is_some_and(|kept| kept.state.kind == FileKind::Directory)
}

/// A path as the file system takes it.
pub(super) fn os(path: &[u8]) -> &std::path::Path {
    std::path::Path::new(OsStr::from_bytes(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(inode: u64) -> Kept {
        let state = FileState {
            kind: FileKind::Regular,
            bytes: 1,
            mode: 0o644,
            uid: 0,
            gid: 0,
            modified_ns: 5,
            sha256: None,
            capabilities: None,
        };
        Kept { state, inode, changed_ns: 9 }
    }

    #[test]
    fn what_is_kept_is_the_same_after_a_restart() {
        let mut baseline = Baseline { files_max: 10, ..Baseline::default() };
        let odd = b"/etc/\xff\\x";
        let mut kept_over: Vec<_> = baseline.put(odd, Some(kept(1)), 1).into_iter().collect();
        kept_over.extend(baseline.put(b"/etc/b", Some(kept(2)), 1));
        kept_over.extend(baseline.complete(&["/etc".to_owned()]));
        kept_over.push(Checkpoint { key: "log/1".to_owned(), value: Some(vec![1]) });
        kept_over.push(Checkpoint { key: "file/known/x".to_owned(), value: Some(vec![1]) });
        let restored = Baseline::read(&kept_over, 10);
        assert_eq!(restored.len(), 2);
        assert_eq!(restored.get(odd), Some(&kept(1)));
        assert!(restored.knows_entry("/etc") && !restored.knows_entry("/usr"));
    }

    #[test]
    fn what_a_walk_did_not_see_is_gone() {
        let mut baseline = Baseline { files_max: 10, ..Baseline::default() };
        for path in [b"/etc/a", b"/etc/b"] {
            baseline.put(path, Some(kept(1)), 1);
        }
        baseline.seen(b"/etc/a", 2);
        assert_eq!(baseline.unseen(2), [b"/etc/b".to_vec()]);
    }

    #[test]
    fn more_files_than_the_limit_are_counted_and_no_entry_is_whole_then() {
        let mut baseline = Baseline { files_max: 1, ..Baseline::default() };
        assert!(baseline.put(b"/a", Some(kept(1)), 1).is_some());
        assert!(baseline.put(b"/b", Some(kept(1)), 1).is_none());
        assert!(baseline.put(b"/a", Some(kept(2)), 1).is_some());
        assert_eq!(baseline.left_out(), 1);
        assert!(baseline.complete(&["/".to_owned()]).is_empty());
    }

    #[test]
    fn below_a_directory_are_its_files_and_no_namesakes() {
        let mut baseline = Baseline { files_max: 10, ..Baseline::default() };
        for path in ["/etc/a", "/etc/a/x", "/etc/a/y/z", "/etc/ab", "/etc/a.d/x"] {
            baseline.put(path.as_bytes(), Some(kept(1)), 1);
        }
        assert_eq!(baseline.below(b"/etc/a"), [b"/etc/a/x".to_vec(), b"/etc/a/y/z".to_vec()]);
    }

    #[test]
    fn a_file_is_untouched_only_if_nothing_of_it_moved() {
        let other = |change: fn(&mut Kept)| {
            let mut other = kept(1);
            change(&mut other);
            other
        };
        assert!(kept(1).is_untouched(&other(|kept| kept.state.sha256 = None)));
        assert!(!kept(1).is_untouched(&other(|kept| kept.changed_ns = 10)));
        assert!(!kept(1).is_untouched(&other(|kept| kept.inode = 2)));
        assert!(!kept(1).is_untouched(&other(|kept| kept.state.mode = 0o755)));
    }
}
