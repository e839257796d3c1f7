//! What a line of the kernel's log says of a disk, and how grave other lines are.
//!
//! Pure. The kernel's sentences are no interface and change between versions; what is not known
//! here stays a line of the log. Lines that only announce the one that counts (SCSI sense data,
//! NVMe status codes) are left to that one, so that an error is counted once.

use cordon_proto::event::Severity;
use cordon_proto::event::disk::IoErrorKind;

/// A disk, a file system or a link in trouble.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Fault {
    pub(super) device: String,
    pub(super) kind: IoErrorKind,
    pub(super) sector: Option<u64>,
}

/// Longer names of devices there are none.
const DEVICE_BYTES_MAX: usize = 32;

/// What the line says of a disk.
pub(super) fn fault(line: &str) -> Option<Fault> {
    block_layer(line)
        .or_else(|| buffer(line))
        .or_else(|| file_system(line))
        .or_else(|| nvme(line))
        .or_else(|| ata_and_scsi(line))
        .or_else(|| array(line))
}

/// How grave a fault of this kind is.
pub(super) fn fault_severity(kind: IoErrorKind) -> Severity {
    match kind {
        IoErrorKind::Medium
        | IoErrorKind::FileSystem
        | IoErrorKind::ReadOnly
        | IoErrorKind::Degraded => Severity::High,
        IoErrorKind::Io | IoErrorKind::Buffer | IoErrorKind::Timeout | IoErrorKind::Gone => {
            Severity::Medium
        }
        IoErrorKind::Reset | IoErrorKind::Link => Severity::Low,
    }
}

/// How grave a line is: by the level that the kernel gave it, and by what it says.
pub(super) fn line_severity(level: u8, line: &str) -> Severity {
    const GRAVE: [(&str, Severity); 8] = [
        ("Kernel panic", Severity::High),
        ("kernel BUG at", Severity::High),
        ("BUG: ", Severity::High),
        ("Oops: ", Severity::High),
        ("[Hardware Error]", Severity::High),
        ("Out of memory: Kill", Severity::Medium),
        ("out of memory: Kill", Severity::Medium),
        ("segfault at ", Severity::Low),
    ];
    let by_level = match level {
        0..=2 => Severity::High,
        3 => Severity::Medium,
        4 => Severity::Low,
        _ => Severity::Informational,
    };
    let said = GRAVE.iter().filter(|(words, _)| line.contains(words));
    said.map(|(_, severity)| *severity).max().unwrap_or_default().max(by_level)
}

/// `blk_update_request: I/O error, dev sda, sector 2048 op 0x0:(READ) …`, with or without what is
/// before the first colon.
fn block_layer(line: &str) -> Option<Fault> {
    let (what, rest) = line.split_once(" error, dev ")?;
    let kind = match what.rsplit(": ").next()? {
        "I/O" | "critical target" | "critical nexus" | "critical space allocation" => {
            IoErrorKind::Io
        }
        "critical medium" | "protection" => IoErrorKind::Medium,
        "timeout" => IoErrorKind::Timeout,
        "recoverable transport" => IoErrorKind::Link,
        _ => return None,
    };
    let (device, rest) = rest.split_once(", sector ")?;
    fault_of(device, kind, leading_number(rest))
}

/// `Buffer I/O error on dev sda1, logical block 5, async page read`; the block's size is not told,
/// so that it is no sector.
fn buffer(line: &str) -> Option<Fault> {
    let rest = line.strip_prefix("Buffer I/O error on dev")?;
    fault_of(rest.trim_start_matches("ice").trim_start(), IoErrorKind::Buffer, None)
}

fn file_system(line: &str) -> Option<Fault> {
    use IoErrorKind::{FileSystem, Io, ReadOnly};
    let behind = |prefix: &str| line.strip_prefix(prefix);
    if let Some(rest) = behind("Aborting journal on device ") {
        let device = rest.trim_end_matches('.');
        return fault_of(without_journal(device), ReadOnly, None);
    }
    if let Some(rest) = behind("JBD2: Detected IO errors while flushing file data on ") {
        return fault_of(without_journal(rest), Io, None);
    }
    for prefix in ["EXT4-fs error (device ", "EXT3-fs error (device ", "EXT2-fs error (device "] {
        if let Some(rest) = behind(prefix) {
            return fault_of(rest, FileSystem, None);
        }
    }
    if let Some(rest) = behind("BTRFS ") {
        let (_, device) = rest.split_once("(device ")?;
        let kind = match () {
            () if rest.contains("forced readonly") => ReadOnly,
            () if rest.starts_with("error") || rest.starts_with("critical") => FileSystem,
            () if rest.contains("csum failed") => FileSystem,
            () => return None,
        };
        return fault_of(device, kind, None);
    }
    let (name, rest) = line.split_once("-fs (").or_else(|| line.split_once("XFS ("))?;
    let (device, said) = rest.split_once("): ")?;
    let lower = said.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|words| lower.contains(words));
    let kind = match () {
        () if says(&["remounting filesystem read-only", "set read-only", "shut down"]) => ReadOnly,
        () if says(&["shutting down filesystem", "remounting fs read-only"]) => ReadOnly,
        () if says(&["corruption", "internal error", "corrupted"]) => FileSystem,
        () if name == "FAT" && lower.starts_with("error") => FileSystem,
        () if says(&["log i/o error", "metadata i/o error"]) => Io,
        () => return None,
    };
    fault_of(device, kind, None)
}

/// `nvme nvme0: I/O 12 QID 3 timeout, aborting`.
fn nvme(line: &str) -> Option<Fault> {
    use IoErrorKind::{Gone, Reset, Timeout};
    let (device, said) = line.strip_prefix("nvme ")?.split_once(": ")?;
    let says = |words: &[&str]| words.iter().any(|words| said.contains(words));
    let kind = match () {
        () if says(&["Removing after probe failure", "Device not ready; aborting"]) => Gone,
        () if says(&["controller is down; will reset", "resetting controller"]) => Reset,
        () if says(&["timeout, "]) => Timeout,
        () => return None,
    };
    fault_of(device, kind, None)
}

fn ata_and_scsi(line: &str) -> Option<Fault> {
    use IoErrorKind::{Gone, Link, Reset};
    let (device, said) = match line.strip_prefix("sd ") {
        Some(rest) => rest.split_once(": ")?,
        None => line.split_once(": ").filter(|(port, _)| is_ata(port))?,
    };
    let kind = match () {
        () if said.contains("exception Emask") => Link,
        () if said.starts_with("hard resetting link") => Reset,
        () if said.starts_with("disable device") || said == "disabled" => Gone,
        () if said.contains("Device offlined") => Gone,
        () if said.contains("rejecting I/O to offline device") => Gone,
        () => return None,
    };
    fault_of(device, kind, None)
}

/// `md/raid1:md0: Disk failure on sdb1, disabling device.`
fn array(line: &str) -> Option<Fault> {
    let (level, rest) = line.strip_prefix("md/raid")?.split_once(':')?;
    let (device, said) = rest.split_once(": ")?;
    let is_level = level.bytes().all(|byte| byte.is_ascii_digit());
    let failed = said.starts_with("Disk failure on ");
    (is_level && failed).then(|| fault_of(device, IoErrorKind::Degraded, None)).flatten()
}

/// `ata1` or `ata1.00`.
fn is_ata(port: &str) -> bool {
    port.strip_prefix("ata").is_some_and(|rest| {
        !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
    })
}

/// `sda1-8`: the journal is inode 8 of `sda1`.
fn without_journal(device: &str) -> &str {
    device.rsplit_once('-').map_or(device, |(device, inode)| {
        if inode.bytes().all(|byte| byte.is_ascii_digit()) { device } else { inode }
    })
}

/// The name that the text begins with.
fn fault_of(text: &str, kind: IoErrorKind, sector: Option<u64>) -> Option<Fault> {
    let ends = |letter: char| letter.is_whitespace() || [',', ')', '('].contains(&letter);
    let name = text.split(ends).next()?;
    let name = name.trim_end_matches([':', '.']);
    let is_name = |letter: char| letter.is_ascii_alphanumeric() || "._!:-/".contains(letter);
    let fits = !name.is_empty() && name.len() <= DEVICE_BYTES_MAX && name.chars().all(is_name);
    fits.then(|| Fault { device: name.to_owned(), kind, sector })
}

fn leading_number(text: &str) -> Option<u64> {
    let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    text.get(..end)?.parse().ok()
}

#[cfg(test)]
mod tests;
