//! Events as they come in: server-sent events, from the log where a reader left off, then from the
//! bus, without a hole or a double between.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::Stream;
use futures_util::stream;
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::events::{AskedLive, query};
use super::page::Params;
use super::person::Person;
use super::problem::ProblemBody;
use super::{App, FEEDS_MAX, Problem};
use crate::bus::{Heard, Listener};
use crate::search::{Cursor, Query};
use crate::store::{Arrival, Position};

/// Batches read at once while catching up.
const CATCH_UP_BATCHES: usize = 16;

/// Events made ready at once: a batch may carry many thousand lines. What is left of it is read again
/// from the log once these are gone.
const READY_MAX: usize = 1024;

/// How often a silent feed shows that it lives; keeps proxies from cutting it.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// How often a feed looks whether its session or token was ended.
const LOOK_UP: Duration = Duration::from_secs(15);

/// One reader.
struct Feed {
    app: App,
    person: Person,
    /// When it was last looked whether the person may still read.
    looked: Duration,
    query: Query,
    listener: Listener,
    /// Everything up to here was looked at.
    at: Cursor,
    /// Up to here the log is read before the bus is listened to.
    until: Position,
    ready: VecDeque<Event>,
    stop: watch::Receiver<bool>,
    _seat: OwnedSemaphorePermit,
}

/// Events as they come in. The `id` of each is a cursor: a reader that connects again with it as
/// `Last-Event-ID` misses nothing and gets nothing twice. A reader that is too slow is sent an
/// event `missed` with the count of batches it missed and where it left off. The feed ends with the
/// session or token, and when the roster no longer has its key.
#[utoipa::path(get, path = "/events/live", tag = "events",
    params(AskedLive, ("Last-Event-ID" = Option<String>, Header, description = "go on after this")),
    responses((status = 200, content_type = "text/event-stream", body = String),
        (status = 401, body = ProblemBody), (status = 404, body = ProblemBody),
        (status = 429, body = ProblemBody)))]
pub(super) async fn feed(
    State(app): State<App>,
    person: Person,
    Params(asked): Params<AskedLive>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let resume = match headers.get("last-event-id").map(|id| id.to_str()) {
        None => None,
        Some(id) => {
            let cursor = id.ok().and_then(|id| id.parse::<Cursor>().ok());
            let wrong = || Problem::unreadable("`Last-Event-ID` is not one that a feed gave");
            Some(cursor.ok_or_else(wrong)?)
        }
    };
    let seat = app.feeds.clone().try_acquire_owned();
    let full = || Problem::too_many(format!("{FEEDS_MAX} live feeds are open already"), 10);
    let seat = seat.ok().ok_or_else(full)?;
    // Listening begins before the log's end is read, so that nothing falls between.
    let listener = app.collector.bus.listen();
    let feed = app
        .work(move |app| {
            let query = query(app, &person, asked)?;
            let until = app.collector.log.end()?;
            let at = resume.unwrap_or(Cursor::behind(until));
            let ready = VecDeque::new();
            let (app, stop) = (app.clone(), app.stop.clone());
            let looked = app.collector.clock.now();
            Ok(Feed { app, person, looked, query, listener, at, until, ready, stop, _seat: seat })
        })
        .await?;
    let events = stream::unfold(feed, |mut feed| async move {
        let event = feed.next().await?;
        Some((Ok(event), feed))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

impl Feed {
    /// The next event; none when the feed ends.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if !self.may_go_on().await {
                return None;
            }
            if self.at < Cursor::behind(self.until) {
                self.catch_up().await.ok()?;
                continue;
            }
            let heard = tokio::select! {
                heard = self.listener.next() => heard?,
                _ = self.stop.wait_for(|stop| *stop) => return None,
                () = tokio::time::sleep(LOOK_UP) => continue,
            };
            match heard {
                Heard::Arrival(arrival) => self.look_at(&arrival),
                Heard::Missed(batches) => self.say_missed(batches),
            }
        }
    }

    /// Reads the log from where the reader is.
    async fn catch_up(&mut self) -> Result<(), Problem> {
        // The batch of the place itself is read again: some of its events may be left.
        let after = Position(self.at.position.0.saturating_sub(1));
        let read = move |app: &App| Ok(app.collector.log.read_after(after, CATCH_UP_BATCHES)?);
        let batches = self.app.work(read).await?;
        if batches.is_empty() {
            self.at = Cursor::behind(self.until);
        }
        for batch in batches {
            let position = batch.position;
            if self.ready.len() >= READY_MAX {
                break;
            }
            if !self.query.clients.contains(&batch.client) {
                self.at = self.at.max(Cursor::behind(position));
                continue;
            }
            match batch.unpack() {
                Ok(arrival) => self.look_at(&arrival),
                Err(error) => {
                    tracing::error!(position = position.0, %error, "a stored batch cannot be unpacked");
                    self.at = self.at.max(Cursor::behind(position));
                }
            }
        }
        Ok(())
    }

    /// Takes what is wanted of a batch and was not looked at before, as far as there is room.
    fn look_at(&mut self, arrival: &Arrival) {
        let after = self.at;
        for (cursor, json) in self.query.matching(arrival).filter(|(cursor, _)| *cursor > after) {
            let event = Event::default().id(cursor.to_string()).data(json.to_string());
            self.ready.push_back(event);
            if self.ready.len() >= READY_MAX {
                (self.at, self.until) = (cursor, self.until.max(arrival.position));
                return;
            }
        }
        self.at = after.max(Cursor::behind(arrival.position));
    }

    fn say_missed(&mut self, batches: u64) {
        let left_off = self.at;
        let told = serde_json::json!({ "batches": batches, "after": left_off.to_string() });
        self.ready.push_back(Event::default().event("missed").data(told.to_string()));
    }

    /// Whether the person may still read all of it: by the roster at every event, by the session or
    /// token once in a while. Reading counts as use.
    async fn may_go_on(&mut self) -> bool {
        let now = self.app.collector.clock.now();
        if now >= self.looked + LOOK_UP {
            self.looked = now;
            match self.person.again(&self.app).await {
                Ok(person) => self.person = person,
                Err(_) => return false,
            }
        }
        let view = self.app.tenants.view(self.person.view.key());
        let sees = |client| view.sees(client) && self.person.view.sees(client);
        self.query.clients.iter().all(sees)
    }
}
