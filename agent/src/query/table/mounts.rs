//! `mounts`: file systems as the agent sees them, and how full those on a local device are.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use cordon_proto::query::Row;

use super::{INTEGER, TEXT, column, flag, maybe, rows, text};
use crate::inventory::mounts::{self, Mount};
use crate::platform::sqlite::{Asked, Column, Rows, Table};
use crate::redact::Redactor;

/// Mounts that are told; a machine with more has them from a container runtime.
const MOUNTS_MAX: usize = 4096;

/// One row a mount.
pub(super) struct Mounts(pub(super) Arc<Redactor>);

const PATH: &str = "/proc/thread-self/mounts";

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
        // The thread's own: a thread may have moved into another namespace alone.
        let table = fs::read(PATH).map_err(|error| format!("reading {PATH}: {error}"))?;
        let mounts = mounts::parse(&table).into_iter().take(MOUNTS_MAX);
        Ok(rows(mounts.map(|mount| row(mount, &self.0)).collect()))
    }
}

fn row(mount: Mount, redactor: &Redactor) -> Row {
    let Mount { path, source, fs_type, options } = mount;
    let read_only = options.as_bytes().split(|byte| *byte == b',').any(|option| option == b"ro");
    // A share whose server is gone would hold the whole query.
    let in_memory = matches!(fs_type.as_bytes(), b"tmpfs" | b"overlay" | b"zfs");
    let local = source.as_bytes().starts_with(b"/dev/") || in_memory;
    let path_of = Path::new(std::ffi::OsStr::from_bytes(path.as_bytes()));
    let room = if local { rustix::fs::statvfs(path_of).ok() } else { None };
    let room = room.as_ref();
    let bytes = |blocks: u64, size: u64| blocks.saturating_mul(size);
    vec![
        text(path.as_bytes()),
        text(redactor.running_text(source).as_bytes()),
        text(fs_type.as_bytes()),
        text(redactor.running_text(options).as_bytes()),
        flag(read_only),
        maybe(room.map(|room| bytes(room.f_blocks, room.f_frsize))),
        maybe(room.map(|room| bytes(room.f_bavail, room.f_frsize))),
        maybe(room.map(|room| room.f_files)),
        maybe(room.map(|room| room.f_ffree)),
    ]
}

#[cfg(test)]
mod tests {
    use cordon_proto::query::Value;

    use super::*;

    #[test]
    fn a_mount_is_told_with_its_options_and_without_its_secrets() {
        let table = br"nas:/a\040b /mnt/a\040b nfs4 ro,vers=4.2 0 0
https://ann:hunter2@h/ /mnt/dav fuse rw,password=x1 0 0
";
        let redactor = Redactor::default();
        let rows: Vec<Row> =
            mounts::parse(table).into_iter().map(|mount| row(mount, &redactor)).collect();
        let texts = |words: [&str; 4]| words.map(|word| Value::Text(word.to_owned()));
        assert_eq!(rows[0][..4], texts(["/mnt/a b", "nas:/a b", "nfs4", "ro,vers=4.2"]));
        assert_eq!(rows[0][4..6], [flag(true), Value::Null], "a share is not asked for its room");
        let source = "https://ann:[redacted]@h/";
        assert_eq!(rows[1][..4], texts(["/mnt/dav", source, "fuse", "rw,password=[redacted]"]));
    }
}
