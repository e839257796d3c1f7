//! What can go wrong with the spool, and what kind of trouble it is.

use std::io;
use std::path::PathBuf;

use cordon_proto::sign::batch::BatchError;
use rusqlite::ErrorCode;

/// Why the spool did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// Something on the disk.
    #[error("cannot {doing} the spool {}: {fault}", path.display())]
    Failed {
        /// What was being done.
        doing: &'static str,
        /// To which file.
        path: PathBuf,
        /// Why not.
        #[source]
        fault: Fault,
    },
    /// The thread that owns the spool has ended.
    #[error("the spool is closed")]
    Closed,
}

/// The cause.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The database.
    #[error("{0}")]
    Database(#[from] rusqlite::Error),
    /// A file beside it.
    #[error("{0}")]
    File(#[from] io::Error),
    /// A value in it that was never written there.
    #[error("it holds {0}, which was never written there")]
    Content(&'static str),
    /// A batch that could not be sealed or taken apart.
    #[error("{0}")]
    Batch(#[from] BatchError),
    /// It could not be opened again after damage.
    #[error("it is not open")]
    NotOpen,
}

impl Fault {
    /// Whether the file can no longer be trusted and must be given up.
    pub(super) fn is_damage(&self) -> bool {
        match self {
            Self::Content(_) => true,
            Self::Database(error) => {
                let code = error.sqlite_error_code();
                // `Unknown` is SQL that does not fit the tables: they are not ours.
                let damaged =
                    [ErrorCode::DatabaseCorrupt, ErrorCode::NotADatabase, ErrorCode::Unknown];
                code.is_some_and(|code| damaged.contains(&code))
                    || matches!(error, rusqlite::Error::InvalidColumnType(..))
            }
            Self::File(_) | Self::Batch(_) | Self::NotOpen => false,
        }
    }

    /// Whether room would help.
    pub(super) fn is_full(&self) -> bool {
        match self {
            Self::Database(error) => error.sqlite_error_code() == Some(ErrorCode::DiskFull),
            Self::File(error) => error.kind() == io::ErrorKind::StorageFull,
            Self::Content(_) | Self::Batch(_) | Self::NotOpen => false,
        }
    }
}
