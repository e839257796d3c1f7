//! The links of this network namespace, and the way a packet would take.

use std::net::IpAddr;

use thiserror::Error;

use super::netlink::wire::{Attribute, Encoder, Malformed, Message};
use super::netlink::{Netlink, NetlinkError};

/// The notification group of devices that come, go or change, for [`open`].
pub const GROUP_LINKS: u32 = 1;

const GET_LINK: u16 = 18;
const GET_ROUTE: u16 = 26;
const LINK_HEADER_BYTES: usize = 16;
const ROUTE_HEADER_BYTES: usize = 12;

const LINK_NAME: u16 = 3;
const LINK_LOWER: u16 = 5;
const LINK_INFO: u16 = 18;
const LINK_INFO_KIND: u16 = 1;
const HARDWARE_ETHERNET: u16 = 1;
const FLAG_LOOPBACK: u32 = 0x8;

const ROUTE_TO: u16 = 1;
const ROUTE_OUT: u16 = 4;
const ROUTE_MARK: u16 = 16;
const ROUTE_UNICAST: u8 = 1;
const ROUTE_LOCAL: u8 = 2;
const FAMILY_IPV4: u8 = 2;
const FAMILY_IPV6: u8 = 10;

/// One network device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    pub index: u32,
    pub name: Vec<u8>,
    /// What made it (`veth`, `bridge`, `wireguard` …); nothing for most hardware.
    pub kind: Option<Vec<u8>>,
    pub loopback: bool,
    pub ethernet: bool,
    /// The device below it, for VLANs and tunnels.
    pub lower: Option<u32>,
}

/// Where packets to an address would leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Through the device of this index.
    Out { link: u32 },
    /// The address is this endpoint's own.
    Here,
}

#[derive(Debug, Error)]
pub enum RouteError {
    #[error("cannot read the links and routes: {0}")]
    Netlink(#[from] NetlinkError),
    #[error("there is no route to {to}: {source}")]
    NoRoute { to: IpAddr, source: NetlinkError },
    #[error("the route to {to} does not lead anywhere (route type {kind})")]
    DeadEnd { to: IpAddr, kind: u8 },
}

/// Opens the socket that [`links`] and [`way`] ask through; `groups` as in [`Netlink::open`].
pub fn open(groups: u32) -> Result<Netlink, RouteError> {
    Ok(Netlink::open(None, groups)?)
}

/// Every device of this namespace, the loopback too.
pub fn links(socket: &mut Netlink) -> Result<Vec<Link>, RouteError> {
    let read = |message: &Message<'_>| read_link(message).map(Some);
    Ok(socket.list("list the network devices", GET_LINK, LINK_HEADER_BYTES, read)?)
}

/// The way that a packet with `mark` would take to `to`: policy routing looks at marks.
pub fn way(socket: &mut Netlink, to: IpAddr, mark: u32) -> Result<Way, RouteError> {
    let answer = socket.ask(
        "ask for a route",
        GET_ROUTE,
        |encoder| ask_route(encoder, to, mark),
        |message| {
            let kind = message.body.get(7).copied().unwrap_or_default();
            let out = find(message, ROUTE_HEADER_BYTES, ROUTE_OUT)?;
            Ok((kind, out.map(|out| out.ne32()).transpose()?))
        },
    );
    match answer {
        Ok((ROUTE_LOCAL, _)) => Ok(Way::Here),
        Ok((ROUTE_UNICAST, Some(link))) => Ok(Way::Out { link }),
        Ok((kind, _)) => Err(RouteError::DeadEnd { to, kind }),
        Err(source) => Err(RouteError::NoRoute { to, source }),
    }
}

fn ask_route(encoder: &mut Encoder, to: IpAddr, mark: u32) {
    let mut header = [0; ROUTE_HEADER_BYTES];
    match to {
        IpAddr::V4(to) => {
            header[..2].copy_from_slice(&[FAMILY_IPV4, 32]);
            encoder.raw(&header);
            encoder.attribute(ROUTE_TO, &to.octets());
        }
        IpAddr::V6(to) => {
            header[..2].copy_from_slice(&[FAMILY_IPV6, 128]);
            encoder.raw(&header);
            encoder.attribute(ROUTE_TO, &to.octets());
        }
    }
    encoder.attribute(ROUTE_MARK, &mark.to_ne_bytes());
}

fn read_link(message: &Message<'_>) -> Result<Link, Malformed> {
    let header: [u8; LINK_HEADER_BYTES] =
        message.body.first_chunk().copied().ok_or(Malformed::CutShort {
            what: "link",
            needed: LINK_HEADER_BYTES,
            left: message.body.len(),
        })?;
    let flags = u32::from_ne_bytes([header[8], header[9], header[10], header[11]]);
    let mut link = Link {
        index: u32::from_ne_bytes([header[4], header[5], header[6], header[7]]),
        name: Vec::new(),
        kind: None,
        loopback: flags & FLAG_LOOPBACK != 0,
        ethernet: u16::from_ne_bytes([header[2], header[3]]) == HARDWARE_ETHERNET,
        lower: None,
    };
    for attribute in message.attributes(LINK_HEADER_BYTES)? {
        let attribute = attribute?;
        match attribute.kind {
            LINK_NAME => link.name = attribute.name().to_vec(),
            LINK_LOWER => link.lower = Some(attribute.ne32()?),
            LINK_INFO => {
                for inner in attribute.nested() {
                    let inner = inner?;
                    if inner.kind == LINK_INFO_KIND {
                        link.kind = Some(inner.name().to_vec());
                    }
                }
            }
            _ => {}
        }
    }
    Ok(link)
}

fn find<'a>(
    message: &Message<'a>,
    header_bytes: usize,
    kind: u16,
) -> Result<Option<Attribute<'a>>, Malformed> {
    for attribute in message.attributes(header_bytes)? {
        let attribute = attribute?;
        if attribute.kind == kind {
            return Ok(Some(attribute));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_is_found_and_leads_here() {
        let mut socket = open(0).unwrap();
        let links = links(&mut socket).unwrap();
        let loopback = links.iter().find(|link| link.loopback).unwrap();
        assert_eq!((loopback.index, loopback.name.as_slice()), (1, b"lo".as_slice()));
        let way = way(&mut socket, IpAddr::from([127, 0, 0, 1]), 0).unwrap();
        assert_eq!(way, Way::Here);
    }

    #[test]
    fn a_link_cut_short_is_refused() {
        let message = Message { kind: 16, flags: 0, sequence: 1, port: 0, body: &[0; 7] };
        assert!(read_link(&message).is_err());
    }
}
