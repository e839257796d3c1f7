//! What is on this machine: one file an inventory, each a reader of files below a root that is
//! given, so that the tree of a fixture is read like the machine's own.
//!
//! Each gives rows with typed columns. What is told of a row, and which part of it names it, is
//! its [`Row`]; columns that change by themselves (a process id) stay out of that.

pub mod autoruns;
pub mod child;
pub mod groups;
pub mod listeners;
pub mod machine;
pub mod mounts;
pub mod packages;
pub mod services;
pub mod ssh_keys;
pub mod sudoers;
pub mod tree;
pub mod users;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use cordon_proto::Text;
use cordon_proto::codec::{CodecError, decode_strict};
use cordon_proto::event::inventory::{Field, Item, Subject};
use cordon_proto::event::redaction::REPLACEMENT;
use cordon_proto::id::Hash;
use cordon_proto::limits::INVENTORY_VALUE_BYTES_MAX;

use crate::redact::Redactor;

/// A row of an inventory as it is told.
pub trait Row {
    /// What tells it from the others.
    fn key(&self) -> Text;

    /// What is known of it, always in the same order.
    fn columns(&self, columns: &mut Columns);

    /// The row as an item, without its secrets.
    fn item(&self, redactor: &Redactor) -> Item {
        let mut columns = Columns::default();
        self.columns(&mut columns);
        let key = bounded_key(redactor.running_text(self.key()));
        Item { key, fields: columns.told(redactor) }
    }
}

/// What was found, and what could not be looked at.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Found<T> {
    /// The rows, in no particular order.
    pub rows: Vec<T>,
    /// What could not be read: of that, rows may be missing.
    pub problems: Vec<String>,
}

/// Why there is no inventory at all.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// A file without which nothing can be said.
    #[error("reading {}: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A program that was asked.
    #[error("{0}")]
    Child(#[from] child::ChildError),
    /// The kernel was asked.
    #[error("asking the kernel for {what}: {reason}")]
    Kernel {
        /// For what.
        what: &'static str,
        /// What it said.
        reason: String,
    },
}

/// Gathers what is told of a row.
#[derive(Clone, Debug, Default)]
pub struct Columns(Vec<Field>);

impl Columns {
    /// A text; an empty one is nothing known.
    pub fn text(&mut self, name: &str, value: &Text) -> &mut Self {
        if !value.is_empty() {
            self.push(name, value.clone());
        }
        self
    }

    /// A word of ours.
    pub fn word(&mut self, name: &str, value: &str) -> &mut Self {
        self.text(name, &value.into())
    }

    /// A number, where it is known.
    pub fn number(&mut self, name: &str, value: impl Into<Option<u64>>) -> &mut Self {
        if let Some(value) = value.into() {
            self.push(name, value.to_string().into());
        }
        self
    }

    /// Something that is so; what is not so is not told.
    pub fn flag(&mut self, name: &str, value: bool) -> &mut Self {
        if value {
            self.push(name, "true".into());
        }
        self
    }

    /// A hash, where it is known.
    pub fn hash(&mut self, name: &str, value: Option<&Hash>) -> &mut Self {
        if let Some(hash) = value {
            self.push(name, hex(hash).into());
        }
        self
    }

    fn push(&mut self, name: &str, value: Text) {
        self.0.push(Field { name: name.to_owned(), value });
    }

    /// The fields as they are told: without secrets, and long ones cut and with the length and the
    /// hash of what they were. Secrets go first, so that none is cut in two and the hash is not one
    /// of a text of which all but the secret is known.
    fn told(self, redactor: &Redactor) -> Vec<Field> {
        let mut told = Self(Vec::with_capacity(self.0.len()));
        for Field { name, value } in self.0 {
            let value = redactor.running_text(value);
            let bytes = value.as_bytes();
            if bytes.len() <= INVENTORY_VALUE_BYTES_MAX {
                told.push(&name, value);
                continue;
            }
            told.push(&name, cut(bytes));
            told.push(&format!("{name}_bytes"), bytes.len().to_string().into());
            told.push(&format!("{name}_sha256"), hex(&Hash::of(bytes)).into());
        }
        told.0
    }
}

/// An item in as little memory as it can be in until somebody asks for its fields: its key, and the
/// bytes that it is told in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entry {
    /// What tells it from the others.
    pub key: Text,
    /// The item, encoded.
    pub bytes: Vec<u8>,
}

impl Entry {
    /// An item as an entry.
    #[must_use]
    pub fn of(item: &Item) -> Self {
        Self { key: item.key.clone(), bytes: item.to_bytes() }
    }

    /// The entry as an item.
    pub fn item(&self) -> Result<Item, CodecError> {
        decode_strict(&self.bytes)
    }
}

/// Takes one inventory of the machine whose files are below `root`, without the secrets in it.
pub fn collect(
    subject: Subject,
    root: &Path,
    redactor: &Redactor,
) -> Result<Found<Entry>, CollectError> {
    Ok(match subject {
        Subject::Users => items(users::collect(root)?, redactor),
        Subject::Groups => items(groups::collect(root)?, redactor),
        Subject::SshKeys => items(ssh_keys::collect(root)?, redactor),
        Subject::Sudoers => items(sudoers::collect(root)?, redactor),
        Subject::Autoruns => items(autoruns::collect(root)?, redactor),
        Subject::Packages => items(packages::collect(root)?, redactor),
        Subject::Services => items(services::collect(root)?, redactor),
        Subject::Listeners => items(listeners::collect(root)?, redactor),
        Subject::Mounts => items(mounts::collect(root)?, redactor),
        Subject::Machine => items(machine::collect(root)?, redactor),
    })
}

/// Rows as entries. Those that differ in their secrets alone have one key without them: they are
/// numbered, so that one more of them is seen, though not which.
fn items<T: Row>(found: Found<T>, redactor: &Redactor) -> Found<Entry> {
    let Found { rows, problems } = found;
    let mut alike: HashMap<Text, u32> = HashMap::new();
    let entry = |row: &T| {
        let mut item = row.item(redactor);
        if item.key.as_bytes().windows(MARK.len()).any(|window| window == MARK) {
            let number = alike.entry(item.key.clone()).or_default();
            *number = number.saturating_add(1);
            if *number > 1 {
                let number = format!(" ({number})");
                item.key = joined(&[item.key.as_bytes(), number.as_bytes()], b"");
            }
        }
        Entry::of(&item)
    };
    Found { rows: rows.iter().map(entry).collect(), problems }
}

/// What stands where a secret was.
const MARK: &[u8] = REPLACEMENT.as_bytes();

fn cut(bytes: &[u8]) -> Text {
    let mut end = bytes.len().min(INVENTORY_VALUE_BYTES_MAX);
    // Not in the midst of a character: what was text stays text.
    while end < bytes.len() && end > 0 && bytes[end] & 0xc0 == 0x80 {
        end -= 1;
    }
    Text::from(&bytes[..end])
}

/// A key that is too long is cut, and told from others with the same beginning by its hash.
fn bounded_key(key: Text) -> Text {
    if key.len() <= INVENTORY_VALUE_BYTES_MAX {
        return key;
    }
    let mut bytes = cut(key.as_bytes()).as_bytes().to_vec();
    bytes.extend_from_slice(format!("#{}", hex(&Hash::of(key.as_bytes()))).as_bytes());
    Text::from(bytes)
}

/// Texts in one, with something between them that says where one ends.
pub(crate) fn joined(parts: &[&[u8]], between: &[u8]) -> Text {
    Text::from(parts.join(between))
}

/// The lines of a file, without those that are empty or a comment.
pub(crate) fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    lines.filter(|line| !line.is_empty() && !line.starts_with(b"#"))
}

/// A number in decimal.
pub(crate) fn number<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    std::str::from_utf8(text.trim_ascii()).ok()?.parse().ok()
}

pub(crate) fn hex(hash: &Hash) -> String {
    hash.0.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// A row in one line: `key: name=value name=value`.
    pub(crate) fn show(row: &impl Row) -> String {
        let Item { key, fields } = row.item(&Redactor::default());
        let fields: Vec<String> = fields
            .iter()
            .map(|Field { name, value }| format!("{name}={}", value.to_lossy()))
            .collect();
        format!("{}: {}", key.to_lossy(), fields.join(" "))
    }

    /// Rows as sorted lines.
    pub(crate) fn show_all<T: Row>(rows: &[T]) -> Vec<String> {
        let mut lines: Vec<String> = rows.iter().map(show).collect();
        lines.sort();
        lines
    }

    /// A tree of files: a path, and what is in it; `>` before the content makes a link.
    pub(crate) fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            match content.strip_prefix('>') {
                Some(target) => std::os::unix::fs::symlink(target, path).unwrap(),
                None => std::fs::write(path, content).unwrap(),
            }
        }
        root
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Long(usize);

    impl Row for Long {
        fn key(&self) -> Text {
            "k".repeat(self.0).into()
        }

        fn columns(&self, columns: &mut Columns) {
            columns.text("value", &"é".repeat(self.0).into()).word("empty", "");
        }
    }

    fn item(length: usize) -> Item {
        Long(length).item(&Redactor::default())
    }

    #[test]
    fn what_is_too_long_is_cut_and_still_told_from_its_likes() {
        let short = item(10);
        assert_eq!((short.key.len(), short.fields.len()), (10, 1));
        let (long, longer) = (item(2000), item(2001));
        assert_ne!(long.key, longer.key);
        let names: Vec<&str> = long.fields.iter().map(|field| &*field.name).collect();
        assert_eq!(names, ["value", "value_bytes", "value_sha256"]);
        assert_eq!(long.fields[1].value, "4000".into());
        assert!(long.fields[0].value.as_str().is_some(), "cut between characters");
        assert_eq!(long.fields[0], longer.fields[0]);
        assert_ne!(long.fields[2], longer.fields[2]);
    }

    /// What a machine with such a crontab is told to start.
    fn told(table: &str) -> Vec<Item> {
        let root = testing::tree(&[("etc/cron.d/a", table)]);
        let found = collect(Subject::Autoruns, root.path(), &Redactor::default()).unwrap();
        let mut items: Vec<Item> = found.rows.iter().map(|entry| entry.item().unwrap()).collect();
        items.sort_by(|a, b| a.key.cmp(&b.key));
        items
    }

    #[test]
    fn rows_that_differ_in_secrets_alone_are_as_many_as_they_were() {
        let items =
            told("@daily root a --password x1\n@daily root a --password y2\n@daily root b\n");
        let mut keys: Vec<_> = items.iter().map(|item| item.key.to_lossy()).collect();
        keys.sort();
        let with_secret = format!("cron /etc/cron.d/a @daily root a --password {REPLACEMENT}");
        let mut expected =
            [format!("{with_secret} (2)"), with_secret, "cron /etc/cron.d/a @daily root b".into()];
        expected.sort();
        assert_eq!(keys, expected);
    }

    proptest::proptest! {
        #[test]
        fn no_secret_is_in_an_item_however_long_the_rest(
            secret in "q[0-9]{12}",
            fill in proptest::collection::vec("[a-p]{1,400}", 0..8),
            at in 0..8usize,
        ) {
            let mut words = fill;
            words.insert(at.min(words.len()), format!("--token={secret}"));
            let items = told(&format!("* * * * * root run {}\n", words.join(" ")));
            proptest::prop_assert_eq!(items.len(), 1);
            // Wherever it is cut: not so much of it as could be told from chance is left.
            let bytes = items[0].to_bytes();
            let left = |window: &[u8]| window == &secret.as_bytes()[..6];
            proptest::prop_assert!(!bytes.windows(6).any(left));
        }
    }
}
