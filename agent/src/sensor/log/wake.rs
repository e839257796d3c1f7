//! What wakes the reader: changes in watched directories, and the end of the sensor.
//!
//! One descriptor and no thread of its own: a file that is appended to a thousand times a second
//! wakes the reader once for each wait, not once for each line.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::platform::linux::directories::{Change, Inotify, Latch, Watched};

/// Changed files that are remembered; more of them mean everything.
const FILES_MAX: usize = 1024;

/// A path as changes name it. Two paths of one name cost a look that finds nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd)]
pub(super) struct Name(u64);

impl Name {
    pub(super) fn of(path: &Path) -> Self {
        let mut hasher = DefaultHasher::new();
        path.hash(&mut hasher);
        Self(hasher.finish())
    }
}

/// What has changed since the last round.
#[derive(Debug, Default)]
pub(super) struct Woken {
    /// Files were written to.
    pub(super) files: BTreeSet<Name>,
    /// Names came or went, or nobody knows.
    pub(super) everything: bool,
}

impl Woken {
    /// Everything may have changed.
    pub(super) fn everything() -> Self {
        Self { everything: true, ..Self::default() }
    }

    fn written(&mut self, path: &Path) {
        if self.files.len() >= FILES_MAX {
            self.everything = true;
        } else {
            self.files.insert(Name::of(path));
        }
    }
}

/// Watches directories, so that a change wakes at once.
#[derive(Debug)]
pub(super) struct Directories {
    latch: Arc<Latch>,
    inotify: io::Result<Inotify>,
    watched: BTreeMap<PathBuf, Watched>,
    /// The same by number: one directory may have several paths.
    paths: BTreeMap<Watched, Vec<PathBuf>>,
    problem: Option<String>,
}

impl Directories {
    pub(super) fn new(latch: Arc<Latch>) -> Self {
        let inotify = Inotify::new();
        let problem = inotify.as_ref().err().map(|error| format!("watching directories: {error}"));
        let (watched, paths) = (BTreeMap::new(), BTreeMap::new());
        Self { latch, inotify, watched, paths, problem }
    }

    /// Waits for a change, at most for `within`; then for more of them as long as `gather` says.
    /// None when the sensor ends.
    pub(super) fn wait(
        &mut self,
        within: Duration,
        gather: impl FnOnce(&Woken) -> Duration,
    ) -> Option<Woken> {
        let mut woken = Woken::default();
        if self.is_ended(within, true) {
            return None;
        }
        self.drain(&mut woken);
        if woken.files.is_empty() && !woken.everything {
            return Some(woken);
        }
        if self.is_ended(gather(&woken), false) {
            return None;
        }
        self.drain(&mut woken);
        Some(woken)
    }

    fn is_ended(&mut self, within: Duration, ends_by_change: bool) -> bool {
        let changes = self.inotify.as_ref().ok().filter(|_changes| ends_by_change);
        self.latch.wait(changes, within).unwrap_or_else(|error| {
            self.problem = Some(format!("waiting for changes: {error}"));
            false
        })
    }

    fn drain(&mut self, woken: &mut Woken) {
        let Ok(inotify) = &self.inotify else { return };
        let mut gone = Vec::new();
        let paths = &self.paths;
        let drained = inotify.drain(&mut |change| match change {
            Change::Written(directory, name) => {
                let paths = paths.get(&directory).into_iter().flatten();
                paths.for_each(|directory| woken.written(&directory.join(name)));
            }
            Change::Names | Change::Missed => woken.everything = true,
            Change::Gone(directory) => gone.push(directory),
        });
        if let Err(error) = drained {
            self.problem = Some(format!("reading what changed: {error}"));
            woken.everything = true;
        }
        for directory in gone {
            woken.everything = true;
            // One that was renamed is still watched, under a name that nobody asked for.
            inotify.remove(directory);
            for path in self.paths.remove(&directory).into_iter().flatten() {
                self.watched.remove(&path);
            }
        }
    }

    /// Watches these and no others; returns whether one is new, which then is to be looked at
    /// again. `afresh` asks for each again, because one may have been replaced under its name.
    pub(super) fn set(&mut self, directories: &[PathBuf], afresh: bool) -> bool {
        if self.inotify.is_err() {
            return false;
        }
        self.problem = None;
        let unwanted: Vec<PathBuf> =
            self.watched.keys().filter(|path| !directories.contains(path)).cloned().collect();
        unwanted.iter().for_each(|path| self.forget(path));
        let mut has_new = false;
        for path in directories {
            let known = self.watched.get(path).copied();
            if known.is_some() && !afresh {
                continue;
            }
            let Ok(inotify) = &self.inotify else { return has_new };
            match inotify.add(path) {
                Ok(watched) if known == Some(watched) => {}
                Ok(watched) => {
                    self.forget(path);
                    has_new = true;
                    self.watched.insert(path.clone(), watched);
                    self.paths.entry(watched).or_default().push(path.clone());
                }
                Err(error) => {
                    self.forget(path);
                    self.problem =
                        Some(format!("{} is only looked at every second: {error}", path.display()));
                }
            }
        }
        has_new
    }

    fn forget(&mut self, path: &Path) {
        let Some(watched) = self.watched.remove(path) else { return };
        let Some(paths) = self.paths.get_mut(&watched) else { return };
        paths.retain(|other| other != path);
        if paths.is_empty() {
            self.paths.remove(&watched);
            if let Ok(inotify) = &self.inotify {
                inotify.remove(watched);
            }
        }
    }

    /// Why changes are not seen at once.
    pub(super) fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Does something under a watched directory that has two names; says what has changed of
    /// `link/a`, `inner/a` and everything.
    fn after(act: impl FnOnce(&Path)) -> [bool; 3] {
        let temp = tempfile::tempdir().unwrap();
        let inner = temp.path().join("inner");
        let link = temp.path().join("link");
        fs::create_dir(&inner).unwrap();
        std::os::unix::fs::symlink(&inner, &link).unwrap();
        fs::write(inner.join("a"), "one\n").unwrap();
        let mut directories = Directories::new(Arc::new(Latch::new().unwrap()));
        assert!(directories.set(&[inner.clone(), link.clone()], false));
        assert!(!directories.set(&[inner.clone(), link.clone()], true));
        act(temp.path());
        let woken = directories.wait(Duration::ZERO, |_woken| Duration::ZERO).unwrap();
        let is_written = |path: &Path| woken.files.contains(&Name::of(&path.join("a")));
        [is_written(&link), is_written(&inner), woken.everything]
    }

    #[test]
    fn a_file_that_was_written_to_is_named_under_every_name_of_its_directory() {
        assert_eq!(after(|_temp| {}), [false, false, false]);
        assert_eq!(
            after(|temp| fs::write(temp.join("inner/a"), "two\n").unwrap()),
            [true, true, false]
        );
    }

    #[test]
    fn a_name_that_comes_or_goes_is_everything() {
        assert!(after(|temp| fs::remove_file(temp.join("inner/a")).unwrap())[2]);
        assert!(after(|temp| fs::rename(temp.join("inner"), temp.join("x")).unwrap())[2]);
    }

    #[test]
    fn a_directory_replaced_under_its_name_is_watched_when_asked_for_again() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("inner");
        fs::create_dir(&path).unwrap();
        let mut directories = Directories::new(Arc::new(Latch::new().unwrap()));
        let paths = [path.clone()];
        assert!(directories.set(&paths, false));
        fs::rename(&path, temp.path().join("old")).unwrap();
        fs::create_dir(&path).unwrap();
        let woken = directories.wait(Duration::ZERO, |_woken| Duration::ZERO).unwrap();
        assert!(woken.everything);
        assert!(directories.set(&paths, false), "it is watched no longer");
        fs::write(path.join("a"), "").unwrap();
        let woken = directories.wait(Duration::ZERO, |_woken| Duration::ZERO).unwrap();
        assert!(woken.everything);
    }

    #[test]
    fn a_reader_that_is_told_to_end_does() {
        let latch = Arc::new(Latch::new().unwrap());
        let mut directories = Directories::new(Arc::clone(&latch));
        latch.close();
        assert!(directories.wait(Duration::from_secs(3600), |_woken| Duration::ZERO).is_none());
    }
}
