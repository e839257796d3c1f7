//! The rosters of a client, one version beside another, and the operators that the newest names.

use axum::Json;
use axum::extract::{Path, State};
use cordon_proto::id::{ClientId, Hash, KeyId, OperatorId};
use cordon_proto::roster::{OperatorKey, Role, Roster};
use cordon_proto::sign::document::{self, Kind};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::super::page::{Body, Page, PageAsked, Params, to_b64};
use super::super::person::Person;
use super::super::problem::ProblemBody;
use super::super::{App, Problem};
use super::{NewRoster, brought};
use crate::difference::{Difference, of_rosters};
use crate::store::RosterVersion;
use crate::time::Time;

/// A version of a roster.
#[derive(Serialize, ToSchema)]
pub(crate) struct VersionShown {
    /// The version.
    version: u64,
    /// SHA-256 of the document.
    #[schema(value_type = String)]
    hash: Hash,
    /// When the collector took it.
    #[schema(value_type = String, format = DateTime)]
    stored_at: Time,
    /// When the authority made it, by its own clock.
    #[schema(value_type = String, format = DateTime)]
    made_at: Time,
    /// Persons it names.
    operators: usize,
}

/// A version as the authority signed it.
#[derive(Serialize, ToSchema)]
pub(crate) struct VersionWhole {
    /// The version.
    version: u64,
    /// SHA-256 of the document.
    #[schema(value_type = String)]
    hash: Hash,
    /// As the authority signed it, base64url.
    document: String,
}

/// Against which version.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Against {
    /// The version to compare with; the one before if not said.
    from: Option<u64>,
}

/// What differs between two rosters.
#[derive(Serialize, ToSchema)]
pub(crate) struct Differences {
    /// The one version; null for none.
    from: Option<u64>,
    /// The other.
    to: u64,
    /// What differs, in order of field.
    items: Vec<Difference>,
}

/// A person in the roster.
#[derive(Serialize, ToSchema)]
pub(crate) struct OperatorShown {
    /// The person's name.
    #[schema(value_type = String)]
    id: OperatorId,
    /// The person's roles.
    #[schema(value_type = Vec<String>)]
    roles: Vec<Role>,
    /// The person's keys.
    keys: Vec<KeyShown>,
    /// Whether break-glass codes are sealed to the person.
    break_glass: bool,
}

/// A key of a person.
#[derive(Serialize, ToSchema)]
pub(crate) struct KeyShown {
    /// SHA-256 of its public half.
    #[schema(value_type = String)]
    id: KeyId,
    /// `file` or `passkey`.
    kind: &'static str,
    /// Where a passkey signs.
    rp_id: Option<String>,
    /// Exactly the pages whose signatures with a passkey count; none of a file.
    origins: Vec<String>,
}

/// Every version of a client's roster that the collector took, the newest first.
#[utoipa::path(get, path = "/clients/{client}/rosters", tag = "rosters",
    params(("client" = String, Path, description = "the client's name"), PageAsked),
    responses((status = 200, body = Page<VersionShown>), (status = 400, body = ProblemBody),
        (status = 401, body = ProblemBody), (status = 404, body = ProblemBody)))]
pub(in crate::api) async fn versions(
    State(app): State<App>,
    person: Person,
    Path(client): Path<String>,
    Params(asked): Params<PageAsked>,
) -> Result<Json<Page<VersionShown>>, Problem> {
    let client = person.client(&client, Role::Viewer)?;
    let (cursor, limit) = asked.read();
    let wrong = || Problem::unreadable("`cursor` is not one that an earlier answer gave");
    let before = match cursor.as_str() {
        "" => u64::MAX >> 1,
        cursor => cursor.parse().ok().ok_or_else(wrong)?,
    };
    app.work(move |app| {
        let found = app.collector.state.roster_versions(&client, before, limit + 1)?;
        let shown = found.iter().map(|found| {
            let roster = read(found)?;
            Ok(VersionShown {
                version: found.version,
                hash: found.hash,
                stored_at: Time(found.stored_ns),
                made_at: Time(roster.made_ns),
                operators: roster.operators.len(),
            })
        });
        let shown = shown.collect::<Result<Vec<_>, Problem>>()?;
        Ok(Json(Page::cut(shown, limit, |one| one.version.to_string())))
    })
    .await
}

/// One version of a client's roster.
#[utoipa::path(get, path = "/clients/{client}/rosters/{version}", tag = "rosters",
    params(("client" = String, Path, description = "the client's name"),
        ("version" = String, Path, description = "the version")),
    responses((status = 200, body = VersionWhole), (status = 401, body = ProblemBody),
        (status = 404, body = ProblemBody)))]
pub(in crate::api) async fn version(
    State(app): State<App>,
    person: Person,
    Path((client, version)): Path<(String, String)>,
) -> Result<Json<VersionWhole>, Problem> {
    let client = person.client(&client, Role::Viewer)?;
    app.work(move |app| {
        let found = find(app, &client, version.parse().ok())?;
        let document = to_b64(&found.document);
        Ok(Json(VersionWhole { version: found.version, hash: found.hash, document }))
    })
    .await
}

/// What differs between two versions of a client's roster, field by field and in words.
#[utoipa::path(get, path = "/clients/{client}/rosters/{version}/differences", tag = "rosters",
    params(("client" = String, Path, description = "the client's name"),
        ("version" = String, Path, description = "the version"), Against),
    responses((status = 200, body = Differences), (status = 400, body = ProblemBody),
        (status = 401, body = ProblemBody), (status = 404, body = ProblemBody)))]
pub(in crate::api) async fn differences(
    State(app): State<App>,
    person: Person,
    Path((client, version)): Path<(String, String)>,
    Params(Against { from }): Params<Against>,
) -> Result<Json<Differences>, Problem> {
    let client = person.client(&client, Role::Viewer)?;
    app.work(move |app| {
        let after = find(app, &client, version.parse().ok())?;
        let before = match from {
            Some(from) => Some(find(app, &client, Some(from))?),
            None => app.collector.state.roster_versions(&client, after.version, 1)?.pop(),
        };
        let roster = before.as_ref().map(read).transpose()?;
        let items = of_rosters(roster.as_ref(), &read(&after)?);
        let from = before.map(|before| before.version);
        Ok(Json(Differences { from, to: after.version, items }))
    })
    .await
}

/// What bringing a roster would change: its signature is checked, and nothing is kept.
#[utoipa::path(post, path = "/clients/{client}/roster/differences", tag = "rosters",
    params(("client" = String, Path, description = "the client's name")),
    request_body = NewRoster,
    responses((status = 200, body = Differences), (status = 400, body = ProblemBody),
        (status = 401, body = ProblemBody), (status = 404, body = ProblemBody),
        (status = 413, body = ProblemBody), (status = 422, body = ProblemBody)))]
pub(in crate::api) async fn would_differ(
    State(app): State<App>,
    person: Person,
    Path(client): Path<String>,
    body: Body,
) -> Result<Json<Differences>, Problem> {
    let client = person.client(&client, Role::Viewer)?;
    app.work(move |app| {
        let (roster, _) = brought(app, &client, &body)?;
        let held = app.tenants.roster(&client);
        let items = of_rosters(held.as_ref().map(|held| &held.roster), &roster);
        let from = held.map(|held| held.named.version);
        Ok(Json(Differences { from, to: roster.version, items }))
    })
    .await
}

/// The persons that a client's roster names, in order of name.
#[utoipa::path(get, path = "/clients/{client}/operators", tag = "rosters",
    params(("client" = String, Path, description = "the client's name"), PageAsked),
    responses((status = 200, body = Page<OperatorShown>), (status = 400, body = ProblemBody),
        (status = 401, body = ProblemBody), (status = 404, body = ProblemBody)))]
pub(in crate::api) async fn operators(
    State(app): State<App>,
    person: Person,
    Path(client): Path<String>,
    Params(asked): Params<PageAsked>,
) -> Result<Json<Page<OperatorShown>>, Problem> {
    let client = person.client(&client, Role::Viewer)?;
    let held = app.tenants.roster(&client).ok_or_else(Problem::not_found)?;
    let mut operators: Vec<_> = held.roster.operators.iter().collect();
    operators.sort_by_key(|operator| &operator.id);
    let key = |key: &OperatorKey| match key {
        OperatorKey::File(_) => {
            KeyShown { id: key.id(), kind: "file", rp_id: None, origins: Vec::new() }
        }
        OperatorKey::Passkey { rp_id, origins, .. } => {
            let (rp_id, origins) = (Some(rp_id.clone()), origins.clone());
            KeyShown { id: key.id(), kind: "passkey", rp_id, origins }
        }
    };
    let shown = operators.into_iter().map(|operator| OperatorShown {
        id: operator.id.clone(),
        roles: operator.roles.clone(),
        keys: operator.keys.iter().map(key).collect(),
        break_glass: operator.sealing.is_some(),
    });
    Ok(Json(Page::part(shown, asked, |one| one.id.to_string())))
}

fn find(app: &App, client: &ClientId, version: Option<u64>) -> Result<RosterVersion, Problem> {
    let version = version.ok_or_else(Problem::not_found)?;
    let before = version.saturating_add(1);
    let found = app.collector.state.roster_versions(client, before, 1)?.pop();
    found.filter(|found| found.version == version).ok_or_else(Problem::not_found)
}

fn read(found: &RosterVersion) -> Result<Roster, Problem> {
    let read = document::peek::<Roster>(Kind::Roster, &found.document);
    read.map_err(|error| Problem::inside(&error))
}
