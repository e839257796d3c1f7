//! The manifest of an archive: what is in it, and what is not and why; and checking one by the
//! other. Pure.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::id::Hash;

/// Its name in the archive, where it comes last.
pub const MANIFEST: &str = "manifest.jsonl";

/// How long it may be: about as many files as one command may bring away.
pub const MANIFEST_BYTES_MAX: u64 = 16 << 20;

/// One line of the manifest: JSON.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct Item {
    /// The name in the archive; none where it is not in it.
    pub entry: Option<String>,
    /// The name in the archive, base64url, where it is not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry_b64: Option<String>,
    /// The path at the endpoint, or the name of a source.
    pub path: String,
    /// How many bytes of it are in the archive.
    pub bytes: u64,
    /// SHA-256 of those bytes.
    pub sha256: Option<Hash>,
    /// Its permissions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<u32>,
    /// Its owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// Its group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gid: Option<u32>,
    /// When it was last modified, nanoseconds since 1970 UTC, as text because it passes 2^53.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modified_ns: Option<String>,
    /// Whether it was changed while it was read.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub changed: bool,
    /// Why it is not in the archive, or not whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
}

impl Item {
    /// Names it in the archive.
    pub fn set_entry(&mut self, name: &[u8]) {
        self.entry = Some(String::from_utf8_lossy(name).into_owned());
        let is_text = std::str::from_utf8(name).is_ok();
        self.entry_b64 = (!is_text).then(|| URL_SAFE_NO_PAD.encode(name));
    }

    fn is_named(&self, name: &[u8]) -> bool {
        match &self.entry_b64 {
            Some(encoded) => URL_SAFE_NO_PAD.decode(encoded).is_ok_and(|bytes| bytes == name),
            None => self.entry.as_deref().map(str::as_bytes) == Some(name),
        }
    }
}

/// Why an archive is not what its manifest says.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// A line is none.
    #[error("line {0} of the manifest cannot be read: {1}")]
    Line(usize, serde_json::Error),
    /// Contents differ.
    #[error("'{0}' in the archive is not what the manifest says")]
    Entry(String),
    /// Something is in only one of them.
    #[error("the archive has {entries} entries, and the manifest says {items}")]
    Count {
        /// In the archive.
        entries: usize,
        /// In the manifest.
        items: usize,
    },
}

/// Reads a manifest.
pub fn read_manifest(bytes: &[u8]) -> Result<Vec<Item>, CheckError> {
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let read = |(at, line): (usize, &[u8])| {
        serde_json::from_slice(line).map_err(|e| CheckError::Line(at.saturating_add(1), e))
    };
    lines.enumerate().map(read).collect()
}

/// What was found in an archive, to be compared with its manifest.
#[derive(Debug, Default)]
pub struct Check {
    found: Vec<(Vec<u8>, u64, Hash)>,
}

impl Check {
    /// Takes the next entry, but for the manifest.
    pub fn handle_entry(&mut self, name: Vec<u8>, bytes: u64, sha256: Hash) {
        self.found.push((name, bytes, sha256));
    }

    /// Compares all of them with the manifest.
    pub fn finish(self, items: &[Item]) -> Result<(), CheckError> {
        let taken: Vec<&Item> = items.iter().filter(|item| item.entry.is_some()).collect();
        if taken.len() != self.found.len() {
            return Err(CheckError::Count { entries: self.found.len(), items: taken.len() });
        }
        for ((name, bytes, sha256), item) in self.found.iter().zip(taken) {
            let same = item.is_named(name) && item.bytes == *bytes && item.sha256 == Some(*sha256);
            if !same {
                return Err(CheckError::Entry(String::from_utf8_lossy(name).into_owned()));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(name: &[u8], content: &[u8]) -> Item {
        let bytes = u64::try_from(content.len()).unwrap();
        let mut item = Item { bytes, sha256: Some(Hash::of(content)), ..Item::default() };
        item.set_entry(name);
        item
    }

    #[track_caller]
    fn check(entries: &[(&[u8], &[u8])], items: &[Item], says: &str) {
        let lines: Vec<_> = items.iter().map(|item| serde_json::to_string(item).unwrap()).collect();
        let items = read_manifest(lines.join("\n").as_bytes()).unwrap();
        let mut check = Check::default();
        for (name, content) in entries {
            let bytes = u64::try_from(content.len()).unwrap();
            check.handle_entry(name.to_vec(), bytes, Hash::of(content));
        }
        assert_eq!(check.finish(&items).err().map_or(String::new(), |e| e.to_string()), says);
    }

    #[test]
    fn an_archive_is_what_its_manifest_says_or_not() {
        let absent = Item { missing: Some("permission denied".to_owned()), ..Item::default() };
        let items = [item(b"files/a", b"1"), absent, item(b"files/\xff", b"2")];
        check(&[(b"files/a", b"1"), (b"files/\xff", b"2")], &items, "");
        let other = "'files/a' in the archive is not what the manifest says";
        check(&[(b"files/a", b"3"), (b"files/\xff", b"2")], &items, other);
        check(&[(b"files/a", b"1")], &items, "the archive has 1 entries, and the manifest says 2");
    }

    #[test]
    fn a_line_that_is_none_is_named() {
        let said = read_manifest(b"\n{}\n{").unwrap_err().to_string();
        assert!(said.starts_with("line 1 of the manifest cannot be read"), "{said}");
    }
}
