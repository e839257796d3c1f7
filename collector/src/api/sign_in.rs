//! Opening a session with an operator's key, and what every way of opening and ending one shares.

use std::net::IpAddr;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use cordon_proto::id::{Hash, KeyId, OperatorId};
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::page::{Body, from_b64, to_b64};
use super::person::{COOKIE, Peer, Person, acts};
use super::problem::ProblemBody;
use super::{App, Problem};
use crate::audit::Deed;
use crate::signin::account::{Account, reach};
use crate::signin::name::SessionId;
use crate::signin::session::{SESSION_SECS_MAX, Session, Way, agent_kept, csrf};
use crate::signin::{CHALLENGE_SECS, SECRET_BYTES};
use crate::time::Time;

/// Whose challenge it is to be.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChallengeRequest {
    /// The operator's key: SHA-256 of its public half, 64 hexadecimal digits.
    #[schema(value_type = String)]
    key: KeyId,
}

/// What is to be signed.
#[derive(Serialize, ToSchema)]
pub(crate) struct Challenge {
    /// 32 random bytes, base64url.
    challenge: String,
    /// How long it may be answered.
    expires_secs: u64,
}

/// The proof.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SignInRequest {
    /// The operator's key.
    #[schema(value_type = String)]
    key: KeyId,
    /// COSE_Sign1 (`cordon/sign-in;v=1`) over the CBOR byte string of the challenge, with SHA-256 of
    /// the collector's root certificate as external data; base64url.
    answer: String,
}

/// A session.
#[derive(Serialize, ToSchema)]
pub(crate) struct Opened {
    /// Goes into `Authorization: Bearer`; none if the session is in a cookie.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    /// Goes into `X-CSRF-Token` with every change; only if the session is in a cookie.
    #[serde(skip_serializing_if = "Option::is_none")]
    csrf: Option<String>,
    /// Who it is.
    #[schema(value_type = String)]
    operator: OperatorId,
    /// How long it lasts at most; half an hour without use ends it too.
    expires_secs: u64,
}

/// Who gets a session, and where it lives.
pub(super) struct Opening {
    pub(super) key: KeyId,
    pub(super) account: Option<Account>,
    pub(super) way: Way,
    pub(super) cookie: bool,
    pub(super) from: IpAddr,
    pub(super) agent: String,
}

/// Asks for a challenge.
#[utoipa::path(post, path = "/sign-in/challenge", tag = "session", request_body = ChallengeRequest,
    responses((status = 200, body = Challenge)))]
pub(super) async fn challenge(
    State(app): State<App>,
    body: Body,
) -> Result<Json<Challenge>, Problem> {
    let ChallengeRequest { key } = body.read()?;
    let challenge = app.sign_in().challenge(key, random()?, app.collector.clock.now());
    Ok(Json(Challenge { challenge: to_b64(challenge), expires_secs: CHALLENGE_SECS }))
}

/// Opens a session with the answer to a challenge.
#[utoipa::path(post, path = "/sign-in", tag = "session", request_body = SignInRequest,
    responses((status = 200, body = Opened), (status = 401, body = ProblemBody),
        (status = 429, body = ProblemBody)))]
pub(super) async fn sign_in(
    State(app): State<App>,
    Peer(from): Peer,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let SignInRequest { key, answer } = body.read()?;
    let answer = from_b64("answer", &answer)?;
    let public = app.tenants.operator_key(key);
    let (now, pin) = (app.collector.clock.now(), app.collector.ca_pin);
    let checked = app.sign_in().answer(key, public.as_ref(), from, &answer, pin, now);
    if let Err(refused) = checked {
        tracing::warn!(key = %key.short(), %from, %refused, "a sign-in was refused");
        return Err(refused.into());
    }
    let (account, way, agent) = (None, Way::Key, agent(&headers));
    let opening = Opening { key, account, way, cookie: false, from, agent };
    app.work(move |app| open(app, &opening)).await
}

/// Opens a session, if a roster has the key and the account was vouched for at one of its clients.
pub(super) fn open(app: &App, opening: &Opening) -> Result<Response, Problem> {
    let Opening { key, account, way, cookie, from, agent } = opening;
    let vouched = account.as_ref().and_then(|account| account.clients.clone());
    let view = reach(app.tenants.view(*key), vouched.as_deref());
    let operator = view.seats().next().map(|(_, seat)| seat.operator.clone());
    let operator = operator.ok_or_else(Problem::wrong)?;
    let (id, token) = (SessionId(random()?), random::<SECRET_BYTES>()?);
    let detail = format!("with {} from {from}", way.words());
    let now = Time(app.collector.clock.wall_ns());
    let state = &app.collector.state;
    state.record(acts(&view, Deed::SignIn, &format!("session {id}"), &detail), now.0)?;
    let session = Session {
        id,
        key: *key,
        account: account.as_ref().map(|account| account.id),
        clients: vouched,
        way: *way,
        cookie: *cookie,
        address: from.to_string(),
        agent: agent.clone(),
        made: now,
        used: now,
        proved: now,
    };
    state.add_session(Hash::of(&token), &session)?;
    if let Some(account) = account {
        state.note_network(account.id, *from, now)?;
    }
    let mut opened = Opened { token: None, csrf: None, operator, expires_secs: SESSION_SECS_MAX };
    if !cookie {
        opened.token = Some(to_b64(token));
        return Ok(Json(opened).into_response());
    }
    opened.csrf = Some(to_b64(csrf(&token)));
    let mut response = Json(opened).into_response();
    set_cookie(&mut response, &to_b64(token), SESSION_SECS_MAX);
    Ok(response)
}

fn set_cookie(response: &mut Response, value: &str, secs: u64) {
    let cookie =
        format!("{COOKIE}={value}; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age={secs}");
    // Only letters, digits and signs that headers take.
    if let Ok(cookie) = HeaderValue::try_from(cookie) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
}

/// What the asking program says of itself.
pub(super) fn agent(headers: &HeaderMap) -> String {
    let agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
    agent_kept(agent.unwrap_or_default())
}

/// Ends the session.
#[utoipa::path(delete, path = "/sign-in", tag = "session",
    responses((status = 204), (status = 401, body = ProblemBody)))]
pub(super) async fn sign_out(State(app): State<App>, person: Person) -> Result<Response, Problem> {
    let (id, cookie) = person.session().map(|session| (session.id, session.cookie))?;
    app.work(move |app| {
        app.collector.state.end_session(id)?;
        let mut response = StatusCode::NO_CONTENT.into_response();
        if cookie {
            set_cookie(&mut response, "", 0);
        }
        Ok(response)
    })
    .await
}

/// Random bytes of the operating system.
pub(super) fn random<const N: usize>() -> Result<[u8; N], Problem> {
    let mut bytes = [0; N];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.ok().ok_or_else(Problem::no_random)?;
    Ok(bytes)
}
