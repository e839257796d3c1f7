//! `files`: what stands in a folder, at a path, or below one.
//!
//! A query must name what it wants by `path` or `directory`: nobody needs a list of every file, and
//! everybody would pay for one. The walk follows no links and ends after [`LOOKED_AT_MAX`] files.

use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use cordon_proto::query::{Row, Value};

use super::{INTEGER, TEXT, column, number, text, word};
use crate::platform::sqlite::{Asked, Column, How, Key, Rows, Table};

/// Files that one walk looks at.
pub(super) const LOOKED_AT_MAX: usize = 200_000;

/// Folders within folders that a walk goes down.
const DEPTH_MAX: usize = 64;

/// File systems that the kernel makes up: a walk enters them only if it begins there.
const MADE_UP: [&str; 3] = ["/proc", "/sys", "/dev"];

/// The columns by which files are named, in every table of files.
pub(super) const PATH: Column = Column {
    name: "path",
    kind: TEXT,
    about: "the whole path; name it by =, IN, LIKE '/etc/%' or GLOB '/etc/*.conf'",
    key: Key::Pattern,
};
pub(super) const DIRECTORY: Column = Column {
    name: "directory",
    kind: TEXT,
    about: "the folder it stands in, without those below; name it by = or IN",
    key: Key::Equal,
};

const PATH_INDEX: usize = 0;

/// One row a file, folder, link or whatever has a name.
pub(super) struct Files;

impl Table for Files {
    fn name(&self) -> &'static str {
        "files"
    }

    fn about(&self) -> &'static str {
        "files by path or directory, which a query must name"
    }

    fn columns(&self) -> &'static [Column] {
        const COLUMNS: &[Column] = &[
            PATH,
            DIRECTORY,
            column("name", TEXT, "its name in that folder"),
            column("type", TEXT, "file, directory, link, fifo, socket, block or character"),
            column("size_bytes", INTEGER, "its length"),
            column("mode", TEXT, "its permissions in octal"),
            column("uid", INTEGER, "whose it is"),
            column("gid", INTEGER, "its group"),
            column("modified_secs", INTEGER, "when its content last changed, since 1970 UTC"),
            column("changed_secs", INTEGER, "when anything of it last changed, since 1970 UTC"),
            column("accessed_secs", INTEGER, "when it was last read, as far as that is kept"),
            column("link_target", TEXT, "where a link leads"),
            column("links", INTEGER, "names that it has"),
            column("inode", INTEGER, "its number"),
            column("device", INTEGER, "the file system that it is on"),
        ];
        COLUMNS
    }

    fn rows(&self, asked: &[Asked]) -> Result<Rows, String> {
        let found = find(self.name(), asked)?;
        Ok(Box::new(found.map(|found| found.map(|found| row(&found)))))
    }
}

/// A file that was found: its name as it was asked for, and what the file system says of it.
pub(super) struct Found {
    pub(super) path: PathBuf,
    pub(super) directory: PathBuf,
    pub(super) metadata: Metadata,
}

fn row(found: &Found) -> Row {
    let Found { path, directory, metadata } = found;
    let target = if metadata.is_symlink() { fs::read_link(path).ok() } else { None };
    vec![
        shown(path.as_os_str()),
        shown(directory.as_os_str()),
        path.file_name().map_or(Value::Null, shown),
        word(kind(metadata)),
        number(metadata.size()),
        word(format!("{:04o}", metadata.mode() & 0o7777)),
        number(metadata.uid()),
        number(metadata.gid()),
        number(metadata.mtime()),
        number(metadata.ctime()),
        number(metadata.atime()),
        target.map_or(Value::Null, |target| shown(target.as_os_str())),
        number(metadata.nlink()),
        number(metadata.ino()),
        number(metadata.dev()),
    ]
}

pub(super) fn shown(name: &OsStr) -> Value {
    text(name.as_bytes())
}

fn kind(metadata: &Metadata) -> &'static str {
    let kind = metadata.file_type();
    let kinds = [
        (kind.is_file(), "file"),
        (kind.is_dir(), "directory"),
        (kind.is_symlink(), "link"),
        (kind.is_fifo(), "fifo"),
        (kind.is_socket(), "socket"),
        (kind.is_block_device(), "block"),
        (kind.is_char_device(), "character"),
    ];
    kinds.iter().find(|(is, _)| *is).map_or("unknown", |(_, name)| name)
}

type Finds = Box<dyn Iterator<Item = Result<Found, String>>>;

/// The files that a query names; `table` is for the sentence that says how.
pub(super) fn find(table: &str, asked: &[Asked]) -> Result<Finds, String> {
    let exact = asked.iter().find(|one| one.how == How::Equal);
    let Some(asked) = exact.or_else(|| asked.first()) else {
        return Err(format!(
            "'{table}' needs to know which: WHERE path = '/etc/passwd', WHERE directory = \
             '/etc', or WHERE path LIKE '/etc/%.conf'"
        ));
    };
    let Some(name) = bytes(&asked.value) else { return Ok(Box::new(std::iter::empty())) };
    let name = Path::new(OsStr::from_bytes(name)).to_owned();
    if !name.is_absolute() {
        return Err(format!("'{table}' needs whole paths, which begin with '/'"));
    }
    Ok(match (asked.column, asked.how) {
        (PATH_INDEX, How::Equal) => {
            let directory = name.parent().unwrap_or(Path::new("/")).to_owned();
            Box::new(look(name, directory).into_iter().map(Ok))
        }
        (_, How::Equal) => Box::new(Walk::of(name, 0)),
        (_, How::Like) => Box::new(Walk::of(literal(&name, b"%_"), DEPTH_MAX)),
        (_, How::Glob) => Box::new(Walk::of(literal(&name, b"*?["), DEPTH_MAX)),
    })
}

fn bytes(value: &Value) -> Option<&[u8]> {
    match value {
        Value::Text(text) => Some(text.as_bytes()),
        Value::Bytes(bytes) => Some(bytes),
        Value::Null | Value::Integer(_) | Value::Real(_) => None,
    }
}

/// The folder below which everything is that a pattern can mean: what stands before its first
/// wildcard, up to the last slash.
fn literal(pattern: &Path, wildcards: &[u8]) -> PathBuf {
    let bytes = pattern.as_os_str().as_bytes();
    let end = bytes.iter().position(|byte| wildcards.contains(byte)).unwrap_or(bytes.len());
    let slash = bytes[..end].iter().rposition(|byte| *byte == b'/').unwrap_or(0);
    PathBuf::from(OsStr::from_bytes(&bytes[..slash.max(1)]))
}

fn look(path: PathBuf, directory: PathBuf) -> Option<Found> {
    let metadata = fs::symlink_metadata(&path).ok()?;
    Some(Found { path, directory, metadata })
}

/// A walk through folders, each with how much deeper it may go.
struct Walk {
    open: Option<(fs::ReadDir, PathBuf, usize)>,
    waiting: Vec<(PathBuf, usize)>,
    looked_at: usize,
}

impl Walk {
    fn of(directory: PathBuf, depth: usize) -> Self {
        Self { open: None, waiting: vec![(directory, depth)], looked_at: 0 }
    }
}

impl Iterator for Walk {
    type Item = Result<Found, String>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Some((entries, directory, depth)) = &mut self.open else {
                let (directory, depth) = self.waiting.pop()?;
                // What may not be read, or is no folder, has nothing to show.
                self.open =
                    fs::read_dir(&directory).ok().map(|entries| (entries, directory, depth));
                continue;
            };
            let Some(entry) = entries.next() else {
                self.open = None;
                continue;
            };
            if self.looked_at >= LOOKED_AT_MAX {
                self.open = None;
                self.waiting.clear();
                return Some(Err(format!(
                    "more than {LOOKED_AT_MAX} files were looked at; name a folder further down"
                )));
            }
            self.looked_at += 1;
            let Some(found) = entry.ok().and_then(|entry| look(entry.path(), directory.clone()))
            else {
                continue;
            };
            let made_up = MADE_UP.iter().any(|path| found.path == Path::new(path));
            if found.metadata.is_dir() && *depth > 0 && !made_up {
                self.waiting.push((found.path.clone(), *depth - 1));
            }
            return Some(Ok(found));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, wildcards: &[u8], folder: &str) {
        assert_eq!(literal(Path::new(pattern), wildcards), Path::new(folder), "{pattern}");
    }

    #[test]
    fn a_walk_begins_where_the_pattern_stops_being_a_path() {
        check("/etc/%.conf", b"%_", "/etc");
        check("/etc/ssh/ssh_config", b"%_", "/etc/ssh");
        check("/etc/ssh/s*", b"*?[", "/etc/ssh");
        check("/%", b"%_", "/");
        check("/etc", b"%_", "/");
    }
}
