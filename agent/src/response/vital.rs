//! Addresses that an endpoint cannot live without: blocking one by itself would cut off what nobody
//! asked to be cut off.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Of these files so much is read.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Finds addresses in the text of a file.
type Read = fn(&str) -> Vec<IpAddr>;

/// What is known of them at one moment.
#[derive(Clone, Debug, Default)]
pub struct Vital {
    /// Collectors, and what policy exempts.
    known: Vec<IpAddr>,
    /// Gateways and resolvers.
    found: Vec<IpAddr>,
    /// The gateways or resolvers could not be read: no address is known not to be one.
    blind: bool,
}

impl Vital {
    /// Reads the gateways and resolvers of this network namespace; `known` are others.
    #[must_use]
    pub fn look(known: Vec<IpAddr>) -> Self {
        let (mut found, mut blind) = (Vec::new(), false);
        let files: [(&str, Read); 3] = [
            ("/proc/thread-self/net/route", gateways_v4),
            ("/proc/thread-self/net/ipv6_route", gateways_v6),
            ("/etc/resolv.conf", resolvers),
        ];
        for (path, read) in files {
            match read_bounded(path) {
                Ok(text) => found.append(&mut read(&text)),
                // No IPv6, or no resolver, is no gateway and no resolver.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => {
                    tracing::warn!(%error, path, "cannot tell which addresses are needed");
                    blind = true;
                }
            }
        }
        Self { known, found, blind }
    }

    /// Whether an address must not be blocked.
    #[must_use]
    pub fn holds(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let none = match address {
            IpAddr::V4(v4) => v4.is_broadcast() || v4.is_link_local(),
            IpAddr::V6(v6) => v6.is_unicast_link_local(),
        };
        none || self.blind
            || address.is_loopback()
            || address.is_unspecified()
            || address.is_multicast()
            || self.known.iter().chain(&self.found).any(|vital| vital.to_canonical() == address)
    }
}

fn read_bounded(path: &str) -> std::io::Result<String> {
    use std::io::Read;
    let mut text = Vec::new();
    std::fs::File::open(path)?.take(FILE_BYTES_MAX).read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// The third column of the kernel's list: an address as one number in this machine's byte order.
fn gateways_v4(text: &str) -> Vec<IpAddr> {
    let gateway = |line: &str| {
        let column = line.split_whitespace().nth(2)?;
        let number = u32::from_str_radix(column, 16).ok()?;
        Some(Ipv4Addr::from(number.to_ne_bytes()))
    };
    let found = text.lines().skip(1).filter_map(gateway);
    found.filter(|address| !address.is_unspecified()).map(IpAddr::from).collect()
}

/// The fifth column of the kernel's list: 32 digits.
fn gateways_v6(text: &str) -> Vec<IpAddr> {
    let gateway = |line: &str| {
        let column = line.split_whitespace().nth(4)?;
        Some(Ipv6Addr::from(u128::from_str_radix(column, 16).ok()?))
    };
    let found = text.lines().filter_map(gateway);
    found.filter(|address| !address.is_unspecified()).map(IpAddr::from).collect()
}

fn resolvers(text: &str) -> Vec<IpAddr> {
    let servers = text.lines().filter_map(|line| line.trim().strip_prefix("nameserver"));
    // An address of a link carries the link's name.
    servers.filter_map(|server| server.trim().split('%').next()?.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gateways_and_resolvers_are_those_of_the_kernels_lists() {
        let number = u32::from_ne_bytes([192, 0, 2, 1]);
        let v4 = format!(
            "Iface\tDestination\tGateway\tFlags\neth0\t00000000\t{number:08X}\t0003\n\
             eth0\t000200C0\t00000000\t0001\n"
        );
        assert_eq!(gateways_v4(&v4), [IpAddr::from([192, 0, 2, 1])]);
        let zeros = "0".repeat(32);
        let v6 = format!("{zeros} 00 {zeros} 00 20010db8{:0>24} 00000400 0 0 3 eth0\n", 1);
        assert_eq!(gateways_v6(&v6), ["2001:db8::1".parse::<IpAddr>().unwrap()]);
        let found = resolvers("nameserver 192.0.2.2\nnameserver fe80::1%eth0\nsearch x\n");
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn what_is_vital_is_told_from_what_is_not() {
        let known = vec!["192.0.2.7".parse().unwrap()];
        let vital = Vital { known, found: vec!["192.0.2.1".parse().unwrap()], blind: false };
        for address in [
            "192.0.2.7",
            "::ffff:192.0.2.7",
            "192.0.2.1",
            "127.0.0.9",
            "::1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "fe80::1",
        ] {
            assert!(vital.holds(address.parse().unwrap()), "{address}");
        }
        let other = "203.0.113.9".parse().unwrap();
        assert!(!vital.holds(other));
        assert!(Vital { blind: true, ..vital }.holds(other), "who cannot look blocks nothing");
    }
}
