//! Inventories as they stand, with since when each item is known, from events that come the newest
//! first.
//!
//! Pure. An item's age is counted by when the collector received what tells of it: an endpoint
//! cannot make itself look as if it had been so for long.

use std::collections::BTreeMap;

use cordon_proto::Text;
use cordon_proto::event::inventory::rebuilt::{Progress, Rebuilt};
use cordon_proto::event::inventory::{Field, Inventory, Subject};

use crate::time::Time;

/// Parts of one inventory remembered; a day of changes takes far fewer.
const PARTS_MAX: usize = 2048;

/// Inventories being looked for.
#[derive(Debug)]
pub struct Standing {
    wanted: Vec<Wanted>,
    /// A whole older than this is enough: what is younger is told with its age.
    old_enough: Time,
}

#[derive(Debug)]
struct Wanted {
    subject: Subject,
    parts: Vec<(Inventory, Time)>,
    enough: bool,
}

/// One inventory as it stands.
#[derive(Clone, Debug, Default)]
pub struct Items(BTreeMap<Text, Item>);

/// One item.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Item {
    /// What is known of it.
    pub fields: Vec<Field>,
    /// Since when it is known without a break.
    pub since: Time,
}

impl Standing {
    /// Looks for these.
    #[must_use]
    pub fn of(subjects: &[Subject], old_enough: Time) -> Self {
        let wanted = |subject: &Subject| Wanted { subject: *subject, parts: vec![], enough: false };
        Self { wanted: subjects.iter().map(wanted).collect(), old_enough }
    }

    /// Takes the next older part; answers whether more is needed.
    pub fn handle(&mut self, part: Inventory, received: Time) -> bool {
        let wanted = self.wanted.iter_mut().find(|one| one.subject == part.subject);
        if let Some(wanted) = wanted.filter(|one| !one.enough) {
            let begins = part.is_base && part.part == 0;
            wanted.parts.push((part, received));
            let full = wanted.parts.len() >= PARTS_MAX;
            wanted.enough = full || (begins && received <= self.old_enough);
        }
        self.wanted.iter().any(|wanted| !wanted.enough)
    }

    /// An inventory as it stands; none where no whole one was found.
    #[must_use]
    pub fn items(&self, subject: Subject) -> Option<Items> {
        let wanted = self.wanted.iter().find(|one| one.subject == subject)?;
        let mut rebuilt = Rebuilt::new(subject);
        let mut since: BTreeMap<Text, Time> = BTreeMap::new();
        for (part, received) in wanted.parts.iter().rev() {
            // What came before the oldest base that was found cannot be used, and need not be.
            if rebuilt.apply(part) == Ok(Progress::Whole) {
                since.retain(|key, _| rebuilt.items().contains_key(key));
                for key in rebuilt.items().keys() {
                    since.entry(key.clone()).or_insert(*received);
                }
            }
        }
        if rebuilt.version() == 0 {
            return None;
        }
        let item = |(key, fields): (&Text, &Vec<Field>)| {
            let since = *since.get(key)?;
            Some((key.clone(), Item { fields: fields.clone(), since }))
        };
        Some(Items(rebuilt.items().iter().filter_map(item).collect()))
    }
}

impl Items {
    /// All of them by their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&Text, &Item)> {
        self.0.iter()
    }

    /// One of them.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Item> {
        self.0.get(&Text::from(key))
    }
}

impl Item {
    /// What one of its fields says.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Text> {
        self.fields.iter().find(|field| field.name == name).map(|field| &field.value)
    }

    /// The same as a number.
    #[must_use]
    pub fn number<N: std::str::FromStr>(&self, name: &str) -> Option<N> {
        self.field(name)?.as_str()?.parse().ok()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use cordon_proto::event::inventory::rebuilt::WholeHash;
    use cordon_proto::event::inventory::{Change, Item as ProtoItem};

    use super::*;

    /// What an endpoint tells of one inventory: `SECOND base|diff +key -key …`, the oldest first.
    /// A key may carry fields: `key:name=value,name=value`.
    pub(crate) fn told(subject: Subject, lines: &str) -> Vec<(Inventory, Time)> {
        let mut items: BTreeMap<Text, Vec<Field>> = BTreeMap::new();
        let mut told = Vec::new();
        for (version, line) in (1..).zip(lines.lines()) {
            let mut words = line.split_whitespace();
            let at = Time(0).plus_secs(words.next().unwrap().parse().unwrap());
            let is_base = words.next() == Some("base");
            let mut changes = Vec::new();
            for word in words {
                let (sign, rest) = word.split_at(1);
                let (key, fields) = rest.split_once(':').unwrap_or((rest, ""));
                let key = Text::from(key.replace('_', " "));
                let fields = fields.split(',').filter_map(|field| field.split_once('='));
                let fields: Vec<Field> = fields
                    .map(|(name, value)| Field { name: name.to_owned(), value: value.into() })
                    .collect();
                let (before, after) = match sign {
                    "+" => (None, items.insert(key.clone(), fields.clone()).or(Some(fields))),
                    _ => (items.remove(&key), None),
                };
                changes.push(Change { key, before, after, warning: None });
            }
            let mut hash = WholeHash::default();
            for (key, fields) in &items {
                hash.add(&ProtoItem { key: key.clone(), fields: fields.clone() }.to_bytes());
            }
            if is_base {
                changes = items
                    .iter()
                    .map(|(key, fields)| Change {
                        key: key.clone(),
                        before: None,
                        after: Some(fields.clone()),
                        warning: None,
                    })
                    .collect();
            }
            let (part, parts, count) = (0, 1, u64::try_from(items.len()).unwrap());
            let hash = hash.finish();
            let inventory = Inventory {
                subject,
                version,
                is_base,
                part,
                parts,
                changes,
                items: count,
                hash,
                left_out: 0,
            };
            told.push((inventory, at));
        }
        told
    }

    #[track_caller]
    fn check(lines: &str, old_enough_secs: u64, says: Option<&[&str]>) {
        let subject = Subject::Listeners;
        let mut standing = Standing::of(&[subject], Time(0).plus_secs(old_enough_secs));
        for (part, at) in told(subject, lines).into_iter().rev() {
            if !standing.handle(part, at) {
                break;
            }
        }
        let items = standing.items(subject);
        let show = |(key, item): (&Text, &Item)| {
            format!("{} since {}", key.to_lossy(), item.since.secs_since(Time(0)))
        };
        let said: Option<Vec<String>> = items.map(|items| items.iter().map(show).collect());
        assert_eq!(
            said.as_deref(),
            says.map(|s| s.iter().map(|s| (*s).into()).collect::<Vec<_>>()).as_deref()
        );
    }

    #[test]
    fn an_item_is_known_since_it_was_told_and_not_taken_back() {
        check(
            "1 base +a +b\n2 diff +c\n3 diff -b\n4 diff +b",
            0,
            Some(&["a since 1", "b since 4", "c since 2"]),
        );
        check("1 base +a\n2 diff -a", 0, Some(&[]));
    }

    #[test]
    fn a_whole_that_was_told_again_does_not_make_its_items_young() {
        check("1 base +a\n5 base\n6 diff +b", 0, Some(&["a since 1", "b since 6"]));
        // Nobody needs to know that they are older than that.
        check("1 base +a\n5 base\n6 diff +b", 5, Some(&["a since 5", "b since 6"]));
    }

    #[test]
    fn without_a_whole_nothing_is_known() {
        let parts = told(Subject::Listeners, "1 base +a\n2 diff +c");
        let mut standing = Standing::of(&[Subject::Listeners], Time(0));
        assert!(standing.handle(parts[1].0.clone(), parts[1].1), "a whole is still looked for");
        assert!(standing.items(Subject::Listeners).is_none());
        check("", 0, None);
    }
}
