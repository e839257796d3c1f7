//! The addresses of this network namespace.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::netlink::wire::{Malformed, Message};
use super::netlink::{Netlink, NetlinkError};

const GET_ADDRESS: u16 = 22;
/// Bytes of `struct ifaddrmsg`.
const HEADER_BYTES: usize = 8;
const ADDRESS: u16 = 1;
const LOCAL: u16 = 2;
/// Addresses that a machine makes up for a day at a time.
const FLAG_TEMPORARY: u8 = 1;

/// An address of a device.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Address {
    /// The device's number.
    pub link: u32,
    /// The address.
    pub ip: IpAddr,
    /// How many bits of it name the network.
    pub prefix: u8,
}

/// All lasting addresses.
pub fn addresses() -> Result<Vec<Address>, NetlinkError> {
    let mut socket = Netlink::open(None, 0)?;
    let mut all = socket.list("list the addresses", GET_ADDRESS, HEADER_BYTES, read)?;
    all.sort();
    Ok(all)
}

fn read(message: &Message<'_>) -> Result<Option<Address>, Malformed> {
    let [_family, prefix, flags, _scope, link @ ..] =
        message.body.first_chunk::<HEADER_BYTES>().copied().ok_or(Malformed::CutShort {
            what: "address",
            needed: HEADER_BYTES,
            left: message.body.len(),
        })?;
    let mut ip = None;
    for attribute in message.attributes(HEADER_BYTES)? {
        let attribute = attribute?;
        // Of a point-to-point device the one is the peer's, the other its own.
        if attribute.kind == LOCAL || (attribute.kind == ADDRESS && ip.is_none()) {
            ip = of_bytes(attribute.value).or(ip);
        }
    }
    let link = u32::from_ne_bytes(link);
    let ip = ip.filter(|_ip| flags & FLAG_TEMPORARY == 0);
    Ok(ip.map(|ip| Address { link, ip, prefix }))
}

pub(super) fn of_bytes(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(|octets| IpAddr::V4(Ipv4Addr::from(octets)));
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(|octets| IpAddr::V6(Ipv6Addr::from(octets))))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_has_its_address() {
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        assert!(
            addresses()
                .unwrap()
                .iter()
                .any(|address| address.ip == loopback && address.prefix == 8)
        );
    }

    #[test]
    fn an_answer_cut_short_is_refused() {
        let message = Message { kind: 20, flags: 0, sequence: 1, port: 0, body: &[2, 8, 0] };
        assert!(read(&message).is_err());
    }
}
