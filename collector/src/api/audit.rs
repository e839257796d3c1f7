//! The audit trail, as it can be checked anywhere.

use axum::Json;
use axum::body::Body as Answer;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use cordon_proto::codec;
use cordon_proto::id::{ClientId, Hash, KeyId, OperatorId};
use cordon_proto::roster::Role;
use futures_util::stream;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::page::{Page, Params, limit, to_b64};
use super::person::Person;
use super::problem::ProblemBody;
use super::{App, Problem};
use crate::audit::{Deed, Entry, Head};
use crate::time::Time;

/// Entries read at once.
const READ_MAX: usize = 500;

/// Entries that one page looks at: more takes another page.
const LOOKED_MAX: usize = 20_000;

/// Which entries.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    /// Whose trail.
    client: String,
    /// What this person did.
    who: Option<String>,
    /// Deeds of this name, or of these, with commas between: `token.create`.
    what: Option<String>,
    /// With this in what it was done to, or in the detail; any case.
    text: Option<String>,
    /// Not before this (RFC 3339).
    since: Option<String>,
    /// Not after this (RFC 3339).
    until: Option<String>,
    /// `oldest` first (the default), or `newest` first.
    #[param(inline)]
    order: Option<Order>,
    /// What an earlier page gave as `next`.
    cursor: Option<u64>,
    /// At most so many, up to 500; 100 if not said.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
}

/// From which end.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Order {
    /// The oldest first.
    #[default]
    Oldest,
    /// The latest first.
    Newest,
}

/// Which trail is taken out.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExportAsked {
    /// Whose trail.
    client: String,
    /// Only entries after this number.
    after: Option<u64>,
}

/// An entry.
#[derive(Serialize, ToSchema)]
pub(crate) struct EntryShown {
    /// Its number in the client's trail, from 1.
    number: u64,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    at: Time,
    /// Whose trail.
    #[schema(value_type = String)]
    client: ClientId,
    /// Who.
    #[schema(value_type = String)]
    who: OperatorId,
    /// The key that the session was opened with.
    #[schema(value_type = String)]
    key: KeyId,
    /// What was done.
    what: &'static str,
    /// To what.
    to: String,
    /// What else is known.
    detail: String,
    /// The hash of the entry before; zeros for the first.
    #[schema(value_type = String)]
    previous: Hash,
    /// SHA-256 of `entry`: what the next one names.
    #[schema(value_type = String)]
    hash: Hash,
    /// The entry's deterministic CBOR, base64url, so that the chain can be checked elsewhere.
    entry: String,
}

/// What people did at a client. A page looks at 20,000 entries at most, and may be empty and have a
/// next one.
#[utoipa::path(get, path = "/audit", tag = "audit", params(Asked),
    responses((status = 200, body = Page<EntryShown>), (status = 400, body = ProblemBody),
        (status = 401, body = ProblemBody), (status = 404, body = ProblemBody)))]
pub(super) async fn list(
    State(app): State<App>,
    person: Person,
    Params(asked): Params<Asked>,
) -> Result<Json<Page<EntryShown>>, Problem> {
    let client = person.client(&asked.client, Role::Viewer)?;
    let order = asked.order.unwrap_or_default();
    let (mut cursor, limit) = (asked.cursor, limit(asked.limit));
    let wanted = Wanted::read(asked)?;
    app.work(move |app| {
        let state = &app.collector.state;
        let (mut items, mut looked) = (Vec::new(), 0);
        loop {
            let entries = match order {
                Order::Oldest => state.audit(&client, cursor.unwrap_or_default(), READ_MAX)?,
                Order::Newest => {
                    let before = cursor.unwrap_or(u64::MAX >> 1);
                    state.audit_before(&client, before, READ_MAX)?
                }
            };
            if entries.is_empty() {
                return Ok(Json(Page { items, next: None }));
            }
            for entry in entries {
                // One more than fits shows that there is a next page.
                if items.len() == limit || looked == LOOKED_MAX {
                    return Ok(Json(Page { items, next: cursor.map(|at| at.to_string()) }));
                }
                cursor = Some(entry.number);
                looked += 1;
                if wanted.fits(&entry) {
                    items.push(show(entry));
                }
            }
        }
    })
    .await
}

/// A client's whole trail as lines of JSON, each entry with its hash and its bytes, and at the end
/// where the trail ends: whoever keeps that line can show later that nothing before it was changed.
/// `cordon audit verify` checks it. That it was taken out is the trail's next entry.
#[utoipa::path(get, path = "/audit/export", tag = "audit", params(ExportAsked),
    responses((status = 200, content_type = "application/x-ndjson", body = String),
        (status = 400, body = ProblemBody), (status = 401, body = ProblemBody),
        (status = 404, body = ProblemBody)))]
pub(super) async fn export(
    State(app): State<App>,
    person: Person,
    Params(asked): Params<ExportAsked>,
) -> Result<impl IntoResponse, Problem> {
    let client = person.client(&asked.client, Role::Viewer)?;
    let after = asked.after.unwrap_or_default();
    let (theirs, of) = (person, client.clone());
    let end = app
        .work(move |app| {
            let end = app.collector.state.audit_head(&of)?;
            let detail = format!("entries {} to {}", after.saturating_add(1), end.number);
            let to = "the audit trail";
            let act = theirs.act(&of, Role::Viewer, Deed::Export, to, detail)?;
            app.collector.state.record(vec![act], app.collector.clock.wall_ns())?;
            Ok(end)
        })
        .await?;
    let lines = stream::unfold(Some(after), move |after| {
        let (app, client) = (app.clone(), client.clone());
        async move {
            let after = after?;
            let read =
                app.work(move |app| Ok(app.collector.state.audit(&client, after, READ_MAX)?));
            match read.await {
                Ok(entries) => Some((Ok(lines(entries, end)), next(after, end))),
                Err(_) => Some((Err(std::io::Error::other("the trail cannot be read")), None)),
            }
        }
    });
    let headers = [
        (header::CONTENT_TYPE, "application/x-ndjson"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"audit.ndjson\""),
    ];
    Ok((headers, Answer::from_stream(lines)))
}

/// Where the next part of an export begins.
fn next(after: u64, end: Head) -> Option<u64> {
    let next = after.saturating_add(u64::try_from(READ_MAX).unwrap_or(u64::MAX));
    (next < end.number).then_some(next)
}

/// Entries up to the end as lines; after the last one, the end itself.
fn lines(entries: Vec<Entry>, end: Head) -> String {
    let mut text = String::new();
    let mut is_last = entries.is_empty();
    for entry in entries.into_iter().filter(|entry| entry.number <= end.number) {
        is_last |= entry.number == end.number;
        text.push_str(&serde_json::to_string(&show(entry)).unwrap_or_default());
        text.push('\n');
    }
    if is_last {
        let end = serde_json::json!({ "end": { "number": end.number, "hash": end.hash } });
        text.push_str(&end.to_string());
        text.push('\n');
    }
    text
}

/// What entries must have.
struct Wanted {
    who: Option<String>,
    what: Vec<String>,
    text: Option<String>,
    since: Option<Time>,
    until: Option<Time>,
}

impl Wanted {
    fn read(asked: Asked) -> Result<Self, Problem> {
        let time = |field: &str, text: Option<String>| {
            let wrong = |error| Problem::unreadable(format!("`{field}`: {error}"));
            text.map(|text| text.parse::<Time>().map_err(wrong)).transpose()
        };
        let what = asked.what.unwrap_or_default();
        let what = what.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
        Ok(Self {
            who: asked.who,
            what,
            text: asked.text.map(|text| text.to_lowercase()),
            since: time("since", asked.since)?,
            until: time("until", asked.until)?,
        })
    }

    fn fits(&self, entry: &Entry) -> bool {
        let has = |text: &str, part: &String| text.to_lowercase().contains(part.as_str());
        self.who.as_deref().is_none_or(|who| entry.who.as_str() == who)
            && (self.what.is_empty() || self.what.iter().any(|what| what == entry.what.name()))
            && self
                .text
                .as_ref()
                .is_none_or(|text| has(&entry.to, text) || has(&entry.detail, text))
            && self.since.is_none_or(|since| entry.time_ns >= since.0)
            && self.until.is_none_or(|until| entry.time_ns <= until.0)
    }
}

fn show(entry: Entry) -> EntryShown {
    EntryShown {
        number: entry.number,
        at: Time(entry.time_ns),
        hash: entry.hash(),
        entry: to_b64(codec::encode(&entry)),
        client: entry.client,
        who: entry.who,
        key: entry.key,
        what: entry.what.name(),
        to: entry.to,
        detail: entry.detail,
        previous: entry.previous,
    }
}
