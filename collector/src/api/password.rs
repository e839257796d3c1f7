//! Signing in with a password and then a second factor.
//!
//! A name that nobody has is answered like a wrong password, in the same time. What is tried and
//! fails is limited before it is looked at, and goes into the trail when somebody has to wait.

use std::net::IpAddr;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use cordon_proto::id::Hash;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::page::{Body, from_b64, to_b64};
use super::person::{Peer, acts, same_origin};
use super::problem::ProblemBody;
use super::sign_in::{Opened, Opening, agent, open, random};
use super::{App, Problem};
use crate::audit::Deed;
use crate::signin::account::{Account, reach};
use crate::signin::gate::Guessed;
use crate::signin::name::{AccountId, AccountName};
use crate::signin::pending::PENDING_SECS;
use crate::signin::session::Way;
use crate::signin::totp::TotpSecret;
use crate::signin::{SECRET_BYTES, TooMany, Tried, password, secret};
use crate::time::Time;

/// A name and its password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PasswordRequest {
    /// The account's name; capitals do not matter.
    name: String,
    /// The password.
    password: String,
}

/// The password was right; this is half of it.
#[derive(Serialize, ToSchema)]
pub(crate) struct HalfDone {
    /// What the second step must name, base64url.
    pending: String,
    /// How long the second step may take.
    expires_secs: u64,
}

/// The second factor.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SecondRequest {
    /// What the first step gave.
    pending: String,
    /// What the authenticator app shows: six digits; each code counts once.
    code: Option<String>,
    /// A recovery code instead; each counts once.
    recovery_code: Option<String>,
    /// Whether the session is to live in a browser's cookie; a token is given otherwise.
    #[serde(default)]
    browser: bool,
}

/// A code of the authenticator app, or a recovery code.
pub(super) enum Factor {
    Code(String),
    RecoveryCode(String),
}

impl Factor {
    /// The one of the two that was given.
    pub(super) fn of(code: Option<String>, recovery: Option<String>) -> Result<Self, Problem> {
        match (code, recovery) {
            (Some(code), None) => Ok(Self::Code(code)),
            (None, Some(code)) => Ok(Self::RecoveryCode(code)),
            (None, None) | (Some(_), Some(_)) => {
                Err(Problem::unreadable("give either `code` or `recovery_code`"))
            }
        }
    }
}

/// Checks a password. The second factor is then asked for.
#[utoipa::path(post, path = "/sign-in/password", tag = "session", request_body = PasswordRequest,
    responses((status = 200, body = HalfDone), (status = 400, body = ProblemBody),
        (status = 401, body = ProblemBody, example = json!({ "detail": "this is not right; try again" })),
        (status = 403, body = ProblemBody),
        (status = 429, body = ProblemBody, example = json!({ "detail": "too many tries; try again in 15 s" }))))]
pub(super) async fn password(
    State(app): State<App>,
    Peer(from): Peer,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<HalfDone>, Problem> {
    same_origin(&headers)?;
    let PasswordRequest { name, password } = body.read()?;
    let name = name.parse::<AccountName>().ok();
    let account = check_password(&app, name, password, from).await?;
    let pending = random::<SECRET_BYTES>()?;
    let now = app.collector.clock.now();
    app.sign_in().pendings.begin(Hash::of(&pending), account.id, now);
    Ok(Json(HalfDone { pending: to_b64(pending), expires_secs: PENDING_SECS }))
}

/// Opens a session with the second factor.
#[utoipa::path(post, path = "/sign-in/second", tag = "session", request_body = SecondRequest,
    responses((status = 200, body = Opened), (status = 400, body = ProblemBody),
        (status = 401, body = ProblemBody), (status = 403, body = ProblemBody),
        (status = 429, body = ProblemBody)))]
pub(super) async fn second(
    State(app): State<App>,
    Peer(from): Peer,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    same_origin(&headers)?;
    let SecondRequest { pending, code, recovery_code, browser } = body.read()?;
    let factor = Factor::of(code, recovery_code)?;
    let pending = Hash::of(&from_b64("pending", &pending)?);
    let id = app.sign_in().pendings.try_once(pending, app.collector.clock.now());
    let id = id.ok_or_else(Problem::wrong)?;
    let (account, way) = check_second(&app, id, factor, from).await?;
    app.sign_in().pendings.end(pending);
    let (key, cookie, agent) = (account.key, browser, agent(&headers));
    let opening = Opening { key, account: Some(account), way, cookie, from, agent };
    app.work(move |app| open(app, &opening)).await
}

/// The account whose password this is.
pub(super) async fn check_password(
    app: &App,
    name: Option<AccountName>,
    password: String,
    from: IpAddr,
) -> Result<Account, Problem> {
    let asked = name.clone();
    let (account, known) = app
        .work(move |app| {
            let state = &app.collector.state;
            let account = match &asked {
                Some(name) => state.account_named(name)?,
                None => None,
            };
            let id = account.as_ref().map_or(AccountId([0; 16]), |account| account.id);
            let now = Time(app.collector.clock.wall_ns());
            Ok((account, state.knows_network(id, from, now)?))
        })
        .await?;
    let guessed = Guessed::password(name.as_ref().map_or("", AccountName::as_str));
    let tried = app.sign_in().gate.guess(guessed, from, known, app.collector.clock.now());
    let tried = tried.inspect_err(|too_many| told(*too_many, from))?;
    let fits = password.len() <= password::BYTES_MAX;
    let kept = account.as_ref().filter(|_| fits).map(|account| account.password.clone());
    let password = if fits { password } else { String::new() };
    if app.passwords.verify(password, kept).await?
        && let Some(account) = account
    {
        app.sign_in().gate.right(guessed, from, known);
        return Ok(account);
    }
    tracing::warn!(%from, "a name and a password were refused");
    if tried == Tried::Last {
        let detail = format!("wrong passwords from {from}; that address must wait");
        record_refusal(app, account, detail);
    }
    Err(Problem::wrong())
}

/// The account whose second factor this is, and which of them it was.
pub(super) async fn check_second(
    app: &App,
    id: AccountId,
    factor: Factor,
    from: IpAddr,
) -> Result<(Account, Way), Problem> {
    let found = move |app: &App| {
        let now = Time(app.collector.clock.wall_ns());
        let state = &app.collector.state;
        Ok((state.account(id)?, state.knows_network(id, from, now)?))
    };
    let (account, known) = app.work(found).await?;
    let account = account.ok_or_else(Problem::wrong)?;
    let guessed = Guessed::second(&id.to_string());
    let tried = app.sign_in().gate.guess(guessed, from, known, app.collector.clock.now());
    tried.inspect_err(|too_many| told(*too_many, from))?;
    let asked = account.clone();
    let right = app.work(move |app| second_is_right(app, &asked, &factor)).await?;
    if let Some(way) = right {
        app.sign_in().gate.right(guessed, from, known);
        return Ok((account, way));
    }
    // Whoever got here knows the password: that is worth an entry each time.
    let detail = format!("the right password and a wrong second factor from {from}");
    tracing::warn!(%from, "a second factor was refused");
    record_refusal(app, Some(account), detail);
    Err(Problem::wrong())
}

fn second_is_right(app: &App, account: &Account, factor: &Factor) -> Result<Option<Way>, Problem> {
    let state = &app.collector.state;
    let clock = &app.collector.clock;
    match factor {
        Factor::Code(code) => {
            let totp = totp(app, account)?;
            let Some(step) = totp.step_of(code, clock.wall_secs()) else { return Ok(None) };
            let fresh = state.use_totp_step(account.id, step, Time(clock.wall_ns()))?;
            Ok(fresh.then_some(Way::Password))
        }
        Factor::RecoveryCode(code) => {
            let Some(hash) = secret::hash_typed(code) else { return Ok(None) };
            let right = state.use_recovery_code(account.id, hash)?;
            Ok(right.then_some(Way::Recovery))
        }
    }
}

fn totp(app: &App, account: &Account) -> Result<TotpSecret, Problem> {
    let secret = app.collector.seal.unseal(&account.totp, &account.key.0)?;
    let closed = crate::signin::seal::SealError::Closed;
    Ok(TotpSecret(secret.try_into().ok().ok_or(closed)?))
}

fn told(too_many: TooMany, from: IpAddr) {
    tracing::warn!(%from, wait_secs = too_many.retry_secs, "somebody tries too fast");
}

/// Writes a refusal into the trails of the clients that the account reaches. The answer does not
/// wait for it, so that the time taken does not say whether there is such an account.
fn record_refusal(app: &App, account: Option<Account>, detail: String) {
    let app = app.clone();
    drop(tokio::task::spawn_blocking(move || {
        let Some(account) = account else { return };
        let view = reach(app.tenants.view(account.key), account.clients.as_deref());
        let to = format!("account {}", account.name);
        let acts = acts(&view, Deed::SignInRefused, &to, &detail);
        if let Err(error) = app.collector.state.record(acts, app.collector.clock.wall_ns()) {
            tracing::error!(%error, "a refused sign-in is not in the audit trail");
        }
    }));
}
