//! One log file, open for as long as anything may still be written to it.

use std::ffi::OsString;
use std::fs::{DirEntry, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{DirEntryExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::fingerprint::{Fingerprint, HEAD_BYTES_MAX};
use super::judge::{Facts, Sibling, is_compressed, stem};
use super::lines::{Line, Tail};
use super::place::{FileId, Place, born_ns};

/// Rotated files of one log that are looked at; more are kept by nobody.
const SIBLINGS_MAX: usize = 256;

/// How the file stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Role {
    /// It has a name that is watched.
    Live,
    /// It was rotated away or deleted; its writer may not know yet. Read until it has been quiet
    /// for a while.
    Draining {
        /// When it last grew, or lost its name; boot-time clock.
        quiet_since_ns: u64,
    },
}

/// What one read came to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Progress {
    /// All has been read.
    AtEnd,
    /// There is more.
    More,
    /// It was emptied, and perhaps filled again.
    Emptied,
}

/// A file that is read.
#[derive(Debug)]
pub(super) struct Followed {
    file: File,
    pub(super) id: FileId,
    /// The path as watched.
    pub(super) path: PathBuf,
    /// The directory and name behind symbolic links.
    pub(super) real: PathBuf,
    pub(super) fingerprint: Fingerprint,
    pub(super) tail: Tail,
    pub(super) role: Role,
    /// Whether it may have more to read.
    pub(super) is_due: bool,
    /// Why it could last not be read.
    pub(super) problem: Option<String>,
    born_ns: u64,
    /// How long it was when last looked at.
    seen_bytes: u64,
}

impl Followed {
    /// Begins to follow an open file from its first byte.
    pub(super) fn new(file: File, path: &Path, role: Role) -> io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Self {
            id: FileId::of(&metadata),
            path: path.to_owned(),
            real: path.canonicalize().unwrap_or_else(|_gone| path.to_owned()),
            fingerprint: Fingerprint::default(),
            tail: Tail::at(0),
            role,
            is_due: true,
            problem: None,
            born_ns: born_ns(&metadata),
            seen_bytes: 0,
            file,
        })
    }

    /// The same file, under a watched name.
    pub(super) fn lives(self) -> Self {
        Self { role: Role::Live, ..self }
    }

    /// Goes to the end: to the beginning of the last line that has no end yet.
    pub(super) fn skip_to_end(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        let facts = facts(&self.file)?;
        let from = facts.size.saturating_sub(buffer.len() as u64);
        let read = self.file.read_at(buffer, from)?;
        let last = buffer[..read].iter().rposition(|byte| *byte == b'\n');
        let end = last.map_or(facts.size, |at| from.saturating_add(at as u64 + 1));
        self.tail = Tail::at(if from == 0 && last.is_none() { 0 } else { end });
        self.fingerprint = Fingerprint::of(&facts.head);
        Ok(())
    }

    /// Reads once and adds at most `lines_max` lines. Looks at the beginning before and after, so
    /// that bytes of a new content never count as the continuation of the old.
    pub(super) fn read(
        &mut self,
        buffer: &mut [u8],
        lines_max: usize,
        lines: &mut Vec<Line>,
    ) -> io::Result<Progress> {
        let at = self.tail.read_at();
        let before = facts(&self.file)?;
        if !before.continues(&self.fingerprint, at) {
            return Ok(Progress::Emptied);
        }
        self.seen_bytes = before.size;
        let read = if before.size > at { self.file.read_at(buffer, at)? } else { 0 };
        if read == 0 {
            self.fingerprint = Fingerprint::of(&before.head);
            return Ok(Progress::AtEnd);
        }
        let read_to = at.saturating_add(read as u64);
        let after = facts(&self.file)?;
        if after.continues(&self.fingerprint, at) {
            self.fingerprint = Fingerprint::of(&after.head);
        } else if after.size >= read_to {
            // Emptied meanwhile and long again: nobody knows which content was read.
            return Ok(Progress::Emptied);
        }
        let taken = self.tail.feed(&buffer[..read], lines_max, lines);
        let is_all = taken == read && read_to >= before.size;
        Ok(if is_all { Progress::AtEnd } else { Progress::More })
    }

    /// Begins anew after the file was emptied.
    pub(super) fn restart(&mut self) {
        self.tail = Tail::at(0);
        self.fingerprint = Fingerprint::default();
        self.seen_bytes = 0;
        self.is_due = true;
    }

    /// How many bytes were seen to be there and have not been read.
    pub(super) fn unread_bytes(&self) -> u64 {
        self.seen_bytes.saturating_sub(self.tail.read_at())
    }

    /// The place to resume from.
    pub(super) fn place(&self) -> Place {
        let offset = self.tail.line_start();
        Place::new(self.id, self.fingerprint, offset, &self.path, self.born_ns)
    }

    /// The file as its siblings are described.
    pub(super) fn as_sibling(&self) -> io::Result<Sibling> {
        sibling(&self.file, self.path.clone())
    }
}

/// Opens a regular file; none for what is no file. Never waits, as opening a pipe would.
pub(super) fn open(path: &Path) -> io::Result<Option<File>> {
    if !path.metadata()?.is_file() {
        return Ok(None);
    }
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    Ok(file.metadata()?.is_file().then_some(file))
}

fn facts(file: &File) -> io::Result<Facts> {
    let size = file.metadata()?.len();
    let mut head = vec![0; HEAD_BYTES_MAX];
    let read = file.read_at(&mut head, 0)?;
    head.truncate(read);
    Ok(Facts { size, head })
}

fn sibling(file: &File, path: PathBuf) -> io::Result<Sibling> {
    let metadata = file.metadata()?;
    let (id, born_ns) = (FileId::of(&metadata), born_ns(&metadata));
    Ok(Sibling { path, id, facts: facts(file)?, born_ns, changed_ns: changed_ns(&metadata) })
}

fn changed_ns(metadata: &Metadata) -> u64 {
    let secs = u64::try_from(metadata.mtime()).unwrap_or(0);
    let nanos = u64::try_from(metadata.mtime_nsec()).unwrap_or(0);
    secs.saturating_mul(1_000_000_000).saturating_add(nanos)
}

/// The files beside a log, and beside what it links to, that share its stem or have `inode`.
pub(super) fn siblings(path: &Path, inode: Option<u64>) -> Vec<Sibling> {
    let mut found = siblings_beside(path, inode);
    let real = path.canonicalize().ok().filter(|real| real.parent() != path.parent());
    found.extend(real.map(|real| siblings_beside(&real, inode)).into_iter().flatten());
    found
}

fn siblings_beside(path: &Path, inode: Option<u64>) -> Vec<Sibling> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Vec::new();
    };
    let Ok(entries) = directory.read_dir() else { return Vec::new() };
    let is_sibling = |entry: &DirEntry| {
        let other: OsString = entry.file_name();
        Some(entry.ino()) == inode || (stem(&other) == stem(name) && !is_compressed(&other))
    };
    let entries = entries.filter_map(Result::ok).filter(is_sibling).take(SIBLINGS_MAX);
    let open = |entry: DirEntry| {
        let path = entry.path();
        let file = open(&path).ok().flatten()?;
        sibling(&file, path).ok()
    };
    entries.filter_map(open).collect()
}
