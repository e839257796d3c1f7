//! An open port: takes connections in, bounded in number and in the time of their handshake, and
//! hands each on as a TLS stream. Ends when told to, with a deadline for what is under way.

use std::collections::HashMap;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::net::sockopt;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// How long what was sent may stay unread at the other end, or unheard of: then nobody is there.
const UNREAD_MAX: Duration = Duration::from_secs(60);

/// How long connections have to end once the collector stops.
const DRAIN_MAX: Duration = Duration::from_secs(5);

/// How long to wait when the machine has no descriptor left.
const EXHAUSTED_WAIT: Duration = Duration::from_millis(200);

/// A connection whose handshake is done.
pub type Stream = TlsStream<TcpStream>;

/// How many connections may be open at once.
#[derive(Debug)]
pub struct Admission {
    all_max: usize,
    per_address_max: usize,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// One connection's place; given back when dropped.
#[derive(Debug)]
pub struct Admitted {
    admission: Arc<Admission>,
    address: IpAddr,
}

impl Admission {
    /// So many in all, so many from one address.
    #[must_use]
    pub fn new(all_max: usize, per_address_max: usize) -> Arc<Self> {
        Arc::new(Self { all_max, per_address_max, open: Mutex::default() })
    }

    /// A place for one more from this address, if there is one.
    #[must_use]
    pub fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Admitted> {
        let address = address.to_canonical();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let from_there = open.by_address.get(&address).copied().unwrap_or(0);
        if open.all >= self.all_max || from_there >= self.per_address_max {
            return None;
        }
        open.all += 1;
        open.by_address.insert(address, from_there + 1);
        Some(Admitted { admission: Arc::clone(self), address })
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut open = self.admission.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.all = open.all.saturating_sub(1);
        let left = open.by_address.get(&self.address).map_or(0, |count| count - 1);
        if left == 0 {
            open.by_address.remove(&self.address);
        } else {
            open.by_address.insert(self.address, left);
        }
    }
}

/// Takes connections in until `stop` turns true, each served by a task of its own.
pub async fn serve<F, Served>(
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    admission: Arc<Admission>,
    handshake_max: Duration,
    mut stop: watch::Receiver<bool>,
    serve: F,
) where
    F: Fn(Stream, SocketAddr) -> Served + Clone + Send + 'static,
    Served: Future<Output = ()> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be taken in");
                tokio::time::sleep(EXHAUSTED_WAIT).await;
                continue;
            }
        };
        let Some(admitted) = admission.admit(address.ip()) else {
            tracing::debug!(%address, "a connection over the limit was closed");
            continue;
        };
        let acceptor = TlsAcceptor::from(Arc::clone(&tls));
        let serve = serve.clone();
        connections.spawn(async move {
            if let Some(stream) = handshake(acceptor, stream, address, handshake_max).await {
                serve(stream, address).await;
            }
            drop(admitted);
        });
    }
    drop(listener);
    let drained = timeout(DRAIN_MAX, async { while connections.join_next().await.is_some() {} });
    if drained.await.is_err() {
        tracing::warn!(left = connections.len(), "connections did not end in time and are cut");
    }
}

async fn handshake(
    acceptor: TlsAcceptor,
    stream: TcpStream,
    address: SocketAddr,
    handshake_max: Duration,
) -> Option<Stream> {
    // Batches and acknowledgements are whole messages; waiting to fill packets only delays them.
    stream.set_nodelay(true).ok();
    let unread_ms = u32::try_from(UNREAD_MAX.as_millis()).unwrap_or(u32::MAX);
    // Without it the kernel waits for a quarter of an hour; everything goes on all the same.
    sockopt::set_tcp_user_timeout(&stream, unread_ms).ok();
    match timeout(handshake_max, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => Some(stream),
        Ok(Err(error)) => {
            tracing::debug!(%address, %error, "a TLS handshake failed");
            None
        }
        Err(_) => {
            tracing::debug!(%address, "a TLS handshake took too long");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_in_all_and_per_address_and_given_back() {
        let admission = Admission::new(3, 2);
        let (one, other): (IpAddr, IpAddr) =
            ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let mapped: IpAddr = "::ffff:192.0.2.1".parse().unwrap();
        let first = admission.admit(one);
        let second = admission.admit(mapped);
        assert!(first.is_some() && second.is_some());
        assert!(admission.admit(one).is_none(), "two from one address");
        let third = admission.admit(other);
        assert!(third.is_some());
        assert!(admission.admit(other).is_none(), "three in all");
        drop(second);
        assert!(admission.admit(one).is_some());
    }
}
