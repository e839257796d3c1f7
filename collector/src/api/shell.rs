//! What stands around every route: limits on size and time, headers that keep browsers honest, and
//! answers for what is not there.

mod etag;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::header::{self, HeaderName};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use cordon_proto::limits::DOCUMENT_BYTES_MAX;
use std::sync::atomic::Ordering;

use super::{App, Problem, console};

/// A signed document in base64, with its JSON around it.
pub(super) const BODY_BYTES_MAX: usize = DOCUMENT_BYTES_MAX / 3 * 4 + 1024;

/// What browsers show of an answer's time.
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// On every answer. The console's files have their own policy for content, and may be kept.
const HEADERS: [(HeaderName, &str); 4] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::STRICT_TRANSPORT_SECURITY, "max-age=31536000"),
];

/// Puts all of it around the routes.
pub(super) fn around(routes: Router<App>, app: &App) -> Router<App> {
    routes
        .fallback(console::fallback)
        .method_not_allowed_fallback(other_method)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn(etag::etag))
        .layer(middleware::from_fn(sized))
        .layer(middleware::from_fn_with_state(app.clone(), timely))
        .layer(middleware::from_fn(headers))
        .layer(middleware::from_fn_with_state(app.clone(), counted))
}

async fn other_method() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this path does not know that method")
}

/// A body that says it is too large is refused before any of it is waited for.
async fn sized(request: Request, next: Next) -> Response {
    let length = request.headers().get(header::CONTENT_LENGTH);
    let declared = length.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let too_large = |bytes: &u64| usize::try_from(*bytes).map_or(true, |n| n > BODY_BYTES_MAX);
    match declared.filter(too_large) {
        None => next.run(request).await,
        Some(bytes) => {
            let detail = format!("the body is {bytes} bytes long; the limit is {BODY_BYTES_MAX}");
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail).into_response()
        }
    }
}

async fn timely(State(app): State<App>, request: Request, next: Next) -> Response {
    let answer_max = app.collector.config.patience.answer;
    match tokio::time::timeout(answer_max, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let detail = format!("there was no answer within {} s", answer_max.as_secs());
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).into_response()
        }
    }
}

/// Counts answers by the hundreds of their status, and says of what was read how long it took: never
/// of a refusal or a change, where it could tell a guesser something.
async fn counted(State(app): State<App>, request: Request, next: Next) -> Response {
    let clock = &app.collector.clock;
    let (reads, begun) = (request.method().is_safe(), clock.now());
    let mut response = next.run(request).await;
    let status = response.status();
    let class = usize::from(status.as_u16() / 100).saturating_sub(1);
    if let Some(count) = app.answers.get(class) {
        count.fetch_add(1, Ordering::Relaxed);
    }
    if reads && status.is_success() {
        let took_ms = clock.now().saturating_sub(begun).as_secs_f64() * 1000.0;
        if let Ok(timing) = HeaderValue::from_str(&format!("app;dur={took_ms:.1}")) {
            response.headers_mut().insert(SERVER_TIMING, timing);
        }
    }
    response
}

async fn headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let nothing = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
    let policy = headers.entry(header::CONTENT_SECURITY_POLICY);
    policy.or_insert(HeaderValue::from_static(nothing));
    let kept = headers.entry(header::CACHE_CONTROL);
    kept.or_insert(HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::routing::post;
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn a_body_that_says_it_is_too_large_is_refused_though_it_never_comes() {
        let routes = Router::new().route("/", post(|_body: String| async { "taken" }));
        let routes = routes.layer(middleware::from_fn(sized));
        let never = futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>();
        let request = Request::post("/")
            .header(header::CONTENT_LENGTH, "99999999999")
            .body(Body::from_stream(never))
            .unwrap();
        let answer = routes.oneshot(request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
    }
}
