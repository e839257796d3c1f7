//! Finds files: those from before a restart, new ones, and those whose name is gone.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsString;
use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::beside::{Beside, Logs, NAMES_MAX};
use super::file::{self, Followed, Role};
use super::gather::Gathered;
use super::judge::{Found, Sibling, is_compressed, locate};
use super::lines::Tail;
use super::place::{FileId, Place, Restored, watched};
use super::source::Source;
use super::treat::Treat;
use super::watch::{FILES_MAX, Watch};
use crate::sensor::Stopping;

/// Directories watched at most; each costs the kernel a kilobyte.
const DIRECTORIES_MAX: usize = 1024;

/// How far the times that a file system keeps may lag behind the clock: what was written just
/// before a path was first watched may be read, and nothing after it is missed.
const STEP_NS: u64 = 20_000_000;

/// Lines are wanted from now on; what is there is history.
const NEVER_NS: u64 = u64::MAX;

pub(super) fn is_followed(files: &[Followed], id: FileId) -> bool {
    files.iter().any(|file| file.id == id)
}

/// Opens a rotated file in order to read it to its end; none if it is another by now.
pub(super) fn drain(
    sibling: &Sibling,
    path: &Path,
    treat: Arc<Treat>,
    now_ns: u64,
) -> Option<Followed> {
    let source = Source::open(&sibling.path).ok().flatten()?;
    let role = Role::Draining { quiet_since_ns: now_ns };
    Followed::new(source, path, treat, role).ok().filter(|file| file.id == sibling.id)
}

/// What a watched path may be.
struct Reach {
    /// Whether a new file there is read from its beginning.
    from_start: bool,
    /// Since when its lines are wanted, nanoseconds since 1970.
    since_ns: u64,
    /// What it leads to, if it is a link.
    real: Option<PathBuf>,
    is_wild: bool,
}

impl Watch {
    /// Goes on where reading stood before the restart.
    pub(super) fn restore(&mut self, restored: Restored, gathered: &mut Gathered<'_>) {
        for key in restored.unreadable {
            gathered.loss(format!("the place kept under {key} cannot be read"));
        }
        for place in &restored.places {
            let is_wanted = || self.patterns.iter().any(|pattern| pattern.means(&place.path()));
            match place.is_past() {
                true if is_wanted() => self.past.keep(place.clone()),
                true => gathered.place(place.id.forget_past()),
                false => self.restore_one(place, &restored.places, gathered),
            }
        }
        // A number that one place has given up another may have taken over.
        for file in self.files.iter().filter(|file| file.role != Role::Live) {
            gathered.place(file.place().checkpoint());
        }
    }

    /// Finds the file of a place again. What came after it is found like all that nobody has read.
    fn restore_one(&mut self, place: &Place, all: &[Place], gathered: &mut Gathered<'_>) {
        let path = place.path();
        let siblings = file::siblings(&path, Some(place.id.inode));
        let now_ns = gathered.boot_ns();
        let moved = match locate(place, &siblings) {
            Found::Here(same) => {
                let file = self.resume(place, same, &path, now_ns).map(Followed::lives);
                return self.files.extend(file.map(|mut file| {
                    file.learn_from(&siblings);
                    file
                }));
            }
            Found::Moved(moved) => Some(moved),
            Found::Emptied(_anew, copy) => copy,
            Found::Gone => None,
        };
        let taken = moved.and_then(|moved| {
            let is_other = is_followed(&self.files, moved.id)
                || all.iter().any(|other| other.id != place.id && moved.is_at(other));
            let file = self.resume(place, moved, &path, now_ns).filter(|_file| !is_other)?;
            Some((moved, file))
        });
        if taken.as_ref().is_none_or(|(_moved, file)| file.id != place.id) {
            gathered.place(place.id.forget());
        }
        let was_emptied = siblings.iter().any(|sibling| sibling.was_emptied(place));
        match taken {
            Some((moved, file)) => {
                // Compressing is what is done to a file that nobody writes to any more.
                if was_emptied || (moved.id != place.id && !moved.is_packed()) {
                    gathered.emptied_after_copy(&path);
                }
                self.files.push(file);
            }
            None => {
                let (shown, offset) = (path.display(), place.offset);
                gathered.loss(format!(
                    "{shown} was replaced while nobody watched; what followed byte {offset} is gone"
                ));
            }
        }
    }

    /// Opens the file of a place, wherever it is now, in order to read it to its end.
    pub(super) fn resume(
        &self,
        place: &Place,
        at: &Sibling,
        path: &Path,
        now_ns: u64,
    ) -> Option<Followed> {
        let file = drain(at, path, self.treat(path), now_ns);
        let mut file = file.filter(|_file| !self.is_full())?;
        file.tail = Tail::at(place.offset);
        file.fingerprint = place.fingerprint;
        Some(file)
    }

    /// Looks at all paths: follows what is new, and drains what has lost its name.
    pub(super) fn scan(&mut self, gathered: &mut Gathered<'_>) -> Result<(), Stopping> {
        self.problems.clear();
        self.unseen.clear();
        let (paths, directories) = self.expand();
        self.directories = directories.into_iter().take(DIRECTORIES_MAX).collect();
        let (logs, since_ns) = self.logs(&paths);
        let mut named = BTreeSet::new();
        let mut known: HashMap<FileId, usize> =
            self.files.iter().enumerate().map(|(index, file)| (file.id, index)).collect();
        let first_new = self.files.len();
        for (path, reach) in &paths {
            match path.metadata() {
                Ok(metadata) if metadata.is_file() => {
                    let id = FileId::of(&metadata);
                    named.insert(id);
                    match known.get(&id).and_then(|index| self.files.get_mut(*index)) {
                        Some(file) => meet_again(file, path, gathered),
                        None => {
                            self.meet(path, reach.from_start);
                            known.extend(
                                self.files.last().map(|file| (file.id, self.files.len() - 1)),
                            );
                        }
                    }
                }
                Ok(_no_file) => {}
                Err(error) => self.note(path, &error),
            }
        }
        let all_new = self.files.len();
        self.rotated_away(&named, gathered);
        let since_ns = |beside: &Beside| since_ns.get(&beside.log).copied().unwrap_or(0);
        let is_kept = |place: &Place| {
            paths.get(&place.path()).is_some_and(|reach| !reach.is_wild) && !place.path().exists()
        };
        self.account(&logs, &named, since_ns, is_kept, gathered)?;
        // What was rotated away is read before what came after it.
        self.files[first_new..].rotate_left(all_new - first_new);
        for file in self.files[first_new..].iter().filter(|file| file.role == Role::Live) {
            gathered.make_room()?;
            gathered.place(file.place().checkpoint());
        }
        for pattern in &self.patterns {
            if !self.watched.contains_key(pattern.text()) {
                let since_ns = gathered.time_ns().saturating_sub(STEP_NS);
                self.watched.insert(pattern.text().to_owned(), since_ns);
                gathered.make_room()?;
                gathered.place(watched(pattern.text(), since_ns));
            }
        }
        Ok(())
    }

    /// All logs of which there may be rotated files, and since when the lines of each are wanted.
    fn logs(&self, paths: &BTreeMap<PathBuf, Reach>) -> (Logs, BTreeMap<PathBuf, u64>) {
        let mut logs = Logs::default();
        for (path, reach) in paths {
            logs.add(path, path);
            reach.real.iter().for_each(|real| logs.add(real, path));
        }
        let followed: BTreeSet<PathBuf> = self.files.iter().map(|file| file.path.clone()).collect();
        let past: BTreeSet<PathBuf> = self.past.places().map(Place::path).collect();
        let known: BTreeSet<&PathBuf> = followed.union(&past).collect();
        known.iter().for_each(|path| logs.add(path, path));
        let since_ns = paths.iter().map(|(path, reach)| {
            // What a log that was followed under another pattern has become since is wanted.
            let is_new = !known.contains(path) || reach.since_ns != NEVER_NS;
            (path.clone(), if is_new { reach.since_ns } else { 0 })
        });
        let since_ns = since_ns.collect();
        (logs, since_ns)
    }

    /// Every path, and the directories in which they may appear.
    fn expand(&mut self) -> (BTreeMap<PathBuf, Reach>, BTreeSet<PathBuf>) {
        let mut paths: BTreeMap<PathBuf, Reach> = BTreeMap::new();
        let mut unlisted = Vec::new();
        // Each directory is looked at once, however many paths lead through it.
        let mut listed: HashMap<PathBuf, Vec<OsString>> = HashMap::new();
        let mut visited: BTreeMap<PathBuf, PathBuf> = BTreeMap::new();
        let mut linked = BTreeSet::new();
        for pattern in &self.patterns {
            let watched_ns = self.watched.get(pattern.text());
            let from_start = self.from_start || watched_ns.is_some();
            let (since_ns, is_wild) = (watched_ns.copied().unwrap_or(NEVER_NS), pattern.is_wild());
            let mut list = |path: &Path| match listed.get(path) {
                Some(names) => names.clone(),
                None => {
                    let found = names(path).unwrap_or_else(|error| {
                        unlisted.push((path.to_owned(), error));
                        Vec::new()
                    });
                    listed.entry(path.to_owned()).or_insert(found).clone()
                }
            };
            let mut visit = |path: &Path| {
                if !visited.contains_key(path) && path.is_dir() {
                    let real = path.canonicalize().unwrap_or_else(|_gone| path.to_owned());
                    visited.insert(path.to_owned(), real);
                }
            };
            for path in pattern.expand(&mut list, &mut visit) {
                let is_link = path.symlink_metadata().is_ok_and(|link: Metadata| link.is_symlink());
                let real = path.canonicalize().ok().filter(|_real| is_link);
                linked.extend(real.as_deref().and_then(Path::parent).map(Path::to_owned));
                let reach =
                    paths.entry(path).or_insert(Reach { from_start, since_ns, real, is_wild });
                reach.from_start |= from_start;
                reach.since_ns = reach.since_ns.min(since_ns);
                reach.is_wild &= is_wild;
            }
        }
        for (path, error) in unlisted {
            self.note(&path, &error);
        }
        linked.extend(visited.into_iter().flat_map(|(path, real)| [path, real]));
        (paths, linked)
    }

    /// A file is under a watched path for the first time: follows it.
    fn meet(&mut self, path: &Path, from_start: bool) {
        if self.is_full() {
            self.problems.push(format!("{} is left out: {FILES_MAX} are read", path.display()));
            return;
        }
        match self.open_new(path, from_start) {
            Ok(Some(file)) if !self.is_copy(&file) => self.files.push(file),
            Ok(_none_or_copy) => {}
            Err(error) => self.note(path, &error),
        }
    }

    fn open_new(&mut self, path: &Path, from_start: bool) -> io::Result<Option<Followed>> {
        let Some(source) = Source::open(path)? else { return Ok(None) };
        let mut file = Followed::new(source, path, self.treat(path), Role::Live)?;
        let here = file.as_sibling()?;
        let read = self.past.get(file.id).filter(|_place| self.past.knows(&here));
        if let Some(place) = read {
            // It was rotated away, read, and has a watched name again.
            file.tail = Tail::at(place.offset);
            file.fingerprint = place.fingerprint;
        } else if !from_start {
            file.skip_to_end(&mut self.buffer)?;
            // One that has just been made has no past to learn from.
            file.learn_from(&file::siblings(path, None));
        }
        Ok(Some(file))
    }

    /// Whether a new file is a copy that a rotation is making of a file that is followed: it will
    /// be read on from the original's place once the original is emptied.
    fn is_copy(&self, new: &Followed) -> bool {
        let Ok(copy) = new.as_sibling() else { return false };
        self.files.iter().any(|file| {
            copy.is_rotated_of(&file.path)
                && file.path.parent() == copy.path.parent()
                && !file.fingerprint.is_empty()
                && file.fingerprint.fits(&copy.facts.head)
        })
    }

    /// Files that no watched path leads to any more are read until they are quiet.
    fn rotated_away(&mut self, named: &BTreeSet<FileId>, gathered: &Gathered<'_>) {
        for file in &mut self.files {
            // Where nobody could look, a name may still be there.
            let is_unseen = self.unseen.iter().any(|unseen| file.path.starts_with(unseen));
            if file.role == Role::Live && !named.contains(&file.id) && !is_unseen {
                file.role = Role::Draining { quiet_since_ns: gathered.boot_ns() };
                file.is_due = true;
            }
        }
    }

    /// Remembers that a path cannot be looked at; one that is not there may come yet.
    pub(super) fn note(&mut self, path: &Path, error: &io::Error) {
        let kind = error.kind();
        if !matches!(kind, io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) {
            self.unseen.push(path.to_owned());
            self.problems.push(format!("{}: {error}", path.display()));
        }
    }
}

/// A file that is followed is under a watched path.
fn meet_again(file: &mut Followed, path: &Path, gathered: &mut Gathered<'_>) {
    file.role = Role::Live;
    if file.path != path {
        file.is_now_at(path);
        if !file.path.exists() {
            path.clone_into(&mut file.path);
            gathered.place(file.place().checkpoint());
        }
    }
}

/// The names in a directory that may be logs.
fn names(directory: &Path) -> io::Result<Vec<OsString>> {
    let names = directory.read_dir()?.map(|entry| entry.map(|entry| entry.file_name()));
    let mut names = names.take(NAMES_MAX).collect::<io::Result<Vec<_>>>()?;
    names.retain(|name| !is_compressed(name));
    Ok(names)
}
