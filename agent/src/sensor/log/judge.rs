//! Is this still the file that was read, and where has it gone?
//!
//! Pure: looks at sizes, numbers and first bytes, reads nothing.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::fingerprint::Fingerprint;
use super::place::{FileId, Place};

/// What can be seen of a file without reading it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Facts {
    pub(super) size: u64,
    /// Its first bytes.
    pub(super) head: Vec<u8>,
    /// When its content was last written to, nanoseconds since 1970. Compressing keeps it.
    pub(super) changed_ns: u64,
}

impl Facts {
    /// Whether this is what was read up to `read_at`, perhaps grown. A file that was emptied and
    /// has the very same beginning again and grew past `read_at` cannot be told from one that
    /// only grew.
    pub(super) fn continues(&self, fingerprint: &Fingerprint, read_at: u64) -> bool {
        self.size >= read_at && fingerprint.fits(&self.head)
    }
}

/// A file in the directory of a log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Sibling {
    pub(super) path: PathBuf,
    pub(super) id: FileId,
    pub(super) facts: Facts,
    pub(super) born_ns: u64,
    /// How long its content is; of a compressed file the lower 32 bits, as it says itself.
    pub(super) length: u64,
}

impl Sibling {
    /// Whether its name is that of a rotated file of the log at `path`.
    pub(super) fn is_rotated_of(&self, path: &Path) -> bool {
        let names = (path.file_name(), self.path.file_name());
        matches!(names, (Some(name), Some(other)) if is_rotated_name(name, other))
    }

    pub(super) fn is_packed(&self) -> bool {
        self.path.file_name().is_some_and(is_gzip)
    }

    /// Whether its content may be so long.
    pub(super) fn is_as_long(&self, bytes: u64) -> bool {
        match self.is_packed() {
            true => self.length & LENGTH_KEPT == bytes & LENGTH_KEPT,
            false => self.facts.size == bytes,
        }
    }

    /// Whether this is the file of the place, and not one that has its number since. What was empty
    /// is known by its birth alone.
    pub(super) fn is_at(&self, place: &Place) -> bool {
        let is_born_then = !place.fingerprint.is_empty() || self.born_ns == place.born_ns;
        let continues = self.facts.continues(&place.fingerprint, place.offset);
        self.id == place.id && is_born_then && continues
    }

    /// Whether this is the file of the place, and holds something else now.
    pub(super) fn was_emptied(&self, place: &Place) -> bool {
        self.id == place.id
            && self.born_ns == place.born_ns
            && !self.facts.continues(&place.fingerprint, place.offset)
    }
}

/// What a compressed file keeps of the length of its content.
const LENGTH_KEPT: u64 = 0xffff_ffff;

/// Where a file is that was read up to a place.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Found<'a> {
    /// Under its name.
    Here(&'a Sibling),
    /// Under another name: rotated, or copied and gone itself.
    Moved(&'a Sibling),
    /// Under its name, begun anew; perhaps a copy holds what it was before.
    Emptied(&'a Sibling, Option<&'a Sibling>),
    /// Nowhere.
    Gone,
}

/// Looks for a file among its siblings, itself included.
pub(super) fn locate<'a>(place: &Place, siblings: &'a [Sibling]) -> Found<'a> {
    let path = place.path();
    let copy = copy_of(place, siblings);
    match siblings.iter().find(|sibling| sibling.id == place.id) {
        Some(same) if same.is_at(place) => {
            if same.path == path {
                Found::Here(same)
            } else {
                Found::Moved(same)
            }
        }
        Some(other) if other.path == path => Found::Emptied(other, copy),
        Some(_used_again) => copy.map_or(Found::Gone, Found::Moved),
        None => copy.map_or(Found::Gone, Found::Moved),
    }
}

/// The newest file that begins like the one that was read and reaches as far. How far a compressed
/// one reaches cannot be seen; it must have been written to as late.
pub(super) fn copy_of<'a>(place: &Place, siblings: &'a [Sibling]) -> Option<&'a Sibling> {
    let copies = siblings.iter().filter(|sibling| {
        sibling.id != place.id
            && !place.fingerprint.is_empty()
            && sibling.facts.continues(&place.fingerprint, place.offset)
            && (!sibling.is_packed() || sibling.facts.changed_ns >= place.changed_ns())
    });
    copies.max_by_key(|copy| (!copy.is_packed(), copy.born_ns))
}

/// Whether `other` looks like a rotated file of `name`: `app.log.1`, `app.log-20260102`,
/// `app.log.2.gz`, `app.log.old`. `app.log.err` is a log of its own.
pub(super) fn is_rotated_name(name: &OsStr, other: &OsStr) -> bool {
    const SEPARATORS: &[u8] = b".-_:TZ";
    const WORDS: [&[u8]; 6] = [b"old", b"bak", b"prev", b"save", b"orig", b"gz"];
    let is_numbered = |part: &[u8]| part.iter().all(u8::is_ascii_digit) || WORDS.contains(&part);
    let rest = other.as_bytes().strip_prefix(name.as_bytes());
    rest.is_some_and(|rest| {
        matches!(rest.first(), Some(b'.' | b'-' | b'_'))
            && rest.last().is_some_and(u8::is_ascii_alphanumeric)
            && rest.split(|byte| SEPARATORS.contains(byte)).all(is_numbered)
    })
}

/// Whether the name says that there is a compressed file of the one kind that is read.
pub(super) fn is_gzip(name: &OsStr) -> bool {
    name.as_bytes().ends_with(b".gz")
}

/// Whether the name says that there is no text inside.
pub(super) fn is_compressed(name: &OsStr) -> bool {
    let ends = [".xz", ".bz2", ".zst", ".lz4", ".lzma", ".Z", ".zip", ".journal"];
    is_gzip(name) || ends.iter().any(|end| name.as_bytes().ends_with(end.as_bytes()))
}

/// What the names of a file and of its rotated siblings have in common: `app` of `app.log`,
/// because some rotate to `app-20260102.log`.
pub(super) fn stem(name: &OsStr) -> &OsStr {
    let bytes = name.as_bytes();
    let end = bytes.iter().skip(1).position(|byte| *byte == b'.').map(|at| at + 1);
    OsStr::from_bytes(&bytes[..end.unwrap_or(bytes.len())])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `name inode born content`.
    fn siblings(lines: &str) -> Vec<Sibling> {
        let sibling = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [name, inode, born, content] = words[..] else { panic!("{line}") };
            let head = content.as_bytes().to_vec();
            Sibling {
                length: head.len() as u64,
                path: PathBuf::from("/l").join(name),
                id: FileId { device: 1, inode: inode.parse().unwrap() },
                facts: Facts { size: head.len() as u64, head, changed_ns: born.parse().unwrap() },
                born_ns: born.parse().unwrap(),
            }
        };
        lines.lines().map(str::trim).filter(|line| !line.is_empty()).map(sibling).collect()
    }

    fn place(head: &str, offset: u64) -> Place {
        let id = FileId { device: 1, inode: 7 };
        Place::new(id, Fingerprint::of(head.as_bytes()), offset, Path::new("/l/app.log"), 10, 10)
    }

    /// Where inode 7, read to 8 of `abcdefgh`, made at 10, is found in a directory.
    #[track_caller]
    fn check(directory: &str, expected: &str) {
        let siblings = siblings(directory);
        let name = |sibling: &Sibling| sibling.path.file_name().unwrap().to_owned();
        let found = match locate(&place("abcdefgh", 8), &siblings) {
            Found::Here(_) => "here".to_owned(),
            Found::Moved(to) => format!("moved {:?}", name(to)),
            Found::Emptied(_, None) => "emptied".to_owned(),
            Found::Emptied(_, Some(copy)) => format!("emptied, copy {:?}", name(copy)),
            Found::Gone => "gone".to_owned(),
        };
        assert_eq!(found.replace('"', ""), expected);
    }

    #[test]
    fn a_file_is_found_again_after_every_kind_of_rotation() {
        check("app.log 7 10 abcdefgh", "here");
        check("app.log 7 10 abcdefghijk", "here");
        check("app.log.1 7 10 abcdefghij \n app.log 8 20 new", "moved app.log.1");
        check("elsewhere 7 10 abcdefgh", "moved elsewhere");
        check("app.log 7 10 abc", "emptied");
        check("app.log 7 10 xbcdefghijk", "emptied");
        check("app.log 7 10 new \n app.log.1 9 20 abcdefghi", "emptied, copy app.log.1");
        check("app.log 8 20 new", "gone");
        check("", "gone");
    }

    #[test]
    fn a_number_used_again_is_not_the_file() {
        check("app.log 8 20 new \n other.log 7 20 fresh", "gone");
        check(
            "app.log 8 20 new \n app.log.1 7 20 fresh \n app.log.2 9 9 abcdefgh",
            "moved app.log.2",
        );
    }

    #[test]
    fn a_copy_that_does_not_reach_far_enough_or_is_older_is_not_taken() {
        check("app.log 7 10 new \n app.log.1 9 20 abcdef", "emptied");
        check(
            "app.log 7 10 new \n app.log.1 9 30 abcdefgh \n app.log.2 5 20 abcdefgh",
            "emptied, copy app.log.1",
        );
    }

    #[test]
    fn a_compressed_file_is_taken_where_nothing_else_is_there() {
        check("app.log 8 20 new \n app.log.2.gz 9 30 abcdefgh", "moved app.log.2.gz");
        check("app.log 7 10 new \n app.log.1.gz 9 30 abcdefgh", "emptied, copy app.log.1.gz");
        check(
            "app.log 7 10 new \n a.gz 9 30 abcdefgh \n app.log.1 8 20 abcdefgh",
            "emptied, copy app.log.1",
        );
        check("app.log 8 20 new \n app.log.2.gz 9 9 abcdefgh", "gone");
        check("app.log 8 20 new \n app.log.2.gz 9 30 xbcdefgh", "gone");
    }

    #[test]
    fn an_empty_file_has_no_copies() {
        let siblings = siblings("other.log 9 20 abcdef");
        assert_eq!(locate(&place("", 0), &siblings), Found::Gone);
    }

    #[test]
    fn an_empty_file_is_known_by_its_birth() {
        let other = siblings("app.log.1 7 20 abc");
        assert_eq!(locate(&place("", 0), &other), Found::Gone);
        let same = siblings("app.log.1 7 10 abc");
        assert_eq!(locate(&place("", 0), &same), Found::Moved(&same[0]));
    }

    #[test]
    fn a_rotated_file_is_known_by_its_name() {
        let is_rotated = |other: &str| is_rotated_name(OsStr::new("app.log"), OsStr::new(other));
        for other in [
            "app.log.1",
            "app.log.0",
            "app.log.12.gz",
            "app.log-20260102",
            "app.log.old",
            "app.log_2026-01-02T03:04:05Z",
            "app.log-20260102-1767312000.gz",
            "app.log.gz",
        ] {
            assert!(is_rotated(other), "{other}");
        }
        for other in [
            "app.log",
            "app.log2",
            "app.log.",
            "app.log.err",
            "app.log.1.xz",
            "app.log-debug.1",
            "application",
            "app-1.log",
            "app.log~",
            "app.log.1.journal",
        ] {
            assert!(!is_rotated(other), "{other}");
        }
    }

    #[test]
    fn names_of_rotated_files_share_their_stem() {
        for (name, expected) in
            [("app.log", "app"), ("syslog", "syslog"), (".hidden.log", ".hidden")]
        {
            assert_eq!(stem(OsStr::new(name)), expected);
        }
    }
}
