//! Listens to the kernel's fanotify messages about whole file systems, and drops at once what is
//! about directories that nobody asked for.
//!
//! A message names a directory by a handle; where it is now is asked once and remembered. So a
//! directory that was renamed between a change and its message shows under its new name, and one
//! that is gone by then is not shown unless it was known.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rustix::fs::{CWD, Mode, OFlags};

use crate::platform::linux::fanotify::{Group, MOVED_FROM, MOVED_TO, ONDIR, RENAME, directory_of};
use crate::sensor::disk::mountinfo;

use super::change::{Acts, Change, join};
use super::notice::{Name, Notice, notices};
use super::watchlist::{Interest, WatchList};

/// One read; some thousand messages.
const BUFFER_BYTES: usize = 64 << 10;

/// No message is longer: two names, and the handles of their directories. A read that leaves so much
/// room has left nothing behind.
const MESSAGE_BYTES_MAX: usize = 4 << 10;

/// Reads of one round, so that a storm does not keep the rest waiting.
const READS_MAX: usize = 8;

/// Directories whose paths are remembered, in two halves of which the older goes first.
const DIRECTORIES_MAX: usize = 2048;

/// More than any machine's table of mounts.
const TABLE_BYTES_MAX: usize = 4 << 20;

/// File systems that hold no files of anybody.
const PSEUDO: [&[u8]; 20] = [
    b"autofs",
    b"binfmt_misc",
    b"bpf",
    b"cgroup",
    b"cgroup2",
    b"configfs",
    b"debugfs",
    b"devpts",
    b"devtmpfs",
    b"efivarfs",
    b"fusectl",
    b"hugetlbfs",
    b"mqueue",
    b"nsfs",
    b"proc",
    b"pstore",
    b"rpc_pipefs",
    b"securityfs",
    b"sysfs",
    b"tracefs",
];

/// What a round has brought.
#[derive(Debug, Default)]
pub(super) struct Heard {
    pub(super) changes: Vec<Change>,
    /// Messages were lost.
    pub(super) overflow: bool,
    /// A message about what this sensor did itself has come: it hears.
    pub(super) proved: bool,
    /// There is more at once.
    pub(super) unfinished: bool,
    /// There were messages, about whatever.
    pub(super) was_any: bool,
}

/// A directory as it is known.
#[derive(Debug)]
struct Directory {
    path: Vec<u8>,
    interest: Interest,
}

/// The listener, and what it knows of directories.
pub(super) struct Listener {
    group: Group,
    /// A place on each file system, by the number that statfs gives it.
    marked: HashMap<u64, PathBuf>,
    /// Places that could not be marked, and why.
    pub(super) unmarked: Vec<(PathBuf, String)>,
    known: [HashMap<Box<[u8]>, Rc<Directory>>; 2],
    buffer: Vec<u8>,
    own_pid: u32,
}

/// Mounts that were opened in order to resolve handles. They are closed after each round, or they
/// would keep file systems from being unmounted.
type Opened = HashMap<u64, OwnedFd>;

impl Listener {
    /// Opens a listener that hears nothing yet.
    pub(super) fn open() -> io::Result<Self> {
        Ok(Self {
            group: Group::open()?,
            marked: HashMap::new(),
            unmarked: Vec::new(),
            known: [HashMap::new(), HashMap::new()],
            buffer: vec![0; BUFFER_BYTES],
            own_pid: std::process::id(),
        })
    }

    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.group.as_fd()
    }

    /// Listens to the file systems of these places, and to those mounted below them.
    pub(super) fn mark(&mut self, places: &[PathBuf]) {
        self.unmarked.clear();
        let table = read_table();
        let table = mountinfo::parse(&table, |kind| !PSEUDO.contains(&kind));
        let mounts = table
            .lines
            .iter()
            .map(|line| Path::new(OsStr::from_bytes(line.mount.path.as_bytes())).to_path_buf());
        let below = |mount: &PathBuf| places.iter().any(|place| mount.starts_with(place));
        let mounts: Vec<PathBuf> = mounts.filter(below).collect();
        let existing = places.iter().map(|place| existing(place));
        let mut all: Vec<PathBuf> = existing.chain(mounts).collect();
        // The first place of a file system is the one that handles are resolved from: high up, so
        // that the others are below it.
        all.sort_by_key(|place| (place.as_os_str().len(), place.clone()));
        all.dedup();
        for place in all {
            if let Err(error) = self.mark_one(&place) {
                self.unmarked.push((place, error.to_string()));
            }
        }
        self.unmarked.sort();
    }

    /// Whether anything is listened to at all.
    pub(super) fn hears(&self) -> bool {
        !self.marked.is_empty()
    }

    /// Does something that the kernel has to tell of, and that nobody else sees: writes a file
    /// without a name. Where no file system can, the agent's own files must do.
    pub(super) fn prove(&self) {
        let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        for place in self.marked.values() {
            let made = rustix::fs::openat(CWD, place, flags, mode);
            if made.is_ok_and(|file| rustix::io::write(&file, b"x").is_ok()) {
                return;
            }
        }
    }

    /// Takes what the kernel has to say.
    pub(super) fn hear(&mut self, list: &WatchList) -> io::Result<Heard> {
        let mut heard = Heard::default();
        let mut opened = Opened::new();
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut reads = 0;
        let end = loop {
            match self.group.read(&mut buffer) {
                Ok(bytes) => {
                    let (found, whole) = notices(&buffer[..bytes]);
                    found.iter().for_each(|one| self.note(one, list, &mut opened, &mut heard));
                    // What cannot be read is as good as lost.
                    heard.overflow |= !whole;
                    heard.was_any = true;
                    if bytes.saturating_add(MESSAGE_BYTES_MAX) <= buffer.len() {
                        break Ok(());
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
            reads += 1;
            if reads == READS_MAX {
                heard.unfinished = true;
                break Ok(());
            }
        };
        self.buffer = buffer;
        end.map(|()| heard)
    }

    fn mark_one(&mut self, place: &Path) -> io::Result<()> {
        let number = rustix::fs::statvfs(place)?.f_fsid;
        if self.marked.contains_key(&number) {
            return Ok(());
        }
        self.group.mark_filesystem(place)?;
        self.marked.insert(number, place.to_path_buf());
        Ok(())
    }

    fn note(
        &mut self,
        notice: &Notice<'_>,
        list: &WatchList,
        opened: &mut Opened,
        heard: &mut Heard,
    ) {
        heard.overflow |= notice.is_overflow();
        if notice.pid == Some(self.own_pid) {
            heard.proved = true;
            return;
        }
        let is_directory = notice.mask & ONDIR != 0;
        let Some(name) = &notice.name else { return };
        let to = self.directory(name, list, opened);
        let from = notice.from.as_ref().and_then(|from| {
            self.directory(from, list, opened).map(|directory| (directory, from.name))
        });
        if is_directory && notice.mask & (RENAME | MOVED_FROM | MOVED_TO) != 0 {
            // Whatever is below it has other paths now.
            self.known.iter_mut().for_each(HashMap::clear);
        }
        let place = |directory: &Directory, name: &[u8]| {
            if directory.interest.is_none() {
                return None;
            }
            let path = join(&directory.path, name);
            let (watched, metered) = list.of_name(directory.interest, &path);
            (watched || metered).then_some((path, watched, metered))
        };
        let from_place = from.as_ref().and_then(|(directory, name)| place(directory, name));
        let to_place = to.as_ref().and_then(|directory| place(directory, name.name));
        let of_interest = |place: &Option<(Vec<u8>, bool, bool)>| {
            place.as_ref().map_or((false, false), |(_, watched, metered)| (*watched, *metered))
        };
        let ((watched, metered), (watched_from, metered_from)) =
            (of_interest(&to_place), of_interest(&from_place));
        if !(watched || metered || watched_from || metered_from) {
            return;
        }
        let path = |place: Option<(Vec<u8>, bool, bool)>, directory: Option<&Directory>, name| {
            place.map(|(path, ..)| path).or_else(|| Some(join(&directory?.path, name)))
        };
        let from_path =
            from.as_ref().and_then(|(directory, name)| path(from_place, Some(directory), name));
        let Some(path) = path(to_place, to.as_deref(), name.name) else { return };
        heard.changes.push(Change {
            pid: notice.pid,
            acts: Acts::of_mask(notice.mask),
            path,
            from: from_path,
            is_directory,
            watched: (watched, watched_from),
            metered: metered || metered_from,
        });
    }

    fn directory(
        &mut self,
        name: &Name<'_>,
        list: &WatchList,
        opened: &mut Opened,
    ) -> Option<Rc<Directory>> {
        let [young, old] = &mut self.known;
        if let Some(known) = young.get(name.directory) {
            return Some(Rc::clone(known));
        }
        let known = match old.remove(name.directory) {
            Some(known) => known,
            None => {
                let (number, handle) = name.split()?;
                let place = self.marked.get(&number)?;
                let mount = match opened.entry(number) {
                    std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
                    std::collections::hash_map::Entry::Vacant(entry) => {
                        entry.insert(open_mount(place).ok()?)
                    }
                };
                let path = directory_of(mount.as_fd(), handle).ok()??;
                let path = path.as_os_str().as_bytes().to_vec();
                let interest = list.of_directory(&path);
                Rc::new(Directory { path, interest })
            }
        };
        young.insert(name.directory.into(), Rc::clone(&known));
        if young.len() >= DIRECTORIES_MAX / 2 {
            self.known.swap(0, 1);
            self.known[0].clear();
        }
        Some(known)
    }
}

/// A directory on the file system; a file that is listed by itself is not one.
fn open_mount(place: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    Ok(rustix::fs::openat(CWD, place, flags, Mode::empty())?)
}

/// The directory of this path, or the nearest above it that is there.
fn existing(place: &Path) -> PathBuf {
    let there = place.ancestors().find(|path| path.metadata().is_ok_and(|found| found.is_dir()));
    there.unwrap_or(Path::new("/")).to_path_buf()
}

fn read_table() -> Vec<u8> {
    let mut table = std::fs::read("/proc/thread-self/mountinfo").unwrap_or_default();
    table.truncate(TABLE_BYTES_MAX);
    table
}
