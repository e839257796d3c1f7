//! One person's connection: HTTP over TLS, handed to the router of the API.

use std::net::SocketAddr;
use std::time::Duration;

use axum::extract::ConnectInfo;
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::sync::watch;

use crate::door::Stream;

/// How much of a request's head is read.
const HEAD_BYTES_MAX: usize = 32 << 10;

/// Serves one connection of the people's door.
pub async fn serve(
    router: Router,
    stream: Stream,
    address: SocketAddr,
    head_max: Duration,
    mut stop: watch::Receiver<bool>,
) {
    // The router sees who calls, for its limits.
    let service = router.layer(Extension(ConnectInfo(address)));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_max)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        _ = stop.wait_for(|stop| *stop) => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%address, %error, "a person's connection ended early");
    }
}
