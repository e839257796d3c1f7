//! Enrolment tokens: made, listed, taken back. The secret is shown once and never kept.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use cordon_proto::id::{OperatorId, TokenId};
use cordon_proto::roster::Role;
use cordon_proto::token::SECRET_BYTES;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::page::{Body, Page, PageAsked, Params, to_b64};
use super::person::Person;
use super::problem::ProblemBody;
use super::sign_in::random;
use super::{App, Problem};
use crate::audit::Deed;
use crate::store::NewToken;
use crate::time::Time;

/// Endpoints that one token may let in.
const USES_MAX: u32 = 10_000;

/// How long a token may be good: a year.
const VALID_SECS_MAX: u64 = 366 * 24 * 3600;

/// Longest note.
const NOTE_BYTES_MAX: usize = 256;

/// A token to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenRequest {
    /// How many endpoints it lets in.
    uses: u32,
    /// How long it is good.
    valid_secs: u64,
    /// What it is for.
    #[serde(default)]
    note: String,
}

/// A token just made.
#[derive(Serialize, ToSchema)]
pub(crate) struct TokenMade {
    /// Its name: SHA-256 of the secret.
    #[schema(value_type = String)]
    id: TokenId,
    /// The secret, base64url; it is not kept and cannot be shown again.
    secret: String,
    /// Until when it is good, seconds since 1970 UTC.
    expires_secs: u64,
}

/// A token as it stands.
#[derive(Serialize, ToSchema)]
pub(crate) struct TokenShown {
    /// Its name.
    #[schema(value_type = String)]
    id: TokenId,
    /// How many endpoints it lets in.
    uses: u32,
    /// How many came.
    used: u32,
    /// Until when it is good.
    #[schema(value_type = String, format = DateTime)]
    expires: Time,
    /// Whether it was taken back.
    revoked: bool,
    /// What it is for.
    note: String,
    /// Who made it.
    #[schema(value_type = String)]
    made_by: OperatorId,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    made_at: Time,
}

/// A client's tokens, newest first.
#[utoipa::path(get, path = "/clients/{client}/tokens", tag = "clients",
    params(("client" = String, Path, description = "the client's name"), PageAsked),
    responses((status = 200, body = Page<TokenShown>), (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody), (status = 404, body = ProblemBody)))]
pub(super) async fn list(
    State(app): State<App>,
    person: Person,
    Path(client): Path<String>,
    Params(asked): Params<PageAsked>,
) -> Result<Json<Page<TokenShown>>, Problem> {
    let client = person.client(&client, Role::Administrator)?;
    app.work(move |app| {
        let shown = app.collector.state.tokens(&client)?.into_iter().map(|token| TokenShown {
            id: token.id,
            uses: token.uses,
            used: token.used,
            expires: Time(0).plus_secs(token.expires_secs),
            revoked: token.revoked,
            note: token.note,
            made_by: token.made_by,
            made_at: Time(token.made_ns),
        });
        Ok(Json(Page::following(shown.collect(), asked, |token: &TokenShown| token.id.to_string())))
    })
    .await
}

/// Makes a token. The operator's machine makes the enrolment string from its secret.
#[utoipa::path(post, path = "/clients/{client}/tokens", tag = "clients",
    params(("client" = String, Path, description = "the client's name")),
    request_body = TokenRequest,
    responses((status = 201, body = TokenMade), (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody), (status = 404, body = ProblemBody),
        (status = 422, body = ProblemBody)))]
pub(super) async fn create(
    State(app): State<App>,
    person: Person,
    Path(client): Path<String>,
    body: Body,
) -> Result<(StatusCode, Json<TokenMade>), Problem> {
    let client = person.client(&client, Role::Administrator)?;
    let TokenRequest { uses, valid_secs, note } = body.read()?;
    if uses == 0 || uses > USES_MAX {
        return Err(Problem::refused(format!("`uses` must be 1 to {USES_MAX}")));
    }
    if valid_secs == 0 || valid_secs > VALID_SECS_MAX {
        return Err(Problem::refused(format!("`valid_secs` must be 1 to {VALID_SECS_MAX}")));
    }
    if note.len() > NOTE_BYTES_MAX {
        return Err(Problem::refused(format!("`note` has at most {NOTE_BYTES_MAX} bytes")));
    }
    let secret = random::<SECRET_BYTES>()?;
    app.work(move |app| {
        let id = TokenId::of(&secret);
        let detail = format!("{uses} use(s) in {valid_secs} s: {note}");
        let deed = Deed::TokenCreate;
        let act = person.act(&client, Role::Administrator, deed, id.to_string(), detail)?;
        let made_by = act.who.clone();
        let clock = &app.collector.clock;
        let expires_secs = clock.wall_secs().saturating_add(valid_secs);
        app.collector.state.record(vec![act], clock.wall_ns())?;
        let token = NewToken { id, client, uses, expires_secs, note, made_by };
        app.collector.state.add_token(&token, clock.wall_ns())?;
        let made = TokenMade { id, secret: to_b64(secret), expires_secs };
        Ok((StatusCode::CREATED, Json(made)))
    })
    .await
}

/// Takes a token back; endpoints that came with it stay.
#[utoipa::path(delete, path = "/clients/{client}/tokens/{id}", tag = "clients",
    params(("client" = String, Path, description = "the client's name"),
        ("id" = String, Path, description = "the token's id")),
    responses((status = 204), (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody), (status = 404, body = ProblemBody)))]
pub(super) async fn revoke(
    State(app): State<App>,
    person: Person,
    Path((client, id)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let client = person.client(&client, Role::Administrator)?;
    let id: TokenId = id.parse().ok().ok_or_else(Problem::not_found)?;
    app.work(move |app| {
        let state = &app.collector.state;
        if !state.tokens(&client)?.iter().any(|token| token.id == id) {
            return Err(Problem::not_found());
        }
        let (deed, to) = (Deed::TokenRevoke, id.to_string());
        let act = person.act(&client, Role::Administrator, deed, to, String::new())?;
        state.record(vec![act], app.collector.clock.wall_ns())?;
        state.revoke_token(&client, id)?;
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}
