//! Wires between namespaces of the lab: pairs of virtual devices, alone or on a switch.

use std::net::IpAddr;
use std::str::FromStr;

use super::error::LabError;
use super::namespace::Namespace;

/// The kernel's limit for a device's name.
const DEVICE_NAME_MAX: usize = 15;

/// One end of a wire: in which namespace, the device's name there, its addresses.
#[derive(Clone, Debug)]
pub struct End<'a> {
    pub namespace: &'a Namespace,
    pub device: &'a str,
    pub addresses: Vec<Address>,
}

/// An address with the length of its network's prefix: `10.77.0.2/24`, `fd77::2/64`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Address {
    pub address: IpAddr,
    pub prefix: u8,
}

impl FromStr for Address {
    type Err = LabError;

    fn from_str(text: &str) -> Result<Self, LabError> {
        let wrong =
            |reason: &str| LabError::Address { address: text.into(), reason: reason.to_owned() };
        let (address, prefix) =
            text.split_once('/').ok_or_else(|| wrong("the /length of its prefix is missing"))?;
        let address: IpAddr = address.parse().map_err(|error| wrong(&format!("{error}")))?;
        let prefix = prefix.parse().map_err(|error| wrong(&format!("the prefix: {error}")))?;
        if !is_set_aside(address) {
            return Err(wrong("only private and documentation networks are used"));
        }
        Ok(Self { address, prefix })
    }
}

/// Networks set aside for private use and for documentation: nobody in the world is meant by them.
fn is_set_aside(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_private() || v4.is_documentation(),
        IpAddr::V6(v6) => {
            let [first, second, ..] = v6.segments();
            first & 0xfe00 == 0xfc00 || (first, second) == (0x2001, 0x0db8)
        }
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(to, "{}/{}", self.address, self.prefix)
    }
}

/// A namespace whose only work is to join the wires plugged into it.
#[derive(Debug)]
pub struct Switch(Namespace);

impl Switch {
    pub(super) fn make(namespace: Namespace) -> Result<Self, LabError> {
        namespace.ip(&["link", "add", "switch", "type", "bridge"])?;
        namespace.ip(&["link", "set", "switch", "up"])?;
        Ok(Self(namespace))
    }

    /// Lays a wire from the end to this switch.
    pub fn plug(&self, end: &End<'_>) -> Result<(), LabError> {
        let taken = self.0.ip(&["-o", "link", "show", "type", "veth"])?.lines().count();
        let port = format!("port{taken}");
        lay(end.namespace, end.device, &self.0, &port)?;
        self.0.ip(&["link", "set", &port, "master", "switch", "up"])?;
        bring_up(end)
    }

    pub fn namespace(&self) -> &Namespace {
        &self.0
    }
}

pub(super) fn join(left: &End<'_>, right: &End<'_>) -> Result<(), LabError> {
    lay(left.namespace, left.device, right.namespace, right.device)?;
    bring_up(left)?;
    bring_up(right)
}

/// Made inside the first namespace with its peer put into the second at once: neither end is ever
/// anywhere else.
fn lay(near: &Namespace, device: &str, far: &Namespace, peer: &str) -> Result<(), LabError> {
    for name in [device, peer] {
        if name.is_empty() || name.len() > DEVICE_NAME_MAX {
            return Err(LabError::Name { name: name.to_owned() });
        }
    }
    let pair = ["type", "veth", "peer", "name", peer, "netns", far.name()];
    near.ip(&[&["link", "add", "name", device], &pair[..]].concat()).map(drop)
}

fn bring_up(end: &End<'_>) -> Result<(), LabError> {
    for address in &end.addresses {
        let text = address.to_string();
        let mut arguments = vec!["addr", "add", &text, "dev", end.device];
        if address.address.is_ipv6() {
            // Nobody else is on the wire; a second of waiting for a duplicate would be for nothing.
            arguments.push("nodad");
        }
        end.namespace.ip(&arguments)?;
    }
    end.namespace.ip(&["link", "set", end.device, "up"]).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<(), &str>) {
        match (text.parse::<Address>(), expected) {
            (Ok(address), Ok(())) => assert_eq!(address.to_string(), text),
            (Err(error), Err(part)) => {
                let message = error.to_string();
                assert!(message.contains(part), "{message:?} does not say {part:?}");
            }
            (found, _) => panic!("{text}: {found:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn addresses_of_private_networks_are_taken() {
        check("10.77.0.2/24", Ok(()));
        check("fd77::2/64", Ok(()));
        check("192.0.2.9/24", Ok(()));
        check("2001:db8::1/64", Ok(()));
    }

    #[test]
    fn addresses_of_the_world_and_half_addresses_are_refused() {
        check("8.8.8.8/24", Err("only private"));
        check("2600::1/64", Err("only private"));
        check("10.77.0.2", Err("prefix is missing"));
        check("ten/24", Err("invalid IP address"));
    }
}
