//! Setting an account up with the code of an invitation: a name and a password first, then the first
//! code of the authenticator app, which shows that it took the secret.

use std::net::IpAddr;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use cordon_proto::id::{Hash, OperatorId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::page::Body;
use super::person::{Peer, acts, same_origin};
use super::problem::ProblemBody;
use super::sign_in::random;
use super::{App, Problem};
use crate::audit::Deed;
use crate::signin::account::{Account, Draft, Invitation, may_replace, reach};
use crate::signin::name::{AccountId, AccountName};
use crate::signin::secret::{RECOVERY_BYTES, RECOVERY_CODES, grouped, hash, hash_typed};
use crate::signin::totp::{SECRET_BYTES, TotpSecret};
use crate::signin::{password, seal};
use crate::time::Time;

/// What an invited person chooses.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BeginRequest {
    /// The code of the invitation.
    invitation: String,
    /// What to sign in as: 1 to 64 of a-z, 0-9, `.`, `_`, `-`, `+`, `@`.
    #[schema(value_type = String)]
    name: AccountName,
    /// The password: at least 12 characters.
    password: String,
}

/// What the authenticator app needs.
#[derive(Serialize, ToSchema)]
pub(crate) struct Totp {
    /// For a QR code; shown once.
    pub(super) otpauth: String,
    /// The same secret for typing, base32.
    pub(super) secret: String,
    /// Goes back with the first code; only where a secret is changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) draft: Option<String>,
}

/// The first code.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConfirmRequest {
    /// The code of the invitation.
    invitation: String,
    /// What the app shows: six digits.
    code: String,
}

/// An account just set up.
#[derive(Serialize, ToSchema)]
pub(crate) struct SetUp {
    /// Who it stands for.
    #[schema(value_type = String)]
    operator: OperatorId,
    /// What to sign in as.
    #[schema(value_type = String)]
    name: AccountName,
    /// One of them instead of a code of the app, each once; shown once.
    recovery_codes: Vec<String>,
}

/// Chooses a name and a password. Nothing is made yet; what is chosen again counts.
#[utoipa::path(post, path = "/set-up", tag = "account", request_body = BeginRequest,
    responses((status = 200, body = Totp), (status = 400, body = ProblemBody),
        (status = 401, body = ProblemBody), (status = 403, body = ProblemBody),
        (status = 409, body = ProblemBody, example = json!({ "detail": "another account has this name" })),
        (status = 422, body = ProblemBody, example = json!({ "detail": "the password is shorter than 12 characters" })),
        (status = 429, body = ProblemBody)))]
pub(super) async fn begin(
    State(app): State<App>,
    Peer(from): Peer,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Totp>, Problem> {
    same_origin(&headers)?;
    let BeginRequest { invitation, name, password } = body.read()?;
    let (code, found) = invited_from(&app, &invitation, from).await?;
    app.sign_in().gate.own_act(found.key, app.collector.clock.now())?;
    let (asked, invited) = (name.clone(), found.clone());
    app.work(move |app| name_is_free(app, &asked, &invited)).await?;
    password::check(&password, name.as_str())?;
    let password = app.passwords.hash(password, random()?).await?;
    let secret = TotpSecret(random::<SECRET_BYTES>()?);
    let totp = app.collector.seal.seal(&secret.0, &found.key.0)?;
    let shown = shown(&app, &secret, &name);
    let draft = Draft { name, password, totp };
    app.work(move |app| Ok(app.collector.state.draft(code, &draft)?)).await?;
    Ok(Json(shown))
}

/// Makes the account, once the app shows the right code. An account that the person had before is
/// replaced, with its sessions and its programs' tokens.
#[utoipa::path(post, path = "/set-up/confirm", tag = "account", request_body = ConfirmRequest,
    responses((status = 201, body = SetUp), (status = 400, body = ProblemBody),
        (status = 401, body = ProblemBody), (status = 403, body = ProblemBody),
        (status = 409, body = ProblemBody), (status = 422, body = ProblemBody),
        (status = 429, body = ProblemBody)))]
pub(super) async fn confirm(
    State(app): State<App>,
    Peer(from): Peer,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<SetUp>), Problem> {
    same_origin(&headers)?;
    let ConfirmRequest { invitation, code } = body.read()?;
    let (named, _) = invited_from(&app, &invitation, from).await?;
    let (recovery_codes, hashes) = recovery_codes()?;
    app.work(move |app| {
        let found = invited(app, named)?.ok_or_else(not_invited)?;
        let draft = found.draft.clone();
        let draft = draft.ok_or_else(|| Problem::conflict("choose a name and a password first"))?;
        let step = first_code(app, &draft, &found, &code)?;
        name_is_free(app, &draft.name, &found)?;
        let now = Time(app.collector.clock.wall_ns());
        let Draft { name, password, totp } = draft;
        let (id, key, clients) = (AccountId(random()?), found.key, found.clients.clone());
        let view = reach(app.tenants.view(key), clients.as_deref());
        let account = Account { id, name: name.clone(), key, clients, password, totp, made: now };
        let detail = format!("invited by {}, from {from}", found.made_by);
        let acts = acts(&view, Deed::AccountSetUp, &format!("account {name}"), &detail);
        let state = &app.collector.state;
        state.record(acts, now.0)?;
        if !state.take_invitation(named, &account, &hashes, step)? {
            return Err(not_invited());
        }
        let operator = found.operator;
        Ok((StatusCode::CREATED, Json(SetUp { operator, name, recovery_codes })))
    })
    .await
}

fn not_invited() -> Problem {
    let detail = "this is no invitation, or it was taken or has expired; ask for another";
    Problem::new(StatusCode::UNAUTHORIZED, detail)
}

/// The invitation that was typed, and the hash of its code. Whoever types what is none is slowed.
async fn invited_from(app: &App, typed: &str, from: IpAddr) -> Result<(Hash, Invitation), Problem> {
    if let Some(code) = hash_typed(typed)
        && let Some(found) = app.work(move |app| invited(app, code)).await?
    {
        return Ok((code, found));
    }
    app.sign_in().gate.wrong_answer(from, app.collector.clock.now())?;
    Err(not_invited())
}

/// The invitation of a code, if it may still be taken.
fn invited(app: &App, code: Hash) -> Result<Option<Invitation>, Problem> {
    let state = &app.collector.state;
    let found = state.invitation(code, Time(app.collector.clock.wall_ns()))?;
    let Some(found) = found else { return Ok(None) };
    let view = app.tenants.view(found.key);
    if reach(view.clone(), found.clients.as_deref()).is_empty() {
        return Ok(None);
    }
    if let Some(before) = state.account_of(found.key)? {
        // It may have come to reach further since the invitation was made.
        may_replace(&reach(view, before.clients.as_deref()), found.clients.as_deref())?;
    }
    Ok(Some(found))
}

/// A name is free if nobody has it, or somebody whom no roster has any more, or the same person.
fn name_is_free(app: &App, name: &AccountName, invited: &Invitation) -> Result<(), Problem> {
    let state = &app.collector.state;
    let Some(other) = state.account_named(name)?.filter(|other| other.key != invited.key) else {
        return Ok(());
    };
    if app.tenants.view(other.key).is_empty() {
        state.remove_account(other.id)?;
        return Ok(());
    }
    Err(Problem::conflict("another account has this name"))
}

fn first_code(app: &App, draft: &Draft, invited: &Invitation, code: &str) -> Result<u64, Problem> {
    let secret = app.collector.seal.unseal(&draft.totp, &invited.key.0)?;
    step_of(app, secret, code)
}

/// The step of the first code of a new secret.
pub(super) fn step_of(app: &App, secret: Vec<u8>, code: &str) -> Result<u64, Problem> {
    let secret = TotpSecret(secret.try_into().ok().ok_or(seal::SealError::Closed)?);
    let step = secret.step_of(code, app.collector.clock.wall_secs());
    let wrong = "this is not the code that the app shows now; is its clock right, and did it take \
                 the newest secret?";
    step.ok_or_else(|| Problem::refused(wrong))
}

/// What the app needs to know.
pub(super) fn shown(app: &App, secret: &TotpSecret, name: &AccountName) -> Totp {
    let collector = app.collector.config.names.first().map_or("cordon", String::as_str);
    let issuer = format!("Cordon {collector}");
    Totp { otpauth: secret.uri(&issuer, name.as_str()), secret: secret.text(), draft: None }
}

/// New recovery codes, and what they are kept as.
pub(super) fn recovery_codes() -> Result<(Vec<String>, Vec<Hash>), Problem> {
    let mut codes = Vec::new();
    for _ in 0..RECOVERY_CODES {
        codes.push(random::<RECOVERY_BYTES>()?);
    }
    let hashes = codes.iter().map(|code| hash(code)).collect();
    Ok((codes.iter().map(|code| grouped(code)).collect(), hashes))
}
