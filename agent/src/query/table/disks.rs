//! `disks`: block devices, as the kernel shows them in /sys.

use std::fs;
use std::path::Path;

use cordon_proto::query::{Row, Value};

use super::{INTEGER, TEXT, column, flag, maybe, number, rows, word};
use crate::platform::sqlite::{Asked, Column, Rows, Table};

/// The kernel counts in these, whatever a device's own sectors are.
const SECTOR_BYTES: u64 = 512;

/// One row a whole device; partitions are not told apart.
pub(super) struct Disks;

impl Table for Disks {
    fn name(&self) -> &'static str {
        "disks"
    }

    fn about(&self) -> &'static str {
        "block devices that have room for something"
    }

    fn columns(&self) -> &'static [Column] {
        const COLUMNS: &[Column] = &[
            column("name", TEXT, "the kernel's name for it"),
            column("model", TEXT, "what it calls itself"),
            column("vendor", TEXT, "who made it"),
            column("serial", TEXT, "its serial number, where the kernel knows it"),
            column("size_bytes", INTEGER, "how much it holds"),
            column("rotates", INTEGER, "1 if it has turning platters"),
            column("removable", INTEGER, "1 if its medium can be taken out"),
            column("read_only", INTEGER, "1 if it cannot be written"),
            column("reads", INTEGER, "reads since it was attached"),
            column("read_bytes", INTEGER, "bytes read since it was attached"),
            column("writes", INTEGER, "writes since it was attached"),
            column("written_bytes", INTEGER, "bytes written since it was attached"),
        ];
        COLUMNS
    }

    fn rows(&self, _asked: &[Asked]) -> Result<Rows, String> {
        // A machine without /sys shows none; that is no mistake of the query's.
        let entries = fs::read_dir("/sys/block").into_iter().flatten().flatten();
        let mut found: Vec<_> = entries.map(|entry| entry.path()).collect();
        found.sort();
        Ok(rows(found.iter().filter_map(|path| row(path)).collect()))
    }
}

fn row(device: &Path) -> Option<Row> {
    let size_bytes = line(device, "size")?.parse::<u64>().ok()?.saturating_mul(SECTOR_BYTES);
    if size_bytes == 0 {
        return None;
    }
    let told = |name: &str| line(device, name).map_or(Value::Null, word);
    let is = |name: &str| line(device, name).map_or(Value::Null, |line| flag(line == "1"));
    let counts = line(device, "stat").unwrap_or_default();
    let counts: Vec<Option<u64>> = counts.split_whitespace().map(|n| n.parse().ok()).collect();
    let count = |index: usize| counts.get(index).copied().flatten();
    let bytes = |index: usize| count(index).map(|sectors| sectors.saturating_mul(SECTOR_BYTES));
    Some(vec![
        word(device.file_name()?.to_string_lossy()),
        told("device/model"),
        told("device/vendor"),
        told("device/serial"),
        number(size_bytes),
        is("queue/rotational"),
        is("removable"),
        is("ro"),
        maybe(count(0)),
        maybe(bytes(2)),
        maybe(count(4)),
        maybe(bytes(6)),
    ])
}

fn line(device: &Path, name: &str) -> Option<String> {
    let bytes = fs::read(device.join(name)).ok()?;
    let line = String::from_utf8_lossy(&bytes).trim().to_owned();
    Some(line).filter(|line| !line.is_empty())
}
