//! What this endpoint cannot do without: its gateways, name servers, DHCP servers, collectors, and
//! whatever signed policy keeps open.
//!
//! An operator may block them and is told so; what acts without one must not.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use cordon_proto::policy::Policy;

use crate::containment::Ways;
use crate::platform::linux::nft::span::Addresses;

const ROUTES_IPV4: &str = "/proc/thread-self/net/route";
const ROUTES_IPV6: &str = "/proc/thread-self/net/ipv6_route";
const RESOLVERS: &str = "/etc/resolv.conf";
/// Of each kind; a machine with more default routes than this is not known to us.
const EACH_MAX: usize = 32;

/// Addresses by what they are to this endpoint.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Vital {
    /// Each with a word for what it is.
    addresses: Vec<(IpAddr, &'static str)>,
}

impl Vital {
    /// As the machine says now, seen from the network namespace of the calling thread.
    #[must_use]
    pub fn read(ways: &Ways, policy: Option<&Policy>) -> Self {
        let text = |path| std::fs::read_to_string(path).unwrap_or_default();
        let mut vital = Self::default();
        vital.add("gateway", gateways_ipv4(&text(ROUTES_IPV4)));
        vital.add("gateway", gateways_ipv6(&text(ROUTES_IPV6)));
        vital.add("name server", resolvers(&text(RESOLVERS)));
        vital.add("DHCP server", ways.dhcp_servers.iter().copied());
        vital.add("collector", ways.collectors.iter().map(std::net::SocketAddr::ip));
        let exempt = policy.map(|policy| policy.exemptions.as_slice()).unwrap_or_default();
        vital.add("kept open by policy", exempt.iter().map(|exemption| exemption.address));
        vital
    }

    fn add(&mut self, what: &'static str, addresses: impl IntoIterator<Item = IpAddr>) {
        let all = addresses.into_iter().take(EACH_MAX);
        self.addresses.extend(all.map(|ip| (ip.to_canonical(), what)));
    }

    /// What of it is among these addresses, in words.
    #[must_use]
    pub fn among(&self, addresses: &Addresses) -> Vec<String> {
        let among = self.addresses.iter().filter(|(ip, _)| addresses.contains(*ip));
        among.map(|(ip, what)| format!("{what} {ip}")).collect()
    }
}

/// What the address is to this endpoint, where it cannot do without it; none for any other.
#[must_use]
pub fn is_vital(address: IpAddr, vital: &Vital) -> Option<&'static str> {
    let address = address.to_canonical();
    if address.is_loopback() || address.is_unspecified() {
        return Some("this endpoint itself");
    }
    if address.is_multicast() || address == IpAddr::V4(Ipv4Addr::BROADCAST) {
        return Some("everybody on the link");
    }
    vital.addresses.iter().find(|(ip, _)| *ip == address).map(|(_, what)| *what)
}

/// Lines of `/proc/net/route`: numbers in hexadecimal, addresses in the machine's own order.
fn gateways_ipv4(text: &str) -> Vec<IpAddr> {
    let gateway = |line: &str| {
        let number = u32::from_str_radix(line.split_whitespace().nth(2)?, 16).ok()?;
        (number != 0).then(|| IpAddr::V4(Ipv4Addr::from(number.to_ne_bytes())))
    };
    text.lines().skip(1).filter_map(gateway).collect()
}

/// Lines of `/proc/net/ipv6_route`: the next hop is the fifth field.
fn gateways_ipv6(text: &str) -> Vec<IpAddr> {
    let gateway = |line: &str| {
        let number = u128::from_str_radix(line.split_whitespace().nth(4)?, 16).ok()?;
        (number != 0).then(|| IpAddr::V6(Ipv6Addr::from(number)))
    };
    text.lines().filter_map(gateway).collect()
}

fn resolvers(text: &str) -> Vec<IpAddr> {
    let servers = text.lines().filter_map(|line| line.trim().strip_prefix("nameserver"));
    let plain = |server: &str| server.trim().split('%').next()?.parse().ok();
    servers.filter_map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vital() -> Vital {
        let route = "Iface\tDestination\tGateway\tFlags\n\
                     eth0\t00000000\tC0000201\t0003\neth0\t000200C0\t00000000\t0001\n";
        // The numbers of the file are in the order of the machine that wrote it.
        let gateway = format!("{:08X}", u32::from_ne_bytes([192, 0, 2, 1]));
        let mut vital = Vital::default();
        vital.add("gateway", gateways_ipv4(&route.replace("C0000201", &gateway)));
        let zero = "0".repeat(32);
        let hop = "fe800000000000000000000000000001";
        vital.add("gateway", gateways_ipv6(&format!("{zero} 00 {zero} 00 {hop} 00000400 eth0\n")));
        vital.add("name server", resolvers("nameserver 192.0.2.53\nnameserver fe80::5%eth0\n"));
        vital
    }

    #[track_caller]
    fn check(address: &str, expected: Option<&str>) {
        assert_eq!(is_vital(address.parse().unwrap(), &vital()), expected, "{address}");
    }

    #[test]
    fn what_the_endpoint_cannot_do_without_is_known() {
        check("192.0.2.1", Some("gateway"));
        check("::ffff:192.0.2.1", Some("gateway"));
        check("fe80::1", Some("gateway"));
        check("192.0.2.53", Some("name server"));
        check("fe80::5", Some("name server"));
        check("127.0.0.53", Some("this endpoint itself"));
        check("::", Some("this endpoint itself"));
        check("224.0.0.251", Some("everybody on the link"));
        check("ff02::1", Some("everybody on the link"));
        check("192.0.2.2", None);
    }

    #[test]
    fn a_network_is_known_by_what_is_in_it() {
        let mut network = Addresses::default();
        network.add([192, 0, 2, 0].into(), 27);
        assert_eq!(vital().among(&network), ["gateway 192.0.2.1"]);
    }
}
