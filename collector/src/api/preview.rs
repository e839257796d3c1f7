//! What an isolation of an endpoint would cut, and whether others live by it.

use std::collections::BTreeSet;
use std::sync::PoisonError;

use axum::Json;
use axum::extract::{Path, State};
use cordon_proto::command::{ActionKind, Command};
use cordon_proto::id::{ClientId, EndpointId};
use serde::Serialize;
use utoipa::ToSchema;

use super::endpoints::find;
use super::person::Person;
use super::problem::ProblemBody;
use super::{App, Problem};
use crate::carriers;
use crate::preview::fate::Ways;
use crate::preview::flow::{Flow, Port};
use crate::preview::look::{self, Whose};
use crate::preview::role::Judged;
use crate::preview::session::Session;
use crate::store::Endpoint;
use crate::time::Time;

/// Lines shown of each list; what is left out is counted.
const SHOWN_MAX: usize = 500;

/// What an isolation would cut.
#[derive(Serialize, ToSchema)]
pub(crate) struct PreviewShown {
    /// Which endpoint.
    #[schema(value_type = String)]
    endpoint: EndpointId,
    /// Whose.
    #[schema(value_type = String)]
    client: ClientId,
    /// Its host name, as it last said.
    host_name: String,
    /// `online` while it is connected to this collector, else `offline`.
    state: &'static str,
    /// When it was last heard; now, while it is connected.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_seen: Option<Time>,
    /// Events since then were looked at: 24 hours, of one that is offline those before it was last
    /// heard.
    #[schema(value_type = String, format = DateTime)]
    since: Time,
    /// Those that were looked at.
    events: u64,
    /// When the newest of them was made, by the endpoint's clock; all that is here is no younger.
    #[schema(value_type = Option<String>, format = DateTime)]
    newest: Option<Time>,
    /// Where time was up: only what was received since then is in here.
    #[schema(value_type = Option<String>, format = DateTime)]
    cut_at: Option<Time>,
    /// Whether signed policy calls it critical.
    critical: bool,
    /// The version of the policy that `fate` was judged by; 0 for none.
    policy_version: u64,
    /// The version that the endpoint last said it holds.
    policy_held: Option<u64>,
    /// What it is for others, by its own word.
    #[schema(value_type = Vec<Object>)]
    roles: Vec<Judged>,
    /// Why isolating it takes a second person here, beside what the roster asks for.
    needs_second: Option<String>,
    /// Its connections, grouped: what is cut first.
    #[schema(value_type = Vec<Object>)]
    flows: Vec<Flow>,
    /// Who waits for others on it.
    #[schema(value_type = Vec<Object>)]
    listeners: Vec<Port>,
    /// Who is logged in from elsewhere, as its logs tell.
    #[schema(value_type = Vec<Object>)]
    sessions: Vec<Session>,
    /// Connections, listeners and logins that are not shown because there are too many.
    left_out: u64,
}

/// What isolating an endpoint would cut: a forecast from what it told in 24 hours, by the exemptions
/// of its policy. Its own word, and no part of what is signed.
#[utoipa::path(get, path = "/endpoints/{id}/preview", tag = "endpoints",
    params(("id" = String, Path, description = "the endpoint's id")),
    responses((status = 200, body = PreviewShown), (status = 401, body = ProblemBody),
        (status = 404, body = ProblemBody)))]
pub(super) async fn preview(
    State(app): State<App>,
    person: Person,
    Path(id): Path<String>,
) -> Result<Json<PreviewShown>, Problem> {
    let _turn = app.searches.acquire().await.ok().ok_or_else(Problem::stopping)?;
    app.work(move |app| {
        let endpoint = find(app, &person, &id)?;
        Ok(Json(make(app, endpoint)?))
    })
    .await
}

fn make(app: &App, endpoint: Endpoint) -> Result<PreviewShown, Problem> {
    let collector = &app.collector;
    let Endpoint { id, client, host_name, clock_offset_ns, .. } = endpoint;
    let now = Time(collector.clock.wall_ns());
    let online = collector.links.is_online(id);
    let fared = collector.state.fared(&[id])?.remove(&id);
    let heard = endpoint.last_seen_ns.max(fared.as_ref().map(|fared| fared.at.0)).map(Time);
    let until = if online { now } else { heard.unwrap_or(now) };
    let policy_held = fared.map(|fared| fared.health.policy_version);
    let policy = collector.state.policy(&client, policy_held.filter(|held| *held > 0))?;
    let doors = app.tenants.roster(&client).map(|held| held.roster.collectors.clone());
    let ways = Ways {
        exemptions: policy.as_ref().map(|policy| policy.exemptions.clone()).unwrap_or_default(),
        doors: doors.unwrap_or_default(),
        users: None,
    };
    let whose = whose(app, client.clone(), id, clock_offset_ns, until);
    let made = look::preview(collector.log.as_ref(), &collector.clock, &whose, ways);
    let (preview, walked) = made?;
    let carriers = &mut app.carriers.lock().unwrap_or_else(PoisonError::into_inner);
    carriers.put(id, preview.roles.clone(), collector.clock.now());
    let needs_second =
        carriers::why(&host_name, &preview.roles).filter(|_| has_several(app, &client));
    let (mut flows, mut listeners) = (preview.gathered.flows, preview.gathered.ports);
    let beyond = flows.len().saturating_sub(SHOWN_MAX) + listeners.len().saturating_sub(SHOWN_MAX);
    flows.truncate(SHOWN_MAX);
    listeners.truncate(SHOWN_MAX);
    let beyond = u64::try_from(beyond).unwrap_or(u64::MAX);
    Ok(PreviewShown {
        endpoint: id,
        critical: collector.state.critical_endpoints(&client)?.contains(&id),
        client,
        host_name,
        state: if online { "online" } else { "offline" },
        last_seen: if online { Some(now) } else { heard },
        since: until.minus_secs(crate::preview::SPAN_SECS),
        events: walked.events,
        newest: preview.newest,
        cut_at: walked.cut_at,
        policy_version: policy.map_or(0, |policy| policy.version),
        policy_held,
        roles: preview.roles,
        needs_second,
        flows,
        listeners,
        sessions: preview.sessions,
        left_out: beyond + preview.gathered.left_out + preview.sessions_left_out,
    })
}

fn whose(
    app: &App,
    client: ClientId,
    endpoint: EndpointId,
    clock_offset_ns: i64,
    until: Time,
) -> Whose {
    let now = Time(app.collector.clock.wall_ns());
    let settled_by = now.minus_secs(app.collector.config.carrier_settled_secs);
    Whose { client, endpoint, clock_offset_ns, until, settled_by }
}

/// Whether a second person could sign.
fn has_several(app: &App, client: &ClientId) -> bool {
    let held = app.tenants.roster(client);
    held.is_some_and(|held| held.roster.may(ActionKind::Isolate).nth(1).is_some())
}

/// Why isolating these endpoints takes a second person; none where it does not, where there is no
/// second person, and where nothing is known within a moment: whoever must isolate does not wait.
pub(super) fn carried(app: &App, command: &Command) -> Option<String> {
    if command.action.kind() != ActionKind::Isolate || !has_several(app, &command.client) {
        return None;
    }
    let collector = &app.collector;
    let end = collector.clock.now() + look::ROLES;
    let mut seen = BTreeSet::new();
    command.targets.iter().filter(|target| seen.insert(target.endpoint)).find_map(|target| {
        let now = collector.clock.now();
        let known = || app.carriers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(judged) = known().get(target.endpoint, now) {
            return carriers::why(&target.host_name, judged);
        }
        if now >= end {
            return None;
        }
        let endpoint = collector.state.endpoint(target.endpoint).ok().flatten()?;
        let until = Time(collector.clock.wall_ns());
        let of = command.client.clone();
        let whose = whose(app, of, target.endpoint, endpoint.clock_offset_ns, until);
        match look::roles(collector.log.as_ref(), &collector.clock, &whose, end) {
            Ok(Some(judged)) => {
                let why = carriers::why(&target.host_name, &judged);
                known().put(target.endpoint, judged, now);
                why
            }
            // Of one that has told nothing, nothing will be found a moment later either.
            Ok(None) if collector.clock.now() < end => {
                known().put(target.endpoint, Vec::new(), now);
                None
            }
            Ok(None) => None,
            Err(error) => {
                tracing::error!(%error, "what an endpoint is for others cannot be looked up");
                None
            }
        }
    })
}
