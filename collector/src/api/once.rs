//! Requests that carry an `Idempotency-Key` are done once: the same one again is answered as before.
//!
//! Only answers that say that it was done are kept, as JSON of up to 256 KiB, for a day. What was
//! refused may be tried again. Where the collector failed or stopped meanwhile nobody knows what was
//! done, and the key stays closed.

use axum::body::{Body, Bytes, HttpBody, to_bytes};
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::person::Person;
use super::shell::BODY_BYTES_MAX;
use super::{App, Problem};
use crate::repeat::{ANSWER_BYTES_MAX, Repeat};
use crate::store::Before;
use crate::time::Time;

/// The header.
const KEY: &str = "idempotency-key";

/// Says that an answer is one given before.
const REPLAYED: &str = "idempotency-replayed";

/// Puts it around the routes.
pub(super) async fn once(State(app): State<App>, request: Request, next: Next) -> Response {
    let changes = [Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
    let is_unsafe = changes.contains(request.method());
    let key = request.headers().get(KEY).filter(|_| is_unsafe).cloned();
    let Some(key) = key else { return next.run(request).await };
    match keyed(&app, &key, request, next).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    }
}

async fn keyed(
    app: &App,
    key: &HeaderValue,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let (mut parts, body) = request.into_parts();
    // Nothing is remembered for nobody; the route itself says so.
    if Person::from_request_parts(&mut parts, app).await.is_err() {
        return Ok(next.run(Request::from_parts(parts, body)).await);
    }
    let Ok(body) = to_bytes(body, BODY_BYTES_MAX).await else {
        let detail = format!("the body is longer than {BODY_BYTES_MAX} bytes, or broke off");
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail));
    };
    let asked = read(key, &parts, &body)?;
    let begun = asked.clone();
    let before = app.work(move |app| {
        let now = Time(app.collector.clock.wall_ns());
        Ok(app.collector.state.begin_once(&begun, now)?)
    });
    match before.await? {
        Before::New => {}
        Before::UnderWay => {
            let detail = "this request came before; it is under way, or the collector stopped \
                          meanwhile: look what was done, and take another key";
            return Err(Problem::conflict(detail));
        }
        Before::Other => {
            return Err(Problem::refused("another request came before under this key"));
        }
        Before::Full => {
            let detail = "too many requests with keys are remembered; send this one without";
            return Err(Problem::too_many(detail, 3600));
        }
        Before::Answered(status, sealed) => return again(&asked, status, &sealed),
    }
    let response = next.run(Request::from_parts(parts, Body::from(body))).await;
    keep(app, asked, response).await
}

fn read(key: &HeaderValue, parts: &Parts, body: &Bytes) -> Result<Repeat, Problem> {
    let path = parts.uri.path_and_query().map_or("", |path| path.as_str());
    let request = [parts.method.as_str().as_bytes(), path.as_bytes(), body.as_ref()];
    let asked = Repeat::new(key.as_bytes(), credential(&parts.headers), &request);
    asked.map_err(|error| Problem::unreadable(error.to_string()))
}

/// What the asker signed in with.
fn credential(headers: &HeaderMap) -> &[u8] {
    let found = headers.get(header::AUTHORIZATION).or_else(|| headers.get(header::COOKIE));
    found.map_or(b"", HeaderValue::as_bytes)
}

/// Keeps an answer that says that it was done.
async fn keep(app: &App, asked: Repeat, response: Response) -> Result<Response, Problem> {
    let status = response.status();
    if status.is_server_error() {
        return Ok(response);
    }
    let size = response.body().size_hint().exact().and_then(|size| usize::try_from(size).ok());
    let is_json = response.headers().get(header::CONTENT_TYPE);
    let is_json = is_json.is_none_or(|kind| kind == "application/json");
    let keeps = status.is_success() && is_json && size.is_some_and(|n| n <= ANSWER_BYTES_MAX);
    let (parts, body) = response.into_parts();
    let (answer, body) = if keeps {
        let bytes = to_bytes(body, ANSWER_BYTES_MAX).await.unwrap_or_default();
        (asked.seal(&bytes).map(|sealed| (status.as_u16(), sealed)), Body::from(bytes))
    } else {
        (None, body)
    };
    let kept = app.work(move |app| Ok(app.collector.state.end_once(&asked, answer)?)).await;
    if kept.is_err() {
        tracing::error!("an answer under an idempotency key was not kept; the key stays closed");
    }
    Ok(Response::from_parts(parts, body))
}

fn again(asked: &Repeat, status: u16, sealed: &[u8]) -> Result<Response, Problem> {
    let opened =
        asked.open(sealed).and_then(|body| Some((StatusCode::from_u16(status).ok()?, body)));
    let Some((status, body)) = opened else {
        return Err(Problem::conflict("this request was answered before; the answer is not kept"));
    };
    let is_empty = body.is_empty();
    let mut response = (status, Body::from(body)).into_response();
    let headers = response.headers_mut();
    if !is_empty {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    headers.insert(REPLAYED, HeaderValue::from_static("true"));
    Ok(response)
}
