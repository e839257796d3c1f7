//! The answer to a query as it comes in: server-sent events, read once.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use cordon_proto::limits::QUERY_TIME_MS_MAX;
use cordon_proto::roster::Role;
use futures_util::Stream;
use futures_util::stream;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::commands::find;
use super::page::to_b64;
use super::person::Person;
use super::problem::ProblemBody;
use super::{App, FEEDS_MAX, Problem};
use crate::answers::{Part, Reader};

/// How often a silent stream shows that it lives.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// How long an answer may take: an endpoint lets a few queries wait for one another.
const WHOLE_WITHIN: Duration = Duration::from_millis(6 * QUERY_TIME_MS_MAX);

/// One who reads.
struct Stand {
    reader: Reader,
    stop: watch::Receiver<bool>,
    _seat: OwnedSemaphorePermit,
}

/// The answer to a query. Each event `rows` is a part of it: the endpoint, and in `part` the rows
/// message as the endpoint sent it, base64url; the last part of an endpoint carries its signature
/// over all of them, and without it none counts. An event `ended` says why no more comes from an
/// endpoint. The stream ends when every endpoint has answered. An answer can be read once, by an
/// operator who may respond, from its asking until a minute later; it is kept nowhere.
#[utoipa::path(get, path = "/commands/{id}/rows", tag = "commands",
    params(("id" = String, Path, description = "the command's id")),
    responses((status = 200, content_type = "text/event-stream", body = String),
        (status = 401, body = ProblemBody), (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody), (status = 409, body = ProblemBody),
        (status = 429, body = ProblemBody)))]
pub(super) async fn rows(
    State(app): State<App>,
    person: Person,
    Path(id): Path<String>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let seat = app.feeds.clone().try_acquire_owned();
    let full = || Problem::too_many(format!("{FEEDS_MAX} live feeds are open already"), 10);
    let seat = seat.ok().ok_or_else(full)?;
    let command = app
        .work(move |app| {
            let found = find(app, &person, &id)?;
            let command = found.signed.command();
            person.view.require(&command.client, Role::Responder)?;
            Ok(command.id)
        })
        .await?;
    let now = app.collector.clock.now();
    let reader = app.collector.answers.read(command, now).ok_or_else(|| {
        Problem::conflict(
            "there is no answer to read: it is no query, it is not authorised yet, or its answer \
             was read already or waited for too long",
        )
    })?;
    let stand = Stand { reader, stop: app.stop.clone(), _seat: seat };
    let events = stream::unfold(stand, |mut stand| async move {
        let event = stand.next().await?;
        Some((Ok(event), stand))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

impl Stand {
    async fn next(&mut self) -> Option<Event> {
        let part = tokio::select! {
            part = tokio::time::timeout(WHOLE_WITHIN, self.reader.next()) => part.ok().flatten()?,
            _ = self.stop.wait_for(|stop| *stop) => return None,
        };
        Some(match part {
            Part::Rows(endpoint, bytes) => {
                let told = json!({ "endpoint": endpoint, "part": to_b64(bytes) });
                Event::default().event("rows").data(told.to_string())
            }
            Part::Ended(endpoint, why) => {
                let told = json!({ "endpoint": endpoint, "why": why });
                Event::default().event("ended").data(told.to_string())
            }
        })
    }
}
