//! The neighbours of this network namespace: who was seen under which address of a link (ARP and
//! neighbour discovery).

use std::net::IpAddr;

use super::netlink::wire::{Malformed, Message};
use super::netlink::{Netlink, NetlinkError};

const GET_NEIGHBOUR: u16 = 30;
/// Bytes of `struct ndmsg`.
const HEADER_BYTES: usize = 12;
const DESTINATION: u16 = 1;
const LINK_ADDRESS: u16 = 2;

/// A neighbour.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Neighbour {
    /// Its address.
    pub ip: IpAddr,
    /// Its link's address; empty where that was not learnt.
    pub address: Vec<u8>,
    /// The device's number.
    pub link: u32,
    /// How sure the kernel is: one bit of `NUD_*`.
    pub state: u16,
}

impl Neighbour {
    /// How sure the kernel is, in a word.
    #[must_use]
    pub fn state_name(&self) -> &'static str {
        match self.state {
            0x01 => "incomplete",
            0x02 => "reachable",
            0x04 => "stale",
            0x08 => "delay",
            0x10 => "probe",
            0x20 => "failed",
            0x40 => "noarp",
            0x80 => "permanent",
            _ => "none",
        }
    }
}

/// All neighbours, IPv4 and IPv6.
pub fn neighbours() -> Result<Vec<Neighbour>, NetlinkError> {
    let mut socket = Netlink::open(None, 0)?;
    let mut all = socket.list("list the neighbours", GET_NEIGHBOUR, HEADER_BYTES, read)?;
    all.sort();
    Ok(all)
}

fn read(message: &Message<'_>) -> Result<Option<Neighbour>, Malformed> {
    let [_family, _, _, _, l0, l1, l2, l3, s0, s1, _flags, _kind] =
        message.body.first_chunk::<HEADER_BYTES>().copied().ok_or(Malformed::CutShort {
            what: "neighbour",
            needed: HEADER_BYTES,
            left: message.body.len(),
        })?;
    let (mut ip, mut address) = (None, Vec::new());
    for attribute in message.attributes(HEADER_BYTES)? {
        let attribute = attribute?;
        match attribute.kind {
            DESTINATION => ip = super::address::of_bytes(attribute.value),
            LINK_ADDRESS => address = attribute.value.to_vec(),
            _ => {}
        }
    }
    let (link, state) = (u32::from_ne_bytes([l0, l1, l2, l3]), u16::from_ne_bytes([s0, s1]));
    Ok(ip.map(|ip| Neighbour { ip, address, link, state }))
}
