//! How an endpoint joins, and how it renews its certificate: one signed request, one answer.
//!
//! The request is signed with the endpoint's key over this very connection, so that nobody can
//! send another's. A refusal says which of the conditions was not met.

use std::sync::Arc;
use std::time::Duration;

use cordon_proto::codec;
use cordon_proto::id::{EndpointId, TokenId};
use cordon_proto::limits;
use cordon_proto::message::{EnrolAnswer, EnrolRequest, Signed};
use cordon_proto::sign::document::{self, DocumentError, Kind};
use futures_util::{SinkExt, StreamExt};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use crate::ca::{CaError, ENDPOINT_SECS};
use crate::clock::SECOND_NS;
use crate::collector::Collector;
use crate::store::{Registration, StateError, TokenRefusal};
use crate::upgrade::Socket;

/// How long the one request and its answer may take.
const EXCHANGE_MAX: Duration = Duration::from_secs(30);

/// Machine ids are 32 digits; others are short, too.
const MACHINE_ID_BYTES_MAX: usize = 128;

/// Why an endpoint was not let in; what it is told.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// The request is none, or is not signed with the key inside it over this connection.
    #[error("the request {0}")]
    Request(#[from] DocumentError),
    /// A text in it is too long or missing.
    #[error("the request's {0} is missing or too long")]
    Text(&'static str),
    /// The token lets nobody in.
    #[error(transparent)]
    Token(#[from] TokenRefusal),
    /// It asks to renew, and its key was never registered.
    #[error(
        "this endpoint is not registered here; enrol it with a token from `cordon token create`"
    )]
    NotRegistered,
    /// It asks to renew as another client's.
    #[error("this endpoint is registered with another client")]
    OtherClient,
    /// The client has no roster yet.
    #[error(
        "the client's roster is missing on this collector; put it there with `cordon roster put`"
    )]
    NoRoster,
    /// The certificate could not be made.
    #[error(transparent)]
    Certificate(#[from] CaError),
    /// The state could not be read or changed.
    #[error("the collector could not look: {0}")]
    State(#[from] StateError),
}

/// Serves one connection at the place where endpoints enrol.
pub async fn serve(collector: Arc<Collector>, exporter: Vec<u8>, mut socket: Socket) {
    let exchange = async {
        let request = match socket.next().await {
            Some(Ok(Message::Binary(request))) => request,
            Some(_) | None => return,
        };
        let work = move || codec::encode(&answer(&collector, &exporter, &request));
        let Ok(bytes) = tokio::task::spawn_blocking(work).await else { return };
        if socket.send(Message::Binary(bytes.into())).await.is_ok() {
            socket.close(None).await.ok();
            // The agent closes too; only then is it certain that it read the answer.
            while let Some(Ok(_)) = socket.next().await {}
        }
    };
    if timeout(EXCHANGE_MAX, exchange).await.is_err() {
        tracing::debug!("an enrolment took too long");
    }
}

/// Answers one request. Blocks on the disk.
#[must_use]
pub fn answer(collector: &Collector, exporter: &[u8], request: &[u8]) -> EnrolAnswer {
    grant(collector, exporter, request).unwrap_or_else(|error| {
        tracing::warn!(%error, "an endpoint was not let in");
        EnrolAnswer::Refused { sentence: error.to_string() }
    })
}

fn grant(collector: &Collector, exporter: &[u8], bytes: &[u8]) -> Result<EnrolAnswer, EnrolError> {
    let asked: EnrolRequest = document::peek(Kind::Enrol, bytes)?;
    let request: EnrolRequest = document::verify(Kind::Enrol, bytes, exporter, &asked.signing_key)?;
    check_text("host name", &request.host_name, limits::HOST_NAME_BYTES_MAX)?;
    check_text("machine id", &request.machine_id, MACHINE_ID_BYTES_MAX)?;
    let roster = collector.state.roster(&request.client)?.ok_or(EnrolError::NoRoster);
    let now_ns = collector.clock.wall_ns();
    let now_secs = now_ns / SECOND_NS;
    let endpoint = EndpointId(request.signing_key.id().0);
    // The certificate first: a request that cannot be granted must not use a token up.
    let issue = || collector.ca.issue_endpoint(&request.client, endpoint, &request.csr, now_secs);
    let (issued, roster) = match &request.token {
        None => {
            let known = collector.state.endpoint(endpoint)?.ok_or(EnrolError::NotRegistered)?;
            if known.client != request.client {
                return Err(EnrolError::OtherClient);
            }
            let issued = issue()?;
            collector.state.note_certificate(endpoint, issued.until_secs)?;
            tracing::info!(endpoint = %endpoint.short(), "certificate renewed");
            (issued, roster?)
        }
        Some(secret) => {
            let token = TokenId::of(secret);
            collector.state.token_check(token, endpoint, &request.client, now_secs)??;
            let (issued, roster) = (issue()?, roster?);
            let registration = Registration {
                client: &request.client,
                key: request.signing_key,
                host_name: &request.host_name,
                machine_id: &request.machine_id,
                token,
                now_ns,
                now_secs,
                certificate_until_secs: issued.until_secs,
            };
            collector.state.register(&registration)??;
            tracing::info!(endpoint = %endpoint.short(), client = %request.client, "enrolled");
            (issued, roster)
        }
    };
    Ok(EnrolAnswer::Granted {
        chain: issued.chain.into_iter().map(|bytes| Signed { bytes }).collect(),
        roster: Signed { bytes: roster.document },
        valid_secs: ENDPOINT_SECS,
    })
}

fn check_text(what: &'static str, text: &str, bytes_max: usize) -> Result<(), EnrolError> {
    if text.is_empty() || text.len() > bytes_max { Err(EnrolError::Text(what)) } else { Ok(()) }
}
