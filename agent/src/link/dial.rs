//! Gets a websocket to the collector: TCP (straight or through a proxy), TLS, upgrade.
//!
//! Every address is tried in turn and every step has its time; what failed where is told for each.

use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use cordon_proto::{limits, version};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::client::ClientRequestBuilder;
use tokio_tungstenite::tungstenite::http::Uri;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use super::proxy::{self, ProxyWay};
use crate::tls;

/// A websocket over TLS.
pub type Socket = WebSocketStream<TlsStream<TcpStream>>;

/// Resolving a name; slow resolvers answer within five seconds or not at all.
const RESOLVE_MAX: Duration = Duration::from_secs(10);
/// Reaching one address; a lost SYN is sent again after one and three seconds.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// TLS and the upgrade, on a line where each takes several round trips of a second.
const GREET_MAX: Duration = Duration::from_secs(15);
/// What was sent and is not acknowledged for so long is lost: below the session's own silence.
const USER_TIMEOUT: Duration = Duration::from_secs(45);
/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 8;
/// The agent's messages come in bursts of batches; larger buffers only cost memory.
const BUFFER_BYTES: usize = 16 << 10;

/// What is done to a socket before it says a word: it is marked while the endpoint is cut off.
pub type Prepare = Arc<dyn Fn(BorrowedFd<'_>) -> std::io::Result<()> + Send + Sync>;

/// How to reach the collector.
#[derive(Clone)]
pub struct Dialer {
    /// The agents' doors: `host:port`, tried in turn.
    pub collectors: Vec<String>,
    /// The way where there is no direct one.
    pub proxy: Option<ProxyWay>,
    /// Where to go without resolving names, while the endpoint is cut off.
    pub known: Vec<SocketAddr>,
    /// How to greet.
    pub tls: Arc<ClientConfig>,
    /// What every socket needs before it connects.
    pub prepare: Option<Prepare>,
}

/// A connection that has been greeted.
pub struct Dialed {
    /// The websocket.
    pub socket: Socket,
    /// What both ends have derived from this connection alone.
    pub exporter: [u8; tls::EXPORTER_BYTES],
    /// The other end of the TCP connection: the collector, or the proxy.
    pub peer: SocketAddr,
}

impl std::fmt::Debug for Dialed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Dialed({})", self.peer)
    }
}

impl Dialed {
    /// The socket, for marking it.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.socket.get_ref().get_ref().0.as_fd()
    }
}

/// Why no collector was reached.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("no collector was reached: {}", .attempts.join("; "))]
pub struct DialError {
    /// What was tried, and why it failed.
    pub attempts: Vec<String>,
    /// A collector was reached, and did not accept this endpoint's certificate.
    pub certificate_refused: bool,
}

/// Why one address did not do.
struct Failed {
    why: String,
    certificate_refused: bool,
}

impl From<String> for Failed {
    fn from(why: String) -> Self {
        Self { why, certificate_refused: false }
    }
}

impl Dialer {
    /// Dials every address in turn until one greets back. `path` is where on the door to knock.
    pub async fn dial(&self, path: &'static str) -> Result<Dialed, DialError> {
        let mut attempts = Vec::new();
        let mut certificate_refused = false;
        for door in &self.collectors {
            for address in self.addresses(door, &mut attempts).await {
                match self.at(door, address, path).await {
                    Ok(dialed) => return Ok(dialed),
                    Err(failed) => {
                        attempts.push(format!("{door} ({address}): {}", failed.why));
                        certificate_refused |= failed.certificate_refused;
                    }
                }
            }
        }
        if attempts.is_empty() {
            attempts.push("no address is known".to_owned());
        }
        Err(DialError { attempts, certificate_refused })
    }

    /// The addresses to connect to on the way to a door; those of both families take turns, so
    /// that one that leads nowhere does not use up the tries.
    async fn addresses(&self, door: &str, attempts: &mut Vec<String>) -> Vec<SocketAddr> {
        if !self.known.is_empty() {
            return self.known.clone();
        }
        let name = self.proxy.as_ref().map_or(door, |proxy| proxy.address.as_str());
        let found = match timeout(RESOLVE_MAX, tokio::net::lookup_host(name)).await {
            Ok(Ok(found)) => found.collect(),
            Ok(Err(error)) => {
                attempts.push(format!("{name}: the name cannot be resolved: {error}"));
                Vec::new()
            }
            Err(_elapsed) => {
                attempts.push(format!("{name}: the name was not resolved in {RESOLVE_MAX:?}"));
                Vec::new()
            }
        };
        alternate(found)
    }

    async fn at(&self, door: &str, to: SocketAddr, path: &str) -> Result<Dialed, Failed> {
        let late = |_elapsed| format!("no connection within {CONNECT_MAX:?}");
        let stream = timeout(CONNECT_MAX, self.connect(to)).await.map_err(late)??;
        let late = |_elapsed| format!("connected, but no greeting within {GREET_MAX:?}");
        timeout(GREET_MAX, self.greet(stream, door, to, path)).await.map_err(late)?
    }

    async fn connect(&self, to: SocketAddr) -> Result<TcpStream, String> {
        let made = if to.is_ipv6() { TcpSocket::new_v6() } else { TcpSocket::new_v4() };
        let socket = made.map_err(|error| format!("a socket cannot be made: {error}"))?;
        if let Some(prepare) = &self.prepare {
            prepare(socket.as_fd())
                .map_err(|error| format!("the socket cannot be marked: {error}"))?;
        }
        let timeout_ms = u32::try_from(USER_TIMEOUT.as_millis()).unwrap_or(u32::MAX);
        let tuned = socket
            .set_nodelay(true)
            .and_then(|()| Ok(rustix::net::sockopt::set_tcp_user_timeout(&socket, timeout_ms)?));
        tuned.map_err(|error| format!("the socket cannot be tuned: {error}"))?;
        socket.connect(to).await.map_err(|error| error.to_string())
    }

    async fn greet(
        &self,
        mut stream: TcpStream,
        door: &str,
        peer: SocketAddr,
        path: &str,
    ) -> Result<Dialed, Failed> {
        if let Some(proxy) = &self.proxy {
            proxy::connect(&mut stream, proxy, door).await.map_err(|error| error.to_string())?;
        }
        let connector = TlsConnector::from(Arc::clone(&self.tls));
        let stream = connector.connect(server_name(door), stream).await;
        let stream = stream.map_err(|error| tls::sentence(&error))?;
        let exporter = [0; tls::EXPORTER_BYTES];
        let exporter =
            stream.get_ref().1.export_keying_material(exporter, tls::EXPORTER_LABEL, None);
        let exporter = exporter.map_err(|error| format!("TLS failed: {error}"))?;
        let uri: Uri = format!("wss://{door}{path}")
            .parse()
            .map_err(|error| format!("'{door}' is not an address: {error}"))?;
        let mut request = ClientRequestBuilder::new(uri);
        if path == version::SESSION_PATH {
            request = request.with_sub_protocol(version::SUBPROTOCOL);
        }
        let upgrade = tokio_tungstenite::client_async_with_config(request, stream, bounds());
        let (socket, _) = upgrade.await.map_err(|error| upgrade_failed(&error))?;
        Ok(Dialed { socket, exporter, peer })
    }
}

fn bounds() -> Option<WebSocketConfig> {
    let config = WebSocketConfig::default()
        .read_buffer_size(BUFFER_BYTES)
        .write_buffer_size(BUFFER_BYTES)
        .max_message_size(Some(limits::MESSAGE_BYTES_MAX))
        .max_frame_size(Some(limits::MESSAGE_BYTES_MAX));
    Some(config)
}

/// A certificate that the collector refuses shows only now: in TLS 1.3 the client is done before
/// the server has looked at it. The alert that says so may be overtaken by the end of the
/// connection, so that a connection that breaks here counts as such a refusal too.
fn upgrade_failed(error: &Error) -> Failed {
    let certificate_refused = if let Error::Io(error) = error {
        tls::certificate_refused(error)
    } else if let Error::Http(response) = error {
        matches!(response.status().as_u16(), 401 | 403)
    } else {
        false
    };
    Failed { why: socket_sentence(error), certificate_refused }
}

/// What went wrong with a websocket, for a person.
pub(super) fn socket_sentence(error: &Error) -> String {
    if let Error::Io(error) = error {
        return format!("the collector ended the connection: {}", tls::sentence(error));
    }
    if let Error::Http(response) = error {
        return format!("the collector answered {} instead of a websocket", response.status());
    }
    format!("the websocket failed: {error}")
}

/// The name sent along; a collector is known by its root's hash, so that any will do.
fn server_name(door: &str) -> ServerName<'static> {
    let host = door.rsplit_once(':').map_or(door, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    ServerName::try_from(host.to_owned())
        .or_else(|_| ServerName::try_from("collector.invalid"))
        .unwrap_or(ServerName::IpAddress(std::net::Ipv4Addr::LOCALHOST.into()))
}

fn alternate(found: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v6 = found.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|address| address.is_ipv6() == first_is_v6);
    let longest = first.len().max(second.len());
    let pairs = (0..longest).flat_map(|at| [first.get(at).copied(), second.get(at).copied()]);
    pairs.flatten().take(ADDRESSES_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(found: &[&str], tried: &[&str]) {
        let read = |texts: &[&str]| -> Vec<SocketAddr> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        assert_eq!(alternate(read(found)), read(tried));
    }

    #[test]
    fn both_families_take_turns_beginning_with_the_one_the_resolver_prefers() {
        let (a, b, c, d) = ("[2001:db8::1]:1", "[2001:db8::2]:1", "192.0.2.1:1", "192.0.2.2:1");
        check(&[a, b, c, d], &[a, c, b, d]);
        check(&[c, a, b], &[c, a, b]);
        check(&[a, b], &[a, b]);
        check(&[], &[]);
        check(&[c; 20], &[c; ADDRESSES_MAX]);
    }

    #[test]
    fn any_door_gives_a_name_to_send_along() {
        for (door, name) in [
            ("collector.example:7443", "collector.example"),
            ("[2001:db8::1]:7443", "2001:db8::1"),
            ("10.0.0.1:7443", "10.0.0.1"),
            ("under_score..:1", "collector.invalid"),
        ] {
            assert_eq!(server_name(door).to_str(), name, "{door}");
        }
    }
}
