//! A batch: a run of consecutive events of one lane under one signature.
//!
//! The signed header holds the Merkle root over the events' bytes, so that each event can be
//! proved alone; the events travel beside it as one zstd frame.

use std::{fmt, io};

use minicbor::{Decode, Encode};

use super::document::{self, DocumentError, Kind};
use super::merkle;
use crate::codec;
use crate::event::{Event, Lane};
use crate::id::{EndpointId, Hash};
use crate::limits;
use crate::sign::{SigningKey, VerifyingKey, sha256};

/// Why a lane began a new epoch: a new chain, with numbers from 1.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Encode, Decode)]
#[cbor(index_only)]
pub enum EpochCause {
    /// The endpoint enrolled.
    #[n(0)]
    Enrolled,
    /// The spool was lost or damaged.
    #[n(1)]
    SpoolLost,
    /// The collector refused the chain as it was.
    #[n(2)]
    Refused,
    /// The machine was rolled back to an earlier state.
    #[n(3)]
    RolledBack,
}

/// What is signed of a batch.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub struct Header {
    /// The endpoint that saw the events.
    #[n(0)]
    pub endpoint: EndpointId,
    /// The lane.
    #[n(1)]
    pub lane: Lane,
    /// The lane's epoch, from 1.
    #[n(2)]
    pub epoch: u32,
    /// Number of the first event.
    #[n(3)]
    pub first: u64,
    /// How many events.
    #[n(4)]
    pub count: u32,
    /// SHA-256 of the previous batch's signed header; zeros for the first of an epoch.
    #[n(5)]
    pub previous: Hash,
    /// Merkle root over the events' bytes.
    #[n(6)]
    pub root: Hash,
    /// When it was sealed, nanoseconds since 1970 UTC.
    #[n(7)]
    pub time_ns: u64,
    /// Why the epoch began; in its first batch only.
    #[n(8)]
    pub cause: Option<EpochCause>,
}

impl Header {
    /// Number of the last event.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.first.saturating_add(u64::from(self.count)).saturating_sub(1)
    }
}

/// A batch as it travels and is stored.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub struct Batch {
    /// The signed header: COSE_Sign1.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub header: Vec<u8>,
    /// The events: one zstd frame of the CBOR sequence of byte strings, one a event.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub events: Vec<u8>,
}

/// Why a batch was refused.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    /// The header.
    #[error("the batch's header {0}")]
    Header(#[from] DocumentError),
    /// The frame of events.
    #[error("the batch's events cannot be unpacked: {0}")]
    Frame(&'static str),
    /// The events are not the ones signed.
    #[error("the batch's events are not the ones its header was signed over")]
    Root,
    /// An event's bytes cannot be read, or it stands at the wrong place.
    #[error("event {seq} of the batch {what}")]
    Event {
        /// The number it should have.
        seq: u64,
        /// What is wrong with it.
        what: &'static str,
    },
}

/// A verified batch.
#[derive(Clone, Debug)]
pub struct Opened {
    /// What was signed.
    pub header: Header,
    /// SHA-256 of the signed header as received: what the next batch names.
    pub hash: Hash,
    /// Each event's bytes, as signed.
    pub events: Vec<Vec<u8>>,
}

/// The place of a batch in its chain, before it is sealed.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// The endpoint.
    pub endpoint: EndpointId,
    /// The lane.
    pub lane: Lane,
    /// The epoch.
    pub epoch: u32,
    /// Number of the first event.
    pub first: u64,
    /// Hash of the previous header.
    pub previous: Hash,
    /// Why the epoch began, in its first batch.
    pub cause: Option<EpochCause>,
}

/// An array's head and a number.
const HEAD_BYTES_MAX: usize = 18;

/// Compression level. Measured on batches of 512: 1 takes half the time of 3, and of log lines and
/// process events alike, which differ in a few numbers each, it leaves less.
const ZSTD_LEVEL: i32 = 1;

/// Signs a run of events; answers the batch and its header's hash.
///
/// The caller keeps the run within [`limits::BATCH_EVENTS_MAX`] and [`limits::BATCH_BYTES_MAX`].
pub fn seal<E: AsRef<[u8]>>(
    place: Place,
    events: &[E],
    time_ns: u64,
    key: &SigningKey,
) -> Result<(Batch, Hash), BatchError> {
    let mut sealer = Sealer::default();
    for event in events {
        sealer.add(&[event.as_ref()])?;
    }
    sealer.seal(place, time_ns, key)
}

/// Seals batches, one after the other.
///
/// While they are large it keeps what it works with: to make a compressor's tables costs as much
/// as to use them.
#[derive(Default)]
pub struct Sealer {
    compressor: Option<zstd::bulk::Compressor<'static>>,
    /// The events added, each as a byte string.
    frame: Vec<u8>,
    leaves: Vec<Hash>,
    packed: Vec<u8>,
}

/// A smaller frame is rare enough to come, and what it needs is soon made again.
const LARGE_FRAME_BYTES: usize = 8 << 10;

impl Sealer {
    /// Adds an event, under this number instead of the one that it was encoded with. Its number is
    /// its first element; the rest is not read, so that events of kinds unknown to this version
    /// keep their bytes.
    pub fn add_numbered(&mut self, event: &[u8], seq: u64) -> Result<(), BatchError> {
        let fault = |what| BatchError::Event { seq, what };
        let mut decoder = minicbor::Decoder::new(event);
        let fields = decoder.array().ok().flatten();
        let (Some(fields), true) = (fields, decoder.u64().is_ok()) else {
            return Err(fault("is not an event"));
        };
        let rest = event.get(decoder.position()..).unwrap_or_default();
        let mut head = minicbor::encode::write::Cursor::new([0; HEAD_BYTES_MAX]);
        let mut encoder = minicbor::Encoder::new(&mut head);
        let written = encoder.array(fields).and_then(|encoder| encoder.u64(seq));
        written.ok().ok_or(fault("cannot be numbered"))?;
        let length = head.position();
        let head = head.into_inner();
        self.add(&[head.get(..length).unwrap_or_default(), rest])
    }

    /// Adds an event of these pieces.
    fn add(&mut self, pieces: &[&[u8]]) -> Result<(), BatchError> {
        let length = pieces.iter().map(|piece| piece.len()).fold(0, usize::saturating_add);
        let length = u64::try_from(length).unwrap_or(u64::MAX);
        let mut encoder = minicbor::Encoder::new(&mut self.frame);
        encoder.bytes_len(length).ok().ok_or(BatchError::Frame("cannot be written"))?;
        let start = self.frame.len();
        pieces.iter().for_each(|piece| self.frame.extend_from_slice(piece));
        self.leaves.push(merkle::leaf(self.frame.get(start..).unwrap_or_default()));
        Ok(())
    }

    /// Signs the events added since the last batch; answers the batch and its header's hash.
    pub fn seal(
        &mut self,
        place: Place,
        time_ns: u64,
        key: &SigningKey,
    ) -> Result<(Batch, Hash), BatchError> {
        let sealed = self.seal_added(place, time_ns, key);
        self.clear();
        sealed
    }

    /// Forgets the events added since the last batch.
    pub fn clear(&mut self) {
        if self.frame.len() < LARGE_FRAME_BYTES {
            *self = Self::default();
        } else {
            self.frame.clear();
            self.leaves.clear();
        }
    }

    fn seal_added(
        &mut self,
        place: Place,
        time_ns: u64,
        key: &SigningKey,
    ) -> Result<(Batch, Hash), BatchError> {
        let Ok(count) = u32::try_from(self.leaves.len()) else {
            return Err(BatchError::Frame("too many events"));
        };
        let Place { endpoint, lane, epoch, first, previous, cause } = place;
        let root = merkle::root(&self.leaves);
        let header = Header { endpoint, lane, epoch, first, count, previous, root, time_ns, cause };
        let header = document::sign(Kind::Batch, &header, b"", key);
        let events = self.pack().ok().ok_or(BatchError::Frame("cannot be compressed"))?;
        let hash = Hash(sha256(&header));
        Ok((Batch { header, events }, hash))
    }

    fn pack(&mut self) -> io::Result<Vec<u8>> {
        let compressor = match &mut self.compressor {
            Some(compressor) => compressor,
            none => none.insert(zstd::bulk::Compressor::new(ZSTD_LEVEL)?),
        };
        self.packed.clear();
        self.packed.reserve(zstd::zstd_safe::compress_bound(self.frame.len()));
        compressor.compress_to_buffer(&self.frame, &mut self.packed)?;
        Ok(self.packed.as_slice().to_vec())
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").field("added", &self.leaves.len()).finish_non_exhaustive()
    }
}

/// Verifies a batch: the signature, the events against the root, and each event's number.
pub fn open(batch: &Batch, key: &VerifyingKey) -> Result<Opened, BatchError> {
    let header: Header = document::verify(Kind::Batch, &batch.header, b"", key)?;
    let events = unpack(&batch.events, header.count)?;
    let leaves: Vec<Hash> = events.iter().map(|event| merkle::leaf(event)).collect();
    if merkle::root(&leaves) != header.root {
        return Err(BatchError::Root);
    }
    let mut seq = header.first;
    for event in &events {
        check_seq(event, seq)?;
        seq = seq.saturating_add(1);
    }
    Ok(Opened { hash: Hash(sha256(&batch.header)), header, events })
}

/// Unpacks stored events without verifying them again.
pub fn unpack(frame: &[u8], count: u32) -> Result<Vec<Vec<u8>>, BatchError> {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    if count == 0 || count > limits::BATCH_EVENTS_MAX {
        return Err(BatchError::Frame("no event, or more than the limit"));
    }
    // Bounded by what a full batch may hold, whatever the frame claims.
    let framing = limits::BATCH_EVENTS_MAX.saturating_mul(5);
    let bytes_max = limits::BATCH_BYTES_MAX.saturating_add(framing);
    let bytes = zstd::bulk::decompress(frame, bytes_max);
    let bytes = bytes.ok().ok_or(BatchError::Frame("not a zstd frame within the limit"))?;
    let mut decoder = minicbor::Decoder::new(&bytes);
    let mut events = Vec::with_capacity(count);
    while decoder.position() < bytes.len() && events.len() < count {
        let event = decoder.bytes().ok().ok_or(BatchError::Frame("not byte strings"))?;
        if event.len() > limits::EVENT_BYTES_MAX {
            return Err(BatchError::Frame("an event is longer than the limit"));
        }
        events.push(event.to_vec());
    }
    if events.len() != count || decoder.position() != bytes.len() {
        return Err(BatchError::Frame("not as many events as the header says"));
    }
    Ok(events)
}

/// An event's number is its first element; the body may be of a newer kind and is kept all the same.
fn check_seq(event: &[u8], seq: u64) -> Result<(), BatchError> {
    let mut decoder = minicbor::Decoder::new(event);
    let number = match decoder.array() {
        Ok(Some(_)) => decoder.u64().ok(),
        Ok(None) | Err(_) => None,
    };
    match number {
        Some(number) if number == seq => Ok(()),
        Some(_) => Err(BatchError::Event { seq, what: "has another number" }),
        None => Err(BatchError::Event { seq, what: "is not an event" }),
    }
}

/// Reads an event's bytes.
pub fn read_event(bytes: &[u8]) -> Result<Event, codec::CodecError> {
    codec::bounded(bytes, limits::EVENT_BYTES_MAX)?;
    codec::decode_lenient(bytes)
}

/// One event with everything that proves it.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub struct EventProof {
    /// The signed header of the event's batch.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub header: Vec<u8>,
    /// The event's bytes, as signed.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub event: Vec<u8>,
    /// Where in the batch it stands, from 0.
    #[n(2)]
    pub index: u32,
    /// The audit path, from the leaf upwards.
    #[n(3)]
    pub path: Vec<Hash>,
}

impl EventProof {
    /// Makes the proof of one event of a verified batch.
    #[must_use]
    pub fn of(header: &[u8], events: &[Vec<u8>], index: usize) -> Option<Self> {
        let leaves: Vec<Hash> = events.iter().map(|event| merkle::leaf(event)).collect();
        let path = merkle::path(&leaves, index)?;
        let event = events.get(index)?.clone();
        Some(Self { header: header.to_vec(), event, index: u32::try_from(index).ok()?, path })
    }

    /// Verifies the event; answers the header of its batch.
    pub fn verify(&self, key: &VerifyingKey) -> Result<Header, BatchError> {
        let header: Header = document::verify(Kind::Batch, &self.header, b"", key)?;
        let index = usize::try_from(self.index).unwrap_or(usize::MAX);
        let count = usize::try_from(header.count).unwrap_or(usize::MAX);
        let root = merkle::root_from(merkle::leaf(&self.event), index, count, &self.path);
        if root != Some(header.root) {
            return Err(BatchError::Root);
        }
        check_seq(&self.event, header.first.saturating_add(u64::from(self.index)))?;
        Ok(header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Body, Notice, Observation, Severity};

    fn observation() -> Observation {
        let body = Body::Notice(Notice::Sleeping);
        Observation { time_ns: 7, boot_ns: 8, severity: Severity::Low, body }
    }

    #[test]
    fn a_number_put_in_later_gives_the_bytes_of_an_event_made_with_it() {
        for seq in [0, 23, 24, 255, 256, 65_536, u64::from(u32::MAX) + 1, u64::MAX] {
            let (mut event, mut sealer) = (Vec::new(), Sealer::default());
            observation().append_to(&mut event);
            sealer.add_numbered(&event, seq).unwrap();
            let expected = codec::encode(&observation().at(seq));
            assert_eq!(minicbor::Decoder::new(&sealer.frame).bytes().unwrap(), expected);
            assert_eq!(sealer.leaves, [merkle::leaf(&expected)]);
        }
    }

    #[test]
    fn what_is_not_an_event_is_not_numbered() {
        let mut sealer = Sealer::default();
        assert!(sealer.add_numbered(&[], 1).is_err());
        assert!(sealer.add_numbered(&[0x61, b'a'], 1).is_err());
    }

    #[test]
    fn a_sealer_that_has_sealed_seals_the_next_batch_as_a_new_one_would() {
        let key = SigningKey::from_seed(&[3; 32]).unwrap();
        let endpoint = EndpointId::of(&key.verifying().0);
        let mut sealer = Sealer::default();
        for (first, count) in [(1, 1), (2, 2000), (2002, 2000), (4002, 3), (4005, 2000)] {
            let (lane, previous) = (Lane::Telemetry, Hash::default());
            let place = Place { endpoint, lane, epoch: 1, first, previous, cause: None };
            let seqs = (0..count).map(|at| first + at);
            let events: Vec<_> = seqs.map(|seq| codec::encode(&observation().at(seq))).collect();
            let anew = seal(place, &events, 5, &key).unwrap();
            for (seq, event) in (first..).zip(&events) {
                sealer.add_numbered(event, seq).unwrap();
            }
            assert_eq!(sealer.seal(place, 5, &key).unwrap(), anew);
        }
    }
}
