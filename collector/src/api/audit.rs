//! The audit trail, as it can be checked anywhere.

use axum::Json;
use axum::extract::State;
use cordon_proto::codec;
use cordon_proto::id::{ClientId, Hash, KeyId, OperatorId};
use cordon_proto::roster::Role;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::page::{Page, Params, limit, to_b64};
use super::person::Person;
use super::problem::ProblemBody;
use super::{App, Problem};
use crate::audit::Entry;
use crate::time::Time;

/// Which entries.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    /// Whose trail.
    client: String,
    /// What an earlier page gave as `next`.
    cursor: Option<u64>,
    /// At most so many, up to 500; 100 if not said.
    limit: Option<usize>,
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

/// What people did at a client, oldest first.
#[utoipa::path(get, path = "/audit", tag = "audit", params(Asked),
    responses((status = 200, body = Page<EntryShown>), (status = 401, body = ProblemBody),
        (status = 404, body = ProblemBody)))]
pub(super) async fn list(
    State(app): State<App>,
    person: Person,
    Params(asked): Params<Asked>,
) -> Result<Json<Page<EntryShown>>, Problem> {
    let client = person.client(&asked.client, Role::Viewer)?;
    let (after, limit) = (asked.cursor.unwrap_or_default(), limit(asked.limit));
    app.work(move |app| {
        let entries = app.collector.state.audit(&client, after, limit + 1)?;
        let shown = entries.into_iter().map(show).collect();
        Ok(Json(Page::cut(shown, limit, |entry: &EntryShown| entry.number.to_string())))
    })
    .await
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
