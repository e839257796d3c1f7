//! The rotated files of each log that have been read, and what one that turns up is.
//!
//! Pure. A rotated file that is not known, and is no copy of one that is, was made, filled and
//! rotated away while nobody looked: it is read from its beginning. Neither its age nor its number
//! says so, because files are copied, emptied and compressed, and numbers are used again. Two
//! contents that begin with the same 256 bytes are told apart by length and time of change alone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::fingerprint::Fingerprint;
use super::judge::Sibling;
use super::place::{FileId, Place};

/// Rotated files that have been read as far as they go.
#[derive(Debug, Default)]
pub(super) struct Past(BTreeMap<FileId, Place>);

/// What a rotated file is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    /// One that has been read: to be kept as such.
    Known(Place),
    /// One to be read on from this place.
    Unread(Place),
    /// Not to be told yet: it is empty, or a copy of what is being read. A copy is read on once its
    /// log has been emptied.
    Open,
}

/// A file of the same log that is being read.
#[derive(Clone, Debug)]
pub(super) struct InHand {
    pub(super) fingerprint: Fingerprint,
    pub(super) head: Vec<u8>,
    pub(super) size: u64,
}

impl Past {
    pub(super) fn keep(&mut self, place: Place) {
        self.0.insert(place.id, place);
    }

    /// What was known of the file with this number.
    pub(super) fn get(&self, id: FileId) -> Option<&Place> {
        self.0.get(&id)
    }

    pub(super) fn places(&self) -> impl Iterator<Item = &Place> {
        self.0.values()
    }

    /// Takes out the files that are there no more.
    pub(super) fn sweep(&mut self, is_gone: impl Fn(&Place) -> bool) -> BTreeSet<FileId> {
        self.0.extract_if(.., |_id, place| is_gone(place)).map(|(id, _place)| id).collect()
    }

    /// Whether this very file has been read as far as its place says.
    pub(super) fn knows(&self, sibling: &Sibling) -> bool {
        self.0.get(&sibling.id).is_some_and(|place| goes_on(place, sibling))
    }

    /// What a rotated file of the log at `log` is, whose lines are wanted since `since_ns`.
    pub(super) fn judge(
        &self,
        log: &Path,
        sibling: &Sibling,
        since_ns: u64,
        in_hand: &[InHand],
    ) -> Verdict {
        let facts = &sibling.facts;
        let place = |fingerprint, offset| {
            let (born_ns, changed_ns) = (sibling.born_ns, facts.changed_ns);
            Place::new(sibling.id, fingerprint, offset, log, born_ns, changed_ns)
        };
        let known = || Verdict::Known(place(Fingerprint::of(&facts.head), sibling.length).past());
        if facts.changed_ns < since_ns {
            return known();
        }
        if facts.head.is_empty() || in_hand.iter().any(|file| file.is_begun_by(sibling)) {
            return Verdict::Open;
        }
        if let Some(read) = self.0.get(&sibling.id).filter(|place| goes_on(place, sibling)) {
            return match sibling.is_packed() || facts.size == read.offset {
                true => known(),
                false => Verdict::Unread(place(read.fingerprint, read.offset)),
            };
        }
        let mut others = self.0.values().filter(|read| read.path() == log);
        if others.any(|read| is_same_content(read, sibling)) {
            return known();
        }
        Verdict::Unread(place(Fingerprint::default(), 0))
    }
}

impl InHand {
    /// Whether all that another file holds may stand at the beginning of this one.
    fn is_begun_by(&self, sibling: &Sibling) -> bool {
        let head = &sibling.facts.head;
        let is_longer = !sibling.is_packed() && sibling.facts.size > self.size;
        let was_read = !self.fingerprint.is_empty() && self.fingerprint.fits(head);
        !is_longer && (self.head.starts_with(head) || was_read)
    }
}

fn goes_on(place: &Place, sibling: &Sibling) -> bool {
    let facts = &sibling.facts;
    !place.fingerprint.is_empty() && facts.continues(&place.fingerprint, place.offset)
}

/// Whether it holds what was read under another number: compressing keeps the time, copying the
/// length; a copy made before the end is older. What came after it is none of this.
fn is_same_content(place: &Place, sibling: &Sibling) -> bool {
    !place.fingerprint.is_empty()
        && place.fingerprint.fits(&sibling.facts.head)
        && (sibling.facts.changed_ns <= place.changed_ns() || sibling.is_as_long(place.offset))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::judge::Facts;
    use super::*;

    fn sibling(name: &str, inode: u64, changed_ns: u64, content: &str) -> Sibling {
        let path = PathBuf::from("/l").join(name);
        let (head, size) = (content.as_bytes().to_vec(), content.len() as u64);
        let is_packed = name.ends_with(".gz");
        let facts = Facts { size: if is_packed { u64::MAX } else { size }, head, changed_ns };
        Sibling { path, id: FileId { device: 1, inode }, facts, born_ns: 1, length: size }
    }

    /// `name inode changed content`.
    fn parse(line: &str) -> Sibling {
        let words: Vec<&str> = line.split_whitespace().chain([""]).collect();
        let [name, inode, changed, content, ..] = words[..] else { panic!("{line}") };
        sibling(name, inode.parse().unwrap(), changed.parse().unwrap(), content)
    }

    /// What a rotated file is where inode 7, `abcd` changed at 10, has been read, and lines are
    /// wanted since 5; `in_hand` is what is being read.
    #[track_caller]
    fn check(file: &str, in_hand: &[&str], expected: &str) {
        let log = Path::new("/l/app.log");
        let mut past = Past::default();
        let Verdict::Known(place) = past.judge(log, &parse("app.log.1 7 10 abcd"), 11, &[]) else {
            panic!("it is history")
        };
        past.keep(place);
        let in_hand: Vec<InHand> = in_hand
            .iter()
            .map(|file| InHand {
                fingerprint: Fingerprint::of(file.as_bytes()),
                head: file.as_bytes().to_vec(),
                size: file.len() as u64,
            })
            .collect();
        let shown = match past.judge(log, &parse(file), 5, &in_hand) {
            Verdict::Known(place) => format!("known to {}", place.offset),
            Verdict::Unread(place) => format!("unread from {}", place.offset),
            Verdict::Open => "open".to_owned(),
        };
        assert_eq!(shown, expected, "{file}");
    }

    #[test]
    fn one_that_was_read_is_known_and_what_was_added_is_not() {
        check("app.log.2 7 10 abcd", &[], "known to 4");
        check("app.log.2 7 99 abcd", &[], "known to 4");
        check("app.log.2 7 20 abcdef", &[], "unread from 4");
    }

    #[test]
    fn one_that_nobody_saw_is_read_whatever_its_number() {
        check("app.log.1 8 20 xyz", &[], "unread from 0");
        check("app.log.1 7 20 xyz", &[], "unread from 0");
        check("app.log.1.gz 8 20 xyz", &["new", "old"], "unread from 0");
        check("app.log.1 8 20 abcdef", &[], "unread from 0");
    }

    #[test]
    fn what_was_read_is_known_again_once_it_is_compressed_or_copied() {
        check("app.log.2.gz 8 10 abcd", &[], "known to 4");
        check("app.log.2.gz 8 99 abcd", &[], "known to 4");
        check("app.log.bak 8 99 abcd", &[], "known to 4");
        check("app.log.bak 8 9 abcdef", &[], "known to 6");
    }

    #[test]
    fn what_is_older_than_the_watch_is_history() {
        check("app.log.1 8 4 xyz", &[], "known to 3");
    }

    #[test]
    fn a_copy_of_what_is_read_is_left_until_that_is_emptied_or_read() {
        check("app.log.1 8 20 xy", &["xyz"], "open");
        check("app.log.1 8 20 xyz", &["xyz"], "open");
        check("app.log.1.gz 8 20 xyz", &["xyz"], "open");
        check("app.log.1 8 20 xyz!", &["xyz"], "unread from 0");
        check("app.log.1 8 20 xyz", &["new"], "unread from 0");
        check("app.log.1 8 20", &["new"], "open");
    }
}
