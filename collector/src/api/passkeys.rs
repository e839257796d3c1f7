//! Passkeys: signing in with one, making one, taking one away.
//!
//! They live under the collector's own host name and sign nobody's commands; what signs commands
//! lives at a signing origin and stands in the roster.

use std::net::IpAddr;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use cordon_proto::sign::{
    Ceremony, Passkey, PasskeyError, challenge_of, verify_assertion, verify_registration,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::account::{own, record};
use super::page::{Body, Page, from_b64, to_b64};
use super::person::{Peer, Person, acts, same_origin};
use super::problem::ProblemBody;
use super::sign_in::{Opened, Opening, agent, open, random};
use super::{App, Problem};
use crate::audit::Deed;
use crate::signin::account::{Account, PASSKEYS_MAX, reach};
use crate::signin::ceremony::{Purpose, origins, rp_id};
use crate::signin::name::PasskeyId;
use crate::signin::session::Way;
use crate::store::StoredPasskey;
use crate::time::Time;

/// How long a challenge may be answered: people look for their keys.
const CEREMONY_SECS: u64 = 300;

/// Longest name of a passkey.
const NAME_BYTES_MAX: usize = 64;

/// COSE numbers of the algorithms taken: ES256, EdDSA.
const ALGORITHMS: [i32; 2] = [-7, -8];

/// For `navigator.credentials.get`.
#[derive(Serialize, ToSchema)]
pub(crate) struct SignInChallenge {
    /// base64url.
    challenge: String,
    /// The relying party: the collector's own host name.
    rp_id: String,
    /// Always `required`.
    user_verification: &'static str,
    /// How long it may be answered.
    expires_secs: u64,
}

/// What the browser answers; everything base64url.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Assertion {
    /// The credential's `rawId`.
    credential: String,
    /// `response.authenticatorData`.
    authenticator_data: String,
    /// `response.clientDataJSON`.
    client_data: String,
    /// `response.signature`.
    signature: String,
    /// Whether the session is to live in a browser's cookie; a token is given otherwise.
    #[serde(default)]
    browser: bool,
}

/// What the browser answers to prove who is there; everything base64url.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProofAssertion {
    /// The credential's `rawId`.
    credential: String,
    /// `response.authenticatorData`.
    authenticator_data: String,
    /// `response.clientDataJSON`.
    client_data: String,
    /// `response.signature`.
    signature: String,
}

/// For `navigator.credentials.get` with one of the account's own passkeys.
#[derive(Serialize, ToSchema)]
pub(crate) struct ProofChallenge {
    /// base64url.
    challenge: String,
    /// The relying party: the collector's own host name.
    rp_id: String,
    /// The account's credentials, base64url.
    allow: Vec<String>,
    /// Always `required`.
    user_verification: &'static str,
    /// How long it may be answered.
    expires_secs: u64,
}

/// For `navigator.credentials.create`, with attestation `none` and a resident key.
#[derive(Serialize, ToSchema)]
pub(crate) struct NewChallenge {
    /// base64url.
    challenge: String,
    /// The relying party: the collector's own host name.
    rp_id: String,
    /// The account, base64url.
    user_id: String,
    /// The account's name.
    user_name: String,
    /// COSE numbers, in order of preference.
    algorithms: [i32; 2],
    /// Credentials that the account has already, base64url.
    exclude: Vec<String>,
    /// Always `required`.
    user_verification: &'static str,
    /// How long it may be answered.
    expires_secs: u64,
}

/// What the browser made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewPasskey {
    /// What its owner calls it.
    name: String,
    /// `response.clientDataJSON`, base64url.
    client_data: String,
    /// `response.attestationObject`, base64url.
    attestation: String,
}

/// A passkey.
#[derive(Serialize, ToSchema)]
pub(crate) struct PasskeyShown {
    /// What to call it here.
    #[schema(value_type = String)]
    id: PasskeyId,
    /// What its owner calls it.
    name: String,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    made_at: Time,
    /// When it was last used.
    #[schema(value_type = Option<String>, format = DateTime)]
    used_at: Option<Time>,
}

/// Asks for a challenge to sign in with a passkey.
#[utoipa::path(post, path = "/sign-in/passkey/challenge", tag = "session",
    responses((status = 200, body = SignInChallenge), (status = 409, body = ProblemBody)))]
pub(super) async fn challenge(State(app): State<App>) -> Result<Json<SignInChallenge>, Problem> {
    let rp_id = party(&app)?.to_owned();
    let (challenge, expires_secs) = (give(&app, Purpose::SignIn)?, CEREMONY_SECS);
    Ok(Json(SignInChallenge { challenge, rp_id, user_verification: "required", expires_secs }))
}

/// Opens a session with a passkey.
#[utoipa::path(post, path = "/sign-in/passkey", tag = "session", request_body = Assertion,
    responses((status = 200, body = Opened), (status = 400, body = ProblemBody),
        (status = 401, body = ProblemBody), (status = 403, body = ProblemBody),
        (status = 409, body = ProblemBody), (status = 429, body = ProblemBody)))]
pub(super) async fn sign_in(
    State(app): State<App>,
    Peer(from): Peer,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    same_origin(&headers)?;
    let Assertion { credential, authenticator_data, client_data, signature, browser } =
        body.read()?;
    let shown = ProofAssertion { credential, authenticator_data, client_data, signature };
    let (agent, cookie) = (agent(&headers), browser);
    app.work(move |app| {
        let account = asserted(app, &shown, Purpose::SignIn)?;
        let account = account.map_err(|refused| told(app, &refused, from))?;
        let (key, account, way) = (account.key, Some(account), Way::Passkey);
        open(app, &Opening { key, account, way, cookie, from, agent })
    })
    .await
}

/// Asks for a challenge to prove with a passkey that it is still the same person.
#[utoipa::path(post, path = "/session/proof/passkey/challenge", tag = "session",
    responses((status = 200, body = ProofChallenge), (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody), (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody)))]
pub(super) async fn prove_challenge(
    State(app): State<App>,
    person: Person,
) -> Result<Json<ProofChallenge>, Problem> {
    let session = person.session()?.id;
    let account = own(&app, person.session()?).await?;
    let rp_id = party(&app)?.to_owned();
    let challenge = give(&app, Purpose::Prove(session))?;
    app.work(move |app| {
        let kept = app.collector.state.passkeys(account.id)?;
        if kept.is_empty() {
            return Err(Problem::conflict("the account has no passkey"));
        }
        let allow = kept.iter().map(|passkey| to_b64(&passkey.credential)).collect();
        let (user_verification, expires_secs) = ("required", CEREMONY_SECS);
        Ok(Json(ProofChallenge { challenge, rp_id, allow, user_verification, expires_secs }))
    })
    .await
}

/// Proves once more to be the same person, with a passkey of the person's own account: changes of how
/// one signs in need it.
#[utoipa::path(post, path = "/session/proof/passkey", tag = "session",
    request_body = ProofAssertion,
    responses((status = 204), (status = 400, body = ProblemBody),
        (status = 401, body = ProblemBody), (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody), (status = 409, body = ProblemBody),
        (status = 429, body = ProblemBody)))]
pub(super) async fn prove(
    State(app): State<App>,
    person: Person,
    body: Body,
) -> Result<StatusCode, Problem> {
    let session = person.session()?.id;
    let account = own(&app, person.session()?).await?;
    let shown: ProofAssertion = body.read()?;
    app.work(move |app| {
        let found = asserted(app, &shown, Purpose::Prove(session))?;
        let found = found.and_then(|found| {
            // Somebody else's passkey proves somebody else.
            if found.id == account.id { Ok(()) } else { Err(Refused::Unknown) }
        });
        found.map_err(|refused| told(app, &refused, person.from))?;
        app.collector.state.note_proof(session, Time(app.collector.clock.wall_ns()))?;
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}

/// Why a passkey opens nothing; told to the log alone.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("its challenge was not given here, or is over")]
    Challenge,
    #[error("no account has it")]
    Unknown,
    #[error("it says that it was used less often than before: somebody may have copied it")]
    Copied,
    #[error(transparent)]
    Passkey(#[from] PasskeyError),
}

/// What whoever showed it is told.
fn told(app: &App, refused: &Refused, from: IpAddr) -> Problem {
    tracing::warn!(%from, %refused, "a passkey was refused");
    match app.sign_in().gate.wrong_answer(from, app.collector.clock.now()) {
        Ok(()) => Problem::wrong(),
        Err(too_many) => too_many.into(),
    }
}

/// A challenge for a purpose, base64url.
fn give(app: &App, purpose: Purpose) -> Result<String, Problem> {
    let until = app.collector.clock.now() + Duration::from_secs(CEREMONY_SECS);
    Ok(to_b64(app.sign_in().challenges.give(&purpose.bytes(), random()?, until)))
}

/// Whether a challenge was given here for this, still stands, and is now spent.
fn spend(app: &App, challenge: &[u8], purpose: Purpose) -> bool {
    let now = app.collector.clock.now();
    let challenges = &mut app.sign_in().challenges;
    challenges.stands(&purpose.bytes(), challenge, now) && challenges.spend(challenge, now)
}

fn asserted(
    app: &App,
    asked: &ProofAssertion,
    purpose: Purpose,
) -> Result<Result<Account, Refused>, Problem> {
    let rp_id = party(app)?;
    let origins = origins(rp_id, app.collector.config.people.port());
    let credential = from_b64("credential", &asked.credential)?;
    let authenticator = from_b64("authenticator_data", &asked.authenticator_data)?;
    let client = from_b64("client_data", &asked.client_data)?;
    let signature = from_b64("signature", &asked.signature)?;
    let state = &app.collector.state;
    let challenge = challenge_of(&client).unwrap_or_default();
    let Some(kept) = state.passkey(&credential)? else { return Ok(Err(Refused::Unknown)) };
    let StoredPasskey { algorithm, public, .. } = &kept;
    let key = Passkey { algorithm: *algorithm, public, rp_id, origins: &origins };
    let verified = verify_assertion(&key, &challenge, &authenticator, &client, &signature);
    let counter = match verified {
        Ok(counter) => counter,
        Err(error) => return Ok(Err(error.into())),
    };
    // Spent only once the answer is right: what is made up costs no memory.
    if !spend(app, &challenge, purpose) {
        return Ok(Err(Refused::Challenge));
    }
    let Some(account) = state.account(kept.account)? else { return Ok(Err(Refused::Unknown)) };
    if !state.note_passkey(kept.id, counter, Time(app.collector.clock.wall_ns()))? {
        let view = reach(app.tenants.view(account.key), account.clients.as_deref());
        let to = format!("account {}", account.name);
        let detail = format!("passkey {} counts backwards: somebody may have copied it", kept.name);
        let acts = acts(&view, Deed::SignInRefused, &to, &detail);
        state.record(acts, app.collector.clock.wall_ns())?;
        return Ok(Err(Refused::Copied));
    }
    Ok(Ok(account))
}

/// The account's passkeys, oldest first.
#[utoipa::path(get, path = "/account/passkeys", tag = "account",
    responses((status = 200, body = Page<PasskeyShown>),
        (status = 401, body = ProblemBody), (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody)))]
pub(super) async fn list(
    State(app): State<App>,
    person: Person,
) -> Result<Json<Page<PasskeyShown>>, Problem> {
    let account = own(&app, person.session()?).await?;
    app.work(move |app| {
        let kept = app.collector.state.passkeys(account.id)?;
        let items = kept.into_iter().map(|StoredPasskey { id, name, made, used, .. }| {
            PasskeyShown { id, name, made_at: made, used_at: used }
        });
        Ok(Json(Page { items: items.collect(), next: None }))
    })
    .await
}

/// Asks for a challenge to make a passkey; for who proved just now to own the account.
#[utoipa::path(post, path = "/account/passkeys/challenge", tag = "account",
    responses((status = 200, body = NewChallenge), (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody), (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody)))]
pub(super) async fn begin(
    State(app): State<App>,
    person: Person,
) -> Result<Json<NewChallenge>, Problem> {
    let session = person.fresh(&app)?.id;
    let account = own(&app, person.session()?).await?;
    let rp_id = party(&app)?.to_owned();
    let challenge = give(&app, Purpose::Register(account.id, session))?;
    app.work(move |app| {
        let kept = app.collector.state.passkeys(account.id)?;
        Ok(Json(NewChallenge {
            challenge,
            rp_id,
            user_id: to_b64(account.id.0),
            user_name: account.name.to_string(),
            algorithms: ALGORITHMS,
            exclude: kept.iter().map(|passkey| to_b64(&passkey.credential)).collect(),
            user_verification: "required",
            expires_secs: CEREMONY_SECS,
        }))
    })
    .await
}

/// Keeps a passkey that the browser made.
#[utoipa::path(post, path = "/account/passkeys", tag = "account", request_body = NewPasskey,
    responses((status = 201, body = PasskeyShown), (status = 400, body = ProblemBody),
        (status = 401, body = ProblemBody), (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody), (status = 409, body = ProblemBody),
        (status = 422, body = ProblemBody)))]
pub(super) async fn create(
    State(app): State<App>,
    person: Person,
    body: Body,
) -> Result<(StatusCode, Json<PasskeyShown>), Problem> {
    let session = person.fresh(&app)?.id;
    let account = own(&app, person.session()?).await?;
    let NewPasskey { name, client_data, attestation } = body.read()?;
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return Err(Problem::refused(format!("`name` has 1 to {NAME_BYTES_MAX} bytes")));
    }
    let client = from_b64("client_data", &client_data)?;
    let attestation = from_b64("attestation", &attestation)?;
    let challenge = challenge_of(&client).unwrap_or_default();
    let purpose = Purpose::Register(account.id, session);
    if !spend(&app, &challenge, purpose) {
        return Err(Problem::refused("the challenge was not given to this session, or is over"));
    }
    let rp_id = party(&app)?;
    let origins = origins(rp_id, app.collector.config.people.port());
    let ceremony = Ceremony { rp_id, origins: &origins, challenge: &challenge };
    let made = verify_registration(ceremony, &client, &attestation);
    let made = made.map_err(|error| Problem::refused(error.to_string()))?;
    let id = PasskeyId(random()?);
    app.work(move |app| {
        let now = Time(app.collector.clock.wall_ns());
        let passkey = StoredPasskey {
            id,
            credential: made.credential,
            account: account.id,
            name,
            algorithm: made.algorithm,
            public: made.public,
            counter: made.counter,
            made: now,
            used: None,
        };
        record(app, &person, &account, &format!("a new passkey, {}", passkey.name))?;
        if !app.collector.state.add_passkey(&passkey)? {
            let detail = format!("this passkey is known already, or there are {PASSKEYS_MAX}");
            return Err(Problem::conflict(detail));
        }
        let StoredPasskey { name, .. } = passkey;
        Ok((StatusCode::CREATED, Json(PasskeyShown { id, name, made_at: now, used_at: None })))
    })
    .await
}

/// Removes a passkey.
#[utoipa::path(delete, path = "/account/passkeys/{id}", tag = "account",
    params(("id" = String, Path, description = "the passkey's id")),
    responses((status = 204), (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody), (status = 404, body = ProblemBody)))]
pub(super) async fn remove(
    State(app): State<App>,
    person: Person,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let account = own(&app, person.fresh(&app)?).await?;
    let id: PasskeyId = id.parse().ok().ok_or_else(Problem::not_found)?;
    app.work(move |app| {
        let kept = app.collector.state.passkeys(account.id)?;
        let found = kept.into_iter().find(|passkey| passkey.id == id);
        let name = found.ok_or_else(Problem::not_found)?.name;
        record(app, &person, &account, &format!("the passkey {name} was removed"))?;
        app.collector.state.remove_passkey(account.id, id)?;
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}

/// The relying party of this collector.
fn party(app: &App) -> Result<&str, Problem> {
    let none = "passkeys need a host name, and this collector has none in its settings";
    rp_id(&app.collector.config.names).ok_or_else(|| Problem::conflict(none))
}
