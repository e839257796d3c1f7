//! `hashes`: SHA-256 of files, read when they are asked for.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use cordon_proto::id::Hash;
use cordon_proto::query::{Row, Value};
use ring::digest::{Context, SHA256};
use rustix::fs::OFlags;

use super::files::{DIRECTORY, Found, PATH, find, shown};
use super::{INTEGER, TEXT, column, number, word};
use crate::platform::sqlite::{Asked, Column, Rows, Table};

/// What is longer is not read: it would take the query's whole time.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// One row a file; folders and links are passed over, but for a link that is named itself.
pub(super) struct Hashes;

impl Table for Hashes {
    fn name(&self) -> &'static str {
        "hashes"
    }

    fn about(&self) -> &'static str {
        "SHA-256 of files by path or directory, which a query must name"
    }

    fn columns(&self) -> &'static [Column] {
        const COLUMNS: &[Column] = &[
            PATH,
            DIRECTORY,
            column("sha256", TEXT, "of what the file holds now"),
            column("size_bytes", INTEGER, "how much was read"),
            column("problem", TEXT, "why there is no hash"),
        ];
        COLUMNS
    }

    fn rows(&self, asked: &[Asked]) -> Result<Rows, String> {
        let found = find(self.name(), asked)?;
        let wanted = |found: &Result<Found, String>| {
            found.as_ref().map_or(true, |found| {
                found.metadata.is_file() || (found.metadata.is_symlink() && found.path.is_file())
            })
        };
        Ok(Box::new(found.filter(wanted).map(|found| found.map(|found| row(&found)))))
    }
}

fn row(found: &Found) -> Row {
    let (hash, bytes, problem) = match hash(&found.path) {
        Ok((hash, bytes)) => (word(hash.to_string()), number(bytes), Value::Null),
        Err(problem) => (Value::Null, Value::Null, word(problem)),
    };
    vec![shown(found.path.as_os_str()), shown(found.directory.as_os_str()), hash, bytes, problem]
}

fn hash(path: &Path) -> Result<(Hash, u64), String> {
    // A fifo that took a file's place must not hold the query up.
    let careful = i32::try_from((OFlags::NONBLOCK | OFlags::NOCTTY).bits()).unwrap_or_default();
    let open = File::options().read(true).custom_flags(careful).open(path);
    let mut file = open.map_err(|error| format!("opening it: {error}"))?;
    let metadata = file.metadata().map_err(|error| format!("looking at it: {error}"))?;
    if !metadata.is_file() {
        return Err("it is no file".to_owned());
    }
    if metadata.len() > FILE_BYTES_MAX {
        return Err(format!("it is {} bytes long; {FILE_BYTES_MAX} are read", metadata.len()));
    }
    let mut context = Context::new(&SHA256);
    let (mut buffer, mut bytes) = (vec![0; 64 << 10], 0_u64);
    // A file that grows while it is read has an end all the same.
    let mut rest = (&mut file).take(FILE_BYTES_MAX);
    loop {
        let read = rest.read(&mut buffer).map_err(|error| format!("reading it: {error}"))?;
        if read == 0 {
            break;
        }
        bytes = bytes.saturating_add(u64::try_from(read).unwrap_or_default());
        context.update(&buffer[..read]);
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    Ok((Hash(hash), bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_files_hash_is_that_of_its_bytes_and_what_is_no_file_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, b"abc").unwrap();
        assert_eq!(hash(&path), Ok((Hash::of(b"abc"), 3)));
        assert_eq!(hash(folder.path()), Err("it is no file".to_owned()));
        assert!(hash(&folder.path().join("b")).unwrap_err().starts_with("opening it: "));
    }
}
