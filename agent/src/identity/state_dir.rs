//! The state directory: private to the agent, written so that a file is old or new and never half.

use std::fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// A state directory that was found to be private.
#[derive(Clone, Debug)]
pub struct StateDir {
    dir: PathBuf,
}

/// Why the state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateDirError {
    /// Others could change or read what is in it.
    #[error(
        "{path} can be {what} by others (owner {owner}, mode {mode:03o}); what it holds must be \
         private: `chown {expected} {path} && chmod {wanted:03o} {path}`",
        path = path.display()
    )]
    Open {
        /// Which file or directory.
        path: PathBuf,
        /// Whether it can be read or changed.
        what: &'static str,
        /// Who owns it.
        owner: u32,
        /// Who should.
        expected: u32,
        /// Its mode.
        mode: u32,
        /// The mode it should have.
        wanted: u32,
    },
    /// The operating system said no.
    #[error("{doing} {} failed: {cause}", path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// Why it failed.
        #[source]
        cause: io::Error,
    },
    /// The helper thread that did the work came to grief.
    #[error("the work on the state directory was not finished: {0}")]
    Thread(io::Error),
    /// Two agents on one spool would destroy each other's chains.
    #[error("another cordon-agent is running on {} already", .0.display())]
    InUse(PathBuf),
}

/// A file that is longer was not written by the agent.
const FILE_BYTES_MAX: u64 = 4 << 20;

impl StateDir {
    /// Opens the directory, makes it where it is missing, and refuses it where others could write.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self, StateDirError> {
        let dir = dir.into();
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&dir);
        made.map_err(io_error("making the state directory", &dir))?;
        check_private(&dir, 0o700)?;
        Ok(Self { dir })
    }

    /// Where it is.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.dir
    }

    /// Where a file of this name stands.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// A directory inside, as private as this one.
    pub fn inner(&self, name: &str) -> Result<Self, StateDirError> {
        Self::open(self.path(name))
    }

    /// Removes a directory inside with all that it holds.
    pub fn remove_inner(&self, name: &str) -> Result<(), StateDirError> {
        let path = self.path(name);
        match std::fs::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(io_error("removing", &path)(error))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Removes a file; that there is none is fine.
    pub fn remove(&self, name: &str) -> Result<(), StateDirError> {
        let path = self.path(name);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(io_error("removing", &path)(error))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Reads a file that only its owner may see; none if there is none.
    pub fn read_secret(&self, name: &str) -> Result<Option<Vec<u8>>, StateDirError> {
        let path = self.path(name);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error("opening", &path)(error)),
        };
        check_private(&path, 0o600)?;
        let mut bytes = Vec::new();
        let read = file.take(FILE_BYTES_MAX).read_to_end(&mut bytes);
        read.map_err(io_error("reading", &path))?;
        Ok(Some(bytes))
    }

    /// Writes a file that only its owner may see; after a crash it is the old one or the new one.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), StateDirError> {
        let path = self.path(name);
        let aside = self.path(&format!("{name}.new"));
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&aside).map_err(io_error("making", &aside))?;
        // The mode of `open` counts only for a file that was not there.
        let private = file.set_permissions(Permissions::from_mode(0o600));
        let written = private.and_then(|()| file.write_all(bytes)).and_then(|()| file.sync_all());
        written.map_err(io_error("writing", &aside))?;
        std::fs::rename(&aside, &path).map_err(io_error("renaming to", &path))?;
        let synced = File::open(&self.dir).and_then(|dir| dir.sync_all());
        synced.map_err(io_error("syncing", &self.dir))
    }

    /// Keeps other agents out for as long as the answer lives.
    pub fn lock(&self) -> Result<File, StateDirError> {
        let (file, path) = self.lock_file()?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(StateDirError::InUse(self.dir.clone())),
            Err(TryLockError::Error(cause)) => Err(io_error("locking", &path)(cause)),
        }
    }

    /// The same, once whoever has it now has ended. Blocks without limit.
    pub fn wait_for_lock(&self) -> Result<File, StateDirError> {
        let (file, path) = self.lock_file()?;
        file.lock().map_err(io_error("locking", &path))?;
        Ok(file)
    }

    /// A disk that cannot be written to must not keep anybody from locking.
    fn lock_file(&self) -> Result<(File, PathBuf), StateDirError> {
        let path = self.path("lock");
        let mut options = OpenOptions::new();
        let made = options.write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = made.or_else(|error| File::open(&path).map_err(|_missing| error));
        Ok((file.map_err(io_error("opening", &path))?, path))
    }
}

impl StateDirError {
    /// The helper thread came to grief.
    pub(crate) fn helper(cause: io::Error) -> Self {
        Self::Thread(cause)
    }
}

fn io_error(doing: &'static str, path: &Path) -> impl Fn(io::Error) -> StateDirError {
    move |cause| StateDirError::Io { doing, path: path.to_owned(), cause }
}

/// A directory must not be writable by others, a file not even readable.
fn check_private(path: &Path, wanted: u32) -> Result<(), StateDirError> {
    let meta = std::fs::metadata(path).map_err(io_error("looking at", path))?;
    let mode = meta.mode() & 0o777;
    let expected = rustix::process::geteuid().as_raw();
    let (bits, what) = if meta.is_dir() { (0o022, "changed") } else { (0o077, "read") };
    if mode & bits == 0 && meta.uid() == expected {
        return Ok(());
    }
    let (path, owner) = (path.to_owned(), meta.uid());
    Err(StateDirError::Open { path, what, owner, expected, mode, wanted })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set_mode(path: &Path, mode: u32) {
        std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_directory_that_others_may_write_to_is_refused_with_the_way_to_mend_it() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("state");
        StateDir::open(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        set_mode(&path, 0o777);
        let said = StateDir::open(&path).unwrap_err().to_string();
        assert!(said.contains("mode 777") && said.contains("chmod 700"), "{said}");
    }

    #[test]
    fn a_secret_that_others_may_read_is_refused() {
        let temp = tempfile::tempdir().unwrap();
        let dir = StateDir::open(temp.path().join("state")).unwrap();
        assert!(dir.read_secret("a").unwrap().is_none());
        dir.write("a", b"1").unwrap();
        assert_eq!(dir.read_secret("a").unwrap().unwrap(), b"1");
        set_mode(&dir.path("a"), 0o640);
        let said = dir.read_secret("a").unwrap_err().to_string();
        assert!(said.contains("can be read by others") && said.contains("chmod 600"), "{said}");
    }

    #[test]
    fn a_half_written_file_leaves_the_old_one_standing() {
        let temp = tempfile::tempdir().unwrap();
        let dir = StateDir::open(temp.path().join("state")).unwrap();
        dir.write("a", b"old").unwrap();
        std::fs::write(dir.path("a.new"), b"ne").unwrap();
        set_mode(&dir.path("a.new"), 0o644);
        assert_eq!(dir.read_secret("a").unwrap().unwrap(), b"old");
        dir.write("a", b"new").unwrap();
        assert_eq!(dir.read_secret("a").unwrap().unwrap(), b"new");
    }

    #[test]
    fn a_second_agent_on_the_same_directory_is_kept_out() {
        let temp = tempfile::tempdir().unwrap();
        let dir = StateDir::open(temp.path().join("state")).unwrap();
        let held = dir.lock().unwrap();
        assert!(matches!(dir.lock(), Err(StateDirError::InUse(_))));
        drop(held);
        dir.lock().unwrap();
    }
}
