//! API tokens: made, listed, taken back by the person whose they are, or by an administrator of a
//! client that they reach. A token's text is shown once and never kept.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use cordon_proto::id::{ClientId, KeyId, OperatorId};
use cordon_proto::roster::Role;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::page::{Body, Page, Params};
use super::person::{Person, acts};
use super::problem::ProblemBody;
use super::sessions::{keys_of, keys_seen, revocations};
use super::sign_in::random;
use super::{App, Problem};
use crate::audit::Deed;
use crate::signin::api_token::{
    self, ApiToken, CLIENTS_MAX, NAME_BYTES_MAX, PER_PERSON_MAX, TOKEN_BYTES, VALID_SECS_MAX,
};
use crate::signin::name::ApiTokenId;
use crate::time::Time;

/// A token to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApiTokenRequest {
    /// What it is for.
    name: String,
    /// How long it is good; at most a year.
    valid_secs: u64,
    /// Only these clients; all that the owner has, now and later, if not said.
    clients: Option<Vec<String>>,
    /// No role above this; `viewer` if not said.
    #[schema(value_type = Option<String>)]
    role_max: Option<Role>,
    /// Whether it may only look; it may if not said.
    #[serde(default = "yes")]
    read_only: bool,
}

fn yes() -> bool {
    true
}

/// A token just made.
#[derive(Serialize, ToSchema)]
pub(crate) struct ApiTokenMade {
    /// What people call it.
    #[schema(value_type = String)]
    id: ApiTokenId,
    /// Goes into `Authorization: Bearer`; it is not kept and cannot be shown again.
    token: String,
    /// Until when it is good.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Time,
}

/// A token as it stands.
#[derive(Serialize, ToSchema)]
pub(crate) struct ApiTokenShown {
    /// What people call it.
    #[schema(value_type = String)]
    id: ApiTokenId,
    /// Whose.
    #[schema(value_type = String)]
    operator: OperatorId,
    /// What it is for.
    name: String,
    /// Only these clients; none for all that the owner has.
    clients: Option<Vec<String>>,
    /// No role above this.
    #[schema(value_type = String)]
    role_max: Role,
    /// Whether it may only look.
    read_only: bool,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    made_at: Time,
    /// Until when it is good.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Time,
    /// When it was last used, to the minute.
    #[schema(value_type = Option<String>, format = DateTime)]
    used_at: Option<Time>,
    /// Where it was last used from.
    used_from: Option<String>,
}

/// Whose tokens.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    /// Those that reach this client, for its administrators; the asker's own if not said.
    client: Option<String>,
}

/// Tokens that are good, newest first.
#[utoipa::path(get, path = "/api-tokens", tag = "api-tokens", params(Asked),
    responses((status = 200, body = Page<ApiTokenShown>), (status = 400, body = ProblemBody),
        (status = 401, body = ProblemBody), (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody)))]
pub(super) async fn list(
    State(app): State<App>,
    person: Person,
    Params(asked): Params<Asked>,
) -> Result<Json<Page<ApiTokenShown>>, Problem> {
    let (client, keys) = match &asked.client {
        None => (None, vec![person.session()?.key]),
        Some(client) => {
            let client = person.client(client, Role::Administrator)?;
            let keys = keys_of(&app, &client);
            (Some(client), keys)
        }
    };
    app.work(move |app| {
        let tokens = app.collector.state.api_tokens(&keys, Time(app.collector.clock.wall_ns()))?;
        let asked = |token: &ApiToken| client.as_ref().is_none_or(|client| reaches(token, client));
        let shown = tokens.into_iter().filter(asked).filter_map(|token| show(app, token));
        Ok(Json(Page { items: shown.collect(), next: None }))
    })
    .await
}

/// Makes a token. It can do what its owner may at the time of use, less what is said here; never
/// more than its maker may now.
#[utoipa::path(post, path = "/api-tokens", tag = "api-tokens", request_body = ApiTokenRequest,
    responses((status = 201, body = ApiTokenMade), (status = 400, body = ProblemBody),
        (status = 401, body = ProblemBody), (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody),
        (status = 422, body = ProblemBody, example = json!({ "detail": "`valid_secs` must be 1 to 31622400" }))))]
pub(super) async fn create(
    State(app): State<App>,
    person: Person,
    body: Body,
) -> Result<(StatusCode, Json<ApiTokenMade>), Problem> {
    let session = person.session()?.clone();
    let asked: ApiTokenRequest = body.read()?;
    let role_max = asked.role_max.unwrap_or(Role::Viewer);
    let valid_secs = asked.valid_secs;
    check(&asked)?;
    let named = asked.clients.map(|clients| {
        clients.iter().map(|name| person.client(name, role_max)).collect::<Result<Vec<_>, _>>()
    });
    // A session that reaches only some clients makes no token that reaches more.
    let clients = named.transpose()?.or(session.clients.clone());
    let (id, secret) = (ApiTokenId(random()?), random::<TOKEN_BYTES>()?);
    let (name, read_only) = (asked.name, asked.read_only);
    app.work(move |app| {
        let state = &app.collector.state;
        let made = Time(app.collector.clock.wall_ns());
        if state.api_tokens(&[session.key], made)?.len() >= PER_PERSON_MAX {
            return Err(Problem::refused(format!("you have {PER_PERSON_MAX} tokens already")));
        }
        let expires = made.plus_secs(valid_secs);
        let key = session.key;
        let (used, used_from) = (None, None);
        let view = crate::signin::account::reach(person.view.clone(), clients.as_deref());
        let may = if read_only { "reads" } else { "acts" };
        let role = role_max.name();
        let detail = format!("{name}: {may} as {role} until {expires}; from {}", person.from);
        let acts = acts(&view, Deed::ApiTokenCreate, &format!("API token {id}"), &detail);
        state.record(acts, made.0)?;
        let token = ApiToken {
            id,
            key,
            clients,
            role_max,
            read_only,
            name,
            made,
            expires,
            used,
            used_from,
        };
        let text = api_token::text(&secret);
        let hash = api_token::hash(&text).ok_or_else(Problem::no_random)?;
        state.add_api_token(hash, &token, session.account)?;
        Ok((StatusCode::CREATED, Json(ApiTokenMade { id, token: text, expires_at: expires })))
    })
    .await
}

fn check(asked: &ApiTokenRequest) -> Result<(), Problem> {
    if asked.valid_secs == 0 || asked.valid_secs > VALID_SECS_MAX {
        return Err(Problem::refused(format!("`valid_secs` must be 1 to {VALID_SECS_MAX}")));
    }
    if asked.name.is_empty() || asked.name.len() > NAME_BYTES_MAX {
        return Err(Problem::refused(format!("`name` has 1 to {NAME_BYTES_MAX} bytes")));
    }
    let count = asked.clients.as_ref().map(Vec::len);
    if count.is_some_and(|count| count == 0 || count > CLIENTS_MAX) {
        return Err(Problem::refused(format!("`clients` names 1 to {CLIENTS_MAX}")));
    }
    Ok(())
}

/// Takes a token back: one's own, or one that reaches a client that one administers.
#[utoipa::path(delete, path = "/api-tokens/{id}", tag = "api-tokens",
    params(("id" = String, Path, description = "the token's id")),
    responses((status = 204), (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody), (status = 404, body = ProblemBody)))]
pub(super) async fn revoke(
    State(app): State<App>,
    person: Person,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let id: ApiTokenId = id.parse().ok().ok_or_else(Problem::not_found)?;
    let own: KeyId = person.session()?.key;
    app.work(move |app| {
        let state = &app.collector.state;
        let now = Time(app.collector.clock.wall_ns());
        let tokens = state.api_tokens(&keys_seen(app, &person.view, own), now)?;
        let found = tokens.into_iter().find(|token| token.id == id);
        let found = found.ok_or_else(Problem::not_found)?;
        let to = format!("API token {id} ({})", found.name);
        let reached = |client: &ClientId| reaches(&found, client);
        let own = found.key == own;
        let deed = Deed::ApiTokenRevoke;
        let acts = revocations(app, &person, found.key, own, reached, deed, &to)?;
        state.record(acts, now.0)?;
        state.end_api_token(id)?;
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}

fn reaches(token: &ApiToken, client: &ClientId) -> bool {
    token.clients.as_ref().is_none_or(|clients| clients.contains(client))
}

fn show(app: &App, token: ApiToken) -> Option<ApiTokenShown> {
    let names = |clients: Vec<ClientId>| clients.iter().map(ToString::to_string).collect();
    Some(ApiTokenShown {
        operator: app.tenants.name_of(token.key)?,
        id: token.id,
        name: token.name,
        clients: token.clients.map(names),
        role_max: token.role_max,
        read_only: token.read_only,
        made_at: token.made,
        expires_at: token.expires,
        used_at: token.used,
        used_from: token.used_from,
    })
}
