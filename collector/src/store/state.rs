//! The state database: one SQLite file, one writer, short transactions, and readers that wait for
//! nobody: a storm at the agents' door must not keep people from looking.
//!
//! Each thing that lives here has a file of its own with its queries (`endpoint.rs`, `token.rs`);
//! calls block on the disk, so tasks make them through [`State::from_task`].

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use super::derived::catch_up;
use super::migrate::migrate;

/// Statements that a connection keeps prepared: all that there are.
const STATEMENTS_KEPT: usize = 128;

/// How long one process waits for another that holds the database.
const BUSY_WAIT: Duration = Duration::from_secs(10);

/// Readers kept for the next reading; each costs its cache.
const IDLE_READERS_MAX: usize = 4;

/// What is known about clients, endpoints, commands and people.
#[derive(Debug)]
pub struct State {
    connection: Mutex<Connection>,
    /// The file that readers open; none where everything is in the writer's memory.
    path: Option<PathBuf>,
    readers: Mutex<Vec<Connection>>,
}

/// Why the state could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The file cannot be opened.
    #[error("cannot open the state database {path}: {cause}")]
    Open {
        /// Which file.
        path: PathBuf,
        /// Why.
        cause: rusqlite::Error,
    },
    /// A statement failed; nothing of its transaction stands.
    #[error("cannot {doing}: {cause}")]
    Sql {
        /// What was being done.
        doing: &'static str,
        /// Why.
        cause: rusqlite::Error,
    },
    /// A newer version wrote it.
    #[error(
        "the state database has schema {found}, this version knows up to {known}; run the newer cordon-collector"
    )]
    Newer {
        /// What it has.
        found: i64,
        /// What is known here.
        known: i64,
    },
    /// The thread that was to do it has ended.
    #[error("the collector is stopping")]
    Stopping,
}

impl State {
    /// Opens the database, making it if it is not there.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        let failed = |cause| StateError::Open { path: path.to_owned(), cause };
        let connection = Connection::open(path).map_err(failed)?;
        connection.pragma_update(None, "journal_mode", "WAL").map_err(failed)?;
        connection.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
        Self::prepare(connection, Some(path.to_owned()), failed)
    }

    /// A database that lives as long as this value; for tests.
    pub fn in_memory() -> Result<Self, StateError> {
        let failed = |cause| StateError::Open { path: PathBuf::from(":memory:"), cause };
        Self::prepare(Connection::open_in_memory().map_err(failed)?, None, failed)
    }

    fn prepare(
        mut connection: Connection,
        path: Option<PathBuf>,
        failed: impl Fn(rusqlite::Error) -> StateError,
    ) -> Result<Self, StateError> {
        connection.busy_timeout(BUSY_WAIT).map_err(&failed)?;
        connection.pragma_update(None, "foreign_keys", true).map_err(&failed)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
        migrate(&mut connection)?;
        catch_up(&mut connection).map_err(&failed)?;
        Ok(Self { connection: Mutex::new(connection), path, readers: Mutex::default() })
    }

    /// Reads the state as it is at one moment, with all that was written before. `doing` completes the
    /// sentence "cannot …".
    pub fn read<T>(
        &self,
        doing: &'static str,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StateError> {
        let failed = |cause| StateError::Sql { doing, cause };
        let Some(path) = &self.path else {
            let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
            return read(&connection).map_err(failed);
        };
        let idle = self.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let reader = idle.map_or_else(|| open_reader(path), Ok).map_err(failed)?;
        let answer = at_one_moment(&reader, read).map_err(failed);
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if readers.len() < IDLE_READERS_MAX {
            readers.push(reader);
        }
        answer
    }

    /// Changes, whole or not at all; durable once this returns. `doing` completes "cannot …".
    pub fn write<T>(
        &self,
        doing: &'static str,
        write: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, StateError> {
        let failed = |cause| StateError::Sql { doing, cause };
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut connection, write).map_err(failed)
    }

    /// Changes what may be forgotten in a power failure, and saves the wait for the disk. A crash of
    /// this process loses nothing, and the next [`Self::write`] makes it durable.
    pub fn write_soon<T>(
        &self,
        doing: &'static str,
        write: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, StateError> {
        let failed = |cause| StateError::Sql { doing, cause };
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        connection.pragma_update(None, "synchronous", "NORMAL").map_err(failed)?;
        let answer = change(&mut connection, write).map_err(failed);
        connection.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
        answer
    }

    /// Does something with the state from a task, on a thread that may block.
    pub async fn from_task<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, StateError> + Send + 'static,
    ) -> Result<T, StateError> {
        let state = Arc::clone(self);
        match tokio::task::spawn_blocking(move || work(&state)).await {
            Ok(answer) => answer,
            Err(_) => Err(StateError::Stopping),
        }
    }
}

fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let reader = Connection::open_with_flags(path, flags)?;
    reader.busy_timeout(BUSY_WAIT)?;
    reader.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    Ok(reader)
}

/// All statements of one reading see the same state.
fn at_one_moment<T>(
    reader: &Connection,
    read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let moment = reader.unchecked_transaction()?;
    let answer = read(reader);
    // There is nothing to take back.
    moment.rollback()?;
    answer
}

fn change<T>(
    connection: &mut Connection,
    write: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let change = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let answer = write(&change)?;
    change.commit()?;
    Ok(answer)
}

/// A number as SQLite keeps it; what is past 2^63 is not a time or count of this world.
pub(crate) fn to_sql(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A number as it was kept.
pub(crate) fn from_sql(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

/// Reads a column of text or bytes that has a type of its own.
pub(crate) fn parsed<T, E>(result: Result<T, E>, column: usize) -> rusqlite::Result<T>
where
    E: std::error::Error + Send + Sync + 'static,
{
    result.map_err(|cause| {
        let kind = rusqlite::types::Type::Null;
        rusqlite::Error::FromSqlConversionFailure(column, kind, Box::new(cause))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_that_fails_leaves_nothing() {
        let state = State::in_memory().unwrap();
        let failed = state.write("try", |change| {
            change.execute("INSERT INTO client VALUES ('acme', 1)", [])?;
            change.execute("INSERT INTO nowhere VALUES (1)", [])
        });
        assert!(failed.unwrap_err().to_string().starts_with("cannot try: "));
        assert_eq!(state.clients().unwrap(), []);
    }

    #[test]
    fn reading_waits_for_no_change_and_sees_one_moment() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::open(&folder.path().join("state.db")).unwrap();
        let insert = |c: &Transaction<'_>| c.execute("INSERT INTO client VALUES ('acme', 1)", []);
        let count = |c: &Connection| {
            c.query_row("SELECT count(*) FROM client", [], |row| row.get::<_, i64>(0))
        };
        let within = state.write("insert", |change| {
            insert(change)?;
            Ok(state.read("count", count).unwrap())
        });
        assert_eq!(within.unwrap(), 0, "what is not whole yet is not seen, and not waited for");
        assert_eq!(state.read("count", count).unwrap(), 1);
        let twice = state.read("count twice", |reader| {
            let before = count(reader)?;
            state.write("forget", |change| change.execute("DELETE FROM client", [])).unwrap();
            Ok((before, count(reader)?))
        });
        assert_eq!(twice.unwrap(), (1, 1));
        assert_eq!(state.read("count", count).unwrap(), 0);
        let wrote = state.read("write", |reader| reader.execute("DELETE FROM client", []));
        assert!(wrote.is_err(), "who reads changes nothing");
    }

    #[test]
    fn what_was_written_is_there_when_the_file_is_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.db");
        let insert = |c: &Transaction<'_>| c.execute("INSERT INTO client VALUES ('acme', 1)", []);
        State::open(&path).unwrap().write("insert", insert).unwrap();
        assert_eq!(State::open(&path).unwrap().clients().unwrap().len(), 1);
    }
}
