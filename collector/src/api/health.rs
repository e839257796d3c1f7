//! Whether the collector works, and what it can be asked: the two routes that need no session.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;

use super::problem::ProblemBody;
use super::{App, Problem};

/// Whether it works.
#[derive(Serialize, ToSchema)]
pub(crate) struct Health {
    /// `ok`; anything else is told as a problem.
    status: &'static str,
    /// The collector's version.
    version: &'static str,
}

/// Whether the collector can read its log and its state.
#[utoipa::path(get, path = "/health", tag = "collector", responses(
    (status = 200, body = Health), (status = 503, body = ProblemBody)))]
pub(super) async fn health(State(app): State<App>) -> Result<Json<Health>, Problem> {
    let read = app.work(|app| {
        app.collector.log.end()?;
        app.collector.state.derived_to()?;
        Ok(())
    });
    match read.await {
        Ok(()) => Ok(Json(Health { status: "ok", version: env!("CARGO_PKG_VERSION") })),
        Err(_) => {
            let detail = "the collector cannot read what it keeps; its log says why";
            Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail))
        }
    }
}

/// This document.
#[utoipa::path(get, path = "/openapi.json", tag = "collector",
    responses((status = 200, description = "OpenAPI 3.1", body = Object)))]
pub(super) async fn openapi(State(app): State<App>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], app.openapi.clone())
}
