//! What a session asks of the stores: who calls, and to keep what it sends.

use std::sync::Arc;

use cordon_proto::id::{ClientId, EndpointId};
use cordon_proto::message::Hello;
use cordon_proto::session::{Appended, Registered};

use crate::collector::Collector;
use crate::links::Seat;
use crate::presence::Ended;
use crate::store::{Endpoint, LogError, NotedClone, Outcome, State, StateError};
use crate::tls::Caller;

/// Why an endpoint could not be looked up, or its hello not be noted.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// The state failed.
    #[error(transparent)]
    State(#[from] StateError),
    /// The log failed.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The collector is stopping.
    #[error("the collector is stopping")]
    Stopping,
}

/// Everything that a session must know about an endpoint that calls; none if it is not registered,
/// or its certificate is another client's.
pub async fn identify(
    collector: &Arc<Collector>,
    endpoint: EndpointId,
    caller: &Caller,
) -> Result<Option<Registered>, IngestError> {
    let (collector, caller) = (Arc::clone(collector), caller.clone());
    let work = move || -> Result<Option<Registered>, IngestError> {
        let Some(known) = collector.state.endpoint(endpoint)? else { return Ok(None) };
        let Endpoint { client, key, .. } = known;
        if client != caller.client {
            return Ok(None);
        }
        let heads = collector.log.heads(endpoint)?.into_iter().map(|head| head.header).collect();
        let gaps = collector.log.gaps(endpoint)?;
        Ok(Some(Registered { client, key, heads, gaps }))
    };
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(IngestError::Stopping))
}

/// The endpoint's clock minus ours.
#[must_use]
pub fn clock_offset_ns(theirs_ns: u64, ours_ns: u64) -> i64 {
    let difference = i128::from(theirs_ns) - i128::from(ours_ns);
    i64::try_from(difference).unwrap_or(if difference < 0 { i64::MIN } else { i64::MAX })
}

/// Notes a verified hello, and clones that it revealed. Answers the client's roster if it is newer
/// than the one that the endpoint holds.
pub async fn note_hello(
    collector: &Arc<Collector>,
    hello: &Arc<Hello>,
    clock_offset_ns: i64,
    seat: &Seat,
) -> Result<Option<Vec<u8>>, IngestError> {
    let collector = Arc::clone(collector);
    let hello = Arc::clone(hello);
    let now_ns = seat.connected.since_ns;
    let clones: Vec<_> = seat.clones.iter().map(|other| noted(&other.hello, now_ns)).collect();
    let client = seat.connected.client.clone();
    let work = move || -> Result<Option<Vec<u8>>, IngestError> {
        collector.state.note_hello(&hello, clock_offset_ns, now_ns)?;
        if !clones.is_empty() {
            tracing::warn!(
                endpoint = %hello.endpoint.short(),
                machines = clones.len() + 1,
                "several machines are connected with one key"
            );
            for clone in clones.iter().chain([&noted(&hello, now_ns)]) {
                collector.state.note_clone(hello.endpoint, clone)?;
            }
        }
        let roster = collector.state.roster(&client)?;
        let newer = roster.filter(|roster| roster.named.version > hello.roster.version);
        Ok(newer.map(|roster| roster.document))
    };
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(IngestError::Stopping))
}

fn noted(hello: &Hello, now_ns: u64) -> NotedClone {
    NotedClone {
        machine_id: hello.machine_id.clone(),
        boot_id: hello.boot_id.clone(),
        host_name: hello.host_name.clone(),
        first_ns: now_ns,
        last_ns: now_ns,
    }
}

/// Notes when an endpoint was last heard, and how its session ended.
pub async fn note_seen(
    collector: &Arc<Collector>,
    endpoint: EndpointId,
    now_ns: u64,
    ended: Ended,
) {
    let note = move |state: &State| state.note_seen(endpoint, now_ns, ended);
    let noted = collector.state.from_task(note).await;
    if let Err(error) = noted {
        tracing::warn!(%error, "an endpoint's last sign of life was not noted");
    }
}

/// What the log did, in the words of the session.
#[must_use]
pub fn appended(outcome: Result<Outcome, LogError>) -> Appended {
    match outcome {
        Ok(Outcome::Durable(_)) => Appended::Durable,
        Ok(Outcome::Same) => Appended::Same,
        Ok(Outcome::Conflict) => Appended::Conflict,
        // The session knows the lane as it stood at its welcome; only a new one knows it as it is.
        Ok(Outcome::Moved) => {
            Appended::Unavailable("another session of this endpoint moved the lane on".to_owned())
        }
        Err(error) => Appended::Unavailable(error.to_string()),
    }
}

/// What every batch of a session carries beside its bytes.
#[derive(Clone, Debug)]
pub struct Source {
    /// Whose.
    pub client: ClientId,
    /// The endpoint's host name.
    pub host_name: Arc<str>,
    /// Its clock minus ours.
    pub clock_offset_ns: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_centuries_off_is_measured_as_far_as_a_number_goes() {
        assert_eq!(clock_offset_ns(5, 8), -3);
        assert_eq!(clock_offset_ns(8, 5), 3);
        assert_eq!(clock_offset_ns(u64::MAX, 0), i64::MAX);
        assert_eq!(clock_offset_ns(0, u64::MAX), i64::MIN);
    }
}
