//! Reads a file of records on from where it was left, over rotations and restarts.
//!
//! The file is opened anew by each who writes to it, so that nothing is written to one that was
//! rotated away for longer than a moment. One that was emptied and written past the place where
//! reading stood cannot be told from one that grew.

use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use minicbor::{Decode, Encode};

use super::record::RECORD_BYTES;

/// Records of one round, so that they fit a sample with room for what they end.
pub(super) const ROUND_RECORDS_MAX: usize = 128;

/// How far back it is looked for who is logged in.
const LOOK_BACK_BYTES: u64 = 4 << 20;

/// Where reading stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Encode, Decode)]
pub(super) struct Place {
    #[n(0)]
    pub(super) device: u64,
    #[n(1)]
    pub(super) inode: u64,
    #[n(2)]
    pub(super) offset: u64,
}

impl Place {
    fn at(metadata: &Metadata, offset: u64) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino(), offset }
    }

    fn is_of(&self, metadata: &Metadata) -> bool {
        (self.device, self.inode) == (metadata.dev(), metadata.ino())
    }
}

/// A file under watch.
#[derive(Debug)]
pub(super) struct Tail {
    path: PathBuf,
    file: Option<File>,
    place: Option<Place>,
    /// Whether it was looked at before: a file that appears later is read from its beginning.
    is_known: bool,
}

/// What one round came to.
#[derive(Debug, Default)]
pub(super) struct Round {
    /// Records, each with where it began.
    pub(super) records: Vec<(u64, [u8; RECORD_BYTES])>,
    /// What could not be read any more.
    pub(super) lost: Option<String>,
    /// Whether there is more at once.
    pub(super) has_more: bool,
}

impl Tail {
    /// `kept` is where the run before stood, if there was one.
    pub(super) fn new(path: PathBuf, kept: Option<Place>) -> Self {
        Self { path, file: None, place: kept, is_known: kept.is_some() }
    }

    /// Where reading stands; none while there is no file.
    pub(super) fn place(&self) -> Option<Place> {
        self.place
    }

    /// Whether there is a file.
    pub(super) fn is_open(&self) -> bool {
        self.file.is_some()
    }

    /// Reads what there is to be read.
    pub(super) fn round(&mut self) -> io::Result<Round> {
        let mut round = Round::default();
        if self.file.is_none() {
            self.open(&mut round)?;
        }
        self.drain(&mut round)?;
        if !round.has_more && self.is_rotated()? {
            self.begin(0)?;
            self.drain(&mut round)?;
        }
        Ok(round)
    }

    /// What stands before the place, as far as it is looked at: who may be logged in.
    pub(super) fn before(&self, mut each: impl FnMut(&[u8; RECORD_BYTES])) -> io::Result<()> {
        let (Some(file), Some(place)) = (&self.file, self.place) else { return Ok(()) };
        let mut offset = whole(place.offset.saturating_sub(LOOK_BACK_BYTES));
        let mut record = [0; RECORD_BYTES];
        while offset < place.offset {
            file.read_exact_at(&mut record, offset)?;
            each(&record);
            offset += STEP;
        }
        Ok(())
    }

    /// Opens the file that was read before, also under another name, or the one that is there.
    pub(super) fn open(&mut self, round: &mut Round) -> io::Result<()> {
        let Some(place) = self.place else {
            let was_known = std::mem::replace(&mut self.is_known, true);
            return self.begin(if was_known { 0 } else { u64::MAX });
        };
        for path in [self.path.clone()].into_iter().chain(self.siblings()) {
            let Some(file) = absent_is_none(File::open(path))? else { continue };
            if place.is_of(&file.metadata()?) {
                self.file = Some(file);
                return Ok(());
            }
        }
        round.lost = Some(format!("what was read last of {} is gone", self.path.display()));
        self.begin(0)
    }

    /// Opens the file that is there, at a place or its end.
    fn begin(&mut self, offset: u64) -> io::Result<()> {
        self.file = absent_is_none(File::open(&self.path))?;
        self.place = match &self.file {
            Some(file) => {
                let metadata = file.metadata()?;
                Some(Place::at(&metadata, whole(offset.min(metadata.len()))))
            }
            None => None,
        };
        Ok(())
    }

    fn drain(&mut self, round: &mut Round) -> io::Result<()> {
        let (Some(file), Some(place)) = (&self.file, &mut self.place) else { return Ok(()) };
        let length = file.metadata()?.len();
        if length < place.offset {
            round.lost = Some(format!("{} was emptied", self.path.display()));
            place.offset = 0;
        }
        while place.offset.saturating_add(STEP) <= length {
            if round.records.len() >= ROUND_RECORDS_MAX {
                round.has_more = true;
                break;
            }
            let mut record = [0; RECORD_BYTES];
            file.read_exact_at(&mut record, place.offset)?;
            round.records.push((place.offset, record));
            place.offset += STEP;
        }
        Ok(())
    }

    /// Whether another file has the name now.
    fn is_rotated(&self) -> io::Result<bool> {
        let Some(now) = absent_is_none(std::fs::metadata(&self.path))? else { return Ok(false) };
        Ok(self.place.is_none_or(|place| !place.is_of(&now)))
    }

    /// Files whose names begin like this one's: what it is rotated to.
    fn siblings(&self) -> Vec<PathBuf> {
        let (Some(folder), Some(name)) = (self.path.parent(), self.path.file_name()) else {
            return Vec::new();
        };
        let is_sibling =
            |other: &OsStr| other != name && other.as_bytes().starts_with(name.as_bytes());
        let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
        let names = entries.map(|entry| entry.file_name()).filter(|other| is_sibling(other));
        names.take(SIBLINGS_MAX).map(|name| Path::join(folder, name)).collect()
    }
}

/// Rotated files that are looked at.
const SIBLINGS_MAX: usize = 64;

const STEP: u64 = RECORD_BYTES as u64;

/// A place where a record begins.
fn whole(offset: u64) -> u64 {
    offset - offset % STEP
}

fn absent_is_none<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    struct Scene {
        folder: tempfile::TempDir,
        tail: Tail,
    }

    impl Scene {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let tail = Tail::new(folder.path().join("wtmp"), None);
            Self { folder, tail }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        /// Appends records that are known by a letter.
        fn write(&self, letters: &str) {
            let mut file =
                File::options().create(true).append(true).open(self.path("wtmp")).unwrap();
            for letter in letters.bytes() {
                file.write_all(&[letter; RECORD_BYTES]).unwrap();
            }
        }

        fn rotate(&self) {
            std::fs::rename(self.path("wtmp"), self.path("wtmp.1")).unwrap();
        }

        fn restart(&mut self) {
            self.tail = Tail::new(self.path("wtmp"), self.tail.place());
        }

        #[track_caller]
        fn check(&mut self, letters: &str, is_lost: bool) {
            let round = self.tail.round().unwrap();
            let read = round.records.iter().map(|(_, record)| char::from(record[0]));
            assert_eq!(read.collect::<String>(), letters);
            assert_eq!(round.lost.is_some(), is_lost, "{:?}", round.lost);
        }
    }

    #[test]
    fn what_is_there_at_first_is_not_read_and_what_comes_is_read_once() {
        let mut scene = Scene::new();
        scene.write("ab");
        scene.check("", false);
        scene.write("cd");
        scene.check("cd", false);
        scene.check("", false);
        let mut seen = Vec::new();
        scene.tail.before(|record| seen.push(record[0])).unwrap();
        assert_eq!(seen, b"abcd");
    }

    #[test]
    fn a_file_that_appears_later_is_read_from_its_beginning() {
        let mut scene = Scene::new();
        scene.check("", false);
        assert!(!scene.tail.is_open());
        scene.write("a");
        scene.check("a", false);
    }

    #[test]
    fn a_record_that_is_not_whole_yet_is_waited_for() {
        let mut scene = Scene::new();
        scene.write("a");
        scene.check("", false);
        let mut file = File::options().append(true).open(scene.path("wtmp")).unwrap();
        file.write_all(&[b'b'; 100]).unwrap();
        scene.check("", false);
        file.write_all(&[b'b'; RECORD_BYTES - 100]).unwrap();
        scene.check("b", false);
    }

    #[test]
    fn a_rotation_loses_nothing_also_over_a_restart() {
        let mut scene = Scene::new();
        scene.write("a");
        scene.check("", false);
        scene.write("b");
        scene.rotate();
        scene.write("c");
        scene.check("bc", false);
        scene.write("d");
        scene.rotate();
        scene.write("e");
        scene.restart();
        scene.check("de", false);
        scene.restart();
        scene.check("", false);
    }

    #[test]
    fn what_is_gone_or_emptied_is_told() {
        let mut scene = Scene::new();
        scene.write("abc");
        scene.check("", false);
        scene.rotate();
        std::fs::remove_file(scene.path("wtmp.1")).unwrap();
        scene.write("d");
        scene.restart();
        scene.check("d", true);
        File::create(scene.path("wtmp")).unwrap();
        scene.check("", true);
        scene.write("e");
        scene.check("e", false);
    }

    #[test]
    fn many_records_are_read_in_rounds() {
        let mut scene = Scene::new();
        scene.check("", false);
        scene.write(&"x".repeat(ROUND_RECORDS_MAX + 1));
        assert!(scene.tail.round().unwrap().has_more);
        scene.check("x", false);
    }
}
