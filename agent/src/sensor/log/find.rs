//! Finds files: those from before a restart, new ones, and those whose name is gone.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsString;
use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::file::{self, Followed, Role};
use super::gather::Gathered;
use super::judge::{Found, Sibling, is_compressed, locate, remembered};
use super::lines::Tail;
use super::place::{FileId, Place, Restored, watched};
use super::source::Source;
use super::treat::Treat;
use super::watch::{FILES_MAX, Watch};
use crate::sensor::Stopping;

/// Directories watched at most; each costs the kernel a kilobyte.
const DIRECTORIES_MAX: usize = 1024;

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

/// Where to look for what came after a file that was rotated away unseen.
struct After {
    path: PathBuf,
    before: Sibling,
    siblings: Vec<Sibling>,
}

impl Watch {
    /// Goes on where reading stood before the restart.
    pub(super) fn restore(&mut self, restored: Restored, gathered: &mut Gathered<'_>) {
        for key in restored.unreadable {
            gathered.loss(format!("the place kept under {key} cannot be read"));
        }
        // Every place has found its file before any other is taken for one that nobody knows.
        let mut after = Vec::new();
        for place in &restored.places {
            after.extend(self.restore_one(place, &restored.places, gathered));
        }
        // A number that one place has given up another may have taken over.
        for file in self.files.iter().filter(|file| file.role != Role::Live) {
            gathered.place(file.place().checkpoint());
        }
        for After { path, before, siblings } in after {
            self.take_rotated(&path, &before, &siblings, gathered);
        }
    }

    /// Finds the file of a place again; answers what may hold what came after it.
    fn restore_one(
        &mut self,
        place: &Place,
        all: &[Place],
        gathered: &mut Gathered<'_>,
    ) -> Option<After> {
        let path = place.path();
        let siblings = file::siblings(&path, Some(place.id.inode), true);
        let now_ns = gathered.boot_ns();
        let moved = match locate(place, &siblings) {
            Found::Here(same) => {
                let file = self.resume(place, same, &path, now_ns).map(Followed::lives);
                self.files.extend(file.map(|mut file| {
                    file.learn_from(&siblings);
                    file
                }));
                return None;
            }
            Found::Moved(moved) => Some(moved),
            Found::Emptied(_anew, copy) => copy,
            Found::Gone => None,
        };
        let taken = moved.and_then(|moved| {
            let is_other = is_followed(&self.files, moved.id)
                || all.iter().any(|other| other.id != place.id && is_at(other, moved));
            let file = self.resume(place, moved, &path, now_ns).filter(|_file| !is_other)?;
            Some((moved, file))
        });
        let before = match taken {
            Some((moved, file)) => {
                let is_same = file.id == place.id;
                if !is_same {
                    gathered.place(place.id.forget());
                }
                self.files.push(file);
                moved.clone()
            }
            None => {
                let (shown, offset) = (path.display(), place.offset);
                gathered.loss(format!(
                    "{shown} was replaced while nobody watched; what followed byte {offset} is gone"
                ));
                gathered.place(place.id.forget());
                // Those that came after it may be there all the same.
                remembered(place)
            }
        };
        let siblings = unknown(&siblings, all);
        Some(After { path, before, siblings })
    }

    fn resume(&self, place: &Place, at: &Sibling, path: &Path, now_ns: u64) -> Option<Followed> {
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
        let mut named = BTreeSet::new();
        let mut known: HashMap<FileId, usize> =
            self.files.iter().enumerate().map(|(index, file)| (file.id, index)).collect();
        for (path, from_start) in paths {
            match path.metadata() {
                Ok(metadata) if metadata.is_file() => {
                    let id = FileId::of(&metadata);
                    named.insert(id);
                    match known.get(&id).and_then(|index| self.files.get_mut(*index)) {
                        Some(file) => meet_again(file, &path, gathered),
                        None => {
                            gathered.make_room()?;
                            self.meet(&path, from_start, gathered);
                            known.extend(
                                self.files.last().map(|file| (file.id, self.files.len() - 1)),
                            );
                        }
                    }
                }
                Ok(_no_file) => {}
                Err(error) => self.note(&path, &error),
            }
        }
        self.rotated_away(&named, gathered);
        for pattern in &self.patterns {
            if self.watched.insert(pattern.text().to_owned()) {
                gathered.make_room()?;
                gathered.place(watched(pattern.text()));
            }
        }
        Ok(())
    }

    /// Every path, with whether a new file there is read from its beginning.
    fn expand(&mut self) -> (BTreeMap<PathBuf, bool>, BTreeSet<PathBuf>) {
        let mut paths = BTreeMap::new();
        let mut unlisted = Vec::new();
        // Each directory is looked at once, however many paths lead through it.
        let mut listed: HashMap<PathBuf, Vec<OsString>> = HashMap::new();
        let mut visited: BTreeMap<PathBuf, PathBuf> = BTreeMap::new();
        let mut linked = BTreeSet::new();
        for pattern in &self.patterns {
            let from_start = self.from_start || self.watched.contains(pattern.text());
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
                *paths.entry(path).or_insert(false) |= from_start;
            }
        }
        for (path, error) in unlisted {
            self.note(&path, &error);
        }
        linked.extend(visited.into_iter().flat_map(|(path, real)| [path, real]));
        (paths, linked)
    }

    /// A file is under a watched path for the first time: follows it.
    fn meet(&mut self, path: &Path, from_start: bool, gathered: &mut Gathered<'_>) {
        if self.is_full() {
            self.problems.push(format!("{} is left out: {FILES_MAX} are read", path.display()));
            return;
        }
        match self.open_new(path, from_start) {
            Ok(Some(file)) if !self.is_copy(&file) => {
                gathered.place(file.place().checkpoint());
                self.files.push(file);
            }
            Ok(_none_or_copy) => {}
            Err(error) => self.note(path, &error),
        }
    }

    fn open_new(&mut self, path: &Path, from_start: bool) -> io::Result<Option<Followed>> {
        let Some(source) = Source::open(path)? else { return Ok(None) };
        let mut file = Followed::new(source, path, self.treat(path), Role::Live)?;
        if !from_start {
            file.skip_to_end(&mut self.buffer)?;
            // One that has just been made has no past to learn from.
            file.learn_from(&file::siblings(path, None, true));
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
    fn rotated_away(&mut self, named: &BTreeSet<FileId>, gathered: &mut Gathered<'_>) {
        let mut gone = Vec::new();
        for file in &mut self.files {
            // Where nobody could look, a name may still be there.
            let is_unseen = self.unseen.iter().any(|unseen| file.path.starts_with(unseen));
            if file.role == Role::Live && !named.contains(&file.id) && !is_unseen {
                file.role = Role::Draining { quiet_since_ns: gathered.boot_ns() };
                file.is_due = true;
                gone.extend(file.as_sibling());
            }
        }
        for before in gone {
            let siblings = file::siblings(&before.path, None, false);
            self.take_rotated(&before.path, &before, &siblings, gathered);
        }
    }

    /// Remembers that a path cannot be looked at; one that is not there may come yet.
    fn note(&mut self, path: &Path, error: &io::Error) {
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

/// Those files beside a log whose places are not known.
fn unknown(siblings: &[Sibling], all: &[Place]) -> Vec<Sibling> {
    let known = |sibling: &&Sibling| all.iter().any(|other| is_at(other, sibling));
    siblings.iter().filter(|sibling| !known(sibling)).cloned().collect()
}

/// Whether a place is in this very file, and not in one that had its number before.
fn is_at(place: &Place, sibling: &Sibling) -> bool {
    place.id == sibling.id && sibling.facts.continues(&place.fingerprint, place.offset)
}

/// The names in a directory that may be logs.
fn names(directory: &Path) -> io::Result<Vec<OsString>> {
    let names = directory.read_dir()?.map(|entry| entry.map(|entry| entry.file_name()));
    let mut names = names.take(NAMES_MAX).collect::<io::Result<Vec<_>>>()?;
    names.retain(|name| !is_compressed(name));
    Ok(names)
}

/// Names of one directory that are looked at.
const NAMES_MAX: usize = 65_536;
