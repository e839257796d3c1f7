//! Blocking addresses, names and ports, in one direction or both; by it also the traffic between
//! two groups of endpoints, and the ports that intruders move along.

use std::net::IpAddr;

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use super::{CommandFormError, range, text};
use crate::limits;
use crate::policy::{Transport, address};

/// Rules in one command.
pub(super) const RULES_MAX: usize = 512;

/// Who is on the other side.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Peer {
    /// Everybody.
    #[n(0)]
    Anyone,
    /// An address, or all that begin alike.
    #[n(1)]
    Network {
        /// The address.
        #[cbor(n(0), with = "address")]
        address: IpAddr,
        /// How many bits count.
        #[n(1)]
        bits: u8,
    },
    /// Whatever a name stands for, now and while the rule stands.
    #[n(2)]
    Name(#[n(0)] String),
}

/// Who begins what is blocked.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum Direction {
    /// Nothing passes, whoever begins.
    #[n(0)]
    Both,
    /// What comes in from the peer to the port here.
    #[n(1)]
    In,
    /// What goes out to the port at the peer.
    #[n(2)]
    Out,
}

/// A run of ports of one protocol.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Encode, Decode, Serialize)]
pub struct Ports {
    /// TCP or UDP.
    #[n(0)]
    pub transport: Transport,
    /// The first.
    #[n(1)]
    pub first: u16,
    /// The last.
    #[n(2)]
    pub last: u16,
}

/// One thing that may not pass.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode, Serialize)]
pub struct Rule {
    /// Who is on the other side.
    #[n(0)]
    pub peer: Peer,
    /// Who begins it.
    #[n(1)]
    pub direction: Direction,
    /// Which ports; none for everything between the two.
    #[n(2)]
    pub ports: Option<Ports>,
}

/// Block addresses, names or ports.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode, Serialize)]
pub struct Block {
    /// What may not pass.
    #[n(0)]
    pub rules: Vec<Rule>,
    /// How long it stands, in seconds of endpoint time; none until it is undone.
    #[n(1)]
    pub lease_secs: Option<u64>,
}

impl Block {
    pub(super) fn check(&self) -> Result<(), CommandFormError> {
        let rules = u64::try_from(self.rules.len()).unwrap_or(u64::MAX);
        range("count of rules", rules, u64::try_from(RULES_MAX).unwrap_or(u64::MAX))?;
        self.rules.iter().try_for_each(Rule::check)
    }
}

impl Rule {
    fn check(&self) -> Result<(), CommandFormError> {
        match &self.peer {
            // Everything from and to everybody is an isolation, and not this.
            Peer::Anyone if self.ports.is_none() => {
                return Err(CommandFormError::Parameter {
                    field: "peer",
                    found: "anyone".to_owned(),
                    what: "peer for a rule without ports; isolate instead",
                });
            }
            Peer::Anyone => {}
            Peer::Network { address, bits } => {
                let bits_max = if address.is_ipv4() { 32 } else { 128 };
                range("count of bits", u64::from(*bits), bits_max)?;
            }
            Peer::Name(name) => text("name", name, limits::HOST_NAME_BYTES_MAX)?,
        }
        match self.ports {
            Some(Ports { first, last, .. }) if first == 0 || first > last => {
                let found = format!("{first} to {last}");
                Err(CommandFormError::Parameter { field: "ports", found, what: "run of ports" })
            }
            Some(_) | None => Ok(()),
        }
    }
}
