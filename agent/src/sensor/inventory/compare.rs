//! What differs between two versions of an inventory, and the events that say so.
//!
//! Pure. Differences are made one at a time and packed into parts of bounded size, so that a list
//! of thousands of packages is never in memory a second time.

use std::cmp::Ordering;
use std::iter::Peekable;
use std::slice::Iter;

use cordon_proto::codec::encode;
use cordon_proto::event::Severity;
use cordon_proto::event::inventory::rebuilt::WholeHash;
use cordon_proto::event::inventory::{Change, Field, Inventory, Subject};
use cordon_proto::id::Hash;
use cordon_proto::limits::{INVENTORY_ITEMS_MAX, INVENTORY_PART_BYTES_MAX};

use super::warning;
use crate::inventory::Entry;

/// All items of one version, in the order of their keys, each key once.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Whole {
    pub(super) entries: Vec<Entry>,
    /// Items that were found and are too many.
    pub(super) left_out: u64,
}

impl Whole {
    /// Brings items in order. Of several with one key the first in order is kept.
    pub(super) fn of(mut entries: Vec<Entry>) -> Self {
        entries.sort_unstable_by(|a, b| (&a.key, &a.bytes).cmp(&(&b.key, &b.bytes)));
        entries.dedup_by(|a, b| a.key == b.key);
        let left_out = entries.len().saturating_sub(INVENTORY_ITEMS_MAX);
        entries.truncate(INVENTORY_ITEMS_MAX);
        entries.shrink_to_fit();
        Self { entries, left_out: u64::try_from(left_out).unwrap_or(u64::MAX) }
    }

    /// Takes over what is missing here: where something could not be looked at, that an item was
    /// not found does not mean that it is gone.
    pub(super) fn keep_missing(&mut self, before: &Self) {
        let has =
            |entry: &&Entry| self.entries.binary_search_by(|own| own.key.cmp(&entry.key)).is_ok();
        let missing: Vec<Entry> =
            before.entries.iter().filter(|entry| !has(entry)).cloned().collect();
        let left_out = self.left_out;
        let mut entries = std::mem::take(&mut self.entries);
        entries.extend(missing);
        *self = Self::of(entries);
        self.left_out = self.left_out.saturating_add(left_out);
    }

    pub(super) fn hash(&self) -> Hash {
        let mut hasher = WholeHash::default();
        self.entries.iter().for_each(|entry| hasher.add(&entry.bytes));
        hasher.finish()
    }
}

/// Which version is told, and of what.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Version {
    pub(super) subject: Subject,
    pub(super) number: u64,
    pub(super) is_base: bool,
    pub(super) hash: Hash,
}

/// The events of one version. For a base nothing was before.
pub(super) struct Parts<'a> {
    version: Version,
    now: &'a Whole,
    packed: Packed<'a>,
    part: u32,
    parts: u32,
}

/// One event, and how grave it is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Part {
    pub(super) severity: Severity,
    pub(super) event: Inventory,
}

impl<'a> Parts<'a> {
    pub(super) fn of(version: Version, before: Option<&'a Whole>, now: &'a Whole) -> Self {
        let packed = || Packed::of(version.subject, before, now, version.is_base);
        // An empty base is told too: that nothing is there is what it says.
        let parts =
            u32::try_from(packed().count()).unwrap_or(u32::MAX).max(u32::from(version.is_base));
        Self { version, now, packed: packed(), part: 0, parts }
    }
}

impl Iterator for Parts<'_> {
    type Item = Part;

    fn next(&mut self) -> Option<Part> {
        if self.part >= self.parts {
            return None;
        }
        let (severity, changes) = self.packed.next().unwrap_or_default();
        let Version { subject, number: version, is_base, hash } = self.version;
        let (part, parts, left_out) = (self.part, self.parts, self.now.left_out);
        let items = u64::try_from(self.now.entries.len()).unwrap_or(u64::MAX);
        self.part = part.saturating_add(1);
        let event =
            Inventory { subject, version, is_base, part, parts, changes, items, hash, left_out };
        Some(Part { severity, event })
    }
}

/// Changes in runs that fit an event.
struct Packed<'a> {
    subject: Subject,
    is_base: bool,
    differences: Peekable<Differences<'a>>,
}

impl<'a> Packed<'a> {
    fn of(subject: Subject, before: Option<&'a Whole>, now: &'a Whole, is_base: bool) -> Self {
        let before = before.filter(|_whole| !is_base).map_or(&[][..], |whole| &whole.entries);
        let differences =
            Differences { before: before.iter().peekable(), now: now.entries.iter().peekable() };
        Self { subject, is_base, differences: differences.peekable() }
    }
}

impl Iterator for Packed<'_> {
    type Item = (Severity, Vec<Change>);

    fn next(&mut self) -> Option<(Severity, Vec<Change>)> {
        let mut severity = Severity::Informational;
        let mut changes = Vec::new();
        let mut bytes = 0;
        while let Some(change) = self.differences.peek() {
            let change_bytes = encode(change).len();
            if !changes.is_empty() && bytes + change_bytes > INVENTORY_PART_BYTES_MAX {
                break;
            }
            bytes += change_bytes;
            let Some(mut change) = self.differences.next() else { break };
            // What was there before anybody looked is no change.
            if let Some((grave, why)) = warning::of(self.subject, &change).filter(|_| !self.is_base)
            {
                severity = severity.max(grave);
                change.warning = why.map(str::to_owned);
            }
            changes.push(change);
        }
        (!changes.is_empty()).then_some((severity, changes))
    }
}

/// Walks through two versions side by side.
struct Differences<'a> {
    before: Peekable<Iter<'a, Entry>>,
    now: Peekable<Iter<'a, Entry>>,
}

impl Iterator for Differences<'_> {
    type Item = Change;

    fn next(&mut self) -> Option<Change> {
        loop {
            let order = match (self.before.peek(), self.now.peek()) {
                (None, None) => return None,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(before), Some(now)) => before.key.cmp(&now.key),
            };
            let (before, now) = match order {
                Ordering::Less => (self.before.next(), None),
                Ordering::Greater => (None, self.now.next()),
                Ordering::Equal => (self.before.next(), self.now.next()),
            };
            if before.map(|entry| &entry.bytes) != now.map(|entry| &entry.bytes) {
                return Some(change(before, now));
            }
        }
    }
}

fn change(before: Option<&Entry>, now: Option<&Entry>) -> Change {
    // They were encoded by this agent: they can be read.
    let fields = |entry: &Entry| entry.item().map(|item| item.fields).unwrap_or_default();
    let after = now.map(fields);
    let differs = |field: &Field| after.as_ref().is_none_or(|after| !after.contains(field));
    let before_fields = before.map(|entry| fields(entry).into_iter().filter(differs).collect());
    let key = before.or(now).map(|entry| entry.key.clone()).unwrap_or_default();
    Change { key, before: before_fields, after, warning: None }
}

#[cfg(test)]
mod tests {
    use cordon_proto::event::inventory::Item;
    use cordon_proto::event::inventory::rebuilt::{Progress, Rebuilt};
    use cordon_proto::{codec, limits};
    use proptest::prelude::*;

    use super::*;

    /// `a=1 b=2`.
    fn whole(text: &str) -> Whole {
        let entry = |word: &str| {
            let (key, value) = word.split_once('=').unwrap();
            let fields = vec![Field { name: "value".to_owned(), value: value.into() }];
            Entry::of(&Item { key: key.into(), fields })
        };
        Whole::of(text.split_whitespace().map(entry).collect())
    }

    fn parts(number: u64, before: Option<&Whole>, now: &Whole) -> Vec<Part> {
        let (subject, is_base, hash) = (Subject::Packages, before.is_none(), now.hash());
        Parts::of(Version { subject, number, is_base, hash }, before, now).collect()
    }

    #[track_caller]
    fn check(before: &str, now: &str, expected: &str) {
        let parts = parts(2, Some(&whole(before)), &whole(now));
        let value = |fields: &Option<Vec<Field>>| {
            let fields = fields.iter().flatten();
            fields.map(|field| field.value.to_lossy().into_owned()).collect::<String>()
        };
        let changes = parts.iter().flat_map(|part| &part.event.changes);
        let shown = changes.map(|change| {
            let Change { key, before, after, .. } = change;
            format!("{}={}>{}", key.to_lossy(), value(before), value(after))
        });
        assert_eq!(shown.collect::<Vec<_>>().join(" "), expected);
    }

    #[test]
    fn what_was_added_removed_and_changed_is_told_and_nothing_else() {
        check("a=1 b=2 c=3", "a=1 b=4 d=5", "b=2>4 c=3> d=>5");
        check("a=1", "a=1", "");
        check("", "b=1 a=1", "a=>1 b=>1");
        check("b=1 a=1", "", "a=1> b=1>");
    }

    #[test]
    fn where_something_could_not_be_looked_at_nothing_is_taken_for_gone() {
        let mut now = whole("b=9 d=1");
        now.keep_missing(&whole("a=1 b=2 c=3"));
        assert_eq!(now, whole("a=1 b=9 c=3 d=1"));
    }

    #[test]
    fn an_empty_base_is_one_empty_part() {
        let parts = parts(1, None, &whole(""));
        assert_eq!(parts.len(), 1);
        assert!(parts[0].event.is_base && parts[0].event.changes.is_empty());
    }

    #[test]
    fn items_beyond_the_limit_are_counted() {
        let text: String = (0..INVENTORY_ITEMS_MAX + 3).map(|n| format!("k{n:06}=1 ")).collect();
        let whole = whole(&text);
        assert_eq!((whole.entries.len(), whole.left_out), (INVENTORY_ITEMS_MAX, 3));
        let parts = parts(1, None, &whole);
        assert!(parts.len() > 5 && parts.iter().all(|part| part.event.left_out == 3));
        let bytes = parts.iter().map(|part| codec::encode(&part.event).len()).max().unwrap();
        assert!(bytes < limits::EVENT_BYTES_MAX / 2, "{bytes}");
    }

    proptest! {
        #[test]
        fn whoever_takes_in_every_part_has_the_whole(
            versions in proptest::collection::vec(
                proptest::collection::btree_map("[a-f]{1,2}", "[0-9]{1,3}", 0..12), 1..6)
        ) {
            let mut rebuilt = Rebuilt::new(Subject::Packages);
            let mut before: Option<Whole> = None;
            let mut number = 0;
            for version in versions {
                let text: String = version.iter().map(|(key, value)| format!("{key}={value} ")).collect();
                let now = whole(&text);
                if before.as_ref() == Some(&now) {
                    continue;
                }
                number += 1;
                let mut progress = Progress::Partial;
                for part in parts(number, before.as_ref(), &now) {
                    progress = rebuilt.apply(&part.event).unwrap();
                }
                prop_assert_eq!(progress, Progress::Whole);
                prop_assert_eq!(rebuilt.items().len(), now.entries.len());
                before = Some(now);
            }
        }
    }
}
