//! What people say of an endpoint: where it stands, what it is for, how much hangs on it.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::{Path, State};
use cordon_proto::roster::Role;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use super::super::page::Body;
use super::super::person::Person;
use super::super::problem::ProblemBody;
use super::super::{App, Problem};
use super::find;
use crate::audit::Deed;
use crate::estate::{self, Criticality, EstateError, Note, Word};
use crate::store::EstateChange;

/// What is to be said of an endpoint from now on; what is left out stays as it is.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "site": "hq", "labels": ["web", "env=prod"], "criticality": "high" }))]
pub(crate) struct EndpointChange {
    /// The name of one of the client's sites; null for none.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    site: Option<Option<Word>>,
    /// All its labels: words of up to 64 of a-z, 0-9 and . _ - : / =, at most 32 of them.
    #[serde(default)]
    #[schema(value_type = Option<Vec<String>>)]
    labels: Option<BTreeSet<Word>>,
    /// How much hangs on it.
    #[serde(default)]
    criticality: Option<Criticality>,
    /// What it is for, up to 128 bytes; empty for nothing said.
    #[serde(default)]
    role: Option<String>,
    /// Refuse the change unless this is still the revision.
    #[serde(default)]
    revision: Option<u64>,
}

/// What people say of an endpoint. It is the collector's own knowledge: what endpoints obey, and
/// which of them need two persons, is decided by signed policy alone.
#[derive(Serialize, ToSchema)]
pub(crate) struct NoteShown {
    /// Where it stands.
    #[schema(value_type = Option<String>)]
    site: Option<Word>,
    /// Words to find it by.
    #[schema(value_type = Vec<String>)]
    labels: BTreeSet<Word>,
    /// How much hangs on it, as people see it.
    criticality: Criticality,
    /// What it is for; empty where nobody said.
    role: String,
    /// Grows with every change of these; 0 where nobody said anything.
    revision: u64,
}

impl From<Note> for NoteShown {
    fn from(note: Note) -> Self {
        let Note { site, labels, criticality, role, revision } = note;
        Self { site, labels, criticality, role, revision }
    }
}

/// A member that is there, though it be null.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<Word>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// Changes what people say of an endpoint. It helps to find and to weigh, and decides nothing on the
/// endpoint. In the client's audit trail.
#[utoipa::path(patch, path = "/endpoints/{id}", tag = "endpoints",
    params(("id" = String, Path, description = "the endpoint's id")),
    request_body = EndpointChange,
    responses((status = 200, body = NoteShown), (status = 400, body = ProblemBody),
        (status = 401, body = ProblemBody), (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody), (status = 409, body = ProblemBody),
        (status = 413, body = ProblemBody), (status = 422, body = ProblemBody)))]
pub(in crate::api) async fn change(
    State(app): State<App>,
    person: Person,
    Path(id): Path<String>,
    body: Body,
) -> Result<Json<NoteShown>, Problem> {
    app.work(move |app| {
        let endpoint = find(app, &person, &id)?;
        person.view.require(&endpoint.client, Role::Responder)?;
        let asked: EndpointChange = body.read()?;
        let state = &app.collector.state;
        let mut note = state.notes(&[endpoint.id])?.remove(&endpoint.id).unwrap_or_default();
        if let Some(expected) = asked.revision.filter(|expected| *expected != note.revision) {
            return Err(moved(expected, note.revision));
        }
        let refused = |error: EstateError| Problem::refused(error.to_string());
        let mut said = Vec::new();
        if let Some(site) = asked.site {
            said.push(format!("site {}", site.as_ref().map_or("none", Word::as_str)));
            note.site = site;
        }
        if let Some(labels) = asked.labels {
            note.labels = estate::labels(labels).map_err(refused)?;
            let words: Vec<&str> = note.labels.iter().map(Word::as_str).collect();
            said.push(format!("labels {}", words.join(",")));
        }
        if let Some(criticality) = asked.criticality {
            said.push(format!("criticality {}", criticality.name()));
            note.criticality = criticality;
        }
        if let Some(role) = asked.role {
            note.role = estate::text(role).map_err(refused)?;
            said.push(format!("role {:?}", note.role));
        }
        if said.is_empty() {
            return Ok(Json(note.into()));
        }
        let (deed, to) = (Deed::EndpointNote, endpoint.id.to_string());
        let act = person.act(&endpoint.client, Role::Responder, deed, to, said.join("; "))?;
        let now_ns = app.collector.clock.wall_ns();
        match state.put_note(&endpoint.client, endpoint.id, &note, act, now_ns)? {
            EstateChange::Done => {}
            EstateChange::NoSite => {
                let site = note.site.as_ref().map_or("", Word::as_str);
                let client = endpoint.client;
                return Err(Problem::refused(format!("client {client} has no site {site}")));
            }
            EstateChange::Moved(now) => return Err(moved(note.revision, now)),
            EstateChange::Taken | EstateChange::InUse(_) => {
                return Err(Problem::conflict("what people say of this endpoint has changed"));
            }
        }
        note.revision += 1;
        Ok(Json(note.into()))
    })
    .await
}

fn moved(expected: u64, now: u64) -> Problem {
    Problem::conflict(format!("somebody changed it meanwhile: revision {expected} is {now} now"))
}
