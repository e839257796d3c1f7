//! Queries that were accepted: one at a time, read as fast as the network takes the rows, signed at
//! the end. A session that ends takes its queries with it: nobody is left to answer.

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::time::Duration;

use cordon_proto::event::Body;
use cordon_proto::event::receipt::Outcome;
use cordon_proto::id::Hash;
use cordon_proto::query::{Query, Rows, Summary};
use cordon_proto::sign::merkle;

use super::Agent;
use super::jobs::{Done, blocking};
use crate::clock;
use crate::guard::Authorised;
use crate::health::Usage;
use crate::own_program::OWN_PROGRAM;
use crate::query::child::{Brake, Worker};
use crate::query::frame::{Ended, Facts, Frame, Request};

/// Queries that may wait for the one that runs; each may take a minute.
const WAITING_MAX: usize = 4;

/// What is asked of this endpoint.
#[derive(Default)]
pub(super) struct Queries {
    waiting: VecDeque<(Authorised, Query)>,
    running: Option<Running>,
}

/// The query that runs.
struct Running {
    may: Authorised,
    query: Query,
    brake: Brake,
    /// The process, while the network has no room; otherwise it is being read from.
    resting: Option<Worker>,
    told: Told,
    since: Duration,
    /// Whoever asked is gone.
    lost: bool,
}

/// What was sent so far.
#[derive(Default)]
struct Told {
    columns: Vec<String>,
    leaves: Vec<Hash>,
    rows: u64,
}

/// A frame, and the process unless it was the last.
pub(super) type Read = io::Result<(Option<Worker>, Frame)>;

impl Agent {
    pub(super) fn ask_query(&mut self, may: Authorised, query: Query) {
        if self.queries.waiting.len() >= WAITING_MAX {
            let ended = Ended::failed(format!("{WAITING_MAX} queries wait here; ask again later"));
            return self.finish_query(&may, &query, Told::default(), ended, Duration::ZERO);
        }
        self.queries.waiting.push_back((may, query));
        self.start_query();
    }

    fn start_query(&mut self) {
        if self.queries.running.is_some() {
            return;
        }
        let Some((may, query)) = self.queries.waiting.pop_front() else { return };
        let request = Request { query: query.clone(), facts: self.facts() };
        let since = self.clock.now();
        match Worker::start(Path::new(OWN_PROGRAM), &request, self.clock) {
            Ok((worker, brake)) => {
                let (resting, told, lost) = (None, Told::default(), false);
                let running = Running { may, query, brake, resting, told, since, lost };
                self.queries.running = Some(running);
                self.read_query(worker);
            }
            Err(error) => {
                let ended = Ended::failed(format!("the query's process did not start: {error}"));
                self.finish_query(&may, &query, Told::default(), ended, Duration::ZERO);
            }
        }
    }

    /// What only the agent knows.
    pub(super) fn facts(&mut self) -> Facts {
        let seen = self.vitals(Vec::new()).observation(Usage::read(), clock::stamp());
        let Body::Health(health) = seen.body else {
            unreachable!("the observation of vitals is health")
        };
        let client = self.identity.client.clone();
        let redactions = self.policy.as_ref().and_then(|policy| policy.redactions.clone());
        Facts { endpoint: self.identity.endpoint, client, health: *health, redactions }
    }

    fn read_query(&mut self, mut worker: Worker) {
        self.jobs.push(async move {
            let read = blocking(move || {
                let frame = worker.read();
                // The end of a process may take a moment: it is waited for here.
                let goes_on = !matches!(frame, Frame::End(_));
                (goes_on.then_some(worker), frame)
            });
            Done::Queried(Box::new(read.await))
        });
    }

    pub(super) fn queried(&mut self, read: Read) {
        let Some(running) = &mut self.queries.running else { return };
        let (worker, frame) = read.unwrap_or_else(|error| {
            (None, Frame::End(Ended::failed(format!("the query could not be read: {error}"))))
        });
        if running.lost {
            return self.give_up_query(worker);
        }
        match (frame, worker) {
            (Frame::Columns(columns), Some(worker)) => {
                running.told.columns = columns;
                self.read_query(worker);
            }
            (Frame::Rows { count, content }, Some(worker)) => {
                let told = &mut running.told;
                let index = u32::try_from(told.leaves.len()).unwrap_or(u32::MAX);
                told.leaves.push(merkle::leaf(&content));
                told.rows = told.rows.saturating_add(count);
                let command = running.may.command.id;
                running.resting = Some(worker);
                if !self.link.handle_rows(Rows { command, index, content, last: None }) {
                    self.lose_queries();
                }
            }
            (Frame::End(ended), _) => {
                let Some(done) = self.queries.running.take() else { return };
                let took = self.clock.now().saturating_sub(done.since);
                self.finish_query(&done.may, &done.query, done.told, ended, took);
                self.start_query();
            }
            (Frame::Columns(_) | Frame::Rows { .. }, None) => {}
        }
    }

    /// What was sent has gone out.
    pub(super) fn more_rows(&mut self) {
        let running = self.queries.running.as_mut();
        if let Some(worker) = running.and_then(|running| running.resting.take()) {
            self.read_query(worker);
        }
    }

    /// The session has ended, and with it whoever waited.
    pub(super) fn lose_queries(&mut self) {
        for (may, _) in std::mem::take(&mut self.queries.waiting) {
            self.answer(&may, lost());
        }
        let Some(running) = &mut self.queries.running else { return };
        running.brake.pull();
        running.lost = true;
        if let Some(worker) = running.resting.take() {
            self.give_up_query(Some(worker));
        }
    }

    /// Ends the process of a query without waiting for it: the agent stops.
    pub(super) fn stop_queries(&mut self) {
        if let Some(running) = &self.queries.running {
            running.brake.pull();
        }
    }

    fn give_up_query(&mut self, worker: Option<Worker>) {
        if let Some(running) = self.queries.running.take() {
            self.answer(&running.may, lost());
        }
        self.jobs.push(async move {
            // A process that hangs in the kernel ends when it comes back.
            if let Err(error) = blocking(move || drop(worker)).await {
                tracing::error!(%error, "the process of a query was not waited for");
            }
            Done::Swept
        });
        self.start_query();
    }

    /// Signs what was told, sends it, and keeps a receipt of it.
    fn finish_query(
        &mut self,
        may: &Authorised,
        query: &Query,
        told: Told,
        ended: Ended,
        took: Duration,
    ) {
        let Told { columns, leaves, rows } = told;
        let Ended { cut, error } = ended;
        let parts = u32::try_from(leaves.len()).unwrap_or(u32::MAX);
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let summary = Summary {
            endpoint: self.identity.endpoint,
            key: self.signing.verifying(),
            command: may.command.id,
            command_hash: may.hash,
            sql_hash: Hash::of(query.sql.as_bytes()),
            columns,
            rows,
            parts,
            root: merkle::root(&leaves),
            cut,
            error,
            time_ns: clock::stamp().time_ns,
            took_ms,
        };
        let signed = summary.sign(&self.signing);
        let outcome = Outcome::Answered {
            rows,
            summary: Hash::of(&signed.bytes),
            cut,
            error: summary.error.map(|error| error.sentence),
            took_ms,
        };
        tracing::info!(command = %may.command.id, rows, took_ms, ?cut, "answered a query");
        let last = Some(signed);
        let (command, content) = (may.command.id, Vec::new());
        let sent = self.link.handle_rows(Rows { command, index: parts, content, last });
        self.answer(may, if sent { outcome } else { lost() });
    }
}

fn lost() -> Outcome {
    let reason = "the connection ended before the answer was sent; ask again".to_owned();
    Outcome::Failed { reason }
}
