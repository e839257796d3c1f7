//! The web console: its files, kept in the program since it was compiled, and its page for every
//! address that is the console's own to understand. Where it was not built, a page that says how.

use std::sync::LazyLock;

use axum::Router;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use cordon_proto::id::Hash;

use super::{App, Problem};

/// A file of the console.
struct File {
    /// Where it is asked for.
    path: &'static str,
    plain: &'static [u8],
    /// The same compressed, where that makes it smaller.
    brotli: Option<&'static [u8]>,
}

/// All of them; none where the console was not built before the collector.
const FILES: &[File] = include!(concat!(env!("OUT_DIR"), "/console.rs"));

/// Whether there is a console in this program.
pub(super) const IS_BUILT: bool = !FILES.is_empty();

const INDEX: &str = "/index.html";

/// Names below carry a hash of what is in them: what is there never changes.
const HASHED: &str = "/assets/";

const UNBUILT: &str = include_str!("console.html");
const UNBUILT_STYLE: &str = include_str!("console.css");

/// Nothing but that page's own style sheet: no script, no frame, no form.
const UNBUILT_POLICY: &str = "default-src 'none'; style-src 'self'; frame-ancestors 'none'; \
                              base-uri 'none'; form-action 'none'";

/// Nothing but the console's own files: no inline script or style, no other host, no frame. Text
/// becomes neither markup nor script, not even by a mistake of the console's own (trusted types).
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; \
                      img-src 'self'; connect-src 'self'; frame-ancestors 'none'; \
                      base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; \
                      trusted-types 'none'";

/// On every file, beside what every answer has.
///
/// Who opens the console gets no hold of its window; windows that it opens itself keep theirs, for
/// the signing page hands a signature back to the window that opened it.
const HEADERS: [(HeaderName, &str); 5] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::CACHE_CONTROL, "no-cache"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin-allow-popups"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
    ),
];

/// The hash of each file, as browsers name what they hold.
static TAGS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let tag = |file: &File| {
        let hash = Hash::of(file.plain).to_string();
        format!("\"{}\"", hash.get(..32).unwrap_or_default())
    };
    FILES.iter().map(tag).collect()
});

pub(super) fn routes() -> Router<App> {
    if IS_BUILT {
        return FILES
            .iter()
            .fold(Router::new(), |router, file| router.route(file.path, get(file_of)));
    }
    Router::new().route("/", get(unbuilt)).route("/console.css", get(unbuilt_style))
}

/// What no route knows: the console's page for a browser that asks for a page, for the console has
/// addresses of its own; a problem for everybody else.
pub(super) async fn fallback(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let wants_page = accept.is_some_and(|kinds| kinds.contains("text/html")) || uri.path() == "/";
    let is_ours = !uri.path().starts_with("/api/") && !uri.path().starts_with(HASHED);
    if wants_page && is_ours && method.is_safe() {
        return answer(INDEX, &headers);
    }
    Problem::not_found().into_response()
}

async fn file_of(uri: Uri, headers: HeaderMap) -> Response {
    answer(uri.path(), &headers)
}

async fn unbuilt() -> impl IntoResponse {
    ([(header::CONTENT_SECURITY_POLICY, UNBUILT_POLICY)], Html(UNBUILT))
}

async fn unbuilt_style() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], UNBUILT_STYLE)
}

fn answer(path: &str, asked: &HeaderMap) -> Response {
    let known = FILES.iter().zip(TAGS.iter()).find(|(file, _)| file.path == path);
    let Some((file, tag)) = known else { return Problem::not_found().into_response() };
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind(path)));
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if path.starts_with(HASHED) {
        let forever = HeaderValue::from_static("public, max-age=31536000, immutable");
        headers.insert(header::CACHE_CONTROL, forever);
    }
    if let Ok(tag) = HeaderValue::from_str(tag) {
        headers.insert(header::ETAG, tag);
    }
    if names(asked, &header::IF_NONE_MATCH, tag) {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    match file.brotli.filter(|_| names(asked, &header::ACCEPT_ENCODING, "br")) {
        Some(small) => {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("br"));
            (headers, small).into_response()
        }
        None => (headers, file.plain).into_response(),
    }
}

/// Whether a header that is a list has this word.
fn names(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|one| {
        let one = one.split(';').next().unwrap_or_default().trim();
        one.trim_start_matches("W/") == word
    })
}

fn kind(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("woff2") => "font/woff2",
        Some(_) | None => "application/octet-stream",
    }
}
