//! What the agent and the process of a query say to each other: a request, then frames.

use std::io::{self, Read, Write};

use cordon_proto::codec;
use cordon_proto::command::Nonce;
use cordon_proto::event::Health;
use cordon_proto::id::{ClientId, EndpointId};
use cordon_proto::limits::ROWS_BYTES_MAX;
use cordon_proto::policy::Redactions;
use cordon_proto::query::{Limit, Query, QueryError};
use cordon_proto::roster::RosterRef;
use minicbor::{Decode, Encode};

/// What the process is asked, and told.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub struct Request {
    /// The question.
    #[n(0)]
    pub query: Query,
    /// What only the agent knows.
    #[n(1)]
    pub facts: Facts,
}

/// What only the agent knows.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub struct Facts {
    /// Who this endpoint is.
    #[n(0)]
    pub endpoint: EndpointId,
    /// Whose.
    #[n(1)]
    pub client: ClientId,
    /// How the agent fares, as it reports it.
    #[n(2)]
    pub health: Health,
    /// What the policy wants taken out, beside the agent's own rules.
    #[n(3)]
    pub redactions: Option<Redactions>,
}

impl Facts {
    /// For what asks nothing of the agent itself.
    #[must_use]
    pub fn bare(endpoint: EndpointId, client: ClientId) -> Self {
        let health = Health {
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            endpoint_secs: 0,
            nonce: Nonce { boot_count: 0, endpoint_secs: 0, mac: [0; 16] },
            roster: RosterRef::default(),
            policy_version: 0,
            cpu_us: 0,
            rss_bytes: 0,
            uptime_secs: 0,
            lanes: vec![],
            sensors: vec![],
            dropped: vec![],
            containments: vec![],
            given_up: None,
            budget: None,
            sent_bytes: None,
        };
        Self { endpoint, client, health, redactions: None }
    }
}

/// A part of the process's answer.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub enum Frame {
    /// The question was understood; rows with these columns follow.
    #[n(0)]
    Columns(#[n(0)] Vec<String>),
    /// Rows.
    #[n(1)]
    Rows {
        /// How many.
        #[n(0)]
        count: u64,
        /// Written as a part of an answer is.
        #[cbor(n(1), with = "minicbor::bytes")]
        content: Vec<u8>,
    },
    /// Nothing follows.
    #[n(2)]
    End(#[n(0)] Ended),
}

/// How an answer ended.
#[derive(Clone, Debug, Default, Eq, PartialEq, Encode, Decode)]
pub struct Ended {
    /// The limit that ended it early.
    #[n(0)]
    pub cut: Option<Limit>,
    /// What kept it from being answered.
    #[n(1)]
    pub error: Option<QueryError>,
}

impl Ended {
    /// Ended by a limit.
    #[must_use]
    pub fn cut(limit: Limit) -> Self {
        Self { cut: Some(limit), error: None }
    }

    /// Not answered, for this reason.
    #[must_use]
    pub fn failed(sentence: impl Into<String>) -> Self {
        let sentence = sentence.into();
        Self { cut: None, error: Some(QueryError { sentence, offset: None }) }
    }
}

/// Rows of one part and a frame around them; column names are less.
const FRAME_BYTES_MAX: usize = ROWS_BYTES_MAX + 64;

/// A question of 16 KiB, the agent's health with as much as it can hold, and a policy's patterns.
const REQUEST_BYTES_MAX: u64 = 1 << 20;

/// Reads the request to the end of the stream.
pub fn read_request(from: impl Read) -> io::Result<Request> {
    let mut bytes = Vec::new();
    from.take(REQUEST_BYTES_MAX).read_to_end(&mut bytes)?;
    codec::decode_strict(&bytes).map_err(io::Error::other)
}

/// Writes a frame: its length in four bytes, the lowest first, then its CBOR.
pub fn write(to: &mut impl Write, frame: &Frame) -> io::Result<()> {
    let bytes = codec::encode(frame);
    let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    to.write_all(&length.to_le_bytes())?;
    to.write_all(&bytes)?;
    to.flush()
}

/// Takes the first whole frame out of what was read so far; none if it is not whole yet.
pub fn take(read: &mut Vec<u8>) -> io::Result<Option<Frame>> {
    let Some((length, rest)) = read.split_first_chunk::<4>() else { return Ok(None) };
    let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
    if length > FRAME_BYTES_MAX {
        return Err(io::Error::other(format!("a frame of {length} bytes")));
    }
    let Some(bytes) = rest.get(..length) else { return Ok(None) };
    let frame = codec::decode_strict(bytes).map_err(io::Error::other)?;
    read.drain(..4 + length);
    Ok(Some(frame))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn frames_come_out_whole_however_the_pipe_cuts_them() {
        let frames = [
            Frame::Columns(vec!["pid".to_owned()]),
            Frame::Rows { count: 1, content: vec![0x81, 0x81, 1] },
            Frame::End(Ended::cut(Limit::Time)),
        ];
        let mut bytes = Vec::new();
        frames.iter().for_each(|frame| write(&mut bytes, frame).unwrap());
        let (mut read, mut found) = (Vec::new(), Vec::new());
        for byte in bytes {
            read.push(byte);
            found.extend(take(&mut read).unwrap());
        }
        assert_eq!(found, frames);
        assert!(read.is_empty());
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_frame_or_none(bytes in any::<Vec<u8>>()) {
            let mut read = bytes.clone();
            if let Ok(Some(frame)) = take(&mut read) {
                let mut again = Vec::new();
                write(&mut again, &frame).unwrap();
                prop_assert!(bytes.starts_with(&again));
            }
        }
    }
}
