//! Finds files: those from before a restart, new ones, and those whose name is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use super::file::{self, Followed, Role};
use super::gather::Gathered;
use super::judge::{Found, Sibling, is_compressed, is_rotated_name, locate};
use super::lines::Tail;
use super::place::{FileId, Place, Restored, watched};
use super::watch::{FILES_MAX, Watch};

/// Directories watched at most; each costs the kernel a kilobyte.
const DIRECTORIES_MAX: usize = 256;

pub(super) fn is_followed(files: &[Followed], id: FileId) -> bool {
    files.iter().any(|file| file.id == id)
}

/// Opens a rotated file in order to read it to its end; none if it is another by now.
pub(super) fn drain(sibling: &Sibling, path: &Path, now_ns: u64) -> Option<Followed> {
    let file = file::open(&sibling.path).ok().flatten()?;
    let role = Role::Draining { quiet_since_ns: now_ns };
    Followed::new(file, path, role).ok().filter(|file| file.id == sibling.id)
}

impl Watch {
    /// Goes on where reading stood before the restart.
    pub(super) fn restore(&mut self, restored: Restored, gathered: &mut Gathered<'_>) {
        for key in restored.unreadable {
            gathered.loss(format!("the place kept under {key} cannot be read"));
        }
        for place in &restored.places {
            self.restore_one(place, &restored.places, gathered);
        }
    }

    fn restore_one(&mut self, place: &Place, all: &[Place], gathered: &mut Gathered<'_>) {
        let path = place.path();
        let siblings = file::siblings(&path, Some(place.id.inode));
        let now_ns = gathered.boot_ns();
        let moved = match locate(place, &siblings) {
            Found::Here(same) => {
                let file = self.resume(place, same, &path, now_ns);
                self.files.extend(file.map(Followed::lives));
                return;
            }
            Found::Moved(moved) => Some(moved),
            Found::Emptied(_anew, copy) => copy,
            Found::Gone => None,
        };
        let taken = moved.and_then(|moved| {
            let is_other = is_followed(&self.files, moved.id)
                || all.iter().any(|other| other.id == moved.id && other.id != place.id);
            let file = self.resume(place, moved, &path, now_ns).filter(|_file| !is_other)?;
            Some((moved, file))
        });
        match taken {
            Some((moved, file)) => {
                let is_same = file.id == place.id;
                if !is_same {
                    gathered.place(place.id.forget());
                }
                gathered.place(file.place().checkpoint());
                self.files.push(file);
                let known = |sibling: &Sibling| all.iter().any(|other| other.id == sibling.id);
                let unknown: Vec<Sibling> =
                    siblings.iter().filter(|sibling| !known(sibling)).cloned().collect();
                self.take_rotated(&path, moved, &unknown, gathered);
            }
            None => {
                let (path, offset) = (path.display(), place.offset);
                gathered.loss(format!(
                    "{path} was replaced while nobody watched; what followed byte {offset} is gone"
                ));
                gathered.place(place.id.forget());
            }
        }
    }

    fn resume(&self, place: &Place, at: &Sibling, path: &Path, now_ns: u64) -> Option<Followed> {
        let mut file = drain(at, path, now_ns).filter(|_file| !self.is_full())?;
        file.tail = Tail::at(place.offset);
        file.fingerprint = place.fingerprint;
        Some(file)
    }

    /// Looks at all paths: follows what is new, and drains what has lost its name.
    pub(super) fn scan(&mut self, gathered: &mut Gathered<'_>) {
        self.problems.clear();
        self.unseen.clear();
        let (paths, directories) = self.expand();
        self.directories = directories.into_iter().take(DIRECTORIES_MAX).collect();
        let mut named = BTreeSet::new();
        for (path, from_start) in paths {
            match path.metadata() {
                Ok(metadata) if metadata.is_file() => {
                    let id = FileId::of(&metadata);
                    named.insert(id);
                    self.meet(id, &path, from_start, gathered);
                }
                Ok(_no_file) => {}
                Err(error) => self.note(&path, &error),
            }
        }
        self.rotated_away(&named, gathered);
        for pattern in &self.patterns {
            if self.watched.insert(pattern.text().to_owned()) {
                gathered.place(watched(pattern.text()));
            }
        }
    }

    /// Every path, with whether a new file there is read from its beginning.
    fn expand(&mut self) -> (BTreeMap<PathBuf, bool>, BTreeSet<PathBuf>) {
        let mut paths = BTreeMap::new();
        let mut directories = BTreeSet::new();
        let mut unlisted = Vec::new();
        for pattern in &self.patterns {
            let from_start = self.from_start || self.watched.contains(pattern.text());
            let mut list = |path: &Path| match names(path) {
                Ok(names) => names,
                Err(error) => {
                    unlisted.push((path.to_owned(), error));
                    Vec::new()
                }
            };
            let mut visit = |path: &Path| {
                directories.extend(path.is_dir().then(|| path.to_owned()));
            };
            for path in pattern.expand(&mut list, &mut visit) {
                let real = path.canonicalize().ok();
                visit(real.as_deref().and_then(Path::parent).unwrap_or(&path));
                *paths.entry(path).or_insert(false) |= from_start;
            }
        }
        for (path, error) in unlisted {
            self.note(&path, &error);
        }
        (paths, directories)
    }

    /// A file is under a watched path: follows it if it is new.
    fn meet(&mut self, id: FileId, path: &Path, from_start: bool, gathered: &mut Gathered<'_>) {
        if let Some(file) = self.files.iter_mut().find(|file| file.id == id) {
            file.role = Role::Live;
            if file.path != path {
                file.real = path.canonicalize().unwrap_or_else(|_gone| path.to_owned());
                if !file.path.exists() {
                    path.clone_into(&mut file.path);
                    gathered.place(file.place().checkpoint());
                }
            }
            return;
        }
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
        let Some(file) = file::open(path)? else { return Ok(None) };
        let mut file = Followed::new(file, path, Role::Live)?;
        if !from_start {
            file.skip_to_end(&mut self.buffer)?;
        }
        Ok(Some(file))
    }

    /// Whether a new file is a copy that a rotation is making of a file that is followed: it will
    /// be read on from the original's place once the original is emptied.
    fn is_copy(&self, new: &Followed) -> bool {
        let Ok(copy) = new.as_sibling() else { return false };
        self.files.iter().any(|file| {
            let names = (file.path.file_name(), copy.path.file_name());
            let is_named_so =
                matches!(names, (Some(name), Some(other)) if is_rotated_name(name, other));
            is_named_so
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
            let siblings = file::siblings(&before.path, None);
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

/// The names in a directory that may be logs.
fn names(directory: &Path) -> io::Result<Vec<OsString>> {
    let names = directory.read_dir()?.map(|entry| entry.map(|entry| entry.file_name()));
    let mut names = names.take(NAMES_MAX).collect::<io::Result<Vec<_>>>()?;
    names.retain(|name| !is_compressed(name));
    Ok(names)
}

/// Names of one directory that are looked at.
const NAMES_MAX: usize = 65_536;
