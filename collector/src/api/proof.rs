//! One event with everything that proves it.

use axum::Json;
use axum::extract::{Path, State};
use cordon_proto::codec;
use cordon_proto::event::{Body as Fact, Lane};
use cordon_proto::roster::Role;
use cordon_proto::sign::batch::{self, EventProof};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::endpoints::find;
use super::page::{Params, to_b64};
use super::person::Person;
use super::problem::ProblemBody;
use super::{App, Problem};
use crate::audit::Deed;
use crate::store::{Endpoint, Place};

/// Which event.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    /// `control` or `telemetry`.
    lane: String,
    /// The lane's epoch.
    epoch: u32,
    /// The event's number.
    seq: u64,
}

/// The proof.
#[derive(Serialize, ToSchema)]
pub(crate) struct Proof {
    /// CBOR of [signed header, event bytes, index, audit path], base64url.
    proof: String,
    /// The endpoint's public key, base64url: its hash must be the endpoint's id.
    key: String,
}

/// An event's proof: its bytes, its audit path and the signed header of its batch.
#[utoipa::path(get, path = "/endpoints/{id}/proof", tag = "events",
    params(("id" = String, Path, description = "the endpoint's id"), Asked),
    responses((status = 200, body = Proof), (status = 401, body = ProblemBody),
        (status = 404, body = ProblemBody)))]
pub(super) async fn proof(
    State(app): State<App>,
    person: Person,
    Path(id): Path<String>,
    Params(asked): Params<Asked>,
) -> Result<Json<Proof>, Problem> {
    let lane = Lane::ALL.into_iter().find(|lane| lane.name() == asked.lane);
    let lane = lane.ok_or_else(|| Problem::unreadable("`lane` is `control` or `telemetry`"))?;
    app.work(move |app| {
        let endpoint = find(app, &person, &id)?;
        let (proof, body) = prove(app, &endpoint, lane, asked.epoch, asked.seq)?;
        if let Some(Fact::WayOut(way_out)) = body {
            // What is sealed in it is not given out unnoticed, by whichever door.
            let detail = format!("code {} of {}", way_out.serial, endpoint.host_name);
            let what = Deed::WayOutFetch;
            let act = person.act(&endpoint.client, Role::Viewer, what, id, detail)?;
            app.collector.state.record(vec![act], app.collector.clock.wall_ns())?;
        }
        Ok(Json(proof))
    })
    .await
}

/// The proof of an event of an endpoint, and what the event says.
pub(super) fn prove(
    app: &App,
    endpoint: &Endpoint,
    lane: Lane,
    epoch: u32,
    seq: u64,
) -> Result<(Proof, Option<Fact>), Problem> {
    let place = Place { client: &endpoint.client, endpoint: endpoint.id, lane, epoch, seq };
    let stored = app.collector.log.batch_holding(place)?.ok_or_else(Problem::not_found)?;
    let position = stored.position;
    let arrival = stored.unpack().map_err(|error| {
        tracing::error!(position = position.0, %error, "a stored batch cannot be unpacked");
        Problem::not_found()
    })?;
    let index = seq.checked_sub(arrival.header.first).and_then(|i| usize::try_from(i).ok());
    let proof = index.and_then(|i| EventProof::of(&arrival.header_bytes, &arrival.events, i));
    let proof = proof.ok_or_else(Problem::not_found)?;
    let body = batch::read_event(&proof.event).ok().map(|event| event.body);
    let proof = Proof { proof: to_b64(codec::encode(&proof)), key: to_b64(endpoint.key.0) };
    Ok((proof, body))
}
