//! The spool's tables in SQLite: what is asked of the database, and how it is tuned.
//!
//! SQLite rather than a store of our own or redb: live queries need SQLite's virtual tables in
//! this process anyway, so that any other engine would be the second one; and its write-ahead log
//! is exactly what two lanes want. A commit under `synchronous = FULL` waits for the log to be on
//! disk and takes every earlier commit with it, one under `NORMAL` costs no wait; after a power
//! loss what is there is always a beginning of what was committed, never a part of a commit.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cordon_proto::codec;
use cordon_proto::event::{ClassCount, Lane};
use cordon_proto::id::Hash;
use cordon_proto::session::{Cursor, SealedBatch};
use cordon_proto::sign::batch::{Batch, EpochCause};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::fault::Fault;
use super::lane::{Holding, LaneState, Sealed};

/// The layout below; another number is another layout and is not read.
const LAYOUT: i64 = 1;

/// The database's page.
const PAGE_BYTES: u64 = 4096;

/// The log is worked off when it is this long (1 MiB): what a disk must have twice.
const LOG_PAGES: u64 = 256;

/// Pages given back to the file system at once, so that it holds nobody up.
const GIVE_BACK_PAGES: u64 = 1024;

/// Free pages that the file keeps for what comes next.
const FREE_PAGES: u64 = 2048;

const TABLES: &str = "
    CREATE TABLE batch (
        id INTEGER PRIMARY KEY,
        lane INTEGER NOT NULL, epoch INTEGER NOT NULL,
        first INTEGER NOT NULL, last INTEGER NOT NULL,
        hash BLOB NOT NULL, counts BLOB NOT NULL,
        from_ns INTEGER NOT NULL, to_ns INTEGER NOT NULL, bytes INTEGER NOT NULL,
        header BLOB NOT NULL, events BLOB NOT NULL
    );
    CREATE UNIQUE INDEX batch_place ON batch (lane, epoch, last);
    CREATE TABLE lane (
        lane INTEGER PRIMARY KEY, epoch INTEGER NOT NULL, next_seq INTEGER NOT NULL,
        head BLOB NOT NULL, cause INTEGER
    );
    CREATE TABLE run (
        id INTEGER PRIMARY KEY, boot_id TEXT NOT NULL, clean INTEGER NOT NULL, alive_ns INTEGER NOT NULL
    );
    CREATE TABLE checkpoint (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE note (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
    PRAGMA user_version = 1;
";

/// Whether a commit waits until it is on disk.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Sync {
    /// It does, and takes all earlier commits with it.
    Now,
    /// It does not; a later one will.
    Later,
}

/// The run that wrote last.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Run {
    pub(super) boot_id: String,
    /// Whether it said goodbye.
    pub(super) clean: bool,
    /// When it was last known to be alive, nanoseconds since 1970 UTC.
    pub(super) alive_ns: u64,
}

/// A stored batch without its content.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) id: i64,
    pub(super) epoch: u32,
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) hash: Hash,
    pub(super) holding: Holding,
    pub(super) bytes: u64,
}

const STORED: &str = "id, epoch, first, last, hash, counts, from_ns, to_ns, bytes";

#[derive(Debug)]
pub(super) struct Store {
    db: Connection,
    /// SQLite's write-ahead log.
    log: PathBuf,
    sync: Sync,
}

impl Store {
    /// Opens or makes the file. One process at a time may have it open.
    pub(super) fn open(path: &Path, file_bytes_max: u64) -> Result<Self, Fault> {
        let db = Connection::open(path)?;
        db.busy_timeout(Duration::from_secs(2))?;
        db.set_prepared_statement_cache_capacity(24);
        let log_bytes = LOG_PAGES * PAGE_BYTES;
        // Exclusive: no shared-memory file and no locks to take at each commit. The cache is small
        // because batches are written once and read once.
        db.execute_batch(&format!(
            "PRAGMA locking_mode = EXCLUSIVE;
             PRAGMA auto_vacuum = INCREMENTAL;
             PRAGMA journal_mode = WAL;
             PRAGMA synchronous = FULL;
             PRAGMA cache_size = -256;
             PRAGMA mmap_size = 0;
             PRAGMA temp_store = MEMORY;
             PRAGMA wal_autocheckpoint = {LOG_PAGES};
             PRAGMA journal_size_limit = {log_bytes};"
        ))?;
        let [_, log] = files(path);
        let store = Self { db, log, sync: Sync::Now };
        store.let_grow(file_bytes_max)?;
        Ok(store)
    }

    /// Makes the tables; with `lanes` as they begin.
    pub(super) fn make(&mut self, lanes: &[LaneState], run: &Run) -> Result<(), Fault> {
        self.write(Sync::Now, |tx| {
            tx.db.execute_batch(TABLES)?;
            for lane in lanes {
                tx.save_lane(lane)?;
            }
            tx.save_run(run)
        })
    }

    /// Whether the tables are there and of the layout known.
    pub(super) fn is_made(&self) -> Result<bool, Fault> {
        match self.db.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0))? {
            0 => Ok(false),
            LAYOUT => Ok(true),
            _ => Err(Fault::Content("tables of another version of the agent")),
        }
    }

    /// Reads every page and says whether they fit together.
    pub(super) fn check(&self) -> Result<(), Fault> {
        let said: String = self.db.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if said == "ok" { Ok(()) } else { Err(Fault::Content("pages that do not fit together")) }
    }

    /// Does everything in `work` or nothing of it.
    pub(super) fn write<T>(
        &mut self,
        sync: Sync,
        work: impl FnOnce(&Tx<'_>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        if self.sync != sync {
            let level = if sync == Sync::Now { "FULL" } else { "NORMAL" };
            self.db.execute_batch(&format!("PRAGMA synchronous = {level}"))?;
            self.sync = sync;
        }
        // Prepared once, where a transaction of rusqlite's would have SQLite read both words anew for
        // each batch.
        self.db.prepare_cached("BEGIN")?.execute([])?;
        let tx = Tx { db: &self.db };
        let done = work(&tx).and_then(|done| {
            self.db.prepare_cached("COMMIT")?.execute([])?;
            Ok(done)
        });
        // Some faults have rolled it back already.
        if done.is_err()
            && !self.db.is_autocommit()
            && let Err(error) = self.db.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "a transaction of the spool could not be undone");
        }
        done
    }

    pub(super) fn lane(&self, lane: Lane) -> Result<LaneState, Fault> {
        let number = number_of(lane);
        let (events, bytes) = self.db.query_row(
            "SELECT coalesce(sum(last - first + 1), 0), coalesce(sum(bytes), 0)
             FROM batch WHERE lane = ?1",
            [number],
            |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)),
        )?;
        let mut query =
            self.db.prepare("SELECT epoch, next_seq, head, cause FROM lane WHERE lane = ?1")?;
        let mut rows = query.query([number])?;
        let row = rows.next()?.ok_or(Fault::Content("no row for a lane"))?;
        let cause = row.get::<_, Option<i64>>(3)?.map(cause_of).transpose()?;
        Ok(LaneState {
            lane,
            epoch: epoch(row, 0)?,
            next_seq: unsigned(row, 1)?,
            head: hash(row, 2)?,
            cause,
            events: positive(events)?,
            bytes: positive(bytes)?,
        })
    }

    pub(super) fn run(&self) -> Result<Option<Run>, Fault> {
        let mut query = self.db.prepare("SELECT boot_id, clean, alive_ns FROM run WHERE id = 1")?;
        let mut rows = query.query([])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        Ok(Some(Run { boot_id: row.get(0)?, clean: row.get(1)?, alive_ns: unsigned(row, 2)? }))
    }

    /// Waits until every commit is on disk. All that a commit wrote is in the log, or was moved from
    /// there by SQLite, which syncs then; so the log's file is enough, and nothing has to be written
    /// for it. The file's name in its directory was synced by the first commit that waited.
    pub(super) fn sync_log(&self) -> Result<(), Fault> {
        Ok(File::open(&self.log).and_then(|log| log.sync_data())?)
    }

    pub(super) fn sealed_after(
        &self,
        lane: Lane,
        after: Cursor,
        batches_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<SealedBatch>, Fault> {
        // Rows come one by one in the order of the index, so that it costs nothing to stop. A limit
        // as a parameter would have SQLite plan the statement anew each time.
        let mut query = self.db.prepare_cached(
            "SELECT epoch, first, last, header, events FROM batch
             WHERE lane = ?1 AND (epoch, last) > (?2, ?3) ORDER BY epoch, last",
        )?;
        let mut rows = query.query(params![number_of(lane), after.epoch, signed(after.last)])?;
        let mut found = Vec::new();
        let mut bytes = 0_usize;
        while found.len() < batches_max
            && let Some(row) = rows.next()?
        {
            let batch = Batch { header: row.get(3)?, events: row.get(4)? };
            bytes = bytes.saturating_add(batch.header.len()).saturating_add(batch.events.len());
            if bytes > bytes_max && !found.is_empty() {
                break;
            }
            let (first, last) = (unsigned(row, 1)?, unsigned(row, 2)?);
            found.push(SealedBatch { epoch: epoch(row, 0)?, first, last, batch });
        }
        Ok(found)
    }

    pub(super) fn checkpoints(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, Fault> {
        let mut query = self.db.prepare_cached(
            "SELECT key, value FROM checkpoint WHERE substr(key, 1, length(?1)) = ?1 ORDER BY key",
        )?;
        let mut rows = query.query([prefix])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push((row.get(0)?, row.get(1)?));
        }
        Ok(found)
    }

    pub(super) fn note(&self, key: &str) -> Result<Option<Vec<u8>>, Fault> {
        let mut query = self.db.prepare_cached("SELECT value FROM note WHERE key = ?1")?;
        Ok(query.query_row([key], |row| row.get(0)).optional()?)
    }

    /// Gives room that is no longer needed back to the file system, a piece at a time.
    pub(super) fn give_back(&self) -> Result<(), Fault> {
        let free = self.db.pragma_query_value(None, "freelist_count", |row| row.get(0))?;
        if positive(free)? > FREE_PAGES {
            self.db.execute_batch(&format!("PRAGMA incremental_vacuum({GIVE_BACK_PAGES})"))?;
        }
        Ok(())
    }

    /// Keeps the file from growing beyond what it is now.
    pub(super) fn stop_growing(&self) -> Result<(), Fault> {
        self.let_grow_by(0)
    }

    /// Lets the file grow by so many bytes beyond what it is now.
    pub(super) fn let_grow_by(&self, bytes: u64) -> Result<(), Fault> {
        let pages: i64 = self.db.pragma_query_value(None, "page_count", |row| row.get(0))?;
        self.limit_pages(positive(pages)?.saturating_add(bytes / PAGE_BYTES))
    }

    /// Lets the file grow up to so many bytes.
    pub(super) fn let_grow(&self, file_bytes_max: u64) -> Result<(), Fault> {
        self.limit_pages(file_bytes_max.div_ceil(PAGE_BYTES))
    }

    fn limit_pages(&self, pages_max: u64) -> Result<(), Fault> {
        Ok(self.db.execute_batch(&format!("PRAGMA max_page_count = {pages_max}"))?)
    }

    /// Moves the log into the file, so that it is written from its start again.
    pub(super) fn work_off(&self) -> Result<(), Fault> {
        Ok(self.db.query_row("PRAGMA wal_checkpoint(RESTART)", [], |_row| Ok(()))?)
    }

    /// Moves the log into the file and closes it.
    pub(super) fn close(self) -> Result<(), Fault> {
        self.db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_row| Ok(()))?;
        self.db.close().map_err(|(_connection, error)| error.into())
    }
}

#[cfg(test)]
impl Store {
    pub(super) fn harm(&mut self, sql: &str) {
        self.db.execute_batch(sql).unwrap();
    }
}

/// Inside a transaction.
#[derive(Debug)]
pub(super) struct Tx<'a> {
    db: &'a Connection,
}

impl Tx<'_> {
    pub(super) fn insert(&self, lane: Lane, sealed: &Sealed) -> Result<(), Fault> {
        let mut insert = self.db.prepare_cached(
            "INSERT INTO batch (lane, epoch, first, last, hash, counts, from_ns, to_ns, bytes, header, events)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )?;
        insert.execute(params![
            number_of(lane),
            sealed.epoch,
            signed(sealed.first),
            signed(sealed.last),
            sealed.hash.0.as_slice(),
            codec::encode(&sealed.holding.counts),
            signed(sealed.holding.from_ns),
            signed(sealed.holding.to_ns),
            signed(sealed.bytes()),
            sealed.header,
            sealed.events,
        ])?;
        Ok(())
    }

    pub(super) fn delete(&self, id: i64) -> Result<(), Fault> {
        self.db.prepare_cached("DELETE FROM batch WHERE id = ?1")?.execute([id])?;
        Ok(())
    }

    /// Deletes all up to a place; answers how many events and bytes they were.
    pub(super) fn delete_upto(&self, lane: Lane, upto: Cursor) -> Result<(u64, u64), Fault> {
        let mut delete = self.db.prepare_cached(
            "DELETE FROM batch WHERE lane = ?1 AND (epoch, last) <= (?2, ?3)
             RETURNING last - first + 1, bytes",
        )?;
        let mut rows = delete.query(params![number_of(lane), upto.epoch, signed(upto.last)])?;
        let (mut events, mut bytes) = (0_u64, 0_u64);
        while let Some(row) = rows.next()? {
            events = events.saturating_add(unsigned(row, 0)?);
            bytes = bytes.saturating_add(unsigned(row, 1)?);
        }
        Ok((events, bytes))
    }

    /// The first batch after a place, of an epoch below another one.
    pub(super) fn next(
        &self,
        lane: Lane,
        after: Cursor,
        epoch_below: u32,
    ) -> Result<Option<Stored>, Fault> {
        let mut query = self.db.prepare_cached(&format!(
            "SELECT {STORED} FROM batch
             WHERE lane = ?1 AND (epoch, last) > (?2, ?3) AND epoch < ?4
             ORDER BY epoch, last LIMIT 1"
        ))?;
        let place = params![number_of(lane), after.epoch, signed(after.last), epoch_below];
        let mut rows = query.query(place)?;
        let Some(row) = rows.next()? else { return Ok(None) };
        let counts: Vec<u8> = row.get(5)?;
        let counts = codec::decode_strict::<Vec<ClassCount>>(&counts);
        let counts = counts.ok().ok_or(Fault::Content("counts that cannot be read"))?;
        let (from_ns, to_ns) = (unsigned(row, 6)?, unsigned(row, 7)?);
        Ok(Some(Stored {
            id: row.get(0)?,
            epoch: epoch(row, 1)?,
            first: unsigned(row, 2)?,
            last: unsigned(row, 3)?,
            hash: hash(row, 4)?,
            holding: Holding { counts, from_ns, to_ns },
            bytes: unsigned(row, 8)?,
        }))
    }

    /// The events of a batch, packed.
    pub(super) fn events(&self, id: i64) -> Result<Vec<u8>, Fault> {
        let mut query = self.db.prepare_cached("SELECT events FROM batch WHERE id = ?1")?;
        Ok(query.query_row([id], |row| row.get(0))?)
    }

    pub(super) fn save_lane(&self, state: &LaneState) -> Result<(), Fault> {
        let mut save =
            self.db.prepare_cached("INSERT OR REPLACE INTO lane VALUES (?1, ?2, ?3, ?4, ?5)")?;
        save.execute(params![
            number_of(state.lane),
            state.epoch,
            signed(state.next_seq),
            state.head.0.as_slice(),
            state.cause.map(number_of_cause),
        ])?;
        Ok(())
    }

    pub(super) fn save_run(&self, run: &Run) -> Result<(), Fault> {
        let mut save =
            self.db.prepare_cached("INSERT OR REPLACE INTO run VALUES (1, ?1, ?2, ?3)")?;
        save.execute(params![run.boot_id, run.clean, signed(run.alive_ns)])?;
        Ok(())
    }

    pub(super) fn save_checkpoint(&self, key: &str, value: Option<&[u8]>) -> Result<(), Fault> {
        self.put("checkpoint", key, value)
    }

    pub(super) fn save_note(&self, key: &str, value: Option<&[u8]>) -> Result<(), Fault> {
        self.put("note", key, value)
    }

    fn put(&self, table: &'static str, key: &str, value: Option<&[u8]>) -> Result<(), Fault> {
        match value {
            Some(value) => {
                let sql = format!("INSERT OR REPLACE INTO {table} VALUES (?1, ?2)");
                self.db.prepare_cached(&sql)?.execute(params![key, value])?;
            }
            None => {
                let sql = format!("DELETE FROM {table} WHERE key = ?1");
                self.db.prepare_cached(&sql)?.execute([key])?;
            }
        }
        Ok(())
    }
}

/// The files that make up a database of this name.
pub(super) fn files(path: &Path) -> [PathBuf; 2] {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    [path.to_path_buf(), PathBuf::from(log)]
}

/// SQLite's integers have a sign; no number here comes near the top bit.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn positive(number: i64) -> Result<u64, Fault> {
    u64::try_from(number).ok().ok_or(Fault::Content("a negative number"))
}

fn unsigned(row: &Row<'_>, index: usize) -> Result<u64, Fault> {
    positive(row.get(index)?)
}

fn epoch(row: &Row<'_>, index: usize) -> Result<u32, Fault> {
    u32::try_from(unsigned(row, index)?).ok().ok_or(Fault::Content("an epoch out of range"))
}

fn hash(row: &Row<'_>, index: usize) -> Result<Hash, Fault> {
    let bytes: Vec<u8> = row.get(index)?;
    <[u8; 32]>::try_from(bytes).map(Hash).ok().ok_or(Fault::Content("a hash of another length"))
}

fn number_of(lane: Lane) -> i64 {
    match lane {
        Lane::Control => 0,
        Lane::Telemetry => 1,
    }
}

fn number_of_cause(cause: EpochCause) -> i64 {
    match cause {
        EpochCause::Enrolled => 0,
        EpochCause::SpoolLost => 1,
        EpochCause::Refused => 2,
        EpochCause::RolledBack => 3,
    }
}

fn cause_of(number: i64) -> Result<EpochCause, Fault> {
    let all =
        [EpochCause::Enrolled, EpochCause::SpoolLost, EpochCause::Refused, EpochCause::RolledBack];
    let known = all.into_iter().find(|cause| number_of_cause(*cause) == number);
    known.ok_or(Fault::Content("an unknown cause of an epoch"))
}
