//! Invitations: how an administrator lets an operator of the roster set an account up.
//!
//! The inviter vouches only for the clients where both have a place and the inviter administers.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use cordon_proto::id::{ClientId, KeyId, OperatorId};
use cordon_proto::roster::Role;
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::page::{Body, Page};
use super::person::Person;
use super::problem::ProblemBody;
use super::sessions::keys_of;
use super::{App, Problem};
use crate::audit::{Act, Deed};
use crate::collector::Collector;
use crate::signin::account::{INVITED_SECS_MAX, Invitation, may_replace, reach};
use crate::signin::name::{AccountName, InvitationId};
use crate::signin::secret::{CODE_BYTES, grouped, hash};
use crate::time::Time;

/// How long an invitation is good if its maker does not say.
const INVITED_SECS_DEFAULT: u64 = 48 * 3600;

/// How long an invitation to oneself is good.
pub(super) const SELF_SECS: u64 = 1800;

/// Whom to invite.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct InvitationRequest {
    /// An operator of the client's roster.
    #[schema(value_type = String)]
    operator: OperatorId,
    /// How long the invitation is good: two days if not said, two weeks at most.
    valid_secs: Option<u64>,
}

/// An invitation just made.
#[derive(Serialize, ToSchema)]
pub(crate) struct Invited {
    /// Its name.
    #[schema(value_type = String)]
    id: InvitationId,
    /// Who is invited.
    #[schema(value_type = String)]
    operator: OperatorId,
    /// What the invited person sets the account up with; shown once.
    code: String,
    /// Until when.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Time,
}

/// An invitation that stands.
#[derive(Serialize, ToSchema)]
pub(crate) struct InvitationShown {
    /// Its name.
    #[schema(value_type = String)]
    id: InvitationId,
    /// Who is invited.
    #[schema(value_type = String)]
    operator: OperatorId,
    /// Who invited.
    made_by: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    made_at: Time,
    /// Until when.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Time,
}

/// An operator of a client and how he signs in.
#[derive(Serialize, ToSchema)]
pub(crate) struct AccountHolder {
    /// Who.
    #[schema(value_type = String)]
    operator: OperatorId,
    /// The highest role at the client.
    #[schema(value_type = Option<String>)]
    role: Option<Role>,
    /// The account's name; none if the operator signs in with the key alone, or the account was
    /// not vouched for at this client.
    #[schema(value_type = Option<String>)]
    account: Option<AccountName>,
    /// When the account was set up.
    #[schema(value_type = Option<String>, format = DateTime)]
    made_at: Option<Time>,
    /// Sessions that stand.
    sessions: usize,
}

/// Makes an invitation for the holder of a key.
pub(crate) fn invite(
    collector: &Collector,
    key: KeyId,
    operator: OperatorId,
    clients: Option<Vec<ClientId>>,
    made_by: String,
    valid_secs: u64,
    acts: Vec<Act>,
) -> Result<Invited, Problem> {
    let (mut id, mut code) = ([0; 16], [0; CODE_BYTES]);
    let random = SystemRandom::new();
    let filled = random.fill(&mut id).and_then(|()| random.fill(&mut code));
    filled.ok().ok_or_else(Problem::no_random)?;
    let made = Time(collector.clock.wall_ns());
    let expires = made.plus_secs(valid_secs);
    let (id, draft) = (InvitationId(id), None);
    let invitation = Invitation { id, key, operator, clients, made_by, made, expires, draft };
    collector.state.record(acts, made.0)?;
    collector.state.add_invitation(hash(&code), &invitation)?;
    let Invitation { operator, .. } = invitation;
    Ok(Invited { id, operator, code: grouped(&code), expires_at: expires })
}

/// A client's operators, and who of them has an account.
#[utoipa::path(get, path = "/clients/{client}/accounts", tag = "account",
    params(("client" = String, Path, description = "the client's name")),
    responses((status = 200, body = Page<AccountHolder>), (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody), (status = 404, body = ProblemBody)))]
pub(super) async fn accounts(
    State(app): State<App>,
    person: Person,
    Path(client): Path<String>,
) -> Result<Json<Page<AccountHolder>>, Problem> {
    let client = person.client(&client, Role::Administrator)?;
    app.work(move |app| {
        let held = app.tenants.roster(&client).ok_or_else(Problem::not_found)?;
        let state = &app.collector.state;
        let now = Time(app.collector.clock.wall_ns());
        let mut items = Vec::new();
        for operator in &held.roster.operators {
            let keys: Vec<KeyId> = operator.keys.iter().map(|key| key.id()).collect();
            let mut found = None;
            for key in &keys {
                let account = state.account_of(*key)?;
                let vouched = |clients: &Option<Vec<ClientId>>| {
                    clients.as_ref().is_none_or(|clients| clients.contains(&client))
                };
                found = found.or(account.filter(|account| vouched(&account.clients)));
            }
            items.push(AccountHolder {
                operator: operator.id.clone(),
                role: operator.roles.iter().max().copied(),
                made_at: found.as_ref().map(|account| account.made),
                account: found.map(|account| account.name),
                sessions: state.sessions(&keys, now)?.len(),
            });
        }
        Ok(Json(Page { items, next: None }))
    })
    .await
}

/// Invitations of a client's operators that stand, without their codes.
#[utoipa::path(get, path = "/clients/{client}/invitations", tag = "account",
    params(("client" = String, Path, description = "the client's name")),
    responses((status = 200, body = Page<InvitationShown>), (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody), (status = 404, body = ProblemBody)))]
pub(super) async fn list(
    State(app): State<App>,
    person: Person,
    Path(client): Path<String>,
) -> Result<Json<Page<InvitationShown>>, Problem> {
    let client = person.client(&client, Role::Administrator)?;
    app.work(move |app| {
        let items = standing(app, &client)?.into_iter().map(|invitation| InvitationShown {
            id: invitation.id,
            operator: invitation.operator,
            made_by: invitation.made_by,
            made_at: invitation.made,
            expires_at: invitation.expires,
        });
        Ok(Json(Page { items: items.collect(), next: None }))
    })
    .await
}

/// Invites an operator of the client's roster to set an account up, or up anew if he cannot sign in.
/// The account will reach those of the operator's clients that the inviter administers, and no more.
#[utoipa::path(post, path = "/clients/{client}/invitations", tag = "account",
    params(("client" = String, Path, description = "the client's name")),
    request_body = InvitationRequest,
    responses((status = 201, body = Invited), (status = 400, body = ProblemBody),
        (status = 401, body = ProblemBody), (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody), (status = 409, body = ProblemBody),
        (status = 422, body = ProblemBody)))]
pub(super) async fn create(
    State(app): State<App>,
    person: Person,
    Path(client): Path<String>,
    body: Body,
) -> Result<(StatusCode, Json<Invited>), Problem> {
    let client = person.client(&client, Role::Administrator)?;
    person.fresh(&app)?;
    let InvitationRequest { operator, valid_secs } = body.read()?;
    let valid_secs = valid_secs.unwrap_or(INVITED_SECS_DEFAULT);
    if valid_secs == 0 || valid_secs > INVITED_SECS_MAX {
        return Err(Problem::refused(format!("`valid_secs` must be 1 to {INVITED_SECS_MAX}")));
    }
    app.work(move |app| {
        let held = app.tenants.roster(&client).ok_or_else(Problem::not_found)?;
        let found = held.roster.operators.iter().find(|found| found.id == operator);
        let none = || Problem::refused(format!("the client's roster has no operator {operator}"));
        let key = found.and_then(|found| found.keys.first()).ok_or_else(none)?.id();
        let theirs = app.tenants.view(key);
        if theirs.is_empty() {
            return Err(Problem::refused(format!("operator {operator} has no role")));
        }
        let administered =
            |client: &ClientId| person.view.require(client, Role::Administrator).is_ok();
        let clients: Vec<_> = theirs.clients().into_iter().filter(administered).collect();
        if let Some(before) = app.collector.state.account_of(key)? {
            may_replace(&reach(theirs, before.clients.as_deref()), Some(&clients))?;
        }
        let (to, detail) = (format!("account of {operator}"), format!("from {}", person.from));
        let act = |client: &ClientId| {
            person.act(client, Role::Administrator, Deed::AccountInvite, &to, &detail)
        };
        let acts = clients.iter().map(act).collect::<Result<Vec<_>, _>>()?;
        let made_by = person.view.require(&client, Role::Administrator)?.to_string();
        let clients = Some(clients);
        let made = invite(&app.collector, key, operator, clients, made_by, valid_secs, acts)?;
        Ok((StatusCode::CREATED, Json(made)))
    })
    .await
}

/// Takes an invitation back.
#[utoipa::path(delete, path = "/clients/{client}/invitations/{id}", tag = "account",
    params(("client" = String, Path, description = "the client's name"),
        ("id" = String, Path, description = "the invitation's id")),
    responses((status = 204), (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody), (status = 404, body = ProblemBody)))]
pub(super) async fn revoke(
    State(app): State<App>,
    person: Person,
    Path((client, id)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let client = person.client(&client, Role::Administrator)?;
    let id: InvitationId = id.parse().ok().ok_or_else(Problem::not_found)?;
    app.work(move |app| {
        let found = standing(app, &client)?.into_iter().find(|found| found.id == id);
        let operator = found.ok_or_else(Problem::not_found)?.operator;
        let to = format!("account of {operator}");
        let detail = format!("from {}", person.from);
        let deed = Deed::AccountUninvite;
        let act = person.act(&client, Role::Administrator, deed, to, detail)?;
        app.collector.state.record(vec![act], app.collector.clock.wall_ns())?;
        app.collector.state.end_invitation(id)?;
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}

/// The invitations that vouch for a client.
fn standing(app: &App, client: &ClientId) -> Result<Vec<Invitation>, Problem> {
    let now = Time(app.collector.clock.wall_ns());
    let mut found = app.collector.state.invitations(&keys_of(app, client), now)?;
    found.retain(|found| found.clients.as_ref().is_none_or(|clients| clients.contains(client)));
    Ok(found)
}
