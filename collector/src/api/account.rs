//! The asker's own account: what it is signed in with, changed only by who proved just now to be its
//! owner.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::invitations::{Invited, SELF_SECS, invite};
use super::page::{Body, from_b64, to_b64};
use super::person::{Person, acts};
use super::problem::ProblemBody;
use super::set_up::{Totp, recovery_codes, shown, step_of};
use super::sign_in::random;
use super::{App, Problem};
use crate::audit::Deed;
use crate::signin::account::Account;
use crate::signin::name::AccountName;
use crate::signin::password;
use crate::signin::session::{Session, Way};
use crate::signin::totp::{SECRET_BYTES, TotpSecret};
use crate::time::Time;

/// What is sealed for a change is not what is sealed for keeps.
const DRAFT: &[u8] = b"draft";

/// The asker's account.
#[derive(Serialize, ToSchema)]
pub(crate) struct Own {
    /// None if the asker signs in with the key alone.
    account: Option<AccountShown>,
}

/// An account.
#[derive(Serialize, ToSchema)]
pub(crate) struct AccountShown {
    /// What its owner signs in as.
    #[schema(value_type = String)]
    name: AccountName,
    /// Where it was vouched for; none for every client of its owner.
    clients: Option<Vec<String>>,
    /// When it was set up.
    #[schema(value_type = String, format = DateTime)]
    made_at: Time,
    /// Recovery codes that are left.
    recovery_codes_left: usize,
}

/// A new password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewPassword {
    /// At least 12 characters.
    password: String,
}

/// The first code of a new secret.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewTotp {
    /// What was given with the secret.
    draft: String,
    /// What the app shows: six digits.
    code: String,
}

/// New recovery codes.
#[derive(Serialize, ToSchema)]
pub(crate) struct RecoveryCodes {
    /// Each once; shown once. Those of before are void.
    recovery_codes: Vec<String>,
}

/// The asker's account.
#[utoipa::path(get, path = "/account", tag = "account",
    responses((status = 200, body = Own), (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody)))]
pub(super) async fn show(State(app): State<App>, person: Person) -> Result<Json<Own>, Problem> {
    let key = person.session()?.key;
    app.work(move |app| {
        let state = &app.collector.state;
        let Some(account) = state.account_of(key)? else { return Ok(Json(Own { account: None })) };
        let names = |clients: &Vec<_>| clients.iter().map(ToString::to_string).collect();
        let shown = AccountShown {
            clients: account.clients.as_ref().map(names),
            made_at: account.made,
            recovery_codes_left: state.recovery_codes_left(account.id)?,
            name: account.name,
        };
        Ok(Json(Own { account: Some(shown) }))
    })
    .await
}

/// Invites the asker to set an account up, or up anew: for who has just signed in with the key.
#[utoipa::path(post, path = "/account/invitation", tag = "account",
    responses((status = 201, body = Invited), (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody)))]
pub(super) async fn invite_myself(
    State(app): State<App>,
    person: Person,
) -> Result<(StatusCode, Json<Invited>), Problem> {
    let session = person.fresh(&app)?;
    if session.way != Way::Key {
        let detail = "only the key itself can set its account up anew; sign in with it";
        return Err(Problem::forbidden(detail));
    }
    let key = session.key;
    app.work(move |app| {
        let operator = app.tenants.name_of(key).ok_or_else(Problem::nobody)?;
        let to = format!("account of {operator}");
        let detail = format!("with the own key, from {}", person.from);
        let acts = acts(&person.view, Deed::AccountInvite, &to, &detail);
        let made_by = operator.to_string();
        let made = invite(&app.collector, key, operator, None, made_by, SELF_SECS, acts)?;
        Ok((StatusCode::CREATED, Json(made)))
    })
    .await
}

/// Changes the password; all other sessions of the asker end.
#[utoipa::path(put, path = "/account/password", tag = "account", request_body = NewPassword,
    responses((status = 204), (status = 400, body = ProblemBody),
        (status = 401, body = ProblemBody), (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody), (status = 422, body = ProblemBody),
        (status = 429, body = ProblemBody)))]
pub(super) async fn put_password(
    State(app): State<App>,
    person: Person,
    body: Body,
) -> Result<StatusCode, Problem> {
    let session = person.fresh(&app)?.clone();
    let account = own(&app, &session).await?;
    let NewPassword { password } = body.read()?;
    password::check(&password, account.name.as_str())?;
    app.sign_in().gate.own_act(session.key, app.collector.clock.now())?;
    let password = app.passwords.hash(password, random()?).await?;
    app.work(move |app| {
        record(app, &person, &account, "the password")?;
        app.collector.state.set_password(account.id, &password)?;
        app.collector.state.end_sessions(session.key, Some(session.id))?;
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}

/// A new secret for the authenticator app; the one of before counts until the new one's first code
/// was shown.
#[utoipa::path(post, path = "/account/totp", tag = "account",
    responses((status = 200, body = Totp), (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody), (status = 404, body = ProblemBody)))]
pub(super) async fn begin_totp(
    State(app): State<App>,
    person: Person,
) -> Result<Json<Totp>, Problem> {
    let account = own(&app, person.fresh(&app)?).await?;
    let secret = TotpSecret(random::<SECRET_BYTES>()?);
    let draft = app.collector.seal.seal(&secret.0, &draft_of(&account))?;
    Ok(Json(Totp { draft: Some(to_b64(draft)), ..shown(&app, &secret, &account.name) }))
}

/// Puts the new secret in the place of the one of before; all other sessions of the asker end.
#[utoipa::path(put, path = "/account/totp", tag = "account", request_body = NewTotp,
    responses((status = 204), (status = 400, body = ProblemBody),
        (status = 401, body = ProblemBody), (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody), (status = 422, body = ProblemBody)))]
pub(super) async fn put_totp(
    State(app): State<App>,
    person: Person,
    body: Body,
) -> Result<StatusCode, Problem> {
    let session = person.fresh(&app)?.clone();
    let account = own(&app, &session).await?;
    let NewTotp { draft, code } = body.read()?;
    let draft = from_b64("draft", &draft)?;
    let secret = app.collector.seal.unseal(&draft, &draft_of(&account)).ok();
    let secret =
        secret.ok_or_else(|| Problem::refused("`draft` is not one that was given to you"))?;
    let step = step_of(&app, secret.clone(), &code)?;
    app.work(move |app| {
        let totp = app.collector.seal.seal(&secret, &account.key.0)?;
        record(app, &person, &account, "the authenticator app")?;
        let state = &app.collector.state;
        state.set_totp(account.id, &totp)?;
        state.use_totp_step(account.id, step, Time(app.collector.clock.wall_ns()))?;
        state.end_sessions(session.key, Some(session.id))?;
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}

/// New recovery codes; those of before are void.
#[utoipa::path(post, path = "/account/recovery-codes", tag = "account",
    responses((status = 200, body = RecoveryCodes), (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody), (status = 404, body = ProblemBody)))]
pub(super) async fn renew_recovery_codes(
    State(app): State<App>,
    person: Person,
) -> Result<Json<RecoveryCodes>, Problem> {
    let account = own(&app, person.fresh(&app)?).await?;
    let (recovery_codes, hashes) = recovery_codes()?;
    app.work(move |app| {
        record(app, &person, &account, "the recovery codes")?;
        app.collector.state.set_recovery_codes(account.id, &hashes)?;
        Ok(Json(RecoveryCodes { recovery_codes }))
    })
    .await
}

/// Removes the asker's account, with its sessions and the API tokens made in them. Signing in with
/// the key goes on.
#[utoipa::path(delete, path = "/account", tag = "account",
    responses((status = 204), (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody), (status = 404, body = ProblemBody)))]
pub(super) async fn remove(State(app): State<App>, person: Person) -> Result<StatusCode, Problem> {
    let account = own(&app, person.fresh(&app)?).await?;
    app.work(move |app| {
        let detail = format!("from {}", person.from);
        let to = format!("account {}", account.name);
        let acts = acts(&person.view, Deed::AccountRemove, &to, &detail);
        app.collector.state.record(acts, app.collector.clock.wall_ns())?;
        app.collector.state.remove_account(account.id)?;
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}

/// The account of the person behind a session.
pub(super) async fn own(app: &App, session: &Session) -> Result<Account, Problem> {
    let key = session.key;
    let account = app.work(move |app| Ok(app.collector.state.account_of(key)?)).await?;
    account.ok_or_else(|| {
        Problem::new(StatusCode::NOT_FOUND, "you have no account; set one up with your key first")
    })
}

/// Writes a change of an account down.
pub(super) fn record(
    app: &App,
    person: &Person,
    account: &Account,
    what: &str,
) -> Result<(), Problem> {
    let detail = format!("{what}, from {}", person.from);
    let to = format!("account {}", account.name);
    let acts = acts(&person.view, Deed::AccountChange, &to, &detail);
    Ok(app.collector.state.record(acts, app.collector.clock.wall_ns())?)
}

fn draft_of(account: &Account) -> Vec<u8> {
    [DRAFT, &account.id.0].concat()
}
