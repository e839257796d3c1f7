//! Room kept for the moment when the disk is full.
//!
//! SQLite needs room to give room back: a deletion is first written to its log. So a file of this
//! size lies beside the spool and is given up when the disk is full. What it frees is enough to
//! drop old batches, whose pages then take the new ones; until the reserve is taken again, the
//! file does not grow, so that what was freed stays the log's.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate, statvfs};

/// What the database's log grows to before it is worked off, what working it off may add to the
/// file, and as much again for large transactions.
const BYTES: u64 = 4 << 20;

/// The reserve is taken back only when this many times as much is free.
const FREE_TIMES: u64 = 2;

#[derive(Debug)]
pub(super) struct Reserve {
    path: PathBuf,
}

impl Reserve {
    pub(super) fn beside(spool: &Path) -> Self {
        Self { path: spool.with_extension("reserve") }
    }

    /// Gives the room up; answers whether there was any.
    pub(super) fn give_up(&self) -> bool {
        match fs::remove_file(&self.path) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => {
                tracing::warn!(%error, path = %self.path.display(), "cannot give up the reserve");
                false
            }
        }
    }

    /// What is free on the disk.
    pub(super) fn free_bytes(&self) -> io::Result<u64> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let disk = statvfs(folder)?;
        Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    /// Takes the room if it is not taken and the disk has plenty; answers whether it is taken.
    pub(super) fn take(&self) -> io::Result<bool> {
        if self.path.try_exists()? {
            return Ok(true);
        }
        if self.free_bytes()? < BYTES * FREE_TIMES {
            return Ok(false);
        }
        let file = File::create_new(&self.path)?;
        let taken = fallocate(&file, FallocateFlags::empty(), 0, BYTES);
        if taken.is_err() {
            fs::remove_file(&self.path)?;
        }
        taken?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn the_reserve_takes_real_room_once_and_gives_it_up_once() {
        let folder = tempfile::tempdir().unwrap();
        let reserve = Reserve::beside(&folder.path().join("spool.db"));
        assert!(!reserve.give_up());
        assert!(reserve.take().unwrap());
        assert!(reserve.take().unwrap());
        let blocks = fs::metadata(folder.path().join("spool.reserve")).unwrap().blocks();
        assert!(blocks * 512 >= BYTES, "{blocks} blocks");
        assert!(reserve.give_up());
        assert!(!reserve.give_up());
    }
}
