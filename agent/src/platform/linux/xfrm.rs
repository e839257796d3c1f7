//! Whether packets to an address leave inside IPsec: asks the kernel for its policies.

use std::net::{IpAddr, SocketAddr};

use rustix::io::Errno;
use rustix::net::netlink::XFRM;

use super::netlink::wire::{Malformed, Message};
use super::netlink::{Netlink, NetlinkError};

const NEW_POLICY: u16 = 0x13;
const GET_POLICY: u16 = 0x15;
/// Bytes of `struct xfrm_userpolicy_id` and of `struct xfrm_userpolicy_info`.
const ASKED_BYTES: usize = 64;
const POLICY_BYTES: usize = 168;
/// Where in a policy its direction and its action stand.
const DIRECTION: usize = 160;
const ACTION: usize = 161;
const OUT: u8 = 1;
const ALLOW: u8 = 0;
/// What the packets are wrapped in; a policy without is one that lets them pass as they are.
const TEMPLATES: u16 = 5;
const MARK: u16 = 21;
const FAMILY_IPV4: u16 = 2;
const TCP: u8 = 6;

/// Would a TCP packet with `mark` to `to` be wrapped? False on a kernel without IPsec. Sources are
/// not compared: which one a packet will have is not known before.
pub fn wraps(to: SocketAddr, mark: u32) -> Result<bool, NetlinkError> {
    let mut socket = match Netlink::open(Some(XFRM), 0) {
        Err(error) if error.errno() == Some(Errno::PROTONOSUPPORT) => return Ok(false),
        opened => opened?,
    };
    let mut found = false;
    let ask = |encoder: &mut super::netlink::wire::Encoder| encoder.raw(&[0; ASKED_BYTES]);
    socket.dump("list the policies of IPsec", GET_POLICY, ask, |message| {
        found |= message.kind == NEW_POLICY && covers(message, to, mark)?;
        Ok(())
    })?;
    Ok(found)
}

fn covers(message: &Message<'_>, to: SocketAddr, mark: u32) -> Result<bool, Malformed> {
    let policy: &[u8; POLICY_BYTES] = message.body.first_chunk().ok_or(Malformed::CutShort {
        what: "IPsec policy",
        needed: POLICY_BYTES,
        left: message.body.len(),
    })?;
    let (mut wrapped, mut marked) = (false, true);
    for attribute in message.attributes(POLICY_BYTES)? {
        let attribute = attribute?;
        match (attribute.kind, attribute.value) {
            (TEMPLATES, value) => wrapped = !value.is_empty(),
            (MARK, [a, b, c, d, e, f, g, h]) => {
                let (value, mask) =
                    (u32::from_ne_bytes([*a, *b, *c, *d]), u32::from_ne_bytes([*e, *f, *g, *h]));
                marked = mark & mask == value;
            }
            _ => {}
        }
    }
    let out = policy[DIRECTION] == OUT && policy[ACTION] == ALLOW;
    Ok(out && wrapped && marked && selects(policy, to))
}

/// Does the policy's selector mean this destination?
fn selects(policy: &[u8; POLICY_BYTES], to: SocketAddr) -> bool {
    let number = |at: usize| u16::from_be_bytes([policy[at], policy[at + 1]]);
    let (port, port_mask) = (number(32), number(34));
    let family = u16::from_ne_bytes([policy[40], policy[41]]);
    let (bits, protocol) = (u32::from(policy[42]), policy[44]);
    let high = |bytes: &[u8]| {
        let mut whole = [0; 16];
        whole[..bytes.len()].copy_from_slice(bytes);
        u128::from_be_bytes(whole)
    };
    let (wanted, found, width) = match to.ip().to_canonical() {
        IpAddr::V4(ip) if family == FAMILY_IPV4 => (high(&policy[..4]), high(&ip.octets()), 32),
        IpAddr::V6(ip) if family != FAMILY_IPV4 => (high(&policy[..16]), high(&ip.octets()), 128),
        IpAddr::V4(_) | IpAddr::V6(_) => return false,
    };
    let mask = u128::MAX.checked_shl(128 - bits.min(width)).unwrap_or(0);
    (wanted ^ found) & mask == 0
        && (to.port() ^ port) & port_mask == 0
        && matches!(protocol, 0 | TCP)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn policy(destination: &str, bits: u8, port: Option<u16>, protocol: u8) -> [u8; POLICY_BYTES] {
        let mut policy = [0; POLICY_BYTES];
        match destination.parse().unwrap() {
            IpAddr::V4(ip) => {
                policy[..4].copy_from_slice(&ip.octets());
                policy[40..42].copy_from_slice(&FAMILY_IPV4.to_ne_bytes());
            }
            IpAddr::V6(ip) => {
                policy[..16].copy_from_slice(&ip.octets());
                policy[40..42].copy_from_slice(&10u16.to_ne_bytes());
            }
        }
        if let Some(port) = port {
            policy[32..34].copy_from_slice(&port.to_be_bytes());
            policy[34..36].copy_from_slice(&[0xff, 0xff]);
        }
        (policy[42], policy[44]) = (bits, protocol);
        policy
    }

    #[track_caller]
    fn check(policy: [u8; POLICY_BYTES], to: &str, expected: bool) {
        assert_eq!(selects(&policy, to.parse().unwrap()), expected, "{to}");
    }

    #[test]
    fn a_selector_means_what_its_prefix_port_and_protocol_say() {
        check(policy("10.77.0.0", 16, None, 0), "10.77.3.4:7443", true);
        check(policy("10.77.0.0", 16, None, 0), "10.78.3.4:7443", false);
        check(policy("10.77.0.0", 16, None, 0), "[fd77::1]:7443", false);
        check(policy("0.0.0.0", 0, None, 0), "192.0.2.1:1", true);
        check(policy("fd77::", 64, None, TCP), "[fd77::2]:7443", true);
        check(policy("fd77::2", 128, None, 0), "[fd77::3]:7443", false);
        check(policy("::", 0, None, 0), "[::ffff:10.0.0.1]:1", false);
        check(policy("10.77.0.2", 32, Some(500), 0), "10.77.0.2:7443", false);
        check(policy("10.77.0.2", 32, Some(7443), 17), "10.77.0.2:7443", false);
    }

    proptest! {
        #[test]
        fn whatever_a_policy_says_it_is_read_or_refused(
            body in proptest::collection::vec(any::<u8>(), 0..400),
        ) {
            let message = Message { kind: NEW_POLICY, flags: 0, sequence: 1, port: 0, body: &body };
            let found = covers(&message, "10.77.0.2:7443".parse().unwrap(), 1);
            prop_assert!(body.len() >= POLICY_BYTES || found.is_err());
        }
    }
}
