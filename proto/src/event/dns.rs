//! An answer of the domain name system, as it passed by (OCSF DNS Activity, 4003).

use std::net::IpAddr;

use minicbor::{Decode, Encode};

use super::network::{Owner, Peer};
use crate::Text;

/// An answer. The same one is told again only after its time to live.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub struct DnsEvent {
    /// The name that was asked for, without the last dot; bytes that are no printable ASCII, dots
    /// within a label and backslashes are written `\DDD`.
    #[n(0)]
    pub query: Text,
    /// The type that was asked for, by its number: 1 A, 28 AAAA …
    #[n(1)]
    pub query_type: u16,
    /// The response code: 0 no error, 3 no such name …
    #[n(2)]
    pub rcode: u8,
    /// Addresses and other names, in the order of the answer; at most
    /// [`crate::limits::DNS_ANSWERS_MAX`].
    #[n(3)]
    pub answers: Vec<Answer>,
    /// How many records the answer held, of any type.
    #[n(4)]
    pub records: u16,
    /// Who answered.
    #[n(5)]
    pub server: Peer,
    /// Who was answered.
    #[n(6)]
    pub client: Peer,
    /// The process that asked, where it is known.
    #[n(7)]
    pub owner: Option<Owner>,
    /// How often the same answer came since it was last told, this time not counted.
    #[n(8)]
    pub repeats: u32,
}

/// One record of an answer.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub struct Answer {
    /// How long it may be kept, in seconds.
    #[n(0)]
    pub ttl_secs: u32,
    /// What it says.
    #[n(1)]
    pub says: Says,
}

/// What a record says.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub enum Says {
    /// A or AAAA: the name has this address.
    #[n(0)]
    Address(#[n(0)] IpAddr),
    /// CNAME: the name is another name for this one.
    #[n(1)]
    Name(#[n(0)] Text),
}
