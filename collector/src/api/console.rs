//! The page at `/`, until the web console is built: it says so, and how to go on.

use axum::Router;
use axum::http::header;
use axum::response::{Html, IntoResponse};
use axum::routing::get;

use super::App;

const PAGE: &str = include_str!("console.html");
const STYLE: &str = include_str!("console.css");

/// Nothing but this page's own style sheet: no script, no frame, no form.
const POLICY: &str = "default-src 'none'; style-src 'self'; frame-ancestors 'none'; \
                      base-uri 'none'; form-action 'none'";

pub(super) fn routes() -> Router<App> {
    Router::new().route("/", get(page)).route("/console.css", get(style))
}

async fn page() -> impl IntoResponse {
    ([(header::CONTENT_SECURITY_POLICY, POLICY)], Html(PAGE))
}

async fn style() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], STYLE)
}
