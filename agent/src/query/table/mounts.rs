//! `mounts`: file systems as the agent sees them, and how full those on a local device are.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use cordon_proto::query::Row;

use super::{INTEGER, TEXT, column, flag, maybe, rows, text};
use crate::platform::sqlite::{Asked, Column, Rows, Table};

/// Mounts that are told; a machine with more has them from a container runtime.
const MOUNTS_MAX: usize = 4096;

/// One row a mount.
pub(super) struct Mounts;

impl Table for Mounts {
    fn name(&self) -> &'static str {
        "mounts"
    }

    fn about(&self) -> &'static str {
        "mounted file systems, as the agent sees them"
    }

    fn columns(&self) -> &'static [Column] {
        const COLUMNS: &[Column] = &[
            column("path", TEXT, "where"),
            column("source", TEXT, "what: a device, an export or a name"),
            column("fs_type", TEXT, "the file system's type"),
            column("options", TEXT, "its options, with commas between"),
            column("read_only", INTEGER, "1 if it cannot be written"),
            column(
                "size_bytes",
                INTEGER,
                "its size; only of what is on a local device or in memory",
            ),
            column("available_bytes", INTEGER, "what users can still write"),
            column("inodes", INTEGER, "files it can have"),
            column("inodes_free", INTEGER, "files it can still have"),
        ];
        COLUMNS
    }

    fn rows(&self, _asked: &[Asked]) -> Result<Rows, String> {
        let table = fs::read("/proc/self/mounts");
        let table = table.map_err(|error| format!("reading /proc/self/mounts: {error}"))?;
        let lines = table.split(|byte| *byte == b'\n').take(MOUNTS_MAX);
        Ok(rows(lines.filter_map(row).collect()))
    }
}

/// `source path type options 0 0`.
fn row(line: &[u8]) -> Option<Row> {
    let mut fields = line.split(|byte| *byte == b' ').map(unescape);
    let (source, path, fs_type, options) =
        (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let read_only = options.split(|byte| *byte == b',').any(|option| option == b"ro");
    // A share whose server is gone would hold the whole query.
    let local = source.starts_with(b"/dev/") || matches!(&*fs_type, b"tmpfs" | b"overlay" | b"zfs");
    let path_of = Path::new(std::ffi::OsStr::from_bytes(&path));
    let room = if local { rustix::fs::statvfs(path_of).ok() } else { None };
    let room = room.as_ref();
    let bytes = |blocks: u64, size: u64| blocks.saturating_mul(size);
    Some(vec![
        text(&path),
        text(&source),
        text(&fs_type),
        text(&options),
        flag(read_only),
        maybe(room.map(|room| bytes(room.f_blocks, room.f_frsize))),
        maybe(room.map(|room| bytes(room.f_bavail, room.f_frsize))),
        maybe(room.map(|room| room.f_files)),
        maybe(room.map(|room| room.f_ffree)),
    ])
}

/// The kernel writes space, tab, line feed, backslash and `#` as a backslash and three octal digits.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut found = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, others)) = rest.split_first() {
        let digits = others.first_chunk::<3>().filter(|_| *first == b'\\');
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                found.push(byte);
                rest = &others[3..];
            }
            None => {
                found.push(*first);
                rest = others;
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use cordon_proto::query::Value;

    use super::*;

    #[test]
    fn a_line_is_read_with_its_escapes() {
        let row = row(br"nas:/a\040b /mnt/a\040b nfs4 ro,vers=4.2 0 0").unwrap();
        let texts = ["/mnt/a b", "nas:/a b", "nfs4", "ro,vers=4.2"];
        assert_eq!(row[..4], texts.map(|word| Value::Text(word.to_owned())));
        assert_eq!(row[4..6], [flag(true), Value::Null], "a share is not asked for its room");
        assert_eq!(unescape(br"a\9b\04"), br"a\9b\04");
        assert!(super::row(b"").is_none());
    }
}
