//! The live feed: what became durable, handed to whoever listens, in the order of the log.
//!
//! Bounded: a listener that falls behind is told how many batches it missed and can read them
//! from the log.

use std::sync::Arc;

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::store::{Arrival, Position};

/// Batches kept for a slow listener. A full batch is 1 MiB, a usual one 100 KiB.
const KEPT_BATCHES_MAX: usize = 256;

/// Where arrivals are published.
#[derive(Clone, Debug)]
pub struct Bus {
    sender: broadcast::Sender<Arc<Arrival>>,
}

/// What a listener hears.
#[derive(Clone, Debug)]
pub enum Heard {
    /// A batch became durable.
    Arrival(Arc<Arrival>),
    /// The listener was too slow for so many batches.
    Missed(u64),
}

/// One who listens, from the moment of listening on.
#[derive(Debug)]
pub struct Listener {
    receiver: broadcast::Receiver<Arc<Arrival>>,
}

impl Default for Bus {
    fn default() -> Self {
        Self { sender: broadcast::Sender::new(KEPT_BATCHES_MAX) }
    }
}

impl Bus {
    /// Hands a batch to everyone who listens. The log does this, place by place.
    pub fn publish(&self, arrival: Arc<Arrival>) {
        // Failing means that nobody listens.
        self.sender.send(arrival).ok();
    }

    /// Whether anybody listens.
    #[must_use]
    pub fn is_heard(&self) -> bool {
        self.sender.receiver_count() > 0
    }

    /// Begins to listen.
    #[must_use]
    pub fn listen(&self) -> Listener {
        Listener { receiver: self.sender.subscribe() }
    }
}

impl Listener {
    /// Waits for the next batch; none once the collector stops.
    pub async fn next(&mut self) -> Option<Heard> {
        match self.receiver.recv().await {
            Ok(arrival) => Some(Heard::Arrival(arrival)),
            Err(RecvError::Lagged(missed)) => Some(Heard::Missed(missed)),
            Err(RecvError::Closed) => None,
        }
    }
}

impl Heard {
    /// The place in the log, where a batch was heard.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        match self {
            Self::Arrival(arrival) => Some(arrival.position),
            Self::Missed(_) => None,
        }
    }
}
