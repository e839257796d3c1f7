//! Looking for events of the past.

use axum::Json;
use axum::extract::State;
use cordon_proto::event::Class;
use cordon_proto::id::EndpointId;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;
use utoipa::{IntoParams, ToSchema};

use super::endpoints;
use super::page::{Params, limit};
use super::person::Person;
use super::problem::ProblemBody;
use super::{App, Problem};
use crate::search::field::{Conditions, FieldError};
use crate::search::{self, Cursor, Order, Query};
use crate::time::Time;

/// How long one page may scan.
const SCAN: Duration = Duration::from_millis(500);

/// Longest text looked for.
const TEXT_BYTES_MAX: usize = 256;

/// Which events.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    /// Of this client only.
    client: Option<String>,
    /// Of this endpoint only.
    endpoint: Option<String>,
    /// Of these classes only, with commas between: `process,log`.
    class: Option<String>,
    /// Not before this (RFC 3339), by the endpoint's clock.
    since: Option<String>,
    /// Not after this (RFC 3339), by the endpoint's clock.
    until: Option<String>,
    /// With this in one of their texts, whatever the case.
    text: Option<String>,
    /// Of which this is so: `FIELD = VALUE`, with `=`, `!=`, `<`, `>`, `contains` or `prefix`, several
    /// joined by `and`. A field is a dotted path into the event as it is shown.
    #[serde(rename = "where")]
    #[param(example = "process.file.path contains nginx and process.pid > 1000")]
    conditions: Option<String>,
    /// What an earlier page gave as `next`.
    cursor: Option<String>,
    /// At most so many, up to 500; 100 if not said.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
    /// `oldest` first, as they came in (the default), or `newest` first.
    order: Option<String>,
}

/// Which events of those to come.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct AskedLive {
    /// Of this client only.
    client: Option<String>,
    /// Of this endpoint only.
    endpoint: Option<String>,
    /// Of these classes only, with commas between: `process,log`.
    class: Option<String>,
    /// With this in one of their texts, whatever the case.
    text: Option<String>,
    /// Of which this is so: `FIELD = VALUE`, with `=`, `!=`, `<`, `>`, `contains` or `prefix`, several
    /// joined by `and`. A field is a dotted path into the event as it is shown.
    #[serde(rename = "where")]
    #[param(example = "process.file.path contains nginx and process.pid > 1000")]
    conditions: Option<String>,
}

/// A page of events.
#[derive(Serialize, ToSchema)]
pub(crate) struct Events {
    /// The events, with OCSF's names.
    #[schema(value_type = Vec<Object>)]
    items: Vec<Value>,
    /// Give this as `cursor` for what follows; none if everything was looked at. A page may be
    /// empty and have a next one.
    next: Option<String>,
    /// How far a page got that has a next one: when the last batch looked at was received.
    #[schema(value_type = Option<String>, format = DateTime)]
    scanned_to: Option<Time>,
}

/// Events of the past. One page looks for at most half a second and says how far it got.
#[utoipa::path(get, path = "/events", tag = "events", params(Asked),
    responses((status = 200, body = Events), (status = 400, body = ProblemBody),
        (status = 401, body = ProblemBody), (status = 404, body = ProblemBody)))]
pub(super) async fn search(
    State(app): State<App>,
    person: Person,
    Params(asked): Params<Asked>,
) -> Result<Json<Events>, Problem> {
    let order = match asked.order.as_deref() {
        None | Some("oldest") => Order::Oldest,
        Some("newest") => Order::Newest,
        Some(_) => return Err(Problem::unreadable("`order` is `oldest` or `newest`")),
    };
    let wrong = |error: search::CursorError| Problem::unreadable(format!("`cursor`: {error}"));
    let from = asked.cursor.map(|cursor| cursor.parse::<Cursor>().map_err(wrong)).transpose()?;
    let (since, until) = (time("since", asked.since)?, time("until", asked.until)?);
    let limit = limit(asked.limit);
    let live = AskedLive {
        client: asked.client,
        endpoint: asked.endpoint,
        class: asked.class,
        text: asked.text,
        conditions: asked.conditions,
    };
    let _turn = app.searches.acquire().await.ok().ok_or_else(Problem::stopping)?;
    app.work(move |app| {
        let query = Query { since, until, ..query(app, &person, live)? };
        let clock = &app.collector.clock;
        let end = clock.now() + SCAN;
        let out_of_time = || clock.now() >= end;
        let log = app.collector.log.as_ref();
        let found = search::page(log, &query, order, from, limit, out_of_time)?;
        let next = found.next.map(|cursor| cursor.to_string());
        Ok(Json(Events { items: found.items, next, scanned_to: found.scanned_to }))
    })
    .await
}

/// What is looked for, among what the asker may see.
pub(super) fn query(app: &App, person: &Person, asked: AskedLive) -> Result<Query, Problem> {
    let mut clients = person.clients(asked.client.as_deref())?;
    let mut endpoint: Option<EndpointId> = None;
    if let Some(id) = &asked.endpoint {
        let found = endpoints::find(app, person, id)?;
        if !clients.contains(&found.client) {
            return Err(Problem::not_found());
        }
        clients = vec![found.client];
        endpoint = Some(found.id);
    }
    let text = asked.text.map(|text| text.to_lowercase()).filter(|text| !text.is_empty());
    if text.as_ref().is_some_and(|text| text.len() > TEXT_BYTES_MAX) {
        return Err(Problem::unreadable(format!("`text` has at most {TEXT_BYTES_MAX} bytes")));
    }
    let classes = classes(asked.class.as_deref().unwrap_or_default())?;
    let wrong = |error: FieldError| Problem::unreadable(format!("`where`: {error}"));
    let conditions = asked.conditions.as_deref().unwrap_or_default();
    let conditions: Conditions = conditions.parse().map_err(wrong)?;
    Ok(Query { clients, endpoint, classes, text, conditions, ..Query::default() })
}

fn classes(text: &str) -> Result<Vec<Class>, Problem> {
    let named = text.split(',').map(str::trim).filter(|name| !name.is_empty());
    named
        .map(|name| {
            let known = Class::ALL.into_iter().find(|class| class.name() == name);
            known.ok_or_else(|| {
                let all: Vec<_> = Class::ALL.iter().map(|class| class.name()).collect();
                Problem::unreadable(format!("`class` knows {}", all.join(", ")))
            })
        })
        .collect()
}

fn time(field: &str, text: Option<String>) -> Result<Option<Time>, Problem> {
    let wrong = |error| Problem::unreadable(format!("`{field}`: {error}"));
    text.map(|text| text.parse::<Time>().map_err(wrong)).transpose()
}
