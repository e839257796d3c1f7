//! An entry's place in the journal, and how it is kept over a restart.

use cordon_proto::codec::{decode_lenient, encode};
use minicbor::{Decode, Encode};

use super::limit::Held;
use crate::sensor::Checkpoint;

/// Under which key the place is kept.
const KEY: &str = "journal/place";

/// A cursor, as journald writes them:
/// `s=FILES;i=NUMBER;b=BOOT;m=MONOTONIC;t=REALTIME;x=HASH`, numbers in hexadecimal.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Cursor<'a> {
    /// The files whose entries are numbered together.
    files: &'a str,
    number: u64,
    boot: &'a str,
    monotonic: &'a str,
    /// Microseconds since 1970.
    realtime_us: u64,
    hash: &'a str,
}

impl<'a> Cursor<'a> {
    pub(super) fn read(text: &'a str) -> Option<Self> {
        let mut parts = text.split(';');
        let mut part = |name: &str| parts.next()?.strip_prefix(name)?.strip_prefix('=');
        let hex = |text: &str| u64::from_str_radix(text, 16).ok();
        Some(Self {
            files: part("s")?,
            number: hex(part("i")?)?,
            boot: part("b")?,
            monotonic: part("m")?,
            realtime_us: hex(part("t")?)?,
            hash: part("x")?,
        })
    }

    pub(super) fn time_ns(&self) -> u64 {
        self.realtime_us.saturating_mul(1000)
    }

    /// Whether both name one entry. Its number changes when journald moves it from memory to disk;
    /// when, in which boot, and what it says do not.
    fn is_same(&self, other: &Self) -> bool {
        let what = |cursor: &Self| cursor.realtime_us;
        what(self) == what(other)
            && (self.boot, self.monotonic, self.hash) == (other.boot, other.monotonic, other.hash)
    }
}

/// What lies between two entries that were read one after the other.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Between {
    /// They are one.
    Same,
    /// Nothing that can be told: the second follows, or is numbered by others.
    Nothing,
    /// So many entries.
    Missing(u64),
}

/// Compares the places of two entries, `after` having been read next.
pub(super) fn between(before: &str, after: &str) -> Between {
    let (Some(before), Some(after)) = (Cursor::read(before), Cursor::read(after)) else {
        return Between::Nothing;
    };
    if before.is_same(&after) {
        return Between::Same;
    }
    match after.number.checked_sub(before.number) {
        Some(2..) if before.files == after.files => {
            Between::Missing(after.number - before.number - 1)
        }
        Some(_) | None => Between::Nothing,
    }
}

/// Whether an entry was made before another.
pub(super) fn is_before(one: &str, other: &str) -> bool {
    match (Cursor::read(one), Cursor::read(other)) {
        (Some(one), Some(other)) if one.files == other.files => one.number < other.number,
        (Some(one), Some(other)) => one.realtime_us < other.realtime_us,
        (None, _) | (_, None) => false,
    }
}

/// Where reading stands, and what was dropped up to there and not told yet.
#[derive(Clone, Debug, Default, Eq, PartialEq, Encode, Decode)]
pub(super) struct Place {
    #[n(0)]
    pub(super) cursor: String,
    #[n(1)]
    pub(super) held: Vec<Held>,
}

impl Place {
    pub(super) fn checkpoint(&self) -> Checkpoint {
        Checkpoint { key: KEY.to_owned(), value: Some(encode(self)) }
    }

    /// The place among what was kept, of this sensor and others.
    pub(super) fn restored(kept: Vec<Checkpoint>) -> Option<Self> {
        let own = kept.into_iter().find(|checkpoint| checkpoint.key == KEY)?;
        let place: Self = decode_lenient(&own.value?).ok()?;
        Cursor::read(&place.cursor).is_some().then_some(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor(files: &str, number: u64, realtime: u64) -> String {
        format!("s={files};i={number:x};b=b0;m={realtime:x};t={realtime:x};x=ff{realtime:x}")
    }

    #[track_caller]
    fn check(before: &str, after: &str, expected: Between) {
        assert_eq!(between(before, after), expected, "{before} {after}");
    }

    #[test]
    fn entries_that_are_missing_are_counted_where_they_were_numbered() {
        check(&cursor("a", 5, 100), &cursor("a", 5, 100), Between::Same);
        check(&cursor("a", 5, 100), &cursor("b", 77, 100), Between::Same);
        check(&cursor("a", 5, 100), &cursor("a", 6, 101), Between::Nothing);
        check(&cursor("a", 5, 100), &cursor("a", 26, 101), Between::Missing(20));
        check(&cursor("a", 5, 100), &cursor("b", 26, 101), Between::Nothing);
        check(&cursor("a", 5, 100), &cursor("a", 2, 101), Between::Nothing);
        check("nonsense", &cursor("a", 2, 101), Between::Nothing);
    }

    #[test]
    fn entries_are_put_in_their_order_by_number_or_else_by_time() {
        assert!(is_before(&cursor("a", 5, 100), &cursor("a", 6, 90)));
        assert!(is_before(&cursor("a", 9, 100), &cursor("b", 1, 101)));
        assert!(!is_before(&cursor("a", 5, 100), &cursor("b", 5, 100)));
    }

    #[test]
    fn a_place_is_the_same_after_a_restart() {
        let place = Place { cursor: cursor("a", 5, 100), held: Vec::new() };
        let foreign = Checkpoint { key: "log/1/2".to_owned(), value: Some(vec![1]) };
        assert_eq!(Place::restored(vec![foreign.clone(), place.checkpoint()]), Some(place));
        let broken = Place { cursor: "x".to_owned(), held: Vec::new() }.checkpoint();
        assert_eq!(Place::restored(vec![foreign, broken]), None);
    }
}
