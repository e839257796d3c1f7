//! Live queries: what is asked of an endpoint, and the rows that it answers with.
//!
//! Rows are no events: they travel in chunks to whoever waits and are kept by nobody. What makes
//! them worth something is the summary at their end, signed by the endpoint over all of them.

mod answer;

use minicbor::data::Type;
use minicbor::decode::Decoder;
use minicbor::encode::{Encoder, Write};
use minicbor::{Decode, Encode, decode, encode};
use serde::{Deserialize, Serialize};

pub use answer::{Answer, AnswerError, Gather};

use crate::codec::{self, CodecError};
use crate::id::{CommandId, EndpointId, Hash};
use crate::limits;
use crate::message::Signed;
use crate::sign::document::{self, DocumentError, Kind};
use crate::sign::{SigningKey, VerifyingKey};

/// A question to endpoints, and what its answer may cost at most.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode, Serialize, Deserialize)]
pub struct Query {
    /// One SELECT in SQLite's dialect.
    #[n(0)]
    pub sql: String,
    /// Rows that are wanted at most.
    #[n(1)]
    pub rows_max: u64,
    /// Bytes of rows that are wanted at most.
    #[n(2)]
    pub bytes_max: u64,
    /// How long it may run, in milliseconds; the time that its rows wait to be sent counts.
    #[n(3)]
    pub time_ms_max: u64,
}

/// One value of a row: null, integer, 64-bit float, text string or byte string in CBOR.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing, or not known.
    Null,
    /// A number.
    Integer(i64),
    /// A number with a fraction.
    Real(f64),
    /// Text.
    Text(String),
    /// Bytes, and text that is not UTF-8.
    Bytes(Vec<u8>),
}

/// One row: as many values as there are columns.
pub type Row = Vec<Value>;

/// Which limit ended an answer early.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum Limit {
    /// There are more rows than were wanted.
    #[n(0)]
    Rows,
    /// There are more bytes than were wanted, or one row is larger than a chunk may be.
    #[n(1)]
    Bytes,
    /// The time was over.
    #[n(2)]
    Time,
    /// The memory that a query may use was not enough.
    #[n(3)]
    Memory,
}

impl Limit {
    /// Its name in sentences.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rows => "rows",
            Self::Bytes => "bytes",
            Self::Time => "time",
            Self::Memory => "memory",
        }
    }
}

/// Why a query could not be answered.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode, Serialize)]
pub struct QueryError {
    /// For a person.
    #[n(0)]
    pub sentence: String,
    /// Where in the SQL, in bytes from its beginning; none where it is no one place.
    #[n(1)]
    pub offset: Option<u64>,
}

/// A part of an answer. The last one of a command carries no rows but the signed summary.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub struct Rows {
    /// Which query.
    #[n(0)]
    pub command: CommandId,
    /// The part's number, from 0, without holes.
    #[n(1)]
    pub index: u32,
    /// The rows, as [`write_chunk`] writes them; empty in the last part.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub content: Vec<u8>,
    /// The [`Summary`] as the endpoint signed it, in the last part only.
    #[n(3)]
    pub last: Option<Signed>,
}

/// What an endpoint signs about an answer: all that its rows are, and why they are not more.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub struct Summary {
    /// Who answers.
    #[n(0)]
    pub endpoint: EndpointId,
    /// The key that signs; the endpoint's id is its hash.
    #[n(1)]
    pub key: VerifyingKey,
    /// Which command asked.
    #[n(2)]
    pub command: CommandId,
    /// SHA-256 of the command's bytes as received.
    #[n(3)]
    pub command_hash: Hash,
    /// SHA-256 of the SQL that was run.
    #[n(4)]
    pub sql_hash: Hash,
    /// The columns' names.
    #[n(5)]
    pub columns: Vec<String>,
    /// How many rows there are.
    #[n(6)]
    pub rows: u64,
    /// In how many parts before this one.
    #[n(7)]
    pub parts: u32,
    /// Merkle tree hash (RFC 6962) over the parts' contents.
    #[n(8)]
    pub root: Hash,
    /// The limit that ended it early; none if these are all rows.
    #[n(9)]
    pub cut: Option<Limit>,
    /// What kept it from being answered, or from being answered to the end.
    #[n(10)]
    pub error: Option<QueryError>,
    /// When it was answered, nanoseconds since 1970 UTC by the endpoint's clock.
    #[n(11)]
    pub time_ns: u64,
    /// How long it took, in milliseconds.
    #[n(12)]
    pub took_ms: u64,
}

impl Summary {
    /// Signs it.
    #[must_use]
    pub fn sign(&self, key: &SigningKey) -> Signed {
        Signed { bytes: document::sign(Kind::Rows, self, b"", key) }
    }

    /// Verifies a summary as that of an endpoint. The key is in it: an endpoint is named by its hash.
    pub fn verify(signed: &Signed, endpoint: EndpointId) -> Result<Self, DocumentError> {
        document::verify_own(Kind::Rows, &signed.bytes, endpoint, |claimed: &Self| {
            (claimed.endpoint, claimed.key)
        })
    }
}

impl Rows {
    /// Refuses what no endpoint that keeps to the protocol sends.
    pub fn check_form(&self) -> Result<(), RowsFormError> {
        match &self.last {
            Some(_) if self.content.is_empty() => Ok(()),
            Some(_) => Err(RowsFormError::RowsInLast),
            None => Ok(read_chunk(&self.content).map(drop)?),
        }
    }
}

/// What is wrong with a part of an answer.
#[derive(Debug, thiserror::Error)]
pub enum RowsFormError {
    /// The last part carries the summary and nothing else.
    #[error("the last part of an answer carries rows beside its summary")]
    RowsInLast,
    /// The content.
    #[error("a part of an answer {0}")]
    Content(#[from] CodecError),
}

/// Writes the rows of one part.
#[must_use]
pub fn write_chunk(rows: &[Row]) -> Vec<u8> {
    codec::encode(&rows)
}

/// Reads the rows of one part; refuses another encoding than [`write_chunk`]'s.
pub fn read_chunk(bytes: &[u8]) -> Result<Vec<Row>, CodecError> {
    codec::decode_strict(codec::bounded(bytes, limits::ROWS_BYTES_MAX)?)
}

impl<C> Encode<C> for Value {
    fn encode<W: Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        match self {
            Self::Null => e.null()?.ok(),
            Self::Integer(number) => e.i64(*number)?.ok(),
            Self::Real(number) => e.f64(*number)?.ok(),
            Self::Text(text) => e.str(text)?.ok(),
            Self::Bytes(bytes) => e.bytes(bytes)?.ok(),
        }
    }
}

impl<'b, C> Decode<'b, C> for Value {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        let kind = d.datatype()?;
        if kind == Type::Null {
            d.null()?;
            return Ok(Self::Null);
        }
        if kind == Type::F64 {
            return d.f64().map(Self::Real);
        }
        if kind == Type::String {
            return d.str().map(|text| Self::Text(text.to_owned()));
        }
        if kind == Type::Bytes {
            return d.bytes().map(|bytes| Self::Bytes(bytes.to_vec()));
        }
        d.i64().map(Self::Integer)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            any::<i64>().prop_map(Value::Integer),
            prop::num::f64::NORMAL.prop_map(Value::Real),
            any::<String>().prop_map(Value::Text),
            any::<Vec<u8>>().prop_map(Value::Bytes),
        ]
    }

    proptest! {
        #[test]
        fn rows_read_back_as_they_were_written(
            rows in prop::collection::vec(prop::collection::vec(value(), 0..5), 0..9)
        ) {
            prop_assert_eq!(read_chunk(&write_chunk(&rows)).unwrap(), rows);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in any::<Vec<u8>>()) {
            if let Ok(rows) = read_chunk(&bytes) {
                prop_assert_eq!(write_chunk(&rows), bytes);
            }
        }
    }

    #[test]
    fn another_encoding_of_the_same_rows_is_refused() {
        assert!(read_chunk(&[0x81, 0x81, 0x01]).is_ok());
        assert!(read_chunk(&[0x81, 0x81, 0x18, 0x01]).is_err(), "a number longer than needed");
        assert!(read_chunk(&[0x81, 0x81, 0xf9, 0x3c, 0x00]).is_err(), "a short float");
        assert!(read_chunk(&[0x81, 0x81, 0xf5]).is_err(), "SQLite has no booleans");
        assert!(read_chunk(&[0x9f, 0x81, 0x01, 0xff]).is_err(), "no length");
        assert!(read_chunk(&[0x81, 0x81, 0x01, 0x00]).is_err(), "something after the end");
    }
}
