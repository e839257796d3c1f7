//! The batches of several clients in the order of the log, fetched a few at a time.

use std::collections::VecDeque;

use super::{Cursor, Order, Query};
use crate::store::{Classes, Log, LogError, Position, Scan, StoredBatch};

/// Batches fetched at once for a client; a full one takes a few hundred KiB.
const FETCH_MAX: usize = 8;

/// One line per client, each in order.
pub(super) struct Batches {
    order: Order,
    lines: Vec<Line>,
}

struct Line {
    scan: Scan,
    fetched: VecDeque<StoredBatch>,
    ended: bool,
}

impl Batches {
    /// What a query may find, from a place on.
    pub(super) fn of(query: &Query, order: Order, from: Option<Cursor>) -> Self {
        let classes: Classes = query.classes.iter().copied().collect();
        let line = |client| {
            let mut scan = Scan {
                endpoint: query.endpoint,
                classes,
                since_ns: query.since.map(|time| time.0),
                until_ns: query.until.map(|time| time.0),
                newest_first: order == Order::Newest,
                ..Scan::of(client)
            };
            // The batch of the place itself is looked at again only if some of its events are left.
            match (from, order) {
                (None, _) => {}
                (Some(Cursor { position, index, .. }), Order::Oldest) => {
                    let left = u64::from(index < u32::MAX);
                    scan.after = Position(position.0.saturating_sub(left));
                }
                (Some(Cursor { position, index, line }), Order::Newest) => {
                    let left = u64::from((index, line) > (0, 0));
                    scan.before = Some(Position(position.0.saturating_add(left)));
                }
            }
            Line { scan, fetched: VecDeque::new(), ended: false }
        };
        Self { order, lines: query.clients.iter().cloned().map(line).collect() }
    }

    /// The next one of all clients'.
    pub(super) fn next(&mut self, log: &dyn Log) -> Result<Option<StoredBatch>, LogError> {
        for line in &mut self.lines {
            line.fetch(log)?;
        }
        let place = |line: &Line| line.fetched.front().map(|batch| batch.position);
        let lines = self.lines.iter_mut().filter(|line| !line.fetched.is_empty());
        let line = match self.order {
            Order::Oldest => lines.min_by_key(|line| place(line)),
            Order::Newest => lines.max_by_key(|line| place(line)),
        };
        Ok(line.and_then(|line| line.fetched.pop_front()))
    }
}

impl Line {
    fn fetch(&mut self, log: &dyn Log) -> Result<(), LogError> {
        if self.ended || !self.fetched.is_empty() {
            return Ok(());
        }
        self.fetched = log.scan(&self.scan, FETCH_MAX)?.into();
        self.ended = self.fetched.len() < FETCH_MAX;
        if let Some(last) = self.fetched.back().map(|batch| batch.position) {
            if self.scan.newest_first {
                self.scan.before = Some(last);
            } else {
                self.scan.after = last;
            }
        }
        Ok(())
    }
}
