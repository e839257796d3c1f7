//! Whether a receipt is what it must be before it counts. Pure.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cordon_proto::codec::{self, CodecError};
use cordon_proto::event::{Body, Event, Receipt};
use cordon_proto::id::{CommandId, EndpointId, Hash};
use cordon_proto::sign::VerifyingKey;
use cordon_proto::sign::batch::{self, BatchError, EventProof};

use crate::api::model::{ProofRecord, ReceiptAt};

/// A receipt under its endpoint's signature, about the command that was asked about.
#[derive(Clone, Debug)]
pub struct VerifiedReceipt {
    /// The receipt.
    pub receipt: Receipt,
    /// When the endpoint made it, by its own clock.
    pub time_ns: u64,
}

/// Why a receipt does not count.
#[derive(Debug, thiserror::Error)]
pub enum ReceiptError {
    /// The answer is not a proof.
    #[error("the proof cannot be read: {0}")]
    Form(&'static str),
    /// The answer's bytes are not a proof.
    #[error("the proof {0}")]
    Codec(#[from] CodecError),
    /// The key is not the one that the endpoint is named by.
    #[error("it is under the key of another endpoint ({})", .0.short())]
    Key(EndpointId),
    /// The signature, or the place in the batch.
    #[error("{0}")]
    Batch(#[from] BatchError),
    /// Another place than the one asked for.
    #[error("it stands at another place than the one asked for")]
    Place,
    /// Something else than a receipt.
    #[error("the event there is not a receipt")]
    NotReceipt,
    /// About another command.
    #[error("it is about another command")]
    Command,
}

/// Verifies the proof of a receipt.
///
/// `copies` are the hashes of the command's bytes as they may have reached the endpoint.
pub fn verify(
    record: &ProofRecord,
    endpoint: EndpointId,
    at: ReceiptAt,
    command: CommandId,
    copies: &BTreeSet<Hash>,
) -> Result<VerifiedReceipt, ReceiptError> {
    let event = event_at(record, endpoint, at)?;
    let time_ns = event.time_ns;
    let Body::Receipt(receipt) = event.body else { return Err(ReceiptError::NotReceipt) };
    if receipt.command.is_some_and(|id| id != command) || !copies.contains(&receipt.command_hash) {
        return Err(ReceiptError::Command);
    }
    Ok(VerifiedReceipt { receipt: *receipt, time_ns })
}

/// The event that an endpoint signed at this place of its lane.
pub fn event_at(
    record: &ProofRecord,
    endpoint: EndpointId,
    at: ReceiptAt,
) -> Result<Event, ReceiptError> {
    let key = URL_SAFE_NO_PAD.decode(&record.key).ok();
    let key = key.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok()).map(VerifyingKey);
    let key = key.ok_or(ReceiptError::Form("the key is not 32 bytes of base64url"))?;
    let named = EndpointId(key.id().0);
    if named != endpoint {
        return Err(ReceiptError::Key(named));
    }
    let bytes = URL_SAFE_NO_PAD.decode(&record.proof).ok();
    let bytes = bytes.ok_or(ReceiptError::Form("it is not base64url"))?;
    let proof: EventProof = codec::decode_strict(&bytes)?;
    let header = proof.verify(&key)?;
    let event = batch::read_event(&proof.event)?;
    if header.endpoint != endpoint
        || header.lane != at.lane
        || header.epoch != at.epoch
        || event.seq != at.seq
    {
        return Err(ReceiptError::Place);
    }
    Ok(event)
}
