//! Commands: brought, signed further, followed through their facts.

use std::sync::PoisonError;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use cordon_proto::command::{Action, Command};
use cordon_proto::id::{ClientId, CommandId, EndpointId, OperatorId};
use cordon_proto::roster::Role;
use cordon_proto::sign::command::SignedCommand;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::page::{Body, Page, Params, from_b64, limit, to_b64};
use super::person::Person;
use super::preview::carried;
use super::problem::ProblemBody;
use super::{App, Problem};
use crate::audit::Deed;
use crate::command::{Authority, Brake, CommandRefused, Facts, Life, ReceiptAt, check_upload};
use crate::handover::hand_over;
use crate::store::{CommandsAsked, NewCommand, StoredCommand, Taken};
use crate::time::Time;

/// A signed command on its way in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Upload {
    /// COSE_Sign, base64url.
    command: String,
}

/// Which commands.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    /// Of this client only.
    client: Option<String>,
    /// Those alone that set a policy.
    policies: Option<bool>,
    /// Those alone that are for this endpoint.
    #[param(value_type = Option<String>)]
    endpoint: Option<EndpointId>,
    /// Those alone that wait for another signature, which endpoints would not find too old.
    waiting: Option<bool>,
    /// What an earlier page gave as `next`.
    cursor: Option<String>,
    /// At most so many, up to 500; 100 if not said.
    limit: Option<usize>,
}

/// A command and what is known of it.
#[derive(Serialize, ToSchema)]
pub(crate) struct CommandShown {
    /// Its id.
    #[schema(value_type = String)]
    id: CommandId,
    /// Whose endpoints it is for.
    #[schema(value_type = String)]
    client: ClientId,
    /// What it asks for.
    action: &'static str,
    /// With which parameters.
    #[schema(value_type = Object)]
    parameters: Value,
    /// Why.
    reason: String,
    /// The case it belongs to.
    incident: Option<String>,
    /// Whether it counts for endpoints that were switched off meanwhile.
    queued: bool,
    /// How old a target's nonce may be.
    age_max_secs: u64,
    /// When it was brought.
    #[schema(value_type = String, format = DateTime)]
    requested_at: Time,
    /// Who has signed, as far as the roster held now knows their keys.
    #[schema(value_type = Vec<String>)]
    signed_by: Vec<OperatorId>,
    /// What is still missing, for a person; none once it is authorised.
    waits_for: Option<String>,
    /// The command with its signatures, base64url: what another operator signs further.
    command: String,
    /// What is known of it on each endpoint.
    targets: Vec<TargetShown>,
}

/// A command on one endpoint.
#[derive(Serialize, ToSchema)]
pub(crate) struct TargetShown {
    /// Which.
    #[schema(value_type = String)]
    endpoint: EndpointId,
    /// The host name the operator saw.
    host_name: String,
    /// What happened, each with its time; what did not is null.
    #[schema(value_type = Object)]
    facts: Facts,
    /// What the endpoint last observed, and when.
    observed: Option<ObservedShown>,
    /// Where its receipts stand, so that each can be fetched and proved.
    #[schema(value_type = Vec<Object>)]
    receipts: Vec<ReceiptAt>,
}

/// What an endpoint last observed.
#[derive(Serialize, ToSchema)]
pub(crate) struct ObservedShown {
    /// `holds`, `unproved`, `drifted` or `gone`.
    #[schema(value_type = String)]
    state: crate::command::ObservedState,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    at: Time,
    /// How long ago that is.
    age_secs: u64,
}

impl ObservedShown {
    /// What a life last observed.
    pub(super) fn of(life: &Life, now: Time) -> Option<Self> {
        let observed = life.observed?;
        let age_secs = now.secs_since(observed.at);
        Some(Self { state: observed.state, at: observed.at, age_secs })
    }
}

/// Commands that the asker may see, newest first.
#[utoipa::path(get, path = "/commands", tag = "commands", params(Asked),
    responses((status = 200, body = Page<CommandShown>), (status = 401, body = ProblemBody),
        (status = 404, body = ProblemBody)))]
pub(super) async fn list(
    State(app): State<App>,
    person: Person,
    Params(asked): Params<Asked>,
) -> Result<Json<Page<CommandShown>>, Problem> {
    let clients = person.clients(asked.client.as_deref())?;
    let wrong = || Problem::unreadable("`cursor` is not one that an earlier answer gave");
    let before = asked.cursor.map(|cursor| cursor.parse().ok().ok_or_else(wrong)).transpose()?;
    let limit = limit(asked.limit);
    app.work(move |app| {
        let now = Time(app.collector.clock.wall_ns());
        let asked = CommandsAsked {
            policies: asked.policies.unwrap_or_default(),
            endpoint: asked.endpoint,
            waiting: asked.waiting.unwrap_or_default().then_some(now),
            before,
        };
        let found = app.collector.state.commands(&clients, asked, limit + 1)?;
        let shown = found.into_iter().map(|command| show_one(app, command)).collect();
        Ok(Json(Page::cut(shown, limit, |command: &CommandShown| command.id.to_string())))
    })
    .await
}

/// One command.
#[utoipa::path(get, path = "/commands/{id}", tag = "commands",
    params(("id" = String, Path, description = "the command's id")),
    responses((status = 200, body = CommandShown), (status = 401, body = ProblemBody),
        (status = 404, body = ProblemBody)))]
pub(super) async fn show(
    State(app): State<App>,
    person: Person,
    Path(id): Path<String>,
) -> Result<Json<CommandShown>, Problem> {
    app.work(move |app| {
        let found = find(app, &person, &id)?;
        Ok(Json(show_one(app, found)))
    })
    .await
}

/// Brings a signed command. It is handed over once enough operators have signed; whether it counts,
/// each endpoint decides for itself.
#[utoipa::path(post, path = "/commands", tag = "commands", request_body = Upload,
    responses((status = 201, body = CommandShown), (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody), (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody), (status = 422, body = ProblemBody),
        (status = 429, body = ProblemBody)))]
pub(super) async fn upload(
    State(app): State<App>,
    person: Person,
    body: Body,
) -> Result<(StatusCode, Json<CommandShown>), Problem> {
    app.work(move |app| {
        let signed = read(&body)?;
        let command = signed.command();
        let act = person.act(
            &command.client,
            Role::Responder,
            Deed::CommandUpload,
            command.id.to_string(),
            trail(command),
        )?;
        let _turn = app.signing.lock().unwrap_or_else(PoisonError::into_inner);
        let authorised = match check(app, &signed)? {
            Authority::Enough(by) => Some(by),
            Authority::Waiting { .. } => None,
        };
        let now = Time(app.collector.clock.wall_ns());
        let brake = brake(app, command, authorised.as_deref());
        let by = act.who.clone();
        let new = NewCommand { signed: &signed, by, authorised, act, brake, now };
        match app.collector.state.add_command(new)? {
            Taken::New => {}
            Taken::Known => {
                let detail =
                    "a command of this id was brought before; signatures go to its own path";
                return Err(Problem::conflict(detail));
            }
            Taken::NotATarget(endpoint) => {
                let detail = format!("endpoint {endpoint} is not one of this client's");
                return Err(Problem::refused(detail));
            }
            Taken::Braked(retry_secs) => {
                let detail = "the client's operators brought too many commands in an hour";
                return Err(Problem::too_many(detail, retry_secs));
            }
        }
        Ok((StatusCode::CREATED, Json(hand_out(app, &command.client, command.id)?)))
    })
    .await
}

/// Adds signatures to a command: a copy of it under more signatures.
#[utoipa::path(post, path = "/commands/{id}/signatures", tag = "commands",
    params(("id" = String, Path, description = "the command's id")), request_body = Upload,
    responses((status = 200, body = CommandShown), (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody), (status = 404, body = ProblemBody),
        (status = 422, body = ProblemBody)))]
pub(super) async fn sign(
    State(app): State<App>,
    person: Person,
    Path(id): Path<String>,
    body: Body,
) -> Result<Json<CommandShown>, Problem> {
    app.work(move |app| {
        let _turn = app.signing.lock().unwrap_or_else(PoisonError::into_inner);
        let StoredCommand { signed: mut joined, .. } = find(app, &person, &id)?;
        let (client, id) = (joined.command().client.clone(), joined.command().id);
        let deed = Deed::CommandSign;
        person.view.require(&client, Role::Responder)?;
        let brought = read(&body)?;
        let keys: Vec<String> = brought.key_ids().map(|key| key.short()).collect();
        if !joined.merge(brought) {
            let detail = "this is not the same command, or it has too many signatures";
            return Err(Problem::refused(detail));
        }
        let authorised = match check(app, &joined)? {
            Authority::Enough(by) => Some(by),
            Authority::Waiting { .. } => None,
        };
        let detail = format!("under the keys {}", keys.join(" "));
        let act = person.act(&client, Role::Responder, deed, id.to_string(), detail)?;
        let now = Time(app.collector.clock.wall_ns());
        let brake = brake(app, joined.command(), authorised.as_deref());
        app.collector.state.sign_command(&joined, authorised, act, brake, now)?;
        Ok(Json(hand_out(app, &client, id)?))
    })
    .await
}

fn brake(app: &App, command: &Command, authorised: Option<&[OperatorId]>) -> Brake {
    let config = &app.collector.config;
    let kind = command.action.kind();
    let commands_per_hour_max =
        if kind.changes() { config.commands_per_hour_max } else { config.queries_per_hour_max };
    let held = app.tenants.roster(&command.client);
    let several = held.is_some_and(|held| held.roster.may(kind).count() > 1);
    let alone_percent_max = several.then_some(config.alone_percent_max);
    // Looked up only where one person's signature would do.
    let alone = authorised.is_some_and(|by| by.len() < 2);
    let carries_others = alone && carried(app, command).is_some();
    Brake { commands_per_hour_max, alone_percent_max, carries_others }
}

/// Hands a stored command to those of its endpoints that are connected, and shows it.
fn hand_out(app: &App, client: &ClientId, id: CommandId) -> Result<CommandShown, Problem> {
    let clients = std::slice::from_ref(client);
    let stored = app.collector.state.command(clients, id)?.ok_or_else(Problem::not_found)?;
    let open = await_answers(app, &stored);
    hand_over(&app.collector.links, &stored);
    for endpoint in open {
        if !app.collector.links.is_online(endpoint) {
            app.collector.answers.end(id, endpoint, "it is offline; a query cannot wait for it");
        }
    }
    Ok(show_one(app, stored))
}

/// Gets ready for the answers to a query that is about to go out; which endpoints are to answer.
fn await_answers(app: &App, stored: &StoredCommand) -> Vec<EndpointId> {
    let command = stored.signed.command();
    let goes_out = stored.lives.iter().filter(|(_, life)| life.undelivered());
    let endpoints: Vec<_> = goes_out.map(|(endpoint, _)| *endpoint).collect();
    let is_query = matches!(command.action, Action::Query(_));
    if !is_query || endpoints.is_empty() {
        return Vec::new();
    }
    let now = app.collector.clock.now();
    if !app.collector.answers.expect(command.id, endpoints.iter().copied(), now) {
        tracing::warn!(command = %command.id, "too many answers are waited for already");
    }
    endpoints
}

pub(super) fn find(app: &App, person: &Person, id: &str) -> Result<StoredCommand, Problem> {
    let id: CommandId = id.parse().ok().ok_or_else(Problem::not_found)?;
    let found = app.collector.state.command(&person.view.clients(), id)?;
    found.ok_or_else(Problem::not_found)
}

fn read(body: &Body) -> Result<SignedCommand, Problem> {
    let bytes = from_b64("command", &body.read::<Upload>()?.command)?;
    SignedCommand::read(&bytes).map_err(|error| Problem::refused(format!("the command {error}")))
}

/// Checks a command under the signatures it has against the roster held now.
fn check(app: &App, signed: &SignedCommand) -> Result<Authority, Problem> {
    let client = &signed.command().client;
    let held = app.tenants.roster(client).ok_or_else(Problem::not_found)?;
    let critical = app.collector.state.critical_endpoints(client)?;
    let refused = |refused: CommandRefused| Problem::refused(refused.to_string());
    check_upload(signed, &held.roster, held.named, &critical).map_err(refused)
}

/// What the audit trail says of a command.
fn trail(command: &Command) -> String {
    let (action, hosts, reason) = (command.action.kind().name(), hosts(command), &command.reason);
    match &command.action {
        Action::Query(query) => format!("{action} {hosts}: {reason}: {}", query.sql),
        Action::Undo { of } => format!("{action} {hosts}: {reason}: of {of}"),
        Action::Isolate(_)
        | Action::Release
        | Action::SetPolicy(_)
        | Action::ReleaseAll
        | Action::Kill(_)
        | Action::Suspend(_)
        | Action::Quarantine(_)
        | Action::Deny(_)
        | Action::Block(_)
        | Action::LockAccount(_)
        | Action::StopService(_)
        | Action::BlockStorage(_)
        | Action::Collect(_) => format!("{action} {hosts}: {reason}"),
    }
}

fn hosts(command: &Command) -> String {
    let names: Vec<&str> =
        command.targets.iter().map(|target| target.host_name.as_str()).take(8).collect();
    let more = command.targets.len().saturating_sub(names.len());
    let names = names.join(", ");
    if more == 0 { names } else { format!("{names} and {more} more") }
}

fn show_one(app: &App, stored: StoredCommand) -> CommandShown {
    let StoredCommand { signed, requested, lives } = stored;
    let command = signed.command();
    let now = Time(app.collector.clock.wall_ns());
    let authorised = lives.iter().any(|(_, life)| life.facts.authorised.is_some());
    let (signed_by, waits_for) = signatures(app, &signed, authorised);
    let target = |(endpoint, life): (EndpointId, Life)| TargetShown {
        endpoint,
        host_name: command.target(endpoint).map_or_else(String::new, |t| t.host_name.clone()),
        observed: ObservedShown::of(&life, now),
        facts: life.facts,
        receipts: life.receipts,
    };
    CommandShown {
        id: command.id,
        client: command.client.clone(),
        action: command.action.kind().name(),
        parameters: parameters(command),
        reason: command.reason.clone(),
        incident: command.incident.clone(),
        queued: command.queued,
        age_max_secs: command.age_max_secs,
        requested_at: requested,
        signed_by,
        waits_for,
        command: to_b64(signed.to_bytes()),
        targets: lives.into_iter().map(target).collect(),
    }
}

fn signatures(
    app: &App,
    signed: &SignedCommand,
    authorised: bool,
) -> (Vec<OperatorId>, Option<String>) {
    let Some(held) = app.tenants.roster(&signed.command().client) else {
        return (Vec::new(), None);
    };
    let named = signed.key_ids().filter_map(|key| held.roster.key(key));
    let mut names: Vec<OperatorId> = named.map(|(operator, _)| operator.id.clone()).collect();
    names.sort();
    names.dedup();
    if authorised {
        return (names, None);
    }
    let waits_for = match check(app, signed) {
        Ok(Authority::Waiting { shortfall, .. }) => Some(shortfall.to_string()),
        // It would do by the roster held now: the brake holds it, or another roster did.
        Ok(Authority::Enough(_)) => Some(match carried(app, signed.command()) {
            Some(why) => format!("another person's signature: {why}"),
            None => "another person's signature: one person alone may reach only so many of the \
                     client's endpoints within an hour, or the roster has changed since"
                .to_owned(),
        }),
        Err(_) => Some("a signature no longer counts under the roster held now".to_owned()),
    };
    (names, waits_for)
}

/// The action's parameters, without its name.
fn parameters(command: &Command) -> Value {
    match serde_json::to_value(&command.action) {
        Ok(Value::Object(mut members)) => {
            members.remove("action");
            Value::Object(members)
        }
        Ok(_) | Err(_) => Value::Object(serde_json::Map::new()),
    }
}
