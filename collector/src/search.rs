//! Looking for events in the log, a page at a time, within a time limit.
//!
//! Batches come from the log's index (endpoint, classes held, time span); what is in them is
//! unpacked and looked at here. A page that ran out of time says how far it got.

mod batches;
pub mod field;
pub mod walk;

use std::fmt;
use std::str::FromStr;

use cordon_proto::event::json::{Context, to_json_apart};
use cordon_proto::event::{Class, Event};
use cordon_proto::id::{ClientId, EndpointId};
use cordon_proto::sign::batch;
use serde_json::Value;

use field::Conditions;

use crate::store::{Arrival, Log, LogError, Position};
use crate::time::Time;

/// What is looked for.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Of these clients only: those that the asker may see.
    pub clients: Vec<ClientId>,
    /// Of this endpoint only.
    pub endpoint: Option<EndpointId>,
    /// Of these classes; empty for all.
    pub classes: Vec<Class>,
    /// Not before this, by the endpoint's clock.
    pub since: Option<Time>,
    /// Not after this, by the endpoint's clock.
    pub until: Option<Time>,
    /// Having this in one of its texts, in lower case.
    pub text: Option<String>,
    /// Of which this is so.
    pub conditions: Conditions,
}

/// From which end.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Order {
    /// As they came in.
    #[default]
    Oldest,
    /// The latest first.
    Newest,
}

/// A place between events: a batch's place in the log, an event's in the batch, and a line's in an
/// event that carries many.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Cursor {
    /// Which batch.
    pub position: Position,
    /// Which of its events, from 0.
    pub index: u32,
    /// Which of the event's lines, from 0.
    pub line: u32,
}

impl Cursor {
    /// Behind all events of a batch.
    #[must_use]
    pub fn behind(position: Position) -> Self {
        Self { position, index: u32::MAX, line: 0 }
    }
}

/// A text is no cursor.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("this is not a cursor that an earlier answer gave")]
pub struct CursorError;

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.position.0, self.index)?;
        if self.line > 0 { write!(f, ".{}", self.line) } else { Ok(()) }
    }
}

impl FromStr for Cursor {
    type Err = CursorError;
    fn from_str(text: &str) -> Result<Self, CursorError> {
        let (position, index) = text.split_once('.').ok_or(CursorError)?;
        let (index, line) = index.split_once('.').unwrap_or((index, "0"));
        let number = |text: &str| text.parse().ok().ok_or(CursorError);
        let position = Position(position.parse().ok().ok_or(CursorError)?);
        Ok(Self { position, index: number(index)?, line: number(line)? })
    }
}

/// What a page found.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// The events, as JSON.
    pub items: Vec<Value>,
    /// Where the next page begins; none if everything was looked at.
    pub next: Option<Cursor>,
    /// When the last batch looked at was received, where something is left.
    pub scanned_to: Option<Time>,
}

impl Query {
    /// The events of a batch that are looked for, with their places, in order; lines that travel
    /// together one by one.
    pub fn matching<'q>(
        &'q self,
        arrival: &'q Arrival,
    ) -> impl DoubleEndedIterator<Item = (Cursor, Value)> + 'q {
        let wanted = self.clients.contains(&arrival.client)
            && self.endpoint.is_none_or(|endpoint| endpoint == arrival.endpoint);
        let events: &[Vec<u8>] = if wanted { &arrival.events } else { &[] };
        let context = Context {
            client: arrival.client.clone(),
            endpoint: arrival.endpoint,
            host_name: arrival.host_name.to_string(),
            lane: arrival.header.lane,
            epoch: arrival.header.epoch,
            received_ns: arrival.received_ns,
            clock_offset_ns: Some(arrival.clock_offset_ns),
        };
        events.iter().enumerate().flat_map(move |(index, bytes)| {
            let event = batch::read_event(bytes).ok().filter(|event| self.fits(event));
            let shown = event.map(|event| to_json_apart(&context, &event)).unwrap_or_default();
            let place =
                move |line| Cursor { position: arrival.position, index: short(index), line };
            let shown = shown.into_iter().enumerate();
            shown.filter_map(move |(line, json)| {
                let fits = self.text.as_ref().is_none_or(|text| holds(&json, text))
                    && self.conditions.hold(&json);
                fits.then(|| (place(short(line)), json))
            })
        })
    }

    fn fits(&self, event: &Event) -> bool {
        (self.classes.is_empty() || self.classes.contains(&event.body.class()))
            && self.since.is_none_or(|since| event.time_ns >= since.0)
            && self.until.is_none_or(|until| event.time_ns <= until.0)
    }
}

fn short(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}

/// Whether a text is in any text of the JSON, whatever the case.
fn holds(json: &Value, text: &str) -> bool {
    match json {
        Value::String(found) => found.to_lowercase().contains(text),
        Value::Array(values) => values.iter().any(|value| holds(value, text)),
        Value::Object(members) => members.values().any(|value| holds(value, text)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Looks for one page. `out_of_time` is asked after each batch; one is always looked at.
pub fn page(
    log: &dyn Log,
    query: &Query,
    order: Order,
    from: Option<Cursor>,
    count_max: usize,
    out_of_time: impl Fn() -> bool,
) -> Result<Found, LogError> {
    let mut batches = batches::Batches::of(query, order, from);
    let mut found = Found::default();
    while let Some(stored) = batches.next(log)? {
        let (position, received) = (stored.position, Time(stored.received_ns));
        let arrival = match stored.unpack() {
            Ok(arrival) => arrival,
            Err(error) => {
                tracing::error!(position = position.0, %error, "a stored batch cannot be unpacked");
                continue;
            }
        };
        let beyond = |cursor: &Cursor| match (from, order) {
            (None, _) => true,
            (Some(from), Order::Oldest) => *cursor > from,
            (Some(from), Order::Newest) => *cursor < from,
        };
        let matching = query.matching(&arrival).filter(|(cursor, _)| beyond(cursor));
        let matching: Box<dyn Iterator<Item = (Cursor, Value)>> = match order {
            Order::Oldest => Box::new(matching),
            Order::Newest => Box::new(matching.rev()),
        };
        for (cursor, json) in matching {
            found.items.push(json);
            if found.items.len() >= count_max {
                (found.next, found.scanned_to) = (Some(cursor), Some(received));
                return Ok(found);
            }
        }
        if out_of_time() {
            let index = if order == Order::Oldest { u32::MAX } else { 0 };
            let next = Cursor { position, index, line: 0 };
            (found.next, found.scanned_to) = (Some(next), Some(received));
            return Ok(found);
        }
    }
    Ok(found)
}
