//! Follows the log and derives from it what is known of endpoints and commands.
//!
//! What an endpoint signs about itself in its control lane becomes its health, its losses, and the
//! facts of the commands it was given. The place reached is kept in the same transaction as what
//! was derived, so that a restart goes on exactly there, and deriving again changes nothing.

use std::sync::Arc;
use std::time::Duration;

use cordon_proto::event::{Body, Gap, Health, Lane, Notice, Reacted, Receipt, WayOut};
use cordon_proto::id::EndpointId;
use cordon_proto::sign::batch::{self, Header};
use cordon_proto::sign::document::{self, Kind};
use tokio::sync::watch;

use crate::bus::Listener;
use crate::command::Place;
use crate::store::{Arrival, Log, LogError, Position, State, StateError, StoredBatch};
use crate::time::Time;

/// Batches read and derived from in one step; bounds the memory of a step and its transaction.
const STEP_BATCHES_MAX: usize = 32;

/// How long to wait before a step that failed is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// How long to wait for news before looking all the same.
const LOOK_UP: Duration = Duration::from_secs(60);

/// Something that an endpoint said about itself.
#[derive(Clone, Debug)]
pub struct Told {
    /// Which endpoint.
    pub endpoint: EndpointId,
    /// Where in its control lane.
    pub place: Place,
    /// When, by the collector's clock.
    pub at: Time,
    /// The event as signed.
    pub bytes: Vec<u8>,
    /// What.
    pub news: News,
}

/// What can be said.
#[derive(Clone, Debug)]
pub enum News {
    /// How it fares.
    Health(Box<Health>),
    /// What became of a command.
    Receipt(Box<Receipt>),
    /// What it did by itself.
    Reacted(Box<Reacted>),
    /// What it lost.
    Gap(Gap),
    /// Why it will be silent, or was.
    Notice(Notice),
    /// A code that lets it back when nothing else does, sealed to operators.
    WayOut(Box<WayOut>),
}

/// Why a step was not taken.
#[derive(Debug, thiserror::Error)]
pub enum DeriveError {
    /// The log.
    #[error("cannot derive from the log: {0}")]
    Log(#[from] LogError),
    /// The state.
    #[error("cannot derive from the log: {0}")]
    State(#[from] StateError),
    /// The thread that was to do it has ended.
    #[error("the collector is stopping")]
    Stopping,
}

/// What a control batch tells; nothing for one of telemetry.
#[must_use]
pub fn told_by(arrival: &Arrival) -> Vec<Told> {
    if arrival.header.lane != Lane::Control {
        return Vec::new();
    }
    arrival.events.iter().filter_map(|bytes| told(arrival, bytes)).collect()
}

fn told(arrival: &Arrival, bytes: &[u8]) -> Option<Told> {
    let event = batch::read_event(bytes).ok()?;
    let news = match event.body {
        Body::Health(health) => News::Health(health),
        Body::Receipt(receipt) => News::Receipt(receipt),
        Body::Response(reacted) => News::Reacted(reacted),
        Body::Gap(gap) => News::Gap(gap),
        Body::Notice(notice) => News::Notice(notice),
        Body::WayOut(way_out) => News::WayOut(way_out),
        Body::Process(_)
        | Body::Log(_)
        | Body::Disk(_)
        | Body::Lifecycle(_)
        | Body::Network(_)
        | Body::Dns(_)
        | Body::File(_)
        | Body::Authentication(_)
        | Body::Account(_)
        | Body::Inventory(_)
        | Body::Device(_)
        | Body::Finding(_) => return None,
    };
    let place = Place { epoch: arrival.header.epoch, seq: event.seq };
    let at = Time::corrected(event.time_ns, arrival.clock_offset_ns, arrival.received_ns);
    Some(Told { endpoint: arrival.endpoint, place, at, bytes: bytes.to_vec(), news })
}

/// Derives from what comes next in the log; answers whether there was anything.
pub fn step(state: &State, log: &dyn Log) -> Result<bool, DeriveError> {
    let batches = log.read_after(state.derived_to()?, STEP_BATCHES_MAX)?;
    let Some(reached) = batches.last().map(|batch| batch.position) else { return Ok(false) };
    let told: Vec<Told> = batches.into_iter().flat_map(read).collect();
    state.derive(reached, &told)?;
    Ok(true)
}

/// Telemetry is not even unpacked.
fn read(batch: StoredBatch) -> Vec<Told> {
    let header = document::peek::<Header>(Kind::Batch, &batch.batch.header);
    if !header.is_ok_and(|header| header.lane == Lane::Control) {
        return Vec::new();
    }
    let position: Position = batch.position;
    match batch.unpack() {
        Ok(arrival) => told_by(&arrival),
        Err(error) => {
            tracing::error!(position = position.0, %error, "a stored batch cannot be unpacked");
            Vec::new()
        }
    }
}

/// Follows the log until `stop` turns true.
pub async fn follow(
    state: Arc<State>,
    log: Arc<dyn Log>,
    mut listener: Listener,
    mut stop: watch::Receiver<bool>,
) {
    loop {
        let (state, log) = (Arc::clone(&state), Arc::clone(&log));
        let work = tokio::task::spawn_blocking(move || step(&state, log.as_ref()));
        let wait = match work.await.unwrap_or(Err(DeriveError::Stopping)) {
            Ok(true) => Duration::ZERO,
            // What was missed by listening is read from the log all the same.
            Ok(false) => LOOK_UP,
            Err(DeriveError::Stopping) => return,
            Err(error) => {
                tracing::error!(%error, "what endpoints said is not taken into account yet");
                RETRY
            }
        };
        tokio::select! {
            heard = listener.next(), if wait == LOOK_UP => if heard.is_none() { return },
            () = tokio::time::sleep(wait) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}
