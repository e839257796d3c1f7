//! What an agent may say, and what a collector may say.
//!
//! A message is one binary websocket message: the CBOR array `[kind, body]`. Kinds that a peer
//! does not know are answered with an error and do not end the session.

use minicbor::{Decode, Encode};

use crate::codec::{self, CodecError};
use crate::collection::{Have, Piece};
use crate::event::Lane;
use crate::id::{ClientId, EndpointId, Hash};
use crate::limits;
use crate::query::Rows;
use crate::roster::RosterRef;
use crate::sign::VerifyingKey;
use crate::sign::batch::Batch;

/// Where one lane of an endpoint stands: the last batch that somebody has.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Encode, Decode)]
pub struct LanePosition {
    /// The lane.
    #[n(0)]
    pub lane: Lane,
    /// Its epoch.
    #[n(1)]
    pub epoch: u32,
    /// Number of the last event; 0 for none.
    #[n(2)]
    pub last: u64,
    /// Hash of the last batch's header; zeros for none.
    #[n(3)]
    pub head: Hash,
}

/// An agent's first word, signed with the endpoint's key over the TLS exporter.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub struct Hello {
    /// The protocol number spoken.
    #[n(0)]
    pub protocol: u32,
    /// The oldest protocol number understood.
    #[n(1)]
    pub protocol_oldest: u32,
    /// Who.
    #[n(2)]
    pub endpoint: EndpointId,
    /// Of which client.
    #[n(3)]
    pub client: ClientId,
    /// The agent's version.
    #[n(4)]
    pub agent_version: String,
    /// The machine's host name.
    #[n(5)]
    pub host_name: String,
    /// The operating system, for people.
    #[n(6)]
    pub os: String,
    /// The kernel, for people.
    #[n(7)]
    pub kernel: String,
    /// The machine's id, as the operating system keeps it.
    #[n(8)]
    pub machine_id: String,
    /// The kernel's id of this boot: two at once with one key are clones.
    #[n(9)]
    pub boot_id: String,
    /// The endpoint's wall clock, nanoseconds since 1970 UTC.
    #[n(10)]
    pub time_ns: u64,
    /// The roster held.
    #[n(11)]
    pub roster: RosterRef,
}

/// A signed message inside a message: its bytes as signed.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub struct Signed {
    /// COSE bytes.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub bytes: Vec<u8>,
}

/// The collector's answer to a hello.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub struct Welcome {
    /// The protocol number that will be spoken.
    #[n(0)]
    pub protocol: u32,
    /// The collector's wall clock, nanoseconds since 1970 UTC.
    #[n(1)]
    pub time_ns: u64,
    /// Per lane, the last stored header as the endpoint signed it; a lane without one is missing.
    #[n(2)]
    pub heads: Vec<Signed>,
}

/// One batch, and everything of its lane before it, is durable at the collector. There is one
/// acknowledgement for each batch, in the order in which they were sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Encode, Decode)]
pub struct Ack {
    /// The lane.
    #[n(0)]
    pub lane: Lane,
    /// Its epoch.
    #[n(1)]
    pub epoch: u32,
    /// Number of the batch's last event.
    #[n(2)]
    pub last: u64,
}

/// Why a batch was refused; the agent has an answer to each.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Encode, Decode)]
#[cbor(index_only)]
pub enum RefusalReason {
    /// It cannot be read, or its signature or root is wrong. The agent begins a new epoch.
    #[n(0)]
    Invalid,
    /// It does not continue what is stored. The agent goes back to `stored`, or begins a new epoch.
    #[n(1)]
    BrokenChain,
    /// Other content is stored under its numbers. The agent begins a new epoch.
    #[n(2)]
    Conflict,
    /// The collector cannot store at the moment. The agent waits and sends again.
    #[n(3)]
    Unavailable,
}

/// A batch was not taken.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub struct Refusal {
    /// The lane.
    #[n(0)]
    pub lane: Lane,
    /// The epoch of the batch refused, as far as it could be read.
    #[n(1)]
    pub epoch: u32,
    /// The first number of the batch refused, as far as it could be read.
    #[n(2)]
    pub first: u64,
    /// Why.
    #[n(3)]
    pub reason: RefusalReason,
    /// Why, for a person.
    #[n(4)]
    pub sentence: String,
    /// The last header stored of this lane, as the endpoint signed it.
    #[n(5)]
    pub stored: Option<Signed>,
}

/// Something that a peer said could not be understood or allowed.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub struct Complaint {
    /// What, for a person; says whose fault it is.
    #[n(0)]
    pub sentence: String,
    /// Whether the session ends with it.
    #[n(1)]
    pub fatal: bool,
}

/// Keeps a session alive; the answer carries the same number.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Encode, Decode)]
pub struct Ping {
    /// Comes back in the answer.
    #[n(0)]
    pub number: u64,
}

/// What an agent may say.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum AgentMessage {
    /// Its first word.
    Hello(Signed),
    /// Events.
    Batch(Batch),
    /// A part of the answer to a query.
    Rows(Rows),
    /// Still here.
    Pong(Ping),
    /// Did not understand.
    Complaint(Complaint),
    /// A part of collected evidence, or the offer of it.
    Piece(Piece),
}

/// What a collector may say.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum CollectorMessage {
    /// Come in; this is what is stored.
    Welcome(Welcome),
    /// Durable.
    Ack(Ack),
    /// Not taken.
    Refusal(Refusal),
    /// A command: COSE_Sign.
    Command(Signed),
    /// A roster: COSE_Sign1 by the authority.
    Roster(Signed),
    /// Are you there?
    Ping(Ping),
    /// Did not understand, or does not allow.
    Complaint(Complaint),
    /// So much of collected evidence is durable.
    Have(Have),
}

/// Why a message was not read.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    /// It is not a message.
    #[error("the message {0}")]
    Codec(#[from] CodecError),
    /// It is of a kind that this version does not know.
    #[error("messages of kind {0} are not known to this version")]
    UnknownKind(u64),
}

impl AgentMessage {
    /// The bytes of one websocket message.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Hello(body) => codec::encode(&(0_u8, body)),
            Self::Batch(body) => codec::encode(&(1_u8, body)),
            Self::Rows(body) => codec::encode(&(2_u8, body)),
            Self::Pong(body) => codec::encode(&(3_u8, body)),
            Self::Complaint(body) => codec::encode(&(4_u8, body)),
            Self::Piece(body) => codec::encode(&(5_u8, body)),
        }
    }

    /// Reads one websocket message.
    pub fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        let (kind, body) = kind_and_body(bytes)?;
        Ok(match kind {
            0 => Self::Hello(codec::decode_lenient(body)?),
            1 => Self::Batch(codec::decode_lenient(body)?),
            2 => Self::Rows(codec::decode_lenient(body)?),
            3 => Self::Pong(codec::decode_lenient(body)?),
            4 => Self::Complaint(codec::decode_lenient(body)?),
            5 => Self::Piece(codec::decode_lenient(body)?),
            unknown => return Err(MessageError::UnknownKind(unknown)),
        })
    }
}

impl CollectorMessage {
    /// The bytes of one websocket message.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Welcome(body) => codec::encode(&(0_u8, body)),
            Self::Ack(body) => codec::encode(&(1_u8, body)),
            Self::Refusal(body) => codec::encode(&(2_u8, body)),
            Self::Command(body) => codec::encode(&(3_u8, body)),
            Self::Roster(body) => codec::encode(&(4_u8, body)),
            Self::Ping(body) => codec::encode(&(6_u8, body)),
            Self::Complaint(body) => codec::encode(&(7_u8, body)),
            Self::Have(body) => codec::encode(&(8_u8, body)),
        }
    }

    /// Reads one websocket message.
    pub fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        let (kind, body) = kind_and_body(bytes)?;
        Ok(match kind {
            0 => Self::Welcome(codec::decode_lenient(body)?),
            1 => Self::Ack(codec::decode_lenient(body)?),
            2 => Self::Refusal(codec::decode_lenient(body)?),
            3 => Self::Command(codec::decode_lenient(body)?),
            4 => Self::Roster(codec::decode_lenient(body)?),
            6 => Self::Ping(codec::decode_lenient(body)?),
            7 => Self::Complaint(codec::decode_lenient(body)?),
            8 => Self::Have(codec::decode_lenient(body)?),
            unknown => return Err(MessageError::UnknownKind(unknown)),
        })
    }
}

fn kind_and_body(bytes: &[u8]) -> Result<(u64, &[u8]), MessageError> {
    codec::bounded(bytes, limits::MESSAGE_BYTES_MAX)?;
    let mut decoder = minicbor::Decoder::new(bytes);
    let pair = decoder.array().map_err(CodecError::from)?;
    if pair != Some(2) {
        let error = minicbor::decode::Error::message("a message is the array [kind, body]");
        return Err(CodecError::from(error).into());
    }
    let kind = decoder.u64().map_err(CodecError::from)?;
    Ok((kind, bytes.get(decoder.position()..).unwrap_or_default()))
}

/// What an endpoint signs, over the TLS exporter, when it asks for a certificate.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub struct EnrolRequest {
    /// The endpoint's signing key; its hash is the endpoint's id.
    #[n(0)]
    pub signing_key: VerifyingKey,
    /// A certificate signing request (PKCS #10, DER) for the endpoint's TLS key.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub csr: Vec<u8>,
    /// The client it belongs to.
    #[n(2)]
    pub client: ClientId,
    /// The machine's host name.
    #[n(3)]
    pub host_name: String,
    /// The machine's id.
    #[n(4)]
    pub machine_id: String,
    /// The enrolment token's secret; none for the renewal of a certificate.
    #[cbor(n(5), with = "minicbor::bytes")]
    pub token: Option<Vec<u8>>,
}

/// The collector's answer to a request for a certificate.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub enum EnrolAnswer {
    /// Come in.
    #[n(0)]
    Granted {
        /// The endpoint's certificate and the client's intermediate, DER.
        #[n(0)]
        chain: Vec<Signed>,
        /// The client's roster, as the authority signed it.
        #[n(1)]
        roster: Signed,
        /// For how long the certificate is good, in seconds.
        #[n(2)]
        valid_secs: u64,
    },
    /// No, and why.
    #[n(1)]
    Refused {
        /// For a person.
        #[n(0)]
        sentence: String,
    },
}
