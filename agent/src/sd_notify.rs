//! What the service manager is told: readiness, and a line on how things are.

use std::os::unix::net::UnixDatagram;

/// Tells it something of `sd_notify`'s, if it listens.
pub(crate) fn tell(what: &str) {
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let told = UnixDatagram::unbound().and_then(|from| from.send_to(what.as_bytes(), socket));
    if let Err(error) = told {
        tracing::warn!(%error, "the service manager cannot be told");
    }
}
