//! What stands on endpoints, by their own word, and how old that word is.

use axum::Json;
use axum::extract::State;
use cordon_proto::id::{ClientId, CommandId, EndpointId, OperatorId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::commands::ObservedShown;
use super::page::{Page, Params};
use super::person::Person;
use super::problem::ProblemBody;
use super::{App, Problem};
use crate::command::Applied;
use crate::store::StoredCommand;
use crate::time::Time;

/// Commands looked through for what stands of them.
const COMMANDS_MAX: usize = 1000;

/// Which containments.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    /// Of this client only.
    client: Option<String>,
}

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
    /// The command that asked for it.
    #[schema(value_type = String)]
    command: CommandId,
    /// Who brought it.
    #[schema(value_type = String)]
    by: OperatorId,
    /// Why.
    reason: String,
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
    responses((status = 200, body = Page<Containment>), (status = 401, body = ProblemBody),
        (status = 404, body = ProblemBody)))]
pub(super) async fn list(
    State(app): State<App>,
    person: Person,
    Params(asked): Params<Asked>,
) -> Result<Json<Page<Containment>>, Problem> {
    let clients = person.clients(asked.client.as_deref())?;
    app.work(move |app| {
        let commands = app.collector.state.standing_commands(&clients, COMMANDS_MAX)?;
        let mut items = Vec::new();
        for command in commands {
            items.append(&mut standing(app, &command)?);
        }
        Ok(Json(Page { items, next: None }))
    })
    .await
}

fn standing(app: &App, stored: &StoredCommand) -> Result<Vec<Containment>, Problem> {
    let command = stored.signed.command();
    let now = Time(app.collector.clock.wall_ns());
    let mut items = Vec::new();
    for (endpoint, life) in stored.lives.iter().filter(|(_, life)| life.stands()) {
        let Some(Applied { at, until_secs, .. }) = life.facts.applied else { continue };
        let fared = app.collector.state.fared(&[*endpoint])?;
        let endpoint_secs = fared.get(endpoint).map(|fared| fared.health.endpoint_secs);
        let left = |until: u64| Some(until.saturating_sub(endpoint_secs?));
        let target = command.target(*endpoint);
        items.push(Containment {
            client: command.client.clone(),
            endpoint: *endpoint,
            host_name: target.map_or_else(String::new, |target| target.host_name.clone()),
            action: command.action.kind().name(),
            command: command.id,
            by: life.facts.requested.by.clone(),
            reason: command.reason.clone(),
            since: at,
            until_secs,
            left_secs: until_secs.and_then(left),
            proved: life.facts.proved.map(|proved| proved.at),
            observed: ObservedShown::of(life, now),
            drifts: life.facts.drifted.as_ref().map_or(0, |drifted| drifted.times),
        });
    }
    Ok(items)
}
