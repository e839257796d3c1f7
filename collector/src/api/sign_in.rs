//! Opening and ending a session with an operator's key.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use cordon_proto::id::{Hash, KeyId, OperatorId};
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::page::{Body, from_b64, to_b64};
use super::person::{Peer, Person};
use super::problem::ProblemBody;
use super::{App, Problem};
use crate::audit::{Act, Deed};
use crate::signin::{CHALLENGE_SECS, SECRET_BYTES, SESSION_SECS_MAX, Session};
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
    /// Goes into `Authorization: Bearer`.
    token: String,
    /// Whose key it is.
    #[schema(value_type = String)]
    operator: OperatorId,
    /// How long it lasts at most; half an hour without use ends it too.
    expires_secs: u64,
}

/// Asks for a challenge.
#[utoipa::path(post, path = "/sign-in/challenge", tag = "session", request_body = ChallengeRequest,
    responses((status = 200, body = Challenge), (status = 429, body = ProblemBody)))]
pub(super) async fn challenge(
    State(app): State<App>,
    Peer(from): Peer,
    body: Body,
) -> Result<Json<Challenge>, Problem> {
    let ChallengeRequest { key } = body.read()?;
    let challenge = random::<SECRET_BYTES>()?;
    let now = app.collector.clock.now();
    lock(&app).challenge(key, from, challenge, now)?;
    Ok(Json(Challenge { challenge: to_b64(challenge), expires_secs: CHALLENGE_SECS }))
}

/// Opens a session with the answer to a challenge.
#[utoipa::path(post, path = "/sign-in", tag = "session", request_body = SignInRequest,
    responses((status = 200, body = Opened), (status = 401, body = ProblemBody),
        (status = 429, body = ProblemBody)))]
pub(super) async fn sign_in(
    State(app): State<App>,
    Peer(from): Peer,
    body: Body,
) -> Result<Json<Opened>, Problem> {
    let SignInRequest { key, answer } = body.read()?;
    let answer = from_b64("answer", &answer)?;
    let public = app.tenants.operator_key(key);
    let (now, pin) = (app.collector.clock.now(), app.collector.ca_pin);
    let checked = lock(&app).answer(key, public.as_ref(), from, &answer, pin, now);
    if let Err(refused) = checked {
        tracing::warn!(key = %key.short(), %from, %refused, "a sign-in was refused");
        return Err(refused.into());
    }
    let token = random::<SECRET_BYTES>()?;
    app.work(move |app| {
        let view = app.tenants.view(key);
        let act = |(client, seat): (&_, &crate::tenant::Seat)| Act {
            client: Clone::clone(client),
            who: seat.operator.clone(),
            key,
            what: Deed::SignIn,
            to: "a session".to_owned(),
            detail: format!("from {from}"),
        };
        let acts: Vec<Act> = view.seats().map(act).collect();
        let operator = acts.first().map(|act| act.who.clone()).ok_or_else(Problem::nobody)?;
        let now = Time(app.collector.clock.wall_ns());
        app.collector.state.record(acts, now.0)?;
        let session = Session { key, made: now, used: now };
        app.collector.state.add_session(Hash::of(&token), &session)?;
        let token = to_b64(token);
        Ok(Json(Opened { token, operator, expires_secs: SESSION_SECS_MAX }))
    })
    .await
}

/// Ends the session.
#[utoipa::path(delete, path = "/sign-in", tag = "session",
    responses((status = 204), (status = 401, body = ProblemBody)))]
pub(super) async fn sign_out(
    State(app): State<App>,
    person: Person,
) -> Result<StatusCode, Problem> {
    app.work(move |app| {
        app.collector.state.end_session(person.token)?;
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}

fn lock(app: &App) -> std::sync::MutexGuard<'_, crate::signin::SignIn> {
    app.sign_in.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Random bytes of the operating system.
pub(super) fn random<const N: usize>() -> Result<[u8; N], Problem> {
    let mut bytes = [0; N];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.map_err(|ring::error::Unspecified| {
        let detail = "the operating system gave no random numbers";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail)
    })?;
    Ok(bytes)
}
