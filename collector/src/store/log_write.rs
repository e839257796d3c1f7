//! The log's one writer: takes what waits, stores it in one transaction, syncs once, answers all.
//!
//! Nothing waits for company: while one group is being synced the next gathers by itself, so a
//! lone batch is as fast as the disk and a flood shares each sync.

use std::path::PathBuf;
use std::sync::Arc;

use cordon_proto::sign::batch::Header;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::log_read::{self, lane_number};
use super::log_sqlite::Reply;
use super::skim::Skim;
use super::state::to_sql;
use super::{Arrival, Expected, Incoming, LogError, Outcome, Position};
use crate::bus::Bus;

/// Batches of one transaction: what a disk of 100 MB/s writes in well under a second.
const GROUP_BATCHES_MAX: usize = 256;

/// Conflicting batches kept of one endpoint; one that goes on shows nothing new.
const EVIDENCE_MAX: u32 = 256;

/// Signed jumps kept of one endpoint; honest ones are a handful.
const GAPS_KEPT_MAX: u32 = 65_536;

/// A batch that waits, what an index must know of it, and who wants to know.
#[derive(Debug)]
pub(super) struct Request {
    incoming: Incoming,
    skim: Skim,
    reply: Reply,
    _room: OwnedSemaphorePermit,
}

impl Request {
    /// Skims the batch here, on the connection's task, so that the writer only writes.
    pub(super) fn new(incoming: Incoming, reply: Reply, room: OwnedSemaphorePermit) -> Self {
        Self { skim: Skim::of(&incoming.opened), incoming, reply, _room: room }
    }

    pub(super) fn answer(self, answer: Result<Outcome, LogError>) {
        // Whoever asked may be gone; what is stored is stored.
        self.reply.send(answer).ok();
    }
}

/// The writer; runs on a thread of its own until the log is dropped.
#[derive(Debug)]
pub struct LogWriter {
    connection: Connection,
    requests: mpsc::Receiver<Request>,
    bus: Bus,
    folder: PathBuf,
    free_bytes_min: u64,
    end: Position,
    refusing: bool,
}

impl LogWriter {
    pub(super) fn new(
        connection: Connection,
        requests: mpsc::Receiver<Request>,
        bus: Bus,
        folder: PathBuf,
        free_bytes_min: u64,
    ) -> Result<Self, LogError> {
        connection.set_prepared_statement_cache_capacity(32);
        let doing = "find the end";
        let end = log_read::end(&connection)
            .map_err(|cause| LogError::Read { doing, cause: cause.to_string() })?;
        Ok(Self { connection, requests, bus, folder, free_bytes_min, end, refusing: false })
    }

    /// Writes until the log is dropped and nothing waits any more.
    pub fn run(mut self) {
        let mut group = Vec::with_capacity(GROUP_BATCHES_MAX);
        while self.requests.blocking_recv_many(&mut group, GROUP_BATCHES_MAX) > 0 {
            self.commit(&mut group);
        }
    }

    fn commit(&mut self, group: &mut Vec<Request>) {
        let stored = self.check_free_space().and_then(|()| {
            self.store(group).map_err(|cause| LogError::Unavailable(cause.to_string()))
        });
        match stored {
            Ok((outcomes, end)) => {
                self.refuse(None);
                self.end = end;
                for (request, outcome) in group.drain(..).zip(outcomes) {
                    self.publish(&request.incoming, outcome);
                    request.answer(Ok(outcome));
                }
            }
            Err(error) => {
                let sentence = error.to_string();
                self.refuse(Some(&sentence));
                for request in group.drain(..) {
                    request.answer(Err(LogError::Unavailable(sentence.clone())));
                }
            }
        }
    }

    /// Says so once when storing stops, and once when it goes on.
    fn refuse(&mut self, why: Option<&str>) {
        match (self.refusing, why) {
            (false, Some(why)) => tracing::error!(why, "nothing is acknowledged any more"),
            (true, None) => tracing::info!("batches are stored and acknowledged again"),
            (true, Some(_)) | (false, None) => (),
        }
        self.refusing = why.is_some();
    }

    fn check_free_space(&self) -> Result<(), LogError> {
        let space = rustix::fs::statvfs(&self.folder).map_err(|cause| {
            let folder = self.folder.display();
            LogError::Unavailable(format!("cannot ask how much space is free in {folder}: {cause}"))
        })?;
        let free = space.f_bavail.saturating_mul(space.f_frsize);
        if free >= self.free_bytes_min {
            return Ok(());
        }
        let (have, floor) = (free >> 20, self.free_bytes_min >> 20);
        Err(LogError::Unavailable(format!(
            "{have} MiB are free and {floor} MiB must stay free (`free_bytes_min`)"
        )))
    }

    fn store(&mut self, group: &[Request]) -> rusqlite::Result<(Vec<Outcome>, Position)> {
        let change = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut end = self.end;
        let mut outcomes = Vec::with_capacity(group.len());
        for request in group {
            let next = Position(end.0.saturating_add(1));
            let outcome = store_one(&change, request, next)?;
            if let Outcome::Durable(position) = outcome {
                end = position;
            }
            outcomes.push(outcome);
        }
        change.commit()?;
        Ok((outcomes, end))
    }

    fn publish(&self, incoming: &Incoming, outcome: Outcome) {
        let Outcome::Durable(position) = outcome else { return };
        if !self.bus.is_heard() {
            return;
        }
        self.bus.publish(Arc::new(Arrival {
            position,
            client: incoming.client.clone(),
            endpoint: incoming.opened.header.endpoint,
            host_name: Arc::clone(&incoming.host_name),
            received_ns: incoming.received_ns,
            clock_offset_ns: incoming.clock_offset_ns,
            header: incoming.opened.header.clone(),
            header_bytes: incoming.batch.header.clone(),
            events: incoming.opened.events.clone(),
        }));
    }
}

fn store_one(
    change: &Transaction<'_>,
    request: &Request,
    next: Position,
) -> rusqlite::Result<Outcome> {
    let incoming = &request.incoming;
    let header = &incoming.opened.header;
    let source = number_of(change, "source", "endpoint", &header.endpoint.0)?;
    if let Expected::After(expected) = incoming.expected {
        let head = log_read::head(change, source, header.lane)?;
        if head.map(|head| head.position) == expected {
            insert(change, request, source, next)?;
            return Ok(Outcome::Durable(next));
        }
    }
    compare(change, incoming, source)
}

/// What is stored under a batch's numbers: the same, or something else, or nothing.
fn compare(
    change: &Transaction<'_>,
    incoming: &Incoming,
    source: i64,
) -> rusqlite::Result<Outcome> {
    let header = &incoming.opened.header;
    let sql = "SELECT header FROM batch WHERE source = ?1 AND lane = ?2 AND epoch = ?3
               AND first <= ?5 AND last >= ?4 ORDER BY first DESC LIMIT 1";
    let (first, last) = (to_sql(header.first), to_sql(header.last()));
    let values = params![source, lane_number(header.lane), header.epoch, first, last];
    let mut statement = change.prepare_cached(sql)?;
    let stored: Option<Vec<u8>> = statement.query_row(values, |row| row.get(0)).optional()?;
    match (stored, incoming.expected) {
        (Some(stored), _) if stored == incoming.batch.header => Ok(Outcome::Same),
        (None, Expected::After(_)) => Ok(Outcome::Moved),
        (Some(_), _) | (None, Expected::Stored) => {
            keep_evidence(change, incoming, source)?;
            Ok(Outcome::Conflict)
        }
    }
}

fn insert(
    change: &Transaction<'_>,
    request: &Request,
    source: i64,
    position: Position,
) -> rusqlite::Result<()> {
    let Request { incoming, skim, .. } = request;
    let header = &incoming.opened.header;
    let client = number_of(change, "client", "name", &incoming.client.as_str())?;
    let host = number_of(change, "host", "name", &&*incoming.host_name)?;
    let sql = "INSERT INTO batch VALUES
               (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)";
    let values = params![
        to_sql(position.0),
        client,
        source,
        host,
        lane_number(header.lane),
        header.epoch,
        exact(header.first)?,
        exact(header.last())?,
        skim.classes.to_sql(),
        to_sql(skim.from_ns),
        to_sql(skim.to_ns),
        to_sql(incoming.received_ns),
        incoming.clock_offset_ns,
        incoming.batch.header,
        incoming.batch.events
    ];
    change.prepare_cached(sql)?.execute(values)?;
    forget_gaps(change, header, source)?;
    keep_gaps(change, skim, source)
}

/// Sequences must come back as they were; those past 2^63 were refused before they were queued.
fn exact(number: u64) -> rusqlite::Result<i64> {
    i64::try_from(number).map_err(|cause| rusqlite::Error::ToSqlConversionFailure(Box::new(cause)))
}

/// Jumps that the lane has passed are of no use any more.
fn forget_gaps(change: &Transaction<'_>, header: &Header, source: i64) -> rusqlite::Result<()> {
    let sql = "DELETE FROM gap WHERE source = ?1 AND lane = ?2
               AND (epoch < ?3 OR (epoch = ?3 AND last <= ?4))";
    let values = params![source, lane_number(header.lane), header.epoch, to_sql(header.last())];
    change.prepare_cached(sql)?.execute(values).map(|_| ())
}

fn keep_gaps(change: &Transaction<'_>, skim: &Skim, source: i64) -> rusqlite::Result<()> {
    let sql = "INSERT INTO gap SELECT ?1, ?2, ?3, ?4, ?5, ?6
               WHERE (SELECT count(*) FROM gap WHERE source = ?1) < ?7 ON CONFLICT DO NOTHING";
    for gap in &skim.gaps {
        let values = params![
            source,
            lane_number(gap.lane),
            gap.epoch,
            to_sql(gap.first),
            to_sql(gap.last),
            gap.head.0,
            GAPS_KEPT_MAX
        ];
        change.prepare_cached(sql)?.execute(values)?;
    }
    Ok(())
}

fn keep_evidence(
    change: &Transaction<'_>,
    incoming: &Incoming,
    source: i64,
) -> rusqlite::Result<()> {
    let client = number_of(change, "client", "name", &incoming.client.as_str())?;
    let sql = "INSERT INTO evidence (client, source, received_ns, header, events)
               SELECT ?1, ?2, ?3, ?4, ?5
               WHERE (SELECT count(*) FROM evidence WHERE source = ?2) < ?6
               ON CONFLICT DO NOTHING";
    let Incoming { batch, received_ns, .. } = incoming;
    let values =
        params![client, source, to_sql(*received_ns), batch.header, batch.events, EVIDENCE_MAX];
    change.prepare_cached(sql)?.execute(values).map(|_| ())
}

/// The number under which a name is known in its table; makes one for a new name.
fn number_of(
    change: &Transaction<'_>,
    table: &str,
    column: &str,
    name: &dyn rusqlite::ToSql,
) -> rusqlite::Result<i64> {
    let find = format!("SELECT id FROM {table} WHERE {column} = ?1");
    let found = change.prepare_cached(&find)?.query_row([name], |row| row.get(0)).optional()?;
    if let Some(number) = found {
        return Ok(number);
    }
    change.execute(&format!("INSERT INTO {table} ({column}) VALUES (?1)"), [name])?;
    Ok(change.last_insert_rowid())
}
