//! Which rotated files lie beside logs: each directory is listed once, however many logs are in it,
//! and no file is opened.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::judge::{is_gzip, is_rotated_name};
use super::place::{FileId, born_ns};
use super::source::changed_ns;

/// Rotated files of one log that are looked at, those that were changed last; more are kept by
/// nobody who wants them read.
const ROTATED_MAX: usize = 1024;

/// Names of one directory that are looked at.
pub(super) const NAMES_MAX: usize = 65_536;

/// A rotated file as its directory shows it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Beside {
    pub(super) log: PathBuf,
    pub(super) path: PathBuf,
    pub(super) id: FileId,
    pub(super) size: u64,
    pub(super) born_ns: u64,
    pub(super) changed_ns: u64,
    /// It is being compressed: the original is still there, and is the one to read.
    pub(super) is_under_way: bool,
}

/// Logs, by where they are.
#[derive(Debug, Default)]
pub(super) struct Logs(BTreeMap<PathBuf, HashMap<OsString, PathBuf>>);

/// What is beside them.
#[derive(Debug, Default)]
pub(super) struct Look {
    /// The oldest first.
    pub(super) found: Vec<Beside>,
    /// Logs beside which nobody could look.
    pub(super) unseen: BTreeSet<PathBuf>,
}

impl Logs {
    /// Adds the log known as `log`, whose rotated files are named after `at`.
    pub(super) fn add(&mut self, at: &Path, log: &Path) {
        if let (Some(directory), Some(name)) = (at.parent(), at.file_name()) {
            let logs = self.0.entry(directory.to_owned()).or_default();
            logs.entry(name.to_owned()).or_insert_with(|| log.to_owned());
        }
    }

    pub(super) fn look(&self) -> Look {
        let mut look = Look::default();
        for (directory, logs) in &self.0 {
            match list(directory, logs) {
                Ok(found) => look.found.extend(found),
                // Where there is no directory there is nothing beside the log either.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(_unreadable) => look.unseen.extend(logs.values().cloned()),
            }
        }
        look.found.sort_by_key(|beside| (beside.changed_ns, beside.born_ns));
        let mut counts: HashMap<PathBuf, usize> = HashMap::new();
        let mut is_late = |beside: &Beside| {
            let count = counts.entry(beside.log.clone()).or_default();
            *count += 1;
            *count <= ROTATED_MAX
        };
        let late: BTreeSet<_> =
            look.found.iter().rev().filter(|beside| is_late(beside)).map(|one| one.id).collect();
        look.found.retain(|beside| late.contains(&beside.id));
        look
    }
}

fn list(directory: &Path, logs: &HashMap<OsString, PathBuf>) -> io::Result<Vec<Beside>> {
    let mut found = Vec::new();
    let mut names = BTreeSet::new();
    for entry in directory.read_dir()?.take(NAMES_MAX) {
        let name = entry?.file_name();
        let Some(log) = log_of(logs, &name) else { continue };
        let path = directory.join(&name);
        // One that is gone by now, or a link that leads nowhere.
        let Some(metadata) = path.metadata().ok().filter(std::fs::Metadata::is_file) else {
            continue;
        };
        names.insert(name);
        found.push(Beside {
            log: log.clone(),
            path,
            id: FileId::of(&metadata),
            size: metadata.len(),
            born_ns: born_ns(&metadata),
            changed_ns: changed_ns(&metadata),
            is_under_way: false,
        });
    }
    for beside in &mut found {
        let name = beside.path.file_name().unwrap_or_default();
        let original = beside.path.with_extension("");
        let is_there = original.file_name().is_some_and(|name| names.contains(name));
        beside.is_under_way = is_gzip(name) && is_there;
    }
    Ok(found)
}

/// The log that a name is a rotated file of; the one with the longest name, if it is of several.
fn log_of<'a>(logs: &'a HashMap<OsString, PathBuf>, name: &OsStr) -> Option<&'a PathBuf> {
    let bytes = name.as_bytes();
    (1..bytes.len()).rev().find_map(|at| {
        let is_cut = matches!(bytes[at], b'.' | b'-' | b'_');
        let log = OsStr::from_bytes(&bytes[..at]);
        if is_cut && is_rotated_name(log, name) { logs.get(log) } else { None }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rotated_file_is_found_beside_its_own_log() {
        let directory = tempfile::tempdir().unwrap();
        let names = [
            "app.log",
            "app.log.1",
            "app.log.2",
            "app.log.2.gz",
            "app.log.3.gz",
            "app.log.4.xz",
            "app.log.err",
            "app.log.err.1",
            "other.1",
        ];
        for name in names {
            std::fs::write(directory.path().join(name), "a\n").unwrap();
        }
        std::fs::create_dir(directory.path().join("app.log.5")).unwrap();
        let mut logs = Logs::default();
        for name in ["app.log", "app.log.err", "gone.log"] {
            logs.add(&directory.path().join(name), &directory.path().join(name));
        }
        logs.add(Path::new("/proc/self/nowhere/x.log"), Path::new("x.log"));
        let look = logs.look();
        let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
        let mut found: Vec<_> = look
            .found
            .iter()
            .map(|one| (name(&one.path), name(&one.log), one.is_under_way))
            .collect();
        found.sort();
        let expected = [
            ("app.log.1", "app.log", false),
            ("app.log.2", "app.log", false),
            ("app.log.2.gz", "app.log", true),
            ("app.log.3.gz", "app.log", false),
            ("app.log.err.1", "app.log.err", false),
        ];
        let expected = expected.map(|(path, log, under)| (path.to_owned(), log.to_owned(), under));
        assert_eq!(found, expected);
        assert!(look.unseen.is_empty());
    }
}
