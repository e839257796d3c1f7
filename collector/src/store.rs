//! What the collector keeps, and the ports behind which it keeps it.
//!
//! [`Log`] holds the signed batches as received and is the truth; [`State`] holds what is known
//! about clients and endpoints. Everything else is derived and can be made again.

mod account;
mod api_token;
mod audit;
mod brake;
mod command;
#[cfg(test)]
mod conformance;
mod derived;
mod endpoint;
mod endpoint_list;
mod estate;
mod invitation;
#[cfg(test)]
mod log_model;
mod log_read;
mod log_sqlite;
mod log_write;
mod migrate;
mod passkey;
mod reaction;
mod repeat;
mod roster;
mod session;
mod skim;
mod state;
mod token;

use std::sync::Arc;

use cordon_proto::event::gap::SealedRange;
use cordon_proto::event::{Class, Event, Lane};
use cordon_proto::id::{ClientId, EndpointId, Hash};
use cordon_proto::message::LanePosition;
use cordon_proto::sign::batch::{self, Batch, BatchError, Header, Opened};
use cordon_proto::sign::chain;
use cordon_proto::sign::document::{self, Kind};
use futures_util::future::BoxFuture;
use tokio::sync::oneshot;

pub use command::{CommandsAsked, NewCommand, OpenTargets, StoredCommand, Taken};
pub use derived::{Fared, Laggard, StoredWayOut, ToldGap};
pub use endpoint::{Endpoint, EndpointFilter, NotedClone, Registration};
pub use endpoint_list::{Narrow, Sought};
pub use estate::EstateChange;
pub use log_sqlite::{LogOptions, SqliteLog};
pub use log_write::LogWriter;
pub use passkey::StoredPasskey;
pub use reaction::Reaction;
pub use repeat::Before;
pub use roster::{RosterVersion, StoredRoster};
pub use state::{State, StateError};
pub use token::{NewToken, Token, TokenRefusal};

/// A place in the log: 1 for the first batch ever stored, one more for each; never used twice.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Ord, PartialOrd, Hash, serde::Serialize)]
#[serde(transparent)]
pub struct Position(pub u64);

/// A set of event classes, as an index keeps it: one bit a class.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Classes(u64);

impl Classes {
    /// Set for events of classes that this version does not know.
    const UNKNOWN: u64 = 1 << 62;

    /// The set with one class more.
    #[must_use]
    pub fn with(self, class: Class) -> Self {
        Self(self.0 | Self::bit(class))
    }

    /// Whether the two sets have a class in common.
    #[must_use]
    pub fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether the class is in the set.
    #[must_use]
    pub fn holds(self, class: Class) -> bool {
        self.meets(Self::default().with(class))
    }

    /// Whether nothing is in the set.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    fn bit(class: Class) -> u64 {
        1 << class.number()
    }

    /// The set with the class that stands under this number on the wire.
    fn with_number(self, number: u32) -> Self {
        Self(self.0 | if number < 62 { 1 << number } else { Self::UNKNOWN })
    }

    /// As an index keeps it; the highest bit is never used.
    fn to_sql(self) -> i64 {
        self.0.cast_signed()
    }
}

impl FromIterator<Class> for Classes {
    fn from_iter<I: IntoIterator<Item = Class>>(classes: I) -> Self {
        classes.into_iter().fold(Self::default(), Self::with)
    }
}

/// A verified batch on its way into the log.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// Whose.
    pub client: ClientId,
    /// The endpoint's host name, as it last said.
    pub host_name: Arc<str>,
    /// The collector's wall clock when the batch came.
    pub received_ns: u64,
    /// The endpoint's wall clock minus the collector's, as measured at its hello.
    pub clock_offset_ns: i64,
    /// The batch as received.
    pub batch: Batch,
    /// What was verified of it.
    pub opened: Opened,
    /// What the log should find.
    pub expected: Expected,
}

/// What the sender of a batch believes about its lane.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Expected {
    /// The lane ends here (or has not begun): append, and only then.
    After(Option<LanePosition>),
    /// The numbers are stored already: compare, and never append.
    Stored,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// It is durable, at this place.
    Durable(Position),
    /// This very batch is stored already.
    Same,
    /// Its numbers are stored with other content, which is now kept as evidence beside it.
    Conflict,
    /// The lane does not stand where the batch was to be appended: somebody else moved it.
    Moved,
}

/// Why the log did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Nothing can be stored at the moment; nothing of it was.
    #[error("the log cannot store: {0}")]
    Unavailable(String),
    /// What is stored cannot be read.
    #[error("cannot {doing} in the log: {cause}")]
    Read {
        /// What was being done.
        doing: &'static str,
        /// What went wrong.
        cause: String,
    },
}

/// A batch as stored.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StoredBatch {
    /// Where in the log.
    pub position: Position,
    /// Whose.
    pub client: ClientId,
    /// The endpoint that signed it.
    pub endpoint: EndpointId,
    /// The endpoint's host name at that time.
    pub host_name: Arc<str>,
    /// The collector's wall clock when the batch came.
    pub received_ns: u64,
    /// The endpoint's wall clock minus the collector's.
    pub clock_offset_ns: i64,
    /// The batch as received.
    pub batch: Batch,
}

/// A batch that is durable, unpacked: what the live feed and everything derived read.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// Where in the log.
    pub position: Position,
    /// Whose.
    pub client: ClientId,
    /// The endpoint that signed it.
    pub endpoint: EndpointId,
    /// The endpoint's host name at that time.
    pub host_name: Arc<str>,
    /// The collector's wall clock when the batch came.
    pub received_ns: u64,
    /// The endpoint's wall clock minus the collector's.
    pub clock_offset_ns: i64,
    /// What the header says.
    pub header: Header,
    /// The header as signed.
    pub header_bytes: Vec<u8>,
    /// The events' bytes, as signed.
    pub events: Vec<Vec<u8>>,
}

impl Arrival {
    /// The events that this version can read, in order.
    pub fn read_events(&self) -> impl Iterator<Item = Event> + '_ {
        self.events.iter().filter_map(|bytes| batch::read_event(bytes).ok())
    }
}

impl StoredBatch {
    /// Unpacks the batch. It was verified before it was stored and is not verified again.
    pub fn unpack(self) -> Result<Arrival, BatchError> {
        let Self { position, client, endpoint, host_name, received_ns, clock_offset_ns, batch } =
            self;
        let header: Header = document::peek(Kind::Batch, &batch.header)?;
        let events = batch::unpack(&batch.events, header.count)?;
        let header_bytes = batch.header;
        Ok(Arrival {
            position,
            client,
            endpoint,
            host_name,
            received_ns,
            clock_offset_ns,
            header,
            header_bytes,
            events,
        })
    }
}

/// Which batches to look for. A client's batches cannot be reached without its name.
#[derive(Clone, Debug)]
pub struct Scan {
    /// Whose.
    pub client: ClientId,
    /// Of this endpoint only.
    pub endpoint: Option<EndpointId>,
    /// Holding an event of one of these classes; empty for all.
    pub classes: Classes,
    /// Holding events not before this.
    pub since_ns: Option<u64>,
    /// Holding events not after this.
    pub until_ns: Option<u64>,
    /// Only places after this one.
    pub after: Position,
    /// Only places before this one; none for up to the end.
    pub before: Option<Position>,
    /// From the end backwards.
    pub newest_first: bool,
}

impl Scan {
    /// Everything of a client, oldest first.
    #[must_use]
    pub fn of(client: ClientId) -> Self {
        Self {
            client,
            endpoint: None,
            classes: Classes::default(),
            since_ns: None,
            until_ns: None,
            after: Position(0),
            before: None,
            newest_first: false,
        }
    }
}

/// One place in one endpoint's chain.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Whose.
    pub client: &'a ClientId,
    /// Which endpoint.
    pub endpoint: EndpointId,
    /// Which lane.
    pub lane: Lane,
    /// Which epoch.
    pub epoch: u32,
    /// Which event.
    pub seq: u64,
}

/// Other content under numbers that were stored already.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Evidence {
    /// When it came.
    pub received_ns: u64,
    /// The batch as received.
    pub batch: Batch,
}

/// The answer to an append: comes once the batch is synced, or known not to be stored.
pub type Answer = oneshot::Receiver<Result<Outcome, LogError>>;

/// The log: signed batches, durable before they are acknowledged, readable from any place.
///
/// Reading blocks on the disk: from a task, call it through `spawn_blocking`.
pub trait Log: Send + Sync + 'static {
    /// Queues a batch, waiting while the queue is full; its answer comes once it is synced.
    ///
    /// Batches are stored in the order in which they were queued, and published on the bus in the
    /// order of their places. A batch whose lane does not stand where it expected is not stored.
    fn append(&self, incoming: Incoming) -> BoxFuture<'_, Answer>;

    /// The last stored batch of each lane.
    fn heads(&self, endpoint: EndpointId) -> Result<Vec<Head>, LogError>;

    /// Signed gaps ahead of what is stored: the jumps that will be accepted.
    fn gaps(&self, endpoint: EndpointId) -> Result<Vec<SealedRange>, LogError>;

    /// Where the log ends; 0 for empty.
    fn end(&self) -> Result<Position, LogError>;

    /// What comes after a place, in order, whoever's it is: for deriving, never for people.
    fn read_after(&self, after: Position, count_max: usize) -> Result<Vec<StoredBatch>, LogError>;

    /// Batches that may hold what is looked for, in order of place.
    fn scan(&self, scan: &Scan, count_max: usize) -> Result<Vec<StoredBatch>, LogError>;

    /// The batch that holds an event.
    fn batch_holding(&self, place: Place<'_>) -> Result<Option<StoredBatch>, LogError>;

    /// Batches of one lane and epoch from the one that holds `place.seq`, in order of sequence.
    fn read_chain(&self, place: Place<'_>, count_max: usize) -> Result<Vec<StoredBatch>, LogError>;

    /// Conflicting content that was kept, newest first.
    fn evidence(
        &self,
        client: &ClientId,
        endpoint: EndpointId,
        count_max: usize,
    ) -> Result<Vec<Evidence>, LogError>;
}

/// The last stored batch of a lane.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Head {
    /// Where the lane stands.
    pub position: LanePosition,
    /// The batch's header as the endpoint signed it.
    pub header: Vec<u8>,
}

/// Where a lane stands after a header that is stored.
fn head_of(header_bytes: Vec<u8>) -> Option<Head> {
    let header: Header = document::peek(Kind::Batch, &header_bytes).ok()?;
    let position = chain::position(&header, Hash::of(&header_bytes));
    Some(Head { position, header: header_bytes })
}

/// The number of the first event that a stored header is over.
fn first_of(header_bytes: &[u8]) -> Option<u64> {
    let header: Header = document::peek(Kind::Batch, header_bytes).ok()?;
    Some(header.first)
}
