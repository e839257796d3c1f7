//! Walking through events as they are, for what is made of many of them.

use cordon_proto::event::Event;
use cordon_proto::sign::batch;

use super::batches::Batches;
use super::{Order, Query};
use crate::store::{Log, LogError};
use crate::time::Time;

/// Whether to go on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Go {
    /// To the next event.
    On,
    /// No more is needed.
    Enough,
}

/// How far a walk came.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Walked {
    /// Events that were looked for and found.
    pub events: u64,
    /// When the last batch looked at was received, where time was up before everything was seen.
    pub cut_at: Option<Time>,
}

/// Shows every event that is looked for, the newest first, with when it was received. `out_of_time`
/// is asked after each batch; one is always looked at. The query's text is not looked for.
pub fn newest_first(
    log: &dyn Log,
    query: &Query,
    out_of_time: impl Fn() -> bool,
    mut look: impl FnMut(Event, Time) -> Go,
) -> Result<Walked, LogError> {
    let mut batches = Batches::of(query, Order::Newest, None);
    let mut walked = Walked::default();
    while let Some(stored) = batches.next(log)? {
        let (position, received) = (stored.position, Time(stored.received_ns));
        match stored.unpack() {
            Ok(arrival) => {
                for bytes in arrival.events.iter().rev() {
                    let Ok(event) = batch::read_event(bytes) else { continue };
                    if !query.fits(&event) {
                        continue;
                    }
                    walked.events += 1;
                    if look(event, received) == Go::Enough {
                        return Ok(walked);
                    }
                }
            }
            Err(error) => {
                tracing::error!(position = position.0, %error, "a stored batch cannot be unpacked");
            }
        }
        if out_of_time() {
            walked.cut_at = Some(received);
            return Ok(walked);
        }
    }
    Ok(walked)
}
