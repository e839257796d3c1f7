//! Where reading stands in one file, as it is kept over a restart.

use std::ffi::OsStr;
use std::fs::Metadata;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use cordon_proto::Text;
use cordon_proto::codec::{decode_lenient, encode};
use minicbor::{Decode, Encode};

use crate::sensor::Checkpoint;

use super::fingerprint::Fingerprint;

/// A file, whatever its name; numbers are used again once a file is gone.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash, Encode, Decode)]
pub(super) struct FileId {
    #[n(0)]
    pub(super) device: u64,
    #[n(1)]
    pub(super) inode: u64,
}

impl FileId {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }

    fn key(self) -> String {
        format!("log/{}/{}", self.device, self.inode)
    }

    /// Apart from that of a place, because a number may be used again while it is still to be known
    /// what the one before it held.
    fn past_key(self) -> String {
        format!("log/past/{}/{}", self.device, self.inode)
    }

    /// Forgets the file's place.
    pub(super) fn forget(self) -> Checkpoint {
        Checkpoint { key: self.key(), value: None }
    }

    /// Forgets that the file was read and let go.
    pub(super) fn forget_past(self) -> Checkpoint {
        Checkpoint { key: self.past_key(), value: None }
    }
}

/// When the file was made, nanoseconds since 1970; 0 where the file system does not say.
pub(super) fn born_ns(metadata: &Metadata) -> u64 {
    let since = metadata.created().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    since.and_then(|since| u64::try_from(since.as_nanos()).ok()).unwrap_or(0)
}

/// A file, and how far it was read.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub(super) struct Place {
    #[n(0)]
    pub(super) id: FileId,
    #[n(1)]
    pub(super) fingerprint: Fingerprint,
    /// Where the first line not yet handed over begins.
    #[n(2)]
    pub(super) offset: u64,
    /// The path as watched.
    #[n(3)]
    pub(super) path: Text,
    /// When the file was made.
    #[n(4)]
    pub(super) born_ns: u64,
    /// When it had last been written to when it was read last.
    #[n(5)]
    pub(super) changed_ns: Option<u64>,
    /// Whether it was rotated away, read to its end and let go.
    #[n(6)]
    pub(super) is_past: Option<bool>,
    /// How much room it took on the disk when that was found.
    #[n(7)]
    pub(super) disk_bytes: Option<u64>,
}

impl Place {
    pub(super) fn new(
        id: FileId,
        fingerprint: Fingerprint,
        offset: u64,
        path: &Path,
        born_ns: u64,
        changed_ns: u64,
    ) -> Self {
        let (path, changed_ns) = (path.as_os_str().as_bytes().into(), Some(changed_ns));
        let (is_past, disk_bytes) = (None, None);
        Self { id, fingerprint, offset, path, born_ns, changed_ns, is_past, disk_bytes }
    }

    /// The same of a file that was rotated away and read to its end.
    pub(super) fn past(self) -> Self {
        Self { is_past: Some(true), ..self }
    }

    pub(super) fn is_past(&self) -> bool {
        self.is_past == Some(true)
    }

    /// When the file had last been written to; 0 where an older version did not keep that.
    pub(super) fn changed_ns(&self) -> u64 {
        self.changed_ns.unwrap_or_default()
    }

    pub(super) fn path(&self) -> PathBuf {
        PathBuf::from(OsStr::from_bytes(self.path.as_bytes()))
    }

    pub(super) fn checkpoint(&self) -> Checkpoint {
        let key = if self.is_past() { self.id.past_key() } else { self.id.key() };
        Checkpoint { key, value: Some(encode(self)) }
    }
}

/// What was kept over a restart.
#[derive(Debug, Default)]
pub(super) struct Restored {
    /// Files, the oldest first.
    pub(super) places: Vec<Place>,
    /// Paths that were watched before, and since when: a file of theirs without a place is new.
    pub(super) patterns: Vec<(String, u64)>,
    /// Keys whose values cannot be read.
    pub(super) unreadable: Vec<String>,
}

const PATTERN_KEY: &str = "log/path/";

/// Notes that a path is watched since then, nanoseconds since 1970.
pub(super) fn watched(pattern: &str, since_ns: u64) -> Checkpoint {
    Checkpoint { key: format!("{PATTERN_KEY}{pattern}"), value: Some(encode(&since_ns)) }
}

impl Restored {
    /// Reads this sensor's checkpoints; passes over those of others.
    pub(super) fn read(checkpoints: Vec<Checkpoint>) -> Self {
        let mut restored = Self::default();
        for Checkpoint { key, value } in checkpoints {
            let Some(value) = value.filter(|_value| key.starts_with("log/")) else { continue };
            if let Some(pattern) = key.strip_prefix(PATTERN_KEY) {
                match decode_lenient(&value) {
                    Ok(since_ns) => restored.patterns.push((pattern.to_owned(), since_ns)),
                    Err(_not_a_time) => restored.unreadable.push(key),
                }
                continue;
            }
            match decode_lenient(&value) {
                Ok(place) => restored.places.push(place),
                Err(_not_a_place) => restored.unreadable.push(key),
            }
        }
        restored.places.sort_by_key(|place| place.born_ns);
        restored
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_the_same_after_a_restart_and_what_is_foreign_is_passed_over() {
        let id = FileId { device: 2049, inode: u64::MAX };
        let path = Path::new(OsStr::from_bytes(b"/var/log/\xff.log"));
        let place = Place::new(id, Fingerprint::of(b"head"), 1 << 40, path, 7, 9);
        assert_eq!(place.path(), path);
        let checkpoint = place.checkpoint();
        assert_eq!(checkpoint.key, format!("log/2049/{}", u64::MAX));
        let foreign = Checkpoint { key: "disk/1".to_owned(), value: Some(vec![1]) };
        let past = place.clone().past();
        assert_eq!(past.checkpoint().key, format!("log/past/2049/{}", u64::MAX));
        let broken = Checkpoint { key: "log/1/1".to_owned(), value: Some(vec![1]) };
        let kept = vec![
            foreign,
            checkpoint,
            past.checkpoint(),
            id.forget(),
            broken,
            watched("/var/log/*.log", 5),
        ];
        let restored = Restored::read(kept);
        assert_eq!(restored.places, [place, past]);
        assert_eq!(restored.patterns, [("/var/log/*.log".to_owned(), 5)]);
        assert_eq!(restored.unreadable, ["log/1/1"]);
    }
}
