//! The log in one SQLite file: one thread writes, any thread reads.
//!
//! Signed batches are stored as received, one row a batch; the row's other columns are an index.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cordon_proto::event::gap::SealedRange;
use cordon_proto::id::{ClientId, EndpointId};
use futures_util::future::BoxFuture;
use rusqlite::{Connection, OpenFlags};
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::log_read as read;
use super::log_write::{LogWriter, Request};
use super::{
    Answer, Evidence, Head, Incoming, Log, LogError, Outcome, Place, Position, Scan, StoredBatch,
};
use crate::bus::Bus;

/// Batches that wait to be written. More would only wait longer.
const QUEUED_BATCHES_MAX: usize = 1024;

/// Bytes that wait to be written, unpacked events included.
const QUEUED_BYTES_MAX: usize = 64 << 20;

/// Readers kept open between reads; more are opened for as long as they are needed.
const IDLE_READERS_MAX: usize = 4;

/// Pages of the write-ahead log before it is folded into the file: 16 MiB.
const WAL_PAGES: u32 = 4096;

/// How long a reader waits while the file is being folded.
const BUSY_WAIT: Duration = Duration::from_secs(10);

/// How the log is kept.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogOptions {
    /// Below so many free bytes nothing is stored.
    pub free_bytes_min: u64,
    /// The file never grows past so many pages of 4 KiB.
    pub pages_max: Option<u32>,
}

/// The log in one SQLite file.
#[derive(Debug)]
pub struct SqliteLog {
    path: PathBuf,
    requests: mpsc::Sender<Request>,
    room: Arc<Semaphore>,
    readers: Mutex<Vec<Connection>>,
}

impl SqliteLog {
    /// Opens the log, making it if it is not there. Nothing is written until the writer runs, on a
    /// thread of its own; it ends when the log is dropped.
    pub fn open(path: &Path, options: LogOptions, bus: Bus) -> Result<(Self, LogWriter), LogError> {
        let failed = |cause: rusqlite::Error| {
            LogError::Unavailable(format!("cannot open {}: {cause}", path.display()))
        };
        let connection = Connection::open(path).map_err(failed)?;
        prepare(&connection, options).map_err(failed)?;
        let (requests, receiver) = mpsc::channel(QUEUED_BATCHES_MAX);
        let folder = path.parent().map_or_else(|| PathBuf::from("."), Path::to_owned);
        let writer = LogWriter::new(connection, receiver, bus, folder, options.free_bytes_min)?;
        let log = Self {
            path: path.to_owned(),
            requests,
            room: Arc::new(Semaphore::new(QUEUED_BYTES_MAX)),
            readers: Mutex::default(),
        };
        Ok((log, writer))
    }

    async fn queue(&self, incoming: Incoming) -> Answer {
        let (sender, answer) = oneshot::channel();
        let unavailable = |sentence: &str| Err(LogError::Unavailable(sentence.to_owned()));
        if i64::try_from(incoming.opened.header.last()).is_err() {
            // Checked here, or one such batch would spoil the whole group it is stored with.
            sender.send(unavailable("sequences past 2^63 cannot be stored")).ok();
            return answer;
        }
        let events: usize = incoming.opened.events.iter().map(Vec::len).sum();
        let bytes = events + incoming.batch.events.len() + incoming.batch.header.len();
        let permits = u32::try_from(bytes.min(QUEUED_BYTES_MAX)).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).acquire_many_owned(permits).await;
        let Ok(room) = room else {
            sender.send(unavailable("the collector is stopping")).ok();
            return answer;
        };
        let request = Request::new(incoming, sender, room);
        if let Err(mpsc::error::SendError(request)) = self.requests.send(request).await {
            request.answer(unavailable("the log's writer has ended"));
        }
        answer
    }

    fn reading<T>(
        &self,
        doing: &'static str,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, LogError> {
        let failed = |cause: rusqlite::Error| LogError::Read { doing, cause: cause.to_string() };
        let idle = self.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => self.open_reader().map_err(failed)?,
        };
        let answer = read(&connection).map_err(failed);
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if readers.len() < IDLE_READERS_MAX {
            readers.push(connection);
        }
        answer
    }

    fn open_reader(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        connection.busy_timeout(BUSY_WAIT)?;
        Ok(connection)
    }
}

fn prepare(connection: &Connection, options: LogOptions) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_WAIT)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", WAL_PAGES)?;
    connection.execute_batch(include_str!("log.sql"))?;
    if let Some(pages_max) = options.pages_max {
        connection.pragma_update(None, "max_page_count", pages_max)?;
    }
    Ok(())
}

impl Log for SqliteLog {
    fn append(&self, incoming: Incoming) -> BoxFuture<'_, Answer> {
        Box::pin(self.queue(incoming))
    }

    fn heads(&self, endpoint: EndpointId) -> Result<Vec<Head>, LogError> {
        self.reading("read an endpoint's heads", |reader| read::heads(reader, endpoint))
    }

    fn gaps(&self, endpoint: EndpointId) -> Result<Vec<SealedRange>, LogError> {
        self.reading("read an endpoint's gaps", |reader| read::gaps(reader, endpoint))
    }

    fn end(&self) -> Result<Position, LogError> {
        self.reading("find the end", read::end)
    }

    fn read_after(&self, after: Position, count_max: usize) -> Result<Vec<StoredBatch>, LogError> {
        self.reading("read on", |reader| read::after(reader, after, count_max))
    }

    fn scan(&self, scan: &Scan, count_max: usize) -> Result<Vec<StoredBatch>, LogError> {
        self.reading("look for events", |reader| read::scan(reader, scan, count_max))
    }

    fn batch_holding(&self, place: Place<'_>) -> Result<Option<StoredBatch>, LogError> {
        self.reading("find an event", |reader| Ok(read::chain(reader, place, 1)?.pop()))
            .map(|found| found.filter(|batch| holds(batch, place.seq)))
    }

    fn read_chain(&self, place: Place<'_>, count_max: usize) -> Result<Vec<StoredBatch>, LogError> {
        self.reading("read a chain", |reader| read::chain(reader, place, count_max))
    }

    fn evidence(
        &self,
        client: &ClientId,
        endpoint: EndpointId,
        count_max: usize,
    ) -> Result<Vec<Evidence>, LogError> {
        self.reading("read evidence", |reader| read::evidence(reader, client, endpoint, count_max))
    }
}

fn holds(batch: &StoredBatch, seq: u64) -> bool {
    super::head_of(batch.batch.header.clone()).is_some_and(|head| head.position.last >= seq)
        && super::first_of(&batch.batch.header).is_some_and(|first| first <= seq)
}

/// What a request is answered with.
pub(super) type Reply = oneshot::Sender<Result<Outcome, LogError>>;

#[cfg(test)]
mod tests {
    use cordon_proto::event::Lane;

    use super::super::conformance::{self, Chain, Running, append, exec};
    use super::super::{Expected, Position};
    use super::*;

    fn open(path: &Path, options: LogOptions) -> Running {
        let bus = Bus::default();
        let listener = bus.listen();
        let (log, writer) = SqliteLog::open(path, options, bus).unwrap();
        std::thread::spawn(move || writer.run());
        Running { log: Arc::new(log), listener }
    }

    #[tokio::test]
    async fn it_keeps_the_promises_of_a_log() {
        let folder = tempfile::tempdir().unwrap();
        let count = std::cell::Cell::new(0);
        conformance::log(|| {
            count.set(count.get() + 1);
            open(&folder.path().join(format!("{}.db", count.get())), LogOptions::default())
        })
        .await;
    }

    #[tokio::test]
    async fn what_was_durable_is_there_when_the_file_is_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.db");
        let mut lane = Chain::new(1, "acme", Lane::Telemetry);
        let running = open(&path, LogOptions::default());
        append(&*running.log, lane.next(&[exec(1)])).await.unwrap();
        drop(running);
        let running = open(&path, LogOptions::default());
        let heads = running.log.heads(lane.endpoint()).unwrap();
        assert_eq!(Some(heads[0].position), lane.stands);
        let outcome = append(&*running.log, lane.next(&[exec(2)])).await.unwrap();
        assert_eq!(outcome, Outcome::Durable(Position(2)));
    }

    #[tokio::test]
    async fn a_full_file_stores_nothing_more_and_harms_nothing_that_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.db");
        let options = LogOptions { free_bytes_min: 0, pages_max: Some(40) };
        let running = open(&path, options);
        let mut lane = Chain::new(1, "acme", Lane::Telemetry);
        let mut stored = 0;
        let refusal = loop {
            let before = lane.stands;
            let bodies: Vec<_> = (0..200).map(|n| exec(stored * 200 + n)).collect();
            match append(&*running.log, lane.next(&bodies)).await {
                Ok(_) => stored += 1,
                Err(error) => break (error.to_string(), before),
            }
        };
        assert!(refusal.0.contains("full"), "{}", refusal.0);
        assert!(stored > 0);
        let heads = running.log.heads(lane.endpoint()).unwrap();
        assert_eq!(Some(heads[0].position), refusal.1, "not half a batch");
        drop(running);
        // Room again: the very same batch is taken.
        let running = open(&path, LogOptions::default());
        assert_eq!(running.log.end().unwrap(), Position(u64::from(stored)));
    }

    #[tokio::test]
    async fn below_the_floor_of_free_space_nothing_is_stored() {
        let folder = tempfile::tempdir().unwrap();
        let options = LogOptions { free_bytes_min: u64::MAX, pages_max: None };
        let running = open(&folder.path().join("log.db"), options);
        let mut lane = Chain::new(1, "acme", Lane::Telemetry);
        let error = append(&*running.log, lane.next(&[exec(1)])).await.unwrap_err();
        assert!(error.to_string().contains("must stay free"), "{error}");
        assert_eq!(running.log.end().unwrap(), Position(0));
    }

    #[tokio::test]
    async fn a_sequence_that_cannot_be_kept_is_refused_and_spoils_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.db");
        let (log, writer) = SqliteLog::open(&path, <_>::default(), Bus::default()).unwrap();
        let mut honest = Chain::new(1, "acme", Lane::Telemetry);
        let mut hostile = Chain::new(2, "acme", Lane::Telemetry);
        hostile.place.first = u64::MAX - 5;
        let good = log.append(honest.next(&[exec(1)])).await;
        let bad = log.append(hostile.peek(&[exec(1)])).await;
        std::thread::spawn(move || writer.run());
        assert!(matches!(good.await.unwrap(), Ok(Outcome::Durable(_))));
        assert!(bad.await.unwrap().unwrap_err().to_string().contains("2^63"));
    }

    #[tokio::test]
    async fn one_group_of_many_lanes_is_stored_whole() {
        let folder = tempfile::tempdir().unwrap();
        let bus = Bus::default();
        let path = folder.path().join("log.db");
        let (log, writer) = SqliteLog::open(&path, LogOptions::default(), bus).unwrap();
        let mut lanes: Vec<_> =
            (1..=20).map(|seed| Chain::new(seed, "acme", Lane::Telemetry)).collect();
        let mut answers = Vec::new();
        for lane in &mut lanes {
            // Each sends two at once, the second relying on the first.
            for pid in 0..2 {
                answers.push(log.append(lane.next(&[exec(pid)])).await);
            }
        }
        let mut wrong = lanes[0].peek(&[exec(9)]);
        wrong.expected = Expected::After(None);
        let wrong = log.append(wrong).await;
        std::thread::spawn(move || writer.run());
        for answer in answers {
            assert!(matches!(answer.await.unwrap(), Ok(Outcome::Durable(_))));
        }
        assert_eq!(
            wrong.await.unwrap().unwrap(),
            Outcome::Moved,
            "and one does not spoil the rest"
        );
        assert_eq!(log.end().unwrap(), Position(40));
    }
}
