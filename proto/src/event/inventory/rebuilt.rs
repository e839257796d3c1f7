//! Puts an inventory together again from its events, and says whether the whole is there.
//!
//! Pure. Events must come in the order of their lane; what another inventory says is refused, not
//! passed over, so that a mistake of the caller is seen.

use std::collections::BTreeMap;

use ring::digest::{Context, SHA256};

use super::{Change, Field, Inventory, Item, Subject};
use crate::Text;
use crate::id::Hash;
use crate::limits::INVENTORY_ITEMS_MAX;

/// An inventory as far as its events tell of it.
#[derive(Clone, Debug)]
pub struct Rebuilt {
    subject: Subject,
    version: u64,
    items: BTreeMap<Text, Vec<Field>>,
    coming: Option<Coming>,
}

/// A version of which not all parts have come.
#[derive(Clone, Debug)]
struct Coming {
    version: u64,
    next_part: u32,
    items: BTreeMap<Text, Vec<Field>>,
}

/// Whether a version is whole now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Progress {
    /// More parts are to come.
    Partial,
    /// The version is complete, and its hash is the one it must be.
    Whole,
}

/// Why an event does not fit. The inventory stays as it was; the next base makes it good.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RebuildError {
    /// It tells of something else.
    #[error("the event is of another inventory")]
    Foreign,
    /// Something before it is missing.
    #[error("version {version} part {part} does not follow what is known: something is missing")]
    Missing {
        /// The event's version.
        version: u64,
        /// The event's part.
        part: u32,
    },
    /// It changes what is not there, or adds what is.
    #[error("version {version} changes an item that is not as it says")]
    Contradiction {
        /// The event's version.
        version: u64,
    },
    /// All parts came, and the whole is not what the endpoint had.
    #[error("version {version} is not what its hash says")]
    WrongHash {
        /// The event's version.
        version: u64,
    },
    /// More items than an inventory may have.
    #[error("the inventory has more items than one may have")]
    TooMany,
}

impl Rebuilt {
    /// An inventory of which nothing is known yet.
    #[must_use]
    pub fn new(subject: Subject) -> Self {
        Self { subject, version: 0, items: BTreeMap::new(), coming: None }
    }

    /// The last whole version; 0 before the first.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The items of the last whole version, in the order of their keys.
    #[must_use]
    pub fn items(&self) -> &BTreeMap<Text, Vec<Field>> {
        &self.items
    }

    /// Takes the next event in.
    pub fn apply(&mut self, event: &Inventory) -> Result<Progress, RebuildError> {
        let Inventory { version, part, parts, .. } = *event;
        if event.subject != self.subject {
            return Err(RebuildError::Foreign);
        }
        let missing = RebuildError::Missing { version, part };
        let begun = self.coming.take();
        let mut coming = match (part, begun) {
            (0, _) if event.is_base => Coming { version, next_part: 0, items: BTreeMap::new() },
            (0, _) if version == self.version.saturating_add(1) => {
                Coming { version, next_part: 0, items: self.items.clone() }
            }
            (1.., Some(coming)) if coming.version == version && coming.next_part == part => coming,
            (_, _) => return Err(missing),
        };
        for change in &event.changes {
            coming.apply(change)?;
        }
        coming.next_part = part.saturating_add(1);
        if coming.next_part < parts {
            self.coming = Some(coming);
            return Ok(Progress::Partial);
        }
        if whole_hash(&coming.items) != event.hash {
            return Err(RebuildError::WrongHash { version });
        }
        self.version = version;
        self.items = coming.items;
        Ok(Progress::Whole)
    }
}

impl Coming {
    fn apply(&mut self, change: &Change) -> Result<(), RebuildError> {
        let contradiction = RebuildError::Contradiction { version: self.version };
        let was_there = self.items.remove(&change.key).is_some();
        if was_there != change.before.is_some() {
            return Err(contradiction);
        }
        if let Some(after) = &change.after {
            if self.items.len() >= INVENTORY_ITEMS_MAX {
                return Err(RebuildError::TooMany);
            }
            self.items.insert(change.key.clone(), after.clone());
        }
        Ok(())
    }
}

/// The hash of all items in the order of their keys.
fn whole_hash(items: &BTreeMap<Text, Vec<Field>>) -> Hash {
    let mut hasher = WholeHash::default();
    for (key, fields) in items {
        hasher.add(&Item { key: key.clone(), fields: fields.clone() }.to_bytes());
    }
    hasher.finish()
}

/// Makes the hash of a whole inventory from the bytes of its items, in the order of their keys.
#[derive(Clone)]
pub struct WholeHash(Context);

impl Default for WholeHash {
    fn default() -> Self {
        Self(Context::new(&SHA256))
    }
}

impl WholeHash {
    /// Adds the next item's [`Item::to_bytes`].
    pub fn add(&mut self, item: &[u8]) {
        self.0.update(item);
    }

    /// The hash of all that was added.
    #[must_use]
    pub fn finish(self) -> Hash {
        let mut hash = [0; 32];
        hash.copy_from_slice(self.0.finish().as_ref());
        Hash(hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(value: &str) -> Vec<Field> {
        vec![Field { name: "value".to_owned(), value: value.into() }]
    }

    /// `a=1` adds, `a=1>2` changes, `a=1>` removes.
    fn change(text: &str) -> Change {
        let (key, values) = text.split_once('=').unwrap();
        let (before, after) = match values.split_once('>') {
            Some((before, "")) => (Some(before), None),
            Some((before, after)) => (Some(before), Some(after)),
            None => (None, Some(values)),
        };
        let (before, after) = (before.map(field), after.map(field));
        Change { key: key.into(), before, after, warning: None }
    }

    /// `base 1 0/1: a=1 b=2 | a=1 b=2`: version, part and parts, changes, and the whole after it.
    fn event(line: &str) -> Inventory {
        let (head, rest) = line.split_once(": ").unwrap();
        let (changes, whole) = rest.split_once(" | ").unwrap();
        let words: Vec<&str> = head.split([' ', '/']).collect();
        let mut items = BTreeMap::new();
        for change in whole.split_whitespace().map(change) {
            items.insert(change.key, change.after.unwrap());
        }
        Inventory {
            subject: Subject::Users,
            version: words[1].parse().unwrap(),
            is_base: words[0] == "base",
            part: words[2].parse().unwrap(),
            parts: words[3].parse().unwrap(),
            changes: changes.split_whitespace().map(change).collect(),
            items: u64::try_from(items.len()).unwrap(),
            hash: whole_hash(&items),
            left_out: 0,
        }
    }

    /// Each line is an event, and after the arrow what comes of it.
    #[track_caller]
    fn check(timeline: &str) {
        let mut rebuilt = Rebuilt::new(Subject::Users);
        for line in timeline.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (told, expected) = line.split_once(" -> ").unwrap();
            let said = match rebuilt.apply(&event(told)) {
                Ok(Progress::Partial) => "partial".to_owned(),
                Ok(Progress::Whole) => format!("whole {}", rebuilt.version()),
                Err(RebuildError::Missing { .. }) => "missing".to_owned(),
                Err(error) => format!("{error:?}").split(' ').next().unwrap().to_owned(),
            };
            assert_eq!(said, expected, "{line}");
        }
    }

    #[test]
    fn a_base_and_its_differences_make_the_whole() {
        check(
            "base 1 0/2: a=1 | a=1 b=2 -> partial
             base 1 1/2: b=2 | a=1 b=2 -> whole 1
             diff 2 0/1: a=1>3 b=2> c=4 | a=3 c=4 -> whole 2",
        );
    }

    #[test]
    fn a_version_that_was_begun_twice_counts_once() {
        check(
            "base 1 0/2: a=1 | a=1 b=2 -> partial
             base 1 0/2: a=1 | a=1 b=2 -> partial
             base 1 1/2: b=2 | a=1 b=2 -> whole 1
             diff 2 0/2: c=1 | a=1 b=2 c=1 d=1 -> partial
             diff 2 0/2: c=1 | a=1 b=2 c=1 d=1 -> partial
             diff 2 1/2: d=1 | a=1 b=2 c=1 d=1 -> whole 2",
        );
    }

    #[test]
    fn what_is_missing_is_noticed_and_the_next_base_makes_it_good() {
        check(
            "diff 2 0/1: a=1 | a=1 -> missing
             base 3 0/1: a=1 | a=1 -> whole 3
             diff 5 0/1: b=1 | a=1 b=1 -> missing
             diff 4 1/2: b=1 | a=1 b=1 -> missing
             diff 4 0/1: b=1 | a=1 b=2 -> WrongHash
             diff 4 0/1: a=1 | a=1 -> Contradiction
             diff 4 0/1: c=1> | a=1 -> Contradiction
             base 9 0/1: z=1 | z=1 -> whole 9",
        );
    }
}
