//! The signing page on this machine, and one command at a time handed to it.
//!
//! The page's own files are part of the program; nothing of it comes from a collector. Only this
//! machine reaches it, by the name `localhost`, which is where its passkeys belong.

mod ask;
mod page;

use std::net::{Ipv4Addr, Ipv6Addr};

use axum::Router;
use tokio::net::TcpListener;

pub use ask::{AskError, ask};
pub use page::FILES;

/// Where the page is served if nothing else is said: 9443.
pub const PORT: u16 = 9443;

/// Why the page is not served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Somebody else is there, or this machine has no such address.
    #[error("cannot serve the signing page on port {port} of localhost")]
    Bind {
        /// The port.
        port: u16,
        /// What the system says.
        #[source]
        error: std::io::Error,
    },
    /// It was served, and then no more.
    #[error("the signing page was served and then no more")]
    Serve(#[source] std::io::Error),
}

/// The page's origin.
#[must_use]
pub fn origin(port: u16) -> String {
    format!("http://localhost:{port}")
}

/// Browsers try both addresses of localhost; either one is enough.
async fn listen(port: u16) -> Result<Vec<TcpListener>, ServeError> {
    let four = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
    let six = TcpListener::bind((Ipv6Addr::LOCALHOST, port)).await;
    match (four, six) {
        // Whoever holds the other address would be handed what is meant for us.
        (Err(error), _) | (Ok(_), Err(error)) if error.kind() == std::io::ErrorKind::AddrInUse => {
            Err(ServeError::Bind { port, error })
        }
        (Err(error), Err(_)) => Err(ServeError::Bind { port, error }),
        (four, six) => Ok(four.into_iter().chain(six).collect()),
    }
}

async fn serve(listeners: Vec<TcpListener>, router: Router) -> Result<(), ServeError> {
    let each = listeners
        .into_iter()
        .map(|listener| Box::pin(async { axum::serve(listener, router.clone()).await }));
    futures_util::future::select_all(each).await.0.map_err(ServeError::Serve)
}

/// Serves the page until the program ends.
pub async fn run(port: u16) -> Result<(), ServeError> {
    let listeners = listen(port).await?;
    serve(listeners, page::router(port)).await
}
