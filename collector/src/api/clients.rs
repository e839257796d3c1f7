//! Clients and their rosters.

pub(super) mod rosters;

use axum::Json;
use axum::extract::{Path, State};
use cordon_proto::command::ActionKind;
use cordon_proto::id::{ClientId, EndpointId, Hash, OperatorId};
use cordon_proto::limits::DOCUMENT_BYTES_MAX;
use cordon_proto::roster::{Grant, Role, Roster, RosterRef};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::page::{Body, Page, PageAsked, Params, from_b64, to_b64};
use super::person::Person;
use super::problem::ProblemBody;
use super::{App, Problem};
use crate::audit::Deed;
use crate::store::StoredRoster;
use crate::tenant::HeldRoster;

/// Laggards named in one answer.
const LAGGARDS_MAX: usize = 1000;

/// A client, and what the asker is there.
#[derive(Serialize, ToSchema)]
pub(crate) struct Client {
    /// Its name.
    #[schema(value_type = String)]
    id: ClientId,
    /// The asker's name there.
    #[schema(value_type = String)]
    operator: OperatorId,
    /// The asker's highest role there.
    #[schema(value_type = String)]
    role: Role,
    /// The roster's version.
    roster_version: u64,
}

/// The roster that counts.
#[derive(Serialize, ToSchema)]
pub(crate) struct RosterShown {
    /// Its version.
    version: u64,
    /// SHA-256 of the document.
    #[schema(value_type = String)]
    hash: Hash,
    /// As the authority signed it, base64url.
    document: String,
    /// Who may do what, and how many must agree; what is in no row nobody may do.
    grants: Vec<GrantShown>,
    /// The longest lease that a command may ask for, in seconds.
    lease_secs_max: u64,
    /// Endpoints not yet heard to hold it: a revocation is done when there are none.
    laggards: Vec<LaggardShown>,
}

/// So many operators of this role may do this to so many endpoints with one command.
#[derive(Serialize, ToSchema)]
pub(crate) struct GrantShown {
    /// What.
    #[schema(value_type = String)]
    action: ActionKind,
    /// The role that each of the signers must have.
    #[schema(value_type = String)]
    role: Role,
    /// How many distinct persons must sign.
    approvals: u8,
    /// How many endpoints one command may then name.
    targets_max: u32,
}

impl GrantShown {
    fn of(grant: &Grant) -> Self {
        let Grant { action, role, approvals, targets_max } = *grant;
        Self { action, role, approvals, targets_max }
    }
}

/// An endpoint that holds an older roster, as far as is known.
#[derive(Serialize, ToSchema)]
pub(crate) struct LaggardShown {
    /// Which.
    #[schema(value_type = String)]
    endpoint: EndpointId,
    /// Its host name.
    host_name: String,
    /// What it was last heard to hold.
    roster_version: u64,
}

/// A roster on its way in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewRoster {
    /// As the authority signed it, base64url.
    document: String,
}

/// The clients that the asker may see, in order of name.
#[utoipa::path(get, path = "/clients", tag = "clients", params(PageAsked),
    responses((status = 200, body = Page<Client>), (status = 400, body = ProblemBody),
        (status = 401, body = ProblemBody)))]
pub(super) async fn list(
    State(app): State<App>,
    person: Person,
    Params(asked): Params<PageAsked>,
) -> Json<Page<Client>> {
    let shown = person.view.seats().map(|(client, seat)| Client {
        id: client.clone(),
        operator: seat.operator.clone(),
        role: seat.role,
        roster_version: app.tenants.roster(client).map_or(0, |held| held.named.version),
    });
    Json(Page::part(shown, asked, |client| client.id.to_string()))
}

/// A client's roster, and who does not hold it yet.
#[utoipa::path(get, path = "/clients/{client}/roster", tag = "rosters",
    params(("client" = String, Path, description = "the client's name")),
    responses((status = 200, body = RosterShown), (status = 401, body = ProblemBody),
        (status = 404, body = ProblemBody)))]
pub(super) async fn roster(
    State(app): State<App>,
    person: Person,
    Path(client): Path<String>,
) -> Result<Json<RosterShown>, Problem> {
    let client = person.client(&client, Role::Viewer)?;
    app.work(move |app| {
        let held = app.tenants.roster(&client).ok_or_else(Problem::not_found)?;
        shown(app, &client, &held)
    })
    .await
}

/// Brings a newer roster. It must be signed by the authority whose key the collector was given.
#[utoipa::path(put, path = "/clients/{client}/roster", tag = "rosters",
    params(("client" = String, Path, description = "the client's name")),
    request_body = NewRoster,
    responses((status = 200, body = RosterShown), (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody), (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody), (status = 422, body = ProblemBody)))]
pub(super) async fn put_roster(
    State(app): State<App>,
    person: Person,
    Path(client): Path<String>,
    body: Body,
) -> Result<Json<RosterShown>, Problem> {
    let client = person.client(&client, Role::Administrator)?;
    app.work(move |app| {
        let (roster, stored) = brought(app, &client, &body)?;
        let held = app.tenants.roster(&client).map_or(0, |held| held.named.version);
        if roster.version <= held {
            let version = roster.version;
            let detail =
                format!("the roster has version {version}; {held} is held, and versions grow");
            return Err(Problem::conflict(detail));
        }
        let to = format!("roster version {}", roster.version);
        let detail = format!("SHA-256 {}", stored.named.hash);
        let act = person.act(&client, Role::Administrator, Deed::RosterPut, to, detail)?;
        let now_ns = app.collector.clock.wall_ns();
        app.collector.state.record(vec![act], now_ns)?;
        if !app.collector.state.put_roster(&stored, now_ns)? {
            return Err(Problem::conflict("somebody brought a newer roster meanwhile"));
        }
        let held = HeldRoster { named: stored.named, roster, document: stored.document };
        app.tenants.hold(held.clone());
        app.collector.links.send_roster_to_all(&client, &held.document);
        shown(app, &client, &held)
    })
    .await
}

/// Reads a roster that was brought: the authority's, and for this client.
fn brought(app: &App, client: &ClientId, body: &Body) -> Result<(Roster, StoredRoster), Problem> {
    let document = from_b64("document", &body.read::<NewRoster>()?.document)?;
    if document.len() > DOCUMENT_BYTES_MAX {
        return Err(Problem::refused(format!("a roster has at most {DOCUMENT_BYTES_MAX} bytes")));
    }
    let read = app.collector.authority.verify_roster(document);
    let (roster, stored) = read.map_err(|error| Problem::refused(format!("the roster {error}")))?;
    if roster.client != *client {
        let detail = format!("the roster is for client {}, not {client}", roster.client);
        return Err(Problem::refused(detail));
    }
    Ok((roster, stored))
}

fn shown(app: &App, client: &ClientId, held: &HeldRoster) -> Result<Json<RosterShown>, Problem> {
    let HeldRoster { named, roster, document } = held;
    let RosterRef { version, hash } = *named;
    let laggards = app.collector.state.laggards(client, *named, LAGGARDS_MAX)?;
    let laggard = |one: crate::store::Laggard| LaggardShown {
        endpoint: one.endpoint,
        host_name: one.host_name,
        roster_version: one.roster_version,
    };
    let laggards = laggards.into_iter().map(laggard).collect();
    Ok(Json(RosterShown {
        version,
        hash,
        document: to_b64(document),
        grants: roster.grants.iter().map(GrantShown::of).collect(),
        lease_secs_max: roster.ceilings.lease_secs_max,
        laggards,
    }))
}
