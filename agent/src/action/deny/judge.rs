//! May this program start? Pure: who asks hands in what is known of the file.

use std::collections::HashMap;

use cordon_proto::command::Executable;
use cordon_proto::id::Hash;

use super::canary::CANARY_BYTES;

/// Files whose hashes are remembered; when there are more, all are forgotten.
const REMEMBERED_MAX: usize = 8192;

/// Where no hash is denied, only what may be the canary is hashed.
const CANARY: u64 = CANARY_BYTES as u64;

/// A file as it is now: if any of it differs, its content may.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) struct FileKey {
    pub(super) device: u64,
    pub(super) inode: u64,
    pub(super) bytes: u64,
    pub(super) modified: (i64, i64),
    pub(super) changed: (i64, i64),
}

/// Device and inode.
type FileNumbers = (u64, u64);

/// What is to be answered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    Allow,
    /// Because of this; none for the canary.
    Deny(Option<Executable>),
    /// Its hash decides, and is not known.
    HashFirst,
}

/// What is denied, and what is known of files.
#[derive(Debug, Default)]
pub(super) struct Judge {
    /// Each with the file that is at the path now, links followed.
    paths: Vec<(Vec<u8>, Option<FileNumbers>)>,
    hashes: Vec<Hash>,
    canary: Option<Hash>,
    known: HashMap<FileKey, Hash>,
}

impl Judge {
    pub(super) fn order(&mut self, rules: &[Executable], canary: Hash) {
        self.paths.clear();
        self.hashes.clear();
        for rule in rules {
            match rule {
                Executable::Path(path) => self.paths.push((path.as_bytes().to_vec(), None)),
                Executable::Sha256(hash) => self.hashes.push(*hash),
            }
        }
        self.canary = Some(canary);
    }

    /// The paths that are denied, to be looked at.
    pub(super) fn paths(&self) -> Vec<Vec<u8>> {
        self.paths.iter().map(|(path, _)| path.clone()).collect()
    }

    /// What is at a path now.
    pub(super) fn found(&mut self, path: &[u8], file: Option<(u64, u64)>) {
        for (_, known) in self.paths.iter_mut().filter(|(known, _)| known == path) {
            *known = file;
        }
    }

    pub(super) fn hashed(&mut self, file: FileKey, hash: Hash) {
        if self.known.len() >= REMEMBERED_MAX {
            self.known.clear();
        }
        self.known.insert(file, hash);
    }

    pub(super) fn judge(&self, file: FileKey, path: &[u8]) -> Verdict {
        let id = Some((file.device, file.inode));
        let by_path = self.paths.iter().find(|(denied, at)| denied == path || *at == id);
        if let Some((denied, _)) = by_path {
            return Verdict::Deny(Some(Executable::Path(denied.as_slice().into())));
        }
        match self.known.get(&file) {
            Some(hash) => self.judge_hash(*hash),
            None if self.hashes.is_empty() && file.bytes != CANARY => Verdict::Allow,
            None => Verdict::HashFirst,
        }
    }

    /// Never asks for the hash.
    pub(super) fn judge_hash(&self, hash: Hash) -> Verdict {
        if self.hashes.contains(&hash) {
            return Verdict::Deny(Some(Executable::Sha256(hash)));
        }
        if self.canary == Some(hash) { Verdict::Deny(None) } else { Verdict::Allow }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(inode: u64, changed: i64) -> FileKey {
        FileKey { device: 1, inode, bytes: 9, modified: (1, 0), changed: (changed, 0) }
    }

    fn judge() -> Judge {
        let mut judge = Judge::default();
        let rules = [Executable::Path("/bin/nc".into()), Executable::Sha256(Hash::of(b"a miner"))];
        judge.order(&rules, Hash::of(b"canary"));
        judge
    }

    #[track_caller]
    fn check(judge: &Judge, file: FileKey, path: &str, expected: &str) {
        let said = match judge.judge(file, path.as_bytes()) {
            Verdict::Allow => "allow".to_owned(),
            Verdict::HashFirst => "hash first".to_owned(),
            Verdict::Deny(None) => "deny the canary".to_owned(),
            Verdict::Deny(Some(Executable::Path(path))) => format!("deny {}", path.to_lossy()),
            Verdict::Deny(Some(Executable::Sha256(_))) => "deny the hash".to_owned(),
        };
        assert_eq!(said, expected);
    }

    #[test]
    fn a_path_is_denied_by_its_name_and_by_what_is_there() {
        let mut judge = judge();
        check(&judge, file(1, 1), "/bin/nc", "deny /bin/nc");
        check(&judge, file(1, 1), "/bin/nc.openbsd", "hash first");
        judge.found(b"/bin/nc", Some((1, 1)));
        check(&judge, file(1, 1), "/bin/nc.openbsd", "deny /bin/nc");
        check(&judge, file(2, 1), "/bin/ncat", "hash first");
    }

    #[test]
    fn a_hash_is_asked_for_once_and_again_when_the_file_changed() {
        let mut judge = judge();
        judge.hashed(file(1, 1), Hash::of(b"a miner"));
        judge.hashed(file(2, 1), Hash::of(b"an editor"));
        judge.hashed(file(3, 1), Hash::of(b"canary"));
        check(&judge, file(1, 1), "/tmp/x", "deny the hash");
        check(&judge, file(2, 1), "/tmp/y", "allow");
        check(&judge, file(3, 1), "/tmp/z", "deny the canary");
        check(&judge, file(2, 2), "/tmp/y", "hash first");
    }

    #[test]
    fn what_is_ordered_replaces_what_was() {
        let mut judge = judge();
        judge.hashed(file(1, 1), Hash::of(b"a miner"));
        judge.order(&[], Hash::of(b"another canary"));
        check(&judge, file(1, 1), "/bin/nc", "allow");
    }

    #[test]
    fn what_is_remembered_has_an_end() {
        let mut judge = judge();
        for inode in 0..=u64::try_from(REMEMBERED_MAX).unwrap() {
            judge.hashed(file(inode, 1), Hash::of(b"an editor"));
        }
        assert!(judge.known.len() <= REMEMBERED_MAX);
    }
}
