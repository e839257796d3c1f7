//! The way out of one endpoint's isolation, as the endpoint sealed it to operators. Every fetch is
//! in the audit trail before the answer goes out.

use axum::Json;
use axum::extract::{Path, State};
use cordon_proto::event::Lane;
use cordon_proto::id::OperatorId;
use cordon_proto::roster::Role;
use serde::Serialize;
use utoipa::ToSchema;

use super::endpoints::find;
use super::person::Person;
use super::problem::ProblemBody;
use super::proof::{Proof, prove};
use super::{App, Problem};
use crate::audit::Deed;
use crate::command::Place;
use crate::store::StoredWayOut;
use crate::time::Time;

/// What is stored of a way out.
#[derive(Serialize, ToSchema)]
pub(crate) struct WayOutShown {
    /// The number of the code, as text.
    #[serde(with = "crate::number")]
    #[schema(value_type = String)]
    serial: u64,
    /// The roster that named the operators.
    roster_version: u64,
    /// Whether the endpoint has taken a newer roster since, so that the code is void.
    is_void: bool,
    /// Who can open it.
    #[schema(value_type = Vec<String>)]
    operators: Vec<OperatorId>,
    /// When the endpoint told of it, by the collector's clock.
    #[schema(value_type = String, format = DateTime)]
    at: Time,
}

impl WayOutShown {
    /// None where the endpoint says that there is none.
    pub(super) fn of(stored: &StoredWayOut, roster_held: u64) -> Option<Self> {
        let StoredWayOut { at, way_out, .. } = stored;
        let operators: Vec<_> = way_out.boxes.iter().map(|one| one.operator.clone()).collect();
        let roster_version = way_out.roster.version;
        let is_void = roster_version < roster_held;
        let shown = Self { serial: way_out.serial, roster_version, is_void, operators, at: *at };
        (!shown.operators.is_empty()).then_some(shown)
    }
}

/// The sealed code, and what proves that the endpoint made it.
#[derive(Serialize, ToSchema)]
pub(crate) struct WayOutProved {
    #[serde(flatten)]
    shown: WayOutShown,
    /// The lane's epoch in which it was told.
    epoch: u32,
    /// Its number there, as text.
    #[serde(with = "crate::number")]
    #[schema(value_type = String)]
    seq: u64,
    #[serde(flatten)]
    proof: Proof,
}

/// The way out that an endpoint told of last. Only the operators it names can open it.
#[utoipa::path(get, path = "/endpoints/{id}/way-out", tag = "endpoints",
    params(("id" = String, Path, description = "the endpoint's id")),
    responses((status = 200, body = WayOutProved), (status = 401, body = ProblemBody),
        (status = 404, body = ProblemBody)))]
pub(super) async fn way_out(
    State(app): State<App>,
    person: Person,
    Path(id): Path<String>,
) -> Result<Json<WayOutProved>, Problem> {
    app.work(move |app| {
        let endpoint = find(app, &person, &id)?;
        let stored = app.collector.state.ways_out(&[endpoint.id])?.remove(&endpoint.id);
        let stored = stored.ok_or_else(Problem::not_found)?;
        let shown = WayOutShown::of(&stored, endpoint.roster.version);
        let shown = shown.ok_or_else(Problem::not_found)?;
        let detail = format!("code {} of {}", shown.serial, endpoint.host_name);
        let what = Deed::WayOutFetch;
        let act = person.act(&endpoint.client, Role::Viewer, what, id, detail)?;
        app.collector.state.record(vec![act], app.collector.clock.wall_ns())?;
        let Place { epoch, seq } = stored.place;
        let (proof, _) = prove(app, &endpoint, Lane::Control, epoch, seq)?;
        Ok(Json(WayOutProved { shown, epoch, seq, proof }))
    })
    .await
}
