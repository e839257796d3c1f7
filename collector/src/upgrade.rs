//! From a TLS stream to a websocket: which path, which subprotocol, and who may go there.

use std::time::Duration;

use cordon_proto::limits;
use cordon_proto::version::{ENROL_PATH, SESSION_PATH, SUBPROTOCOL};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::{
    Callback, ErrorResponse, Request, Response,
};
use tokio_tungstenite::tungstenite::http::header::SEC_WEBSOCKET_PROTOCOL;
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use crate::door::Stream;
use crate::tls::Caller;

/// A websocket on the agents' door.
pub type Socket = WebSocketStream<Stream>;

/// How long the request to upgrade may take to arrive.
const UPGRADE_MAX: Duration = Duration::from_secs(10);

/// Kept per connection all the time; thousands of agents are idle most of it.
const READ_BUFFER_BYTES: usize = 4 << 10;

/// Gathered before it is written to the socket.
const WRITE_BUFFER_BYTES: usize = 16 << 10;

/// What may wait for a slow peer: two of the largest messages.
const WRITE_BYTES_MAX: usize = 2 * limits::MESSAGE_BYTES_MAX;

/// Where a connection goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Path {
    /// A session: events in, commands out.
    Session,
    /// Enrolment and renewal.
    Enrol,
}

/// Takes the request to upgrade, or refuses it with a sentence.
pub async fn upgrade(stream: Stream, caller: Option<&Caller>) -> Option<(Path, Socket)> {
    let mut path = None;
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(WRITE_BUFFER_BYTES)
        .max_write_buffer_size(WRITE_BYTES_MAX)
        .max_message_size(Some(limits::MESSAGE_BYTES_MAX))
        .max_frame_size(Some(limits::MESSAGE_BYTES_MAX));
    let choose = Choose { caller, path: &mut path };
    let accept = tokio_tungstenite::accept_hdr_async_with_config(stream, choose, Some(config));
    match timeout(UPGRADE_MAX, accept).await {
        Ok(Ok(socket)) => path.map(|path| (path, socket)),
        Ok(Err(error)) => {
            tracing::debug!(%error, "a request to open a websocket was refused");
            None
        }
        Err(_) => {
            tracing::debug!("a request to open a websocket took too long");
            None
        }
    }
}

struct Choose<'a> {
    caller: Option<&'a Caller>,
    path: &'a mut Option<Path>,
}

impl Callback for Choose<'_> {
    #[allow(clippy::result_large_err, reason = "the shape is the library's")]
    fn on_request(
        self,
        request: &Request,
        mut response: Response,
    ) -> Result<Response, ErrorResponse> {
        let offered = offers_ours(request);
        let path = choose(request.uri().path(), offered, self.caller)
            .map_err(|(status, sentence)| refusal(status, sentence))?;
        if offered {
            let ours = HeaderValue::from_static(SUBPROTOCOL);
            response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, ours);
        }
        *self.path = Some(path);
        Ok(response)
    }
}

fn offers_ours(request: &Request) -> bool {
    let offers = request.headers().get_all(SEC_WEBSOCKET_PROTOCOL).into_iter();
    let mut offers = offers.filter_map(|value| value.to_str().ok());
    offers.any(|value| value.split(',').any(|name| name.trim() == SUBPROTOCOL))
}

fn choose(
    path: &str,
    offers_ours: bool,
    caller: Option<&Caller>,
) -> Result<Path, (StatusCode, &'static str)> {
    if path == ENROL_PATH {
        return Ok(Path::Enrol);
    }
    if path != SESSION_PATH {
        return Err((StatusCode::NOT_FOUND, "this is the agents' door of a Cordon collector"));
    }
    if !offers_ours {
        return Err((StatusCode::BAD_REQUEST, "offer the websocket subprotocol cordon.v1"));
    }
    match caller {
        None => Err((StatusCode::UNAUTHORIZED, "a session needs the endpoint's certificate")),
        Some(caller) if caller.expired => {
            Err((StatusCode::FORBIDDEN, "the certificate has expired; renew it at /v1/enrol"))
        }
        Some(_) => Ok(Path::Session),
    }
}

fn refusal(status: StatusCode, sentence: &str) -> ErrorResponse {
    let mut response = ErrorResponse::new(Some(format!("{sentence}\n")));
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use cordon_proto::id::EndpointId;

    use super::*;

    #[track_caller]
    fn check(path: &str, offers_ours: bool, expired: Option<bool>, says: Result<Path, u16>) {
        let client = "acme".parse().unwrap();
        let endpoint = EndpointId::default();
        let caller = expired.map(|expired| Caller { endpoint, client, expired });
        let chosen = choose(path, offers_ours, caller.as_ref());
        assert_eq!(chosen.map_err(|(status, _)| status.as_u16()), says);
    }

    #[test]
    fn a_session_needs_the_subprotocol_and_a_certificate_that_has_not_expired() {
        check("/v1/session", true, Some(false), Ok(Path::Session));
        check("/v1/session", true, Some(true), Err(403));
        check("/v1/session", true, None, Err(401));
        check("/v1/session", false, Some(false), Err(400));
        check("/v1/sessions", true, Some(false), Err(404));
    }

    #[test]
    fn enrolment_needs_neither() {
        check("/v1/enrol", false, None, Ok(Path::Enrol));
        check("/v1/enrol", true, Some(true), Ok(Path::Enrol));
    }
}
