//! An inventory as it is kept over a restart: a head, and its items in compressed pieces.
//!
//! Pure. Pieces are runs of items in order, so that a change writes its own piece again and those
//! that shift behind it, and not the others.

use cordon_proto::codec::{decode_lenient, encode};
use cordon_proto::event::inventory::{Item, Subject};
use cordon_proto::id::Hash;
use minicbor::{Decode, Encode};

use super::compare::Whole;
use crate::inventory::Entry;
use crate::sensor::Checkpoint;

/// Items of one piece, encoded: what is in memory while one is read.
const PIECE_BYTES: usize = 24 << 10;

/// A piece never grows to more than one item beyond [`PIECE_BYTES`].
const PIECE_BYTES_MAX: usize = 256 << 10;

/// Fast, and within a tenth of what more effort would reach on such text.
const COMPRESSION: i32 = 1;

/// What is known of the version last told.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub(super) struct Head {
    /// Its number.
    #[n(0)]
    pub(super) version: u64,
    /// Its hash.
    #[n(1)]
    pub(super) hash: Hash,
    /// Items that were too many.
    #[n(2)]
    pub(super) left_out: u64,
    /// When all of it was last told, nanoseconds since 1970 UTC.
    #[n(3)]
    pub(super) base_ns: u64,
    /// In how many pieces it is kept.
    #[n(4)]
    pub(super) pieces: u32,
}

/// A version as it was kept.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub(super) head: Option<Head>,
    pieces: Vec<(String, Vec<u8>)>,
}

/// The beginning of every key of an inventory.
pub(super) fn prefix(subject: Subject) -> String {
    format!("inventory/{}", subject.name())
}

fn piece_key(subject: Subject, index: usize) -> String {
    format!("{}/{index:05}", prefix(subject))
}

impl Kept {
    /// Reads the checkpoints whose keys begin with [`prefix`].
    pub(super) fn read(subject: Subject, kept: Vec<(String, Vec<u8>)>) -> Self {
        let mut found = Self::default();
        let head_key = prefix(subject);
        for (key, value) in kept {
            if key == head_key {
                found.head = decode_lenient(&value).ok();
            } else {
                found.pieces.push((key, value));
            }
        }
        found.pieces.sort();
        found
    }

    /// All items; none if they are not those that the head speaks of. Then they are told anew.
    pub(super) fn whole(&self) -> Option<Whole> {
        let head = self.head.as_ref()?;
        let mut entries = Vec::new();
        for (_key, piece) in &self.pieces {
            let bytes = zstd::bulk::decompress(piece, PIECE_BYTES_MAX).ok()?;
            let mut decoder = minicbor::Decoder::new(&bytes);
            while decoder.position() < bytes.len() {
                let item: Item = decoder.decode().ok()?;
                entries.push(Entry::of(&item));
            }
        }
        entries.shrink_to_fit();
        let whole = Whole { entries, left_out: head.left_out };
        (whole.hash() == head.hash).then_some(whole)
    }

    /// What has to be written so that `head` and `whole` are kept from now on.
    pub(super) fn replace(
        &self,
        subject: Subject,
        head: Head,
        whole: &Whole,
    ) -> std::io::Result<Vec<Checkpoint>> {
        let mut checkpoints = Vec::new();
        let mut entries = whole.entries.iter().peekable();
        let mut index = 0;
        while entries.peek().is_some() {
            let mut piece = Vec::with_capacity(PIECE_BYTES);
            while piece.len() < PIECE_BYTES
                && let Some(entry) = entries.next()
            {
                piece.extend_from_slice(&entry.bytes);
            }
            let key = piece_key(subject, index);
            let value = zstd::bulk::compress(&piece, COMPRESSION)?;
            if !self.pieces.iter().any(|known| known.0 == key && known.1 == value) {
                checkpoints.push(Checkpoint { key, value: Some(value) });
            }
            index += 1;
        }
        let spare = self.pieces.iter().filter(|(key, _)| *key >= piece_key(subject, index));
        checkpoints.extend(spare.map(|(key, _)| Checkpoint { key: key.clone(), value: None }));
        let pieces = u32::try_from(index).unwrap_or(u32::MAX);
        let head = Head { pieces, ..head };
        checkpoints.push(Checkpoint { key: prefix(subject), value: Some(encode(&head)) });
        Ok(checkpoints)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use cordon_proto::event::inventory::Field;

    use super::*;

    const SUBJECT: Subject = Subject::Packages;

    fn whole(numbers: impl IntoIterator<Item = u32>) -> Whole {
        let entry = |number: u32| {
            let value = format!("version {number}").repeat(3);
            let fields = vec![Field { name: "version".to_owned(), value: value.into() }];
            Entry::of(&Item { key: format!("package {number:06}").into(), fields })
        };
        Whole::of(numbers.into_iter().map(entry).collect())
    }

    fn head(whole: &Whole) -> Head {
        Head { version: 1, hash: whole.hash(), left_out: 0, base_ns: 5, pieces: 0 }
    }

    /// What the spool would hold.
    #[derive(Default)]
    struct Store(BTreeMap<String, Vec<u8>>);

    impl Store {
        fn kept(&self) -> Kept {
            Kept::read(SUBJECT, self.0.clone().into_iter().collect())
        }

        /// Keeps a version; answers how many values were written.
        fn keep(&mut self, whole: &Whole) -> usize {
            let written = self.kept().replace(SUBJECT, head(whole), whole).unwrap();
            for Checkpoint { key, value } in written.clone() {
                match value {
                    Some(value) => self.0.insert(key, value),
                    None => self.0.remove(&key),
                };
            }
            written.len()
        }
    }

    #[test]
    fn what_was_kept_is_read_again_however_much_it_grew_or_shrank() {
        let mut store = Store::default();
        assert!(store.kept().whole().is_none());
        for count in [0, 1, 3000, 40, 900, 0] {
            let whole = whole(0..count);
            store.keep(&whole);
            assert_eq!(store.kept().whole().unwrap(), whole);
        }
        assert_eq!(store.0.len(), 1, "only the head of an empty inventory is left");
    }

    #[test]
    fn a_change_at_the_end_writes_the_last_piece_alone() {
        let mut store = Store::default();
        assert!(store.keep(&whole(0..3000)) > 5);
        assert_eq!(store.keep(&whole(0..3001)), 2, "the piece and the head");
    }

    #[test]
    fn what_is_damaged_or_missing_is_not_taken_for_the_whole() {
        let mut store = Store::default();
        store.keep(&whole(0..3000));
        let key = piece_key(SUBJECT, 1);
        let piece = store.0.insert(key.clone(), vec![1, 2, 3]).unwrap();
        assert!(store.kept().whole().is_none());
        store.0.remove(&key);
        assert!(store.kept().whole().is_none());
        store.0.insert(key, piece);
        assert!(store.kept().whole().is_some());
        store.0.remove(&prefix(SUBJECT));
        assert!(store.kept().whole().is_none());
    }

    #[test]
    fn three_thousand_packages_take_little_room() {
        let mut store = Store::default();
        store.keep(&whole(0..3000));
        let bytes: usize = store.0.values().map(Vec::len).sum();
        assert!(bytes < 64 << 10, "{bytes}");
    }
}
