//! Evidence taken out: whole batches in chain order, to be checked anywhere without the collector.

use std::collections::{BTreeMap, BTreeSet};

use axum::body::Body as Answer;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use cordon_proto::event::Lane;
use cordon_proto::evidence::{Bundle, EndpointEvidence, MAGIC};
use cordon_proto::id::ClientId;
use cordon_proto::message::Signed;
use cordon_proto::roster::Role;
use cordon_proto::sign::batch::{Batch, Header};
use cordon_proto::sign::document::{self, Kind};
use futures_util::stream;
use serde::Deserialize;
use utoipa::ToSchema;

use super::endpoints::find;
use super::page::Body;
use super::person::Person;
use super::problem::ProblemBody;
use super::{App, Problem};
use crate::audit::Deed;
use crate::store::{Endpoint, EndpointFilter, Place, Position, Scan, StoredBatch};
use crate::time::Time;

/// Batches of one bundle. It is made in memory, because its CBOR says beforehand how long it is.
pub(super) const BYTES_MAX: usize = 256 << 20;

/// Endpoints of one bundle.
const ENDPOINTS_MAX: usize = 10_000;

/// Batches read at once.
const READ_MAX: usize = 32;

/// Bytes sent at once.
const CHUNK_BYTES: usize = 64 << 10;

/// What is to be taken out.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// Of this endpoint only.
    #[serde(default)]
    endpoint: Option<String>,
    /// Of these endpoints, in one bundle.
    #[serde(default)]
    endpoints: Option<Vec<String>>,
    /// From here on.
    #[schema(value_type = String, format = DateTime)]
    since: Time,
    /// Up to here.
    #[schema(value_type = String, format = DateTime)]
    until: Time,
}

impl Wanted {
    /// The endpoints named; none for all of them.
    fn ids(&self) -> impl Iterator<Item = &str> {
        self.endpoint.iter().chain(self.endpoints.iter().flatten()).map(String::as_str)
    }
}

/// A bundle of every batch that holds an event of the time asked for, with all between them in the
/// same chain, and the client's rosters. `cordon verify` says what it proves.
#[utoipa::path(post, path = "/clients/{client}/export", tag = "events",
    params(("client" = String, Path, description = "the client's name")), request_body = Wanted,
    responses((status = 200, content_type = "application/cbor", body = Vec<u8>),
        (status = 401, body = ProblemBody), (status = 404, body = ProblemBody),
        (status = 422, body = ProblemBody)))]
pub(super) async fn export(
    State(app): State<App>,
    person: Person,
    Path(client): Path<String>,
    body: Body,
) -> Result<Response, Problem> {
    let client = person.client(&client, Role::Viewer)?;
    let wanted: Wanted = body.read()?;
    if wanted.since > wanted.until {
        return Err(Problem::refused("`since` is after `until`"));
    }
    if wanted.endpoints.as_ref().is_some_and(Vec::is_empty) {
        return Err(Problem::refused("`endpoints` names none; leave it out for all of them"));
    }
    let _turn = app.exports.acquire().await.ok().ok_or_else(Problem::stopping)?;
    let bundle = app.work(move |app| {
        let endpoints = named(app, &person, &client, &wanted)?;
        let detail = format!("{} to {}", wanted.since, wanted.until);
        let act = person.act(&client, Role::Viewer, Deed::Export, whose(&wanted), detail)?;
        let made_ns = app.collector.clock.wall_ns();
        app.collector.state.record(vec![act], made_ns)?;
        let mut room = BYTES_MAX;
        let mut parts = Vec::new();
        for endpoint in endpoints {
            let part = evidence(app, endpoint, &wanted, &mut room)?;
            parts.extend((!part.batches.is_empty()).then_some(part));
        }
        let rosters = app.collector.state.rosters(&client)?;
        let rosters = rosters.into_iter().map(|bytes| Signed { bytes }).collect();
        let magic = MAGIC.to_owned();
        Ok(Bundle { magic, client, made_ns, rosters, endpoints: parts }.encode())
    });
    Ok(send(bundle.await?))
}

/// Whose evidence is wanted, each once.
fn named(
    app: &App,
    person: &Person,
    client: &ClientId,
    wanted: &Wanted,
) -> Result<Vec<Endpoint>, Problem> {
    let ids: BTreeSet<_> = wanted.ids().collect();
    if ids.is_empty() {
        let (clients, count_max) = (vec![client.clone()], ENDPOINTS_MAX);
        let filter = EndpointFilter { clients, name: None, after: None, count_max };
        return Ok(app.collector.state.endpoints(&filter)?);
    }
    let found = ids.into_iter().map(|id| find(app, person, id));
    let found = found.collect::<Result<Vec<_>, _>>()?;
    let is_ours = found.iter().all(|endpoint| endpoint.client == *client);
    if is_ours { Ok(found) } else { Err(Problem::not_found()) }
}

/// The same for the audit trail, whose lines are short.
fn whose(wanted: &Wanted) -> String {
    match (wanted.ids().next(), wanted.ids().count()) {
        (None, _) => "every endpoint".to_owned(),
        (Some(only), 1) => only.to_owned(),
        (Some(first), count) => format!("{count} endpoints, {first} among them"),
    }
}

fn send(bundle: Vec<u8>) -> Response {
    let bundle = axum::body::Bytes::from(bundle);
    let bytes = bundle.len();
    let chunks = stream::unfold(bundle, |mut left| async move {
        let chunk = left.split_to(left.len().min(CHUNK_BYTES));
        (!chunk.is_empty()).then(|| (Ok::<_, std::convert::Infallible>(chunk), left))
    });
    let headers = [
        (header::CONTENT_TYPE, "application/cbor".to_owned()),
        (header::CONTENT_LENGTH, bytes.to_string()),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"evidence.cbor\"".to_owned()),
    ];
    (StatusCode::OK, headers, Answer::from_stream(chunks)).into_response()
}

/// One endpoint's part: of each chain, from the first batch that holds something of the time asked
/// for to the last, without a hole.
fn evidence(
    app: &App,
    endpoint: Endpoint,
    wanted: &Wanted,
    room: &mut usize,
) -> Result<EndpointEvidence, Problem> {
    let mut batches = Vec::new();
    for ((lane, epoch), (first, last)) in chains(app, &endpoint, wanted)? {
        let mut from = first;
        while from <= last {
            let place =
                Place { client: &endpoint.client, endpoint: endpoint.id, lane, epoch, seq: from };
            let read = app.collector.log.read_chain(place, READ_MAX)?;
            let before = from;
            for stored in read {
                let Some(header) = header(&stored) else { continue };
                if header.first > last {
                    from = header.first;
                    break;
                }
                from = header.last().saturating_add(1);
                batches.push(take(stored, room)?);
            }
            if from == before {
                break;
            }
        }
    }
    let Endpoint { id, key, host_name, .. } = endpoint;
    Ok(EndpointEvidence { endpoint: id, key, host_name, batches })
}

type Chains = BTreeMap<(Lane, u32), (u64, u64)>;

/// The first and last number, in each chain, of the batches that hold something of the time.
fn chains(app: &App, endpoint: &Endpoint, wanted: &Wanted) -> Result<Chains, Problem> {
    let mut chains = Chains::new();
    let mut scan = Scan {
        endpoint: Some(endpoint.id),
        since_ns: Some(wanted.since.0),
        until_ns: Some(wanted.until.0),
        ..Scan::of(endpoint.client.clone())
    };
    loop {
        let found = app.collector.log.scan(&scan, READ_MAX)?;
        let Some(last) = found.last().map(|stored| stored.position) else { return Ok(chains) };
        for header in found.iter().filter_map(header) {
            let chain = chains.entry((header.lane, header.epoch));
            let chain = chain.or_insert((header.first, header.last()));
            *chain = (chain.0.min(header.first), chain.1.max(header.last()));
        }
        scan.after = last;
    }
}

fn header(stored: &StoredBatch) -> Option<Header> {
    let header = document::peek::<Header>(Kind::Batch, &stored.batch.header);
    let Position(position) = stored.position;
    header.inspect_err(|error| tracing::error!(position, %error, "a stored header is damaged")).ok()
}

fn take(stored: StoredBatch, room: &mut usize) -> Result<Batch, Problem> {
    let bytes = stored.batch.header.len() + stored.batch.events.len();
    let Some(left) = room.checked_sub(bytes) else {
        let mib = BYTES_MAX >> 20;
        let detail = format!("the bundle would pass {mib} MiB; ask for less time or one endpoint");
        return Err(Problem::refused(detail));
    };
    *room = left;
    Ok(stored.batch)
}
