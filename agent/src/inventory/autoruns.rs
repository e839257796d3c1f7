//! What is started without anybody asking for it each time: with the machine, at a login, at a
//! time, with a device, or in every program.
//!
//! Read are files only. What a running init holds beyond its files, what programs start that are
//! told here, and hooks of single programs (PAM modules, git hooks, package managers' triggers) is
//! not seen. A file is told with its hash; what it says only where that is one line.

mod cron;
mod kernel;
mod login;
mod systemd;

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use cordon_proto::Text;
use cordon_proto::id::Hash;

use super::tree::Tree;
use super::users::{self, Home};
use super::{CollectError, Columns, Found, Row};

/// One thing that is started.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Autorun {
    /// By what: `cron`, `systemd`, `profile` …
    pub kind: &'static str,
    /// The file that says so.
    pub path: Text,
    /// Which of several in that file.
    pub entry: Text,
    /// As whom, where that is said or follows.
    pub user: Text,
    /// When, where that is said.
    pub when: Text,
    /// What, where that is one line.
    pub command: Text,
    /// The number of the file's owner.
    pub owner_uid: Option<u32>,
    /// The hash of the file.
    pub sha256: Option<Hash>,
    /// When the file was last written, seconds since 1970.
    pub changed_secs: Option<u64>,
}

impl Row for Autorun {
    fn key(&self) -> Text {
        let Self { kind, path, entry, .. } = self;
        match entry.is_empty() {
            true => super::joined(&[kind.as_bytes(), path.as_bytes()], b" "),
            false => super::joined(&[kind.as_bytes(), path.as_bytes(), entry.as_bytes()], b" "),
        }
    }

    fn columns(&self, columns: &mut Columns) {
        columns
            .word("kind", self.kind)
            .text("path", &self.path)
            .text("user", &self.user)
            .text("when", &self.when)
            .text("command", &self.command)
            .number("owner_uid", self.owner_uid.map(u64::from))
            .hash("sha256", self.sha256.as_ref())
            .number("changed_secs", self.changed_secs);
    }
}

/// Everything that is started.
pub fn collect(root: &Path) -> Result<Found<Autorun>, CollectError> {
    let tree = Tree::new(root);
    let homes = users::homes(&tree);
    let mut all = Vec::new();
    cron::collect(&tree, &mut all);
    systemd::collect(&tree, &homes, &mut all);
    kernel::collect(&tree, &mut all);
    login::collect(&tree, &homes, &mut all);
    Ok(tree.found(all))
}

/// A whole file that is run or read, by its hash.
fn file(tree: &Tree<'_>, kind: &'static str, path: &Path) -> Option<Autorun> {
    let metadata = tree.metadata(path)?;
    let sha256 = tree.hash(path);
    // A directory is nothing that is run; what cannot be read stays told.
    if metadata.is_dir() {
        return None;
    }
    Some(Autorun {
        kind,
        path: text(path),
        owner_uid: Some(metadata.uid()),
        sha256,
        changed_secs: u64::try_from(metadata.mtime()).ok(),
        ..Autorun::default()
    })
}

fn text(path: &Path) -> Text {
    path.as_os_str().as_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    /// What is found in such a tree, without the moments and owners of its files.
    #[track_caller]
    pub(super) fn check(files: &[(&str, &str)], expected: &[&str]) {
        let root = testing::tree(files);
        let Found { mut rows, problems } = collect(root.path()).unwrap();
        assert_eq!(problems, Vec::<String>::new());
        for row in &mut rows {
            (row.owner_uid, row.changed_secs) = (None, None);
        }
        let shown = testing::show_all(&rows);
        // Hashes are those of the contents, which the files above say.
        let short = |line: &String| match line.split_once(" sha256=") {
            Some((head, hash)) => format!("{head} #{}", &hash[..4]),
            None => line.clone(),
        };
        assert_eq!(shown.iter().map(short).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn an_empty_machine_starts_nothing() {
        check(&[], &[]);
    }
}
