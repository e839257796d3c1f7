//! Files that are nobody else's business: made readable by their owner alone, and whole or not at all.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// What went wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Reading or writing failed.
    #[error("cannot {act} {}", path.display())]
    Io {
        /// What was being done.
        act: &'static str,
        /// To which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A secret lies open.
    #[error(
        "{} may be read by others (mode {mode:04o}); close it first: chmod 600 {}",
        path.display(), path.display()
    )]
    Open {
        /// Which file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The file is larger than any file of its kind.
    #[error("{} is larger than {bytes_max} bytes", path.display())]
    TooLong {
        /// Which file.
        path: PathBuf,
        /// The limit.
        bytes_max: u64,
    },
}

fn failed(act: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError {
    let path = path.to_owned();
    move |source| FileError::Io { act, path, source }
}

/// Reads a file of bounded size; none if there is no such file.
pub fn read(path: &Path, bytes_max: u64) -> Result<Option<Vec<u8>>, FileError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("open", path)(error)),
    };
    let mut bytes = Vec::new();
    let mut bounded = io::Read::take(file, bytes_max.saturating_add(1));
    io::Read::read_to_end(&mut bounded, &mut bytes).map_err(failed("read", path))?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > bytes_max {
        return Err(FileError::TooLong { path: path.to_owned(), bytes_max });
    }
    Ok(Some(bytes))
}

/// Reads a file that must be there.
pub fn read_existing(path: &Path, bytes_max: u64) -> Result<Vec<u8>, FileError> {
    read(path, bytes_max)?
        .ok_or_else(|| failed("open", path)(io::Error::from(io::ErrorKind::NotFound)))
}

/// Refuses a file that anyone but its owner may read.
pub fn check_closed(path: &Path) -> Result<(), FileError> {
    let mode = path.metadata().map_err(failed("look at", path))?.mode() & 0o777;
    if mode & 0o077 == 0 { Ok(()) } else { Err(FileError::Open { path: path.to_owned(), mode }) }
}

/// Makes a directory that only its owner may enter.
pub fn make_private_dir(path: &Path) -> Result<(), FileError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed("make", path))
}

/// Writes a new file; refuses to overwrite one.
pub fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), FileError> {
    let mut options = OpenOptions::new();
    let mut file =
        options.write(true).create_new(true).mode(mode).open(path).map_err(failed("make", path))?;
    file.write_all(bytes).map_err(failed("write", path))?;
    file.sync_all().map_err(failed("write", path))
}

/// Replaces a file in one step: a crash leaves the old one or the new one.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> Result<(), FileError> {
    if let Some(dir) = path.parent() {
        make_private_dir(dir)?;
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let draft = path.with_file_name(name);
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(&draft)
        .map_err(failed("make", &draft))?;
    file.set_permissions(Permissions::from_mode(mode)).map_err(failed("close", &draft))?;
    file.write_all(bytes).map_err(failed("write", &draft))?;
    file.sync_all().map_err(failed("write", &draft))?;
    std::fs::rename(&draft, path).map_err(failed("replace", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_file_is_its_owners_alone_and_a_new_one_overwrites_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/secret");
        replace(&path, b"one", 0o600).unwrap();
        replace(&path, b"two", 0o600).unwrap();
        assert_eq!(read_existing(&path, 10).unwrap(), b"two");
        check_closed(&path).unwrap();
        assert!(write_new(&path, b"three", 0o600).is_err());
        assert!(matches!(read(&path, 2), Err(FileError::TooLong { .. })));
        std::fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        assert!(check_closed(&path).unwrap_err().to_string().contains("mode 0640"));
    }
}
