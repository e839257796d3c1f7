//! What stands on endpoints, by their own word, and how old that word is.

use std::cmp::Reverse;

use axum::Json;
use axum::extract::State;
use cordon_proto::id::{ClientId, CommandId, EndpointId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::commands::ObservedShown;
use super::page::{Page, Params, limit};
use super::person::Person;
use super::problem::ProblemBody;
use super::{App, Problem};
use crate::command::{Applied, Life};
use crate::store::{Reaction, StoredCommand};
use crate::time::Time;

/// Which containments.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    /// Of this client only.
    client: Option<String>,
    /// What an earlier page gave as `next`.
    cursor: Option<String>,
    /// At most so many, up to 500; 100 if not said.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
}

/// Where a page begins: after what stands by this command on this endpoint.
type After = (Reverse<CommandId>, EndpointId);

/// A containment that stands.
#[derive(Serialize, ToSchema)]
pub(crate) struct Containment {
    /// Whose endpoint.
    #[schema(value_type = String)]
    client: ClientId,
    /// Which endpoint.
    #[schema(value_type = String)]
    endpoint: EndpointId,
    /// The host name the operator saw.
    host_name: String,
    /// What stands.
    action: &'static str,
    /// The command that asked for it; what the endpoint did by itself has such an id, too, and no
    /// command is found under it.
    #[schema(value_type = String)]
    command: CommandId,
    /// Who brought it: an operator, or `policy response NAME, version V`.
    by: String,
    /// Why: the operator's words, or the event that the endpoint reacted to.
    reason: String,
    /// The response of the policy, where the endpoint did it by itself.
    response: Option<String>,
    #[serde(flatten)]
    stands: Stands,
}

/// How a containment stands.
#[derive(Serialize, ToSchema)]
pub(crate) struct Stands {
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    since: Time,
    /// When its lease ends, in seconds of endpoint time.
    until_secs: Option<u64>,
    /// What was left of the lease at the endpoint's last health; it runs on only while the machine
    /// is switched on.
    left_secs: Option<u64>,
    /// When it was first proved.
    #[schema(value_type = Option<String>, format = DateTime)]
    proved: Option<Time>,
    /// What the endpoint last observed.
    observed: Option<ObservedShown>,
    /// How often it was found changed and put back.
    drifts: u64,
}

/// Containments that stand, newest command first.
#[utoipa::path(get, path = "/containments", tag = "commands", params(Asked),
    responses((status = 200, body = Page<Containment>), (status = 400, body = ProblemBody),
        (status = 401, body = ProblemBody), (status = 404, body = ProblemBody)))]
pub(super) async fn list(
    State(app): State<App>,
    person: Person,
    Params(asked): Params<Asked>,
) -> Result<Json<Page<Containment>>, Problem> {
    let clients = person.clients(asked.client.as_deref())?;
    let after = asked.cursor.as_deref().map(read_cursor).transpose()?;
    let limit = limit(asked.limit);
    app.work(move |app| {
        let from = after.map(|(Reverse(command), _)| command);
        // Of the command that the cursor names nothing may be left, and one more tells that there is
        // another page.
        let count_max = limit + 2;
        let state = &app.collector.state;
        let mut items = Vec::new();
        for command in state.standing_commands(&clients, from, count_max)? {
            items.append(&mut standing(app, &command)?);
        }
        for reaction in state.standing_reactions(&clients, from, count_max)? {
            items.extend(standing_alone(app, reaction)?);
        }
        items.retain(|item| after.is_none_or(|after| place(item) > after));
        items.sort_by_key(place);
        items.truncate(limit + 1);
        Ok(Json(Page::cut(items, limit, |item| format!("{}.{}", item.command, item.endpoint))))
    })
    .await
}

fn place(item: &Containment) -> After {
    (Reverse(item.command), item.endpoint)
}

fn read_cursor(text: &str) -> Result<After, Problem> {
    let read = text.split_once('.').and_then(|(command, endpoint)| {
        Some((Reverse(command.parse().ok()?), endpoint.parse().ok()?))
    });
    read.ok_or_else(|| Problem::unreadable("`cursor` is not one that an earlier answer gave"))
}

fn standing(app: &App, stored: &StoredCommand) -> Result<Vec<Containment>, Problem> {
    let command = stored.signed.command();
    let mut items = Vec::new();
    for (endpoint, life) in stored.lives.iter().filter(|(_, life)| life.stands()) {
        let Some(stands) = Stands::of(app, *endpoint, life)? else { continue };
        let target = command.target(*endpoint);
        let by = life.facts.requested.by.as_ref();
        items.push(Containment {
            client: command.client.clone(),
            endpoint: *endpoint,
            host_name: target.map_or_else(String::new, |target| target.host_name.clone()),
            action: command.action.kind().name(),
            command: command.id,
            by: by.map_or_else(String::new, ToString::to_string),
            reason: command.reason.clone(),
            response: None,
            stands,
        });
    }
    Ok(items)
}

/// What an endpoint did by itself.
fn standing_alone(app: &App, reaction: Reaction) -> Result<Option<Containment>, Problem> {
    let Reaction { client, endpoint, host_name, reacted, life } = reaction;
    let Some(action) = reacted.action else { return Ok(None) };
    let Some(stands) = Stands::of(app, endpoint, &life)? else { return Ok(None) };
    Ok(Some(Containment {
        client,
        endpoint,
        host_name,
        action: action.name(),
        command: reacted.id,
        by: format!("policy response {}, version {}", reacted.response, reacted.policy_version),
        reason: reacted.because.to_lossy().into_owned(),
        response: Some(reacted.response),
        stands,
    }))
}

impl Stands {
    fn of(app: &App, endpoint: EndpointId, life: &Life) -> Result<Option<Self>, Problem> {
        let Some(Applied { at, until_secs, .. }) = life.facts.applied else { return Ok(None) };
        let now = Time(app.collector.clock.wall_ns());
        let fared = app.collector.state.fared(&[endpoint])?;
        let endpoint_secs = fared.get(&endpoint).map(|fared| fared.health.endpoint_secs);
        let left = |until: u64| Some(until.saturating_sub(endpoint_secs?));
        Ok(Some(Self {
            since: at,
            until_secs,
            left_secs: until_secs.and_then(left),
            proved: life.facts.proved.map(|proved| proved.at),
            observed: ObservedShown::of(life, now),
            drifts: life.facts.drifted.as_ref().map_or(0, |drifted| drifted.times),
        }))
    }
}
