//! Addresses of the lab.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::place::{Family, Place};

/// How a device that appears while the endpoint is isolated is called at both its ends.
pub(crate) const LATE: &str = "late0";
/// The same of a tunnel over the endpoint's first device.
pub(crate) const TUNNEL: &str = "vpn0";

/// The endpoint's side of the container's network.
pub(crate) const CONTAINER_SIDE: [&str; 2] = ["10.78.0.1", "fd78::1"];
/// The router's side of the attacker's network.
pub(crate) const ATTACKER_SIDE: [&str; 2] = ["10.79.0.254", "fd79::fe"];

/// Where a machine is reached; the collector's and the endpoints' are those of the stage.
pub(crate) fn of(place: Place, family: Family) -> IpAddr {
    let (v4, v6) = match place {
        Place::Endpoint => ([10, 77, 0, 11], [0xfd77, 0x11]),
        Place::Container => ([10, 78, 0, 2], [0xfd78, 0x2]),
        Place::Collector => ([10, 77, 0, 1], [0xfd77, 0x1]),
        Place::Peer => ([10, 77, 0, 12], [0xfd77, 0x12]),
        Place::Router => ([10, 77, 0, 254], [0xfd77, 0xfe]),
        Place::Attacker => ([10, 79, 0, 66], [0xfd79, 0x66]),
    };
    make(family, v4, v6)
}

/// Over the device that comes late: the endpoint or the peer.
pub(crate) fn late(place: Place, family: Family) -> IpAddr {
    let last = if place == Place::Endpoint { 1 } else { 2 };
    make(family, [10, 80, 0, last], [0xfd80, u16::from(last)])
}

/// Over the tunnel that comes late: the endpoint or the peer.
pub(crate) fn tunnel(place: Place, family: Family) -> IpAddr {
    let last = if place == Place::Endpoint { 1 } else { 2 };
    make(family, [10, 81, 0, last], [0xfd81, u16::from(last)])
}

fn make(family: Family, v4: [u8; 4], [first, last]: [u16; 2]) -> IpAddr {
    match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::from(v4)),
        Family::V6 => IpAddr::V6(Ipv6Addr::new(first, 0, 0, 0, 0, 0, 0, last)),
    }
}
