//! The highest epoch ever begun in each lane, in a small file beside the spool: if the spool is
//! lost, the next epoch is still above all that were used, and nobody mistakes the loss for a new
//! endpoint.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use cordon_proto::event::Lane;
use serde::{Deserialize, Serialize};

/// What the file says.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Floor {
    pub(super) control: u32,
    pub(super) telemetry: u32,
    /// When the later of the two began, nanoseconds since 1970 UTC.
    pub(super) since_ns: u64,
}

impl Floor {
    pub(super) fn of(&self, lane: Lane) -> u32 {
        match lane {
            Lane::Control => self.control,
            Lane::Telemetry => self.telemetry,
        }
    }

    /// Reads it; none if there is no such file, or it cannot be understood: then the collector,
    /// which shows the last head it stored, is the only one who knows.
    pub(super) fn read(spool: &Path) -> io::Result<Option<Self>> {
        match fs::read_to_string(path(spool)) {
            Ok(text) => Ok(toml::from_str(&text).ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes it whole or not at all, and waits until it is on disk.
    pub(super) fn write(&self, spool: &Path) -> io::Result<()> {
        let path = path(spool);
        let text = toml::to_string(self).map_err(io::Error::other)?;
        let next = path.with_extension("epochs.new");
        let mut file = File::create(&next)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&next, &path)?;
        match path.parent() {
            Some(folder) => File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    }
}

fn path(spool: &Path) -> PathBuf {
    spool.with_extension("epochs")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_floor_reads_back_and_is_absent_at_first() {
        let folder = tempfile::tempdir().unwrap();
        let spool = folder.path().join("spool.db");
        assert_eq!(Floor::read(&spool).unwrap(), None);
        let floor = Floor { control: 2, telemetry: 7, since_ns: 9 };
        floor.write(&spool).unwrap();
        assert_eq!(Floor::read(&spool).unwrap(), Some(floor));
        assert_eq!((floor.of(Lane::Control), floor.of(Lane::Telemetry)), (2, 7));
    }

    #[test]
    fn a_floor_that_cannot_be_understood_is_as_good_as_none() {
        let folder = tempfile::tempdir().unwrap();
        let spool = folder.path().join("spool.db");
        fs::write(path(&spool), "control = \"many\"").unwrap();
        assert_eq!(Floor::read(&spool).unwrap(), None);
    }
}
