//! One log file, open for as long as anything may still be written to it.

use std::ffi::OsString;
use std::fs::DirEntry;
use std::io;
use std::os::unix::fs::DirEntryExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::fingerprint::Fingerprint;
use super::judge::{Facts, Sibling, is_compressed, is_gzip, stem};
use super::lines::{Cut, Line, Tail};
use super::mark::Mark;
use super::past::InHand;
use super::place::{FileId, Place, born_ns};
use super::source::Source;
use super::treat::Treat;
use super::wake::Name;

/// Rotated files of one log that are looked at; more are kept by nobody.
const SIBLINGS_MAX: usize = 256;

/// A rotated file that was written to for so long after the log was made is a copy of it.
const COPIED_AFTER_NS: u64 = 60_000_000_000;

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
    /// So much is in the buffer, and whether that was all.
    Read(usize, bool),
    /// It was emptied, and perhaps filled again.
    Emptied,
}

/// A file that is read.
#[derive(Debug)]
pub(super) struct Followed {
    source: Source,
    pub(super) id: FileId,
    /// The path as watched.
    pub(super) path: PathBuf,
    pub(super) treat: Arc<Treat>,
    /// The path as watched, and the one behind symbolic links.
    names: [Name; 2],
    pub(super) fingerprint: Fingerprint,
    pub(super) mark: Mark,
    pub(super) tail: Tail,
    pub(super) role: Role,
    /// Whether it may have more to read.
    pub(super) is_due: bool,
    /// Not to be read before, because it is over its limit; boot-time clock.
    pub(super) rests_until_ns: u64,
    /// When it last grew; boot-time clock.
    pub(super) grew_ns: u64,
    /// Whether it is emptied in place, so that it must be read in a hurry.
    pub(super) is_emptied_in_place: bool,
    /// Why it could last not be read.
    pub(super) problem: Option<String>,
    born_ns: u64,
    changed_ns: u64,
    /// How long it was when last looked at.
    seen_bytes: u64,
}

impl Followed {
    /// Begins to follow an open file from its first byte.
    pub(super) fn new(
        source: Source,
        path: &Path,
        treat: Arc<Treat>,
        role: Role,
    ) -> io::Result<Self> {
        let metadata = source.metadata()?;
        Ok(Self {
            id: FileId::of(&metadata),
            path: path.to_owned(),
            treat,
            names: names(path),
            fingerprint: Fingerprint::default(),
            mark: Mark::default(),
            tail: Tail::at(0),
            role,
            is_due: true,
            rests_until_ns: 0,
            grew_ns: 0,
            is_emptied_in_place: false,
            problem: None,
            born_ns: born_ns(&metadata),
            changed_ns: 0,
            seen_bytes: 0,
            source,
        })
    }

    /// The same file, under a watched name.
    pub(super) fn lives(self) -> Self {
        Self { role: Role::Live, ..self }
    }

    /// Whether one of these names is its.
    pub(super) fn is_one_of(&self, named: &std::collections::BTreeSet<Name>) -> bool {
        self.names.iter().any(|name| named.contains(name))
    }

    /// It has another path now.
    pub(super) fn is_now_at(&mut self, path: &Path) {
        self.names = names(path);
    }

    /// Learns from the files beside it whether it is rotated by copying and emptying.
    pub(super) fn learn_from(&mut self, siblings: &[Sibling]) {
        let since = self.born_ns.saturating_add(COPIED_AFTER_NS);
        let is_copy = |sibling: &Sibling| {
            sibling.id != self.id
                && sibling.is_rotated_of(&self.path)
                && sibling.facts.changed_ns > since
        };
        self.is_emptied_in_place |= self.born_ns != 0 && siblings.iter().any(is_copy);
    }

    /// Goes to the end: to the beginning of the last line that has no end yet.
    pub(super) fn skip_to_end(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        let facts = self.source.facts()?;
        let mark = Mark::of(&facts.head);
        let unit = mark.unit() as u64;
        let size = facts.size - facts.size % unit;
        let from = size.saturating_sub(buffer.len() as u64);
        let from = from - from % unit;
        let read = self.source.read_at(buffer, from)?;
        let last = mark.find_last_end(&buffer[..read]);
        let end = last.map_or(size, |at| from.saturating_add(at as u64).saturating_add(unit));
        self.tail = Tail::at(if from == 0 && last.is_none() { 0 } else { end });
        self.note(&facts);
        Ok(())
    }

    /// Reads once into the buffer. Looks at the beginning before and after, so that bytes of a new
    /// content never count as the continuation of the old.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<Progress> {
        let before = self.source.facts()?;
        if !before.continues(&self.fingerprint, self.tail.read_at()) {
            return Ok(Progress::Emptied);
        }
        self.mark = Mark::of(&before.head);
        let behind_mark = self.mark.bytes();
        if self.tail.line_start() == 0 && self.tail.read_at() <= behind_mark {
            // While it was not yet whole, the mark was read as the beginning of a line.
            self.tail = Tail::at(behind_mark);
        }
        let at = self.tail.read_at();
        self.seen_bytes = before.size;
        let read = if before.size > at { self.source.read_at(buffer, at)? } else { 0 };
        if read == 0 {
            self.note(&before);
            return Ok(Progress::Read(0, true));
        }
        let read_to = at.saturating_add(read as u64);
        let after = self.source.facts()?;
        if after.continues(&self.fingerprint, at) {
            self.note(&after);
        } else if after.size >= read_to {
            // Emptied meanwhile and long again: nobody knows which content was read.
            return Ok(Progress::Emptied);
        }
        // Half of a sign is read again together with its other half.
        let is_all = read_to >= before.size || read < self.mark.unit();
        Ok(Progress::Read(read, is_all))
    }

    /// Cuts what was read into lines, at most so many; answers how many bytes that took.
    pub(super) fn feed<'a>(
        &mut self,
        bytes: &'a [u8],
        lines_max: usize,
        lines: &mut Vec<Line<'a>>,
    ) -> usize {
        let cut = Cut { mark: self.mark, join: &self.treat.join };
        self.tail.feed(bytes, cut, lines_max, lines)
    }

    /// What is under way, when nothing more will come.
    pub(super) fn finish(&mut self) -> Vec<Line<'static>> {
        self.tail.finish(Cut { mark: self.mark, join: &self.treat.join })
    }

    fn note(&mut self, facts: &Facts) {
        self.fingerprint = Fingerprint::of(&facts.head);
        self.changed_ns = facts.changed_ns;
    }

    /// Begins anew after the file was emptied.
    pub(super) fn restart(&mut self) {
        self.tail = Tail::at(0);
        self.fingerprint = Fingerprint::default();
        self.mark = Mark::default();
        self.seen_bytes = 0;
        self.is_due = true;
        self.is_emptied_in_place = true;
    }

    /// How many bytes were seen to be there and have not been read.
    pub(super) fn unread_bytes(&self) -> u64 {
        self.seen_bytes.saturating_sub(self.tail.read_at())
    }

    /// The place to resume from.
    pub(super) fn place(&self) -> Place {
        let offset = self.tail.line_start();
        Place::new(self.id, self.fingerprint, offset, &self.path, self.born_ns, self.changed_ns)
    }

    /// The file as its siblings are described.
    pub(super) fn as_sibling(&self) -> io::Result<Sibling> {
        sibling(&self.source, self.path.clone())
    }

    /// The file as far as judging others asks; none if it is not what was read any more.
    pub(super) fn in_hand(&self) -> io::Result<Option<InHand>> {
        let facts = self.source.facts()?;
        let is_same = facts.continues(&self.fingerprint, self.tail.read_at());
        let fingerprint = self.fingerprint;
        Ok(is_same.then_some(InHand { fingerprint, head: facts.head, size: facts.size }))
    }

    /// Whether it was made before the other.
    pub(super) fn is_older_than(&self, other: &Sibling) -> bool {
        self.born_ns != 0 && self.born_ns < other.born_ns
    }

    /// What is kept of it once it was rotated away and read to its end: its place. What cannot be
    /// read counts as read, and was told.
    pub(super) fn past(&self) -> Option<Place> {
        let metadata = self.source.metadata().ok()?;
        let disk_bytes = Some(metadata.len());
        let place = Place { disk_bytes, ..self.place().past() };
        let is_unread = self.problem.is_some() && !self.is_packed();
        let offset = if is_unread { metadata.len() } else { place.offset };
        (!self.fingerprint.is_empty()).then_some(Place { offset, ..place })
    }

    fn is_packed(&self) -> bool {
        matches!(self.source, Source::Packed(_))
    }
}

fn names(path: &Path) -> [Name; 2] {
    let real = path.canonicalize().unwrap_or_else(|_gone| path.to_owned());
    [Name::of(path), Name::of(&real)]
}

fn sibling(source: &Source, path: PathBuf) -> io::Result<Sibling> {
    let metadata = source.metadata()?;
    let (id, born_ns) = (FileId::of(&metadata), born_ns(&metadata));
    Ok(Sibling { path, id, facts: source.facts()?, born_ns, length: source.length()? })
}

/// Opens a file beside a log in order to look at it; none for what is no file or gone.
pub(super) fn open_sibling(path: &Path) -> io::Result<Option<Sibling>> {
    match Source::open(path) {
        Ok(source) => source.map(|source| sibling(&source, path.to_owned())).transpose(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
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
        let is_readable = !is_compressed(&other) || is_gzip(&other);
        Some(entry.ino()) == inode || (stem(&other) == stem(name) && is_readable)
    };
    let entries = entries.filter_map(Result::ok).filter(is_sibling).take(SIBLINGS_MAX);
    let open = |entry: DirEntry| {
        let path = entry.path();
        // While it is being compressed both are there, and the original is the one to read.
        let is_under_way = path.file_name().is_some_and(is_gzip)
            && path.with_extension("").symlink_metadata().is_ok();
        let source = Source::open(&path).ok().flatten().filter(|_source| !is_under_way)?;
        sibling(&source, path).ok()
    };
    entries.filter_map(open).collect()
}
