//! The configuration of endpoints that operators sign: what stays open while one is cut off, how
//! careful to be with it, which secrets are taken out of what it tells, and what it does by itself.

use std::net::IpAddr;

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::Text;
use crate::id::{ClientId, EndpointId};

mod redactions;
pub mod responses;

pub use redactions::{Redactions, RedactionsError, SecretPattern};
pub use responses::{Response, ResponseError};

/// Transport protocol of an exemption.
#[derive(
    Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Encode, Decode, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum Transport {
    /// TCP.
    #[n(0)]
    Tcp,
    /// UDP.
    #[n(1)]
    Udp,
}

/// A destination that stays reachable while an endpoint is cut off (the MSP's own remote
/// management, for one).
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exemption {
    /// The one address; names are not resolved, because what answers could lie.
    #[cbor(n(0), with = "address")]
    pub address: IpAddr,
    /// The one port.
    #[n(1)]
    pub port: u16,
    /// TCP or UDP.
    #[n(2)]
    pub transport: Transport,
    /// Only for the program at this path. Endpoints refuse it: a packet shows whose socket sent it,
    /// not which program, and a rule that cannot be enforced must not be promised.
    #[n(3)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<String>,
    /// Only for what this user sends, by name; none for everybody. Where nobody has that name the
    /// destination stays closed. What arrives from there is let in for everybody, so that without
    /// this user's answer nothing comes of it but one packet.
    #[n(4)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
}

/// A client's configuration. Versions only grow; a lower one is refused.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Whose.
    #[n(0)]
    pub client: ClientId,
    /// Grows with every change.
    #[n(1)]
    pub version: u64,
    /// What stays reachable while cut off.
    #[n(2)]
    #[serde(default)]
    pub exemptions: Vec<Exemption>,
    /// Endpoints on which every action needs two operators.
    #[n(3)]
    #[serde(default)]
    pub critical: Vec<EndpointId>,
    /// What is taken out of command lines and log lines, beyond or short of what every endpoint
    /// takes out; none for just that.
    #[n(4)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redactions: Option<Redactions>,
    /// What endpoints do by themselves, within what the roster lets them; none for nothing.
    #[n(5)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub responses: Option<Vec<Response>>,
    /// Programs whose processes are never ended, stopped or denied, by their absolute paths.
    #[n(6)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protected: Option<Vec<Text>>,
}

impl Policy {
    /// Protected programs in one policy.
    pub const PROTECTED_MAX: usize = 256;

    /// Exemptions in one policy, unless the roster's ceiling is lower.
    pub const EXEMPTIONS_MAX: usize = 32;

    /// The longest name of a user that Linux takes.
    pub const USER_BYTES_MAX: usize = 32;

    /// Critical endpoints in one policy.
    pub const CRITICAL_MAX: usize = 4096;

    /// One that leaves everything as it is without a policy.
    #[must_use]
    pub fn new(client: ClientId, version: u64) -> Self {
        Self {
            client,
            version,
            exemptions: Vec::new(),
            critical: Vec::new(),
            redactions: None,
            responses: None,
            protected: None,
        }
    }
}

/// An IP address as 4 or 16 bytes.
pub(crate) mod address {
    use std::net::IpAddr;

    use minicbor::decode::{Decoder, Error};
    use minicbor::encode::{self, Encoder, Write};

    pub(crate) fn encode<C, W: Write>(
        address: &IpAddr,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        match address {
            IpAddr::V4(v4) => e.bytes(&v4.octets())?.ok(),
            IpAddr::V6(v6) => e.bytes(&v6.octets())?.ok(),
        }
    }

    pub(crate) fn decode<C>(d: &mut Decoder<'_>, _: &mut C) -> Result<IpAddr, Error> {
        let bytes = d.bytes()?;
        if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
            return Ok(v4.into());
        }
        match <[u8; 16]>::try_from(bytes) {
            Ok(v6) => Ok(v6.into()),
            Err(_) => Err(Error::message("an IP address has 4 or 16 bytes")),
        }
    }
}
