//! Collected evidence: what there is, and an archive itself, from any place in it.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use axum::Json;
use axum::body::{Body as Answer, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use cordon_proto::collection::Archive;
use cordon_proto::id::{ClientId, CommandId, EndpointId, Hash};
use cordon_proto::roster::Role;
use futures_util::stream;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::commands::find;
use super::page::{Page, PageAsked, Params, to_b64};
use super::person::Person;
use super::problem::ProblemBody;
use super::{App, Problem};
use crate::audit::Deed;
use crate::collections::{Held, LISTED_MAX, Sender};
use crate::time::Time;

/// Read and sent at once.
const CHUNK_BYTES: usize = 256 << 10;

/// Which collections.
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

/// An archive of evidence.
#[derive(Serialize, ToSchema)]
pub(crate) struct Collection {
    /// Whose endpoint.
    #[schema(value_type = String)]
    client: ClientId,
    /// The command that asked for it.
    #[schema(value_type = String)]
    command: CommandId,
    /// Which endpoint.
    #[schema(value_type = String)]
    endpoint: EndpointId,
    /// When it was finished, by the endpoint's clock.
    #[schema(value_type = String, format = DateTime)]
    at: Time,
    /// How long it is.
    bytes: u64,
    /// How much of it is here.
    received: u64,
    /// Whether it is here whole, with the digest that its endpoint signed.
    whole: bool,
    /// SHA-256 of the archive as it travelled.
    #[schema(value_type = String)]
    sha256: Hash,
    /// Whether it is sealed to those who may read it: then nobody else can open it.
    sealed: bool,
    /// Sources and files in it.
    entries: u64,
    /// What was asked for and is not in it, or not whole.
    missing: u64,
    /// Whether a limit kept something out.
    cut: bool,
    /// What the endpoint signed about it: COSE_Sign1, base64url.
    signed: String,
}

/// Collections, the oldest command first.
#[utoipa::path(get, path = "/collections", tag = "commands", params(Asked),
    responses((status = 200, body = Page<Collection>), (status = 401, body = ProblemBody),
        (status = 404, body = ProblemBody)))]
pub(super) async fn list(
    State(app): State<App>,
    person: Person,
    Params(asked): Params<Asked>,
) -> Result<Json<Page<Collection>>, Problem> {
    let clients = person.clients(asked.client.as_deref())?;
    app.work(move |app| {
        let mut items = Vec::new();
        for client in clients {
            items.extend(app.collector.collections.list(&client)?.into_iter().map(show));
        }
        items.sort_by_key(|item| (item.command, item.endpoint));
        items.truncate(LISTED_MAX);
        // Names sort as what they are made of.
        let name = |item: &Collection| format!("{}.{}", item.command, item.endpoint);
        Ok(Json(Page::part(items, PageAsked::new(asked.cursor, asked.limit), name)))
    })
    .await
}

/// An archive, once it is whole; `Range: bytes=N-` goes on where an earlier try ended. Only for
/// operators who may respond: it holds what stands on the endpoint, secrets in files included. Sealed
/// to those who may collect (`application/octet-stream`), or not (`application/zstd`).
#[utoipa::path(get, path = "/collections/{command}/{endpoint}", tag = "commands",
    params(("command" = String, Path, description = "the command's id"),
        ("endpoint" = String, Path, description = "the endpoint's id")),
    responses((status = 200, content_type = "application/zstd", body = Vec<u8>),
        (status = 206, content_type = "application/zstd", body = Vec<u8>),
        (status = 401, body = ProblemBody), (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody), (status = 409, body = ProblemBody),
        (status = 416, body = ProblemBody)))]
pub(super) async fn download(
    State(app): State<App>,
    person: Person,
    Path((command, endpoint)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let wanted =
        headers.get(header::RANGE).map(|value| value.to_str().unwrap_or_default().to_owned());
    let (file, first, archive) = app
        .work(move |app| {
            let found = find(app, &person, &command)?;
            let command = found.signed.command();
            person.view.require(&command.client, Role::Responder)?;
            let endpoint: EndpointId = endpoint.parse().ok().ok_or_else(Problem::not_found)?;
            let from = Sender { client: &command.client, endpoint };
            let held = app.collector.collections.find(from, command.id)?;
            let held = held.ok_or_else(Problem::not_found)?;
            let Some(file) = held.file else {
                let (received, bytes) = (held.received, held.collected.archive.bytes);
                let detail = format!("{received} of {bytes} bytes are here; try again later");
                return Err(Problem::conflict(detail));
            };
            let archive = held.collected.archive;
            let bytes = archive.bytes;
            let first = wanted.as_deref().map(|range| from_here(range, bytes)).transpose()?;
            let detail = format!("the collection of command {}", command.id);
            let to = endpoint.to_string();
            let act = person.act(&command.client, Role::Responder, Deed::Export, to, detail)?;
            app.collector.state.record(vec![act], app.collector.clock.wall_ns())?;
            let mut file = File::open(file)?;
            file.seek(SeekFrom::Start(first.unwrap_or(0)))?;
            Ok((file, first, archive))
        })
        .await?;
    Ok(send(file, first, &archive))
}

/// The first byte of a range that goes to the end; others are not needed and not understood.
fn from_here(range: &str, bytes: u64) -> Result<u64, Problem> {
    let first = range.strip_prefix("bytes=").and_then(|range| range.strip_suffix('-'));
    let first = first.and_then(|digits| digits.parse().ok()).filter(|first| *first < bytes);
    first.ok_or_else(|| {
        let detail = format!("only 'bytes=N-' is understood here, with N below {bytes}");
        Problem::new(StatusCode::RANGE_NOT_SATISFIABLE, detail)
    })
}

fn send(file: File, first: Option<u64>, archive: &Archive) -> Response {
    let bytes = archive.bytes;
    let left = bytes - first.unwrap_or(0);
    let chunks = stream::unfold(Some((file, left)), |state| async move {
        let (file, left) = state.filter(|(_, left)| *left > 0)?;
        let read = tokio::task::spawn_blocking(move || chunk(file, left)).await;
        Some(match read.unwrap_or_else(|error| Err(io::Error::other(error))) {
            Ok((chunk, rest)) => (Ok(chunk), Some(rest)),
            Err(error) => {
                tracing::error!(%error, "collected evidence cannot be read");
                (Err(error), None)
            }
        })
    });
    let sealed = archive.inside.is_some();
    let content_type = if sealed { "application/octet-stream" } else { "application/zstd" };
    let headers = [
        (header::CONTENT_TYPE, content_type.to_owned()),
        (header::CONTENT_LENGTH, left.to_string()),
        (header::ACCEPT_RANGES, "bytes".to_owned()),
    ];
    let status = if first.is_some() { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    let mut response = (status, headers, Answer::from_stream(chunks)).into_response();
    let range = first.map(|first| format!("bytes {first}-{}/{bytes}", bytes.saturating_sub(1)));
    if let Some(range) = range.and_then(|range| range.parse().ok()) {
        response.headers_mut().insert(header::CONTENT_RANGE, range);
    }
    response
}

fn chunk(mut file: File, left: u64) -> io::Result<(Bytes, (File, u64))> {
    let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(CHUNK_BYTES);
    let mut chunk = vec![0; wanted];
    file.read_exact(&mut chunk)?;
    let left = left.saturating_sub(u64::try_from(wanted).unwrap_or(left));
    Ok((chunk.into(), (file, left)))
}

fn show(held: Held) -> Collection {
    let archive = held.collected.archive;
    Collection {
        client: held.client,
        command: held.collected.command,
        endpoint: held.collected.endpoint,
        at: Time(archive.time_ns),
        bytes: archive.bytes,
        received: held.received,
        whole: held.file.is_some(),
        sha256: archive.sha256,
        sealed: archive.inside.is_some(),
        entries: archive.entries,
        missing: archive.missing,
        cut: archive.cut,
        signed: to_b64(held.signed.bytes),
    }
}
