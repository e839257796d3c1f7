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

use std::io;
use std::path::{Path, PathBuf};

use cordon_proto::Text;
use cordon_proto::codec::{CodecError, decode_strict};
use cordon_proto::event::inventory::{Field, Item, Subject};
use cordon_proto::id::Hash;
use cordon_proto::limits::INVENTORY_VALUE_BYTES_MAX;

/// A row of an inventory as it is told.
pub trait Row {
    /// What tells it from the others.
    fn key(&self) -> Text;

    /// What is known of it, always in the same order.
    fn columns(&self, columns: &mut Columns);

    /// The row as an item.
    fn item(&self) -> Item {
        let mut columns = Columns::default();
        self.columns(&mut columns);
        Item { key: bounded_key(self.key()), fields: columns.0 }
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
    /// A text; an empty one is nothing known. A long one is cut, and its length and hash are told.
    pub fn text(&mut self, name: &str, value: &Text) -> &mut Self {
        let bytes = value.as_bytes();
        if bytes.is_empty() {
            return self;
        }
        self.push(name, cut(bytes));
        if bytes.len() > INVENTORY_VALUE_BYTES_MAX {
            self.push(&format!("{name}_bytes"), bytes.len().to_string().into());
            self.push(&format!("{name}_sha256"), hex(&Hash::of(bytes)).into());
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

/// Takes one inventory of the machine whose files are below `root`.
pub fn collect(subject: Subject, root: &Path) -> Result<Found<Entry>, CollectError> {
    match subject {
        Subject::Users => items(users::collect(root)),
        Subject::Groups => items(groups::collect(root)),
        Subject::SshKeys => items(ssh_keys::collect(root)),
        Subject::Sudoers => items(sudoers::collect(root)),
        Subject::Autoruns => items(autoruns::collect(root)),
        Subject::Packages => items(packages::collect(root)),
        Subject::Services => items(services::collect(root)),
        Subject::Listeners => items(listeners::collect(root)),
        Subject::Mounts => items(mounts::collect(root)),
        Subject::Machine => items(machine::collect(root)),
    }
}

fn items<T: Row>(found: Result<Found<T>, CollectError>) -> Result<Found<Entry>, CollectError> {
    let Found { rows, problems } = found?;
    Ok(Found { rows: rows.iter().map(|row| Entry::of(&row.item())).collect(), problems })
}

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
        let Item { key, fields } = row.item();
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

    #[test]
    fn what_is_too_long_is_cut_and_still_told_from_its_likes() {
        let short = Long(10).item();
        assert_eq!((short.key.len(), short.fields.len()), (10, 1));
        let (long, longer) = (Long(2000).item(), Long(2001).item());
        assert_ne!(long.key, longer.key);
        let names: Vec<&str> = long.fields.iter().map(|field| &*field.name).collect();
        assert_eq!(names, ["value", "value_bytes", "value_sha256"]);
        assert_eq!(long.fields[1].value, "4000".into());
        assert!(long.fields[0].value.as_str().is_some(), "cut between characters");
        assert_eq!(long.fields[0], longer.fields[0]);
        assert_ne!(long.fields[2], longer.fields[2]);
    }
}
