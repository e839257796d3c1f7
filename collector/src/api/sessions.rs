//! Sessions: the asker's own, those of a client's operators, and their end.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use cordon_proto::id::{ClientId, KeyId, OperatorId};
use cordon_proto::roster::Role;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::page::{Body, Page, Params, to_b64};
use super::password::{Factor, check_password, check_second};
use super::person::{By, Person, acts};
use super::problem::ProblemBody;
use super::{App, Problem};
use crate::audit::{Act, Deed};
use crate::signin::name::{ApiTokenId, SessionId};
use crate::signin::session::{FRESH_SECS, Session, Way};
use crate::tenant::View;
use crate::time::Time;

/// Who asks, and by what right.
#[derive(Serialize, ToSchema)]
pub(crate) struct Current {
    /// The asker's name.
    #[schema(value_type = String)]
    operator: OperatorId,
    /// The asker's rostered key.
    #[schema(value_type = String)]
    key: KeyId,
    /// Where the asker has which role, with what this session or token takes away taken away.
    clients: Vec<SeatShown>,
    /// The session; none for an API token.
    session: Option<SessionShown>,
    /// The API token; none for a session.
    #[schema(value_type = Option<String>)]
    api_token: Option<ApiTokenId>,
    /// Goes into `X-CSRF-Token` with every change; only for a session in a cookie.
    csrf: Option<String>,
    /// For how long yet the asker may change how to sign in.
    fresh_secs: u64,
}

/// A role at a client.
#[derive(Serialize, ToSchema)]
pub(crate) struct SeatShown {
    /// The client.
    #[schema(value_type = String)]
    id: ClientId,
    /// The role there.
    #[schema(value_type = String)]
    role: Role,
}

/// A session.
#[derive(Serialize, ToSchema)]
pub(crate) struct SessionShown {
    /// Its name.
    #[schema(value_type = String)]
    id: SessionId,
    /// Whose.
    #[schema(value_type = String)]
    operator: OperatorId,
    /// Whether it is the one that asks.
    this: bool,
    /// How the person signed in.
    way: Way,
    /// Whether it lives in a browser.
    browser: bool,
    /// Where it was opened from.
    address: String,
    /// What the program that opened it said of itself.
    agent: String,
    /// When it was opened.
    #[schema(value_type = String, format = DateTime)]
    made_at: Time,
    /// When it was last used, to the minute.
    #[schema(value_type = String, format = DateTime)]
    used_at: Time,
    /// When it ends however much it is used.
    #[schema(value_type = String, format = DateTime)]
    ends_at: Time,
}

/// Whose sessions.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    /// Those of all operators of this client, for its administrators; the asker's own if not said.
    client: Option<String>,
}

/// Which to end.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ended {
    /// Whether the session that asks is to go on.
    #[serde(default)]
    keep_this: bool,
}

/// How many were ended.
#[derive(Serialize, ToSchema)]
pub(crate) struct EndedSessions {
    /// So many.
    ended: usize,
}

/// A proof of being still the same person.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProofRequest {
    /// The account's password.
    password: String,
    /// What the authenticator app shows: six digits.
    code: Option<String>,
    /// A recovery code instead.
    recovery_code: Option<String>,
}

/// Who asks, and by what right.
#[utoipa::path(get, path = "/session", tag = "session",
    responses((status = 200, body = Current), (status = 401, body = ProblemBody)))]
pub(super) async fn current(
    State(app): State<App>,
    person: Person,
) -> Result<Json<Current>, Problem> {
    let now = Time(app.collector.clock.wall_ns());
    let mut seats = person.view.seats();
    let operator = seats.next().map(|(_, seat)| seat.operator.clone());
    let operator = operator.ok_or_else(Problem::nobody)?;
    let clients =
        person.view.seats().map(|(id, seat)| SeatShown { id: id.clone(), role: seat.role });
    let (session, api_token) = match &person.by {
        By::Session(session) => (Some(session), None),
        By::Token(token) => (None, Some(token.id)),
    };
    let left = |session: &Session| FRESH_SECS.saturating_sub(now.secs_since(session.proved));
    Ok(Json(Current {
        key: person.view.key(),
        clients: clients.collect(),
        api_token,
        csrf: person.csrf().map(to_b64),
        fresh_secs: session.filter(|session| session.is_fresh(now)).map_or(0, left),
        session: session.map(|session| show(session, operator.clone(), Some(session.id))),
        operator,
    }))
}

/// Proves once more to be the same person, with the password and a second factor of the person's
/// account: changes of how one signs in need it. A session opened with a key signs in anew instead.
#[utoipa::path(post, path = "/session/proof", tag = "session", request_body = ProofRequest,
    responses((status = 204), (status = 400, body = ProblemBody),
        (status = 401, body = ProblemBody), (status = 403, body = ProblemBody),
        (status = 429, body = ProblemBody)))]
pub(super) async fn prove(
    State(app): State<App>,
    person: Person,
    body: Body,
) -> Result<StatusCode, Problem> {
    let session = person.session()?.clone();
    let ProofRequest { password, code, recovery_code } = body.read()?;
    let factor = Factor::of(code, recovery_code)?;
    let key = session.key;
    let account = app.work(move |app| Ok(app.collector.state.account_of(key)?)).await?;
    let none = || Problem::forbidden("you have no account; sign in anew with your key");
    let name = account.ok_or_else(none)?.name;
    let account = check_password(&app, Some(name), password, person.from).await?;
    check_second(&app, account.id, factor, person.from).await?;
    app.work(move |app| {
        app.collector.state.note_proof(session.id, Time(app.collector.clock.wall_ns()))?;
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}

/// Sessions that stand, newest first.
#[utoipa::path(get, path = "/sessions", tag = "session", params(Asked),
    responses((status = 200, body = Page<SessionShown>), (status = 400, body = ProblemBody),
        (status = 401, body = ProblemBody), (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody)))]
pub(super) async fn list(
    State(app): State<App>,
    person: Person,
    Params(asked): Params<Asked>,
) -> Result<Json<Page<SessionShown>>, Problem> {
    let this = person.session().map(|session| session.id).ok();
    let keys = match &asked.client {
        None => vec![person.session()?.key],
        Some(client) => {
            let client = person.client(client, Role::Administrator)?;
            keys_of(&app, &client)
        }
    };
    app.work(move |app| {
        let sessions = app.collector.state.sessions(&keys, Time(app.collector.clock.wall_ns()))?;
        let shown = sessions.iter().filter_map(|session| {
            // One that does not reach the client is none of its administrators' business.
            if let Some(client) = &asked.client
                && !reaches(session, client)
            {
                return None;
            }
            Some(show(session, app.tenants.name_of(session.key)?, this))
        });
        Ok(Json(Page { items: shown.collect(), next: None }))
    })
    .await
}

/// Ends all sessions of the asker.
#[utoipa::path(delete, path = "/sessions", tag = "session", params(Ended),
    responses((status = 200, body = EndedSessions), (status = 400, body = ProblemBody),
        (status = 401, body = ProblemBody), (status = 403, body = ProblemBody)))]
pub(super) async fn revoke_all(
    State(app): State<App>,
    person: Person,
    Params(asked): Params<Ended>,
) -> Result<Json<EndedSessions>, Problem> {
    let (id, key) = person.session().map(|session| (session.id, session.key))?;
    app.work(move |app| {
        let state = &app.collector.state;
        let detail = format!("from {}", person.from);
        let all = if asked.keep_this { "all other sessions" } else { "all sessions" };
        let acts = acts(&person.view, Deed::SessionRevoke, all, &detail);
        state.record(acts, app.collector.clock.wall_ns())?;
        let ended = state.end_sessions(key, asked.keep_this.then_some(id))?;
        Ok(Json(EndedSessions { ended }))
    })
    .await
}

/// Ends a session: one's own, or one that reaches a client that one administers.
#[utoipa::path(delete, path = "/sessions/{id}", tag = "session",
    params(("id" = String, Path, description = "the session's id")),
    responses((status = 204), (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody), (status = 404, body = ProblemBody)))]
pub(super) async fn revoke(
    State(app): State<App>,
    person: Person,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let id: SessionId = id.parse().ok().ok_or_else(Problem::not_found)?;
    let own = person.session()?.key;
    app.work(move |app| {
        let state = &app.collector.state;
        let now = Time(app.collector.clock.wall_ns());
        let keys = keys_seen(app, &person.view, own);
        let sessions = state.sessions(&keys, now)?;
        let found = sessions.into_iter().find(|session| session.id == id);
        let found = found.ok_or_else(Problem::not_found)?;
        let whose =
            app.tenants.name_of(found.key).map_or_else(String::new, |name| name.to_string());
        let to = format!("session {id} of {whose}");
        let own = found.key == own;
        let vouched = found.clients;
        let reached = |client: &ClientId| vouched.as_ref().is_none_or(|all| all.contains(client));
        let acts = revocations(app, &person, found.key, own, reached, Deed::SessionRevoke, &to)?;
        state.record(acts, now.0)?;
        state.end_session(id)?;
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}

/// Whether the session of a person sees a client's things.
fn reaches(session: &Session, client: &str) -> bool {
    let named = |seen: &ClientId| seen.as_str() == client;
    session.clients.as_ref().is_none_or(|clients| clients.iter().any(named))
}

/// The keys of a client's operators.
pub(super) fn keys_of(app: &App, client: &ClientId) -> Vec<KeyId> {
    let Some(held) = app.tenants.roster(client) else { return Vec::new() };
    let keys = held.roster.operators.iter().flat_map(|operator| &operator.keys);
    keys.map(cordon_proto::roster::OperatorKey::id).collect()
}

/// The asker's own key and those of the operators of every client that is seen.
pub(super) fn keys_seen(app: &App, view: &View, own: KeyId) -> Vec<KeyId> {
    let clients = view.clients();
    let keys: BTreeSet<KeyId> = clients.iter().flat_map(|client| keys_of(app, client)).collect();
    keys.into_iter().chain([own]).collect::<BTreeSet<_>>().into_iter().collect()
}

/// What is written down when somebody's way in is ended: by himself, or by an administrator of a
/// client that it reaches. Whoever sees no client that it reaches is told that it is not there.
pub(super) fn revocations(
    app: &App,
    person: &Person,
    key: KeyId,
    own: bool,
    reached: impl Fn(&ClientId) -> bool,
    deed: Deed,
    to: &str,
) -> Result<Vec<Act>, Problem> {
    let detail = format!("from {}", person.from);
    if own {
        return Ok(acts(&person.view, deed, to, &detail));
    }
    let theirs = app.tenants.view(key);
    let shared: Vec<ClientId> = person.view.clients();
    let shared = shared.into_iter().filter(|client| theirs.sees(client) && reached(client));
    let mut refused = Problem::not_found();
    let mut taken = Vec::new();
    for client in shared {
        match person.act(&client, Role::Administrator, deed, to, &detail) {
            Ok(act) => taken.push(act),
            Err(problem) => refused = problem,
        }
    }
    if taken.is_empty() { Err(refused) } else { Ok(taken) }
}

fn show(session: &Session, operator: OperatorId, this: Option<SessionId>) -> SessionShown {
    SessionShown {
        id: session.id,
        operator,
        this: this == Some(session.id),
        way: session.way,
        browser: session.cookie,
        address: session.address.clone(),
        agent: session.agent.clone(),
        made_at: session.made,
        used_at: session.used,
        ends_at: session.ends(),
    }
}
