//! What blocked names stand for, as far as it was heard. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;

use minicbor::{Decode, Encode};

/// Names that are blocked at once, in all commands: each is asked for again and again.
pub const NAMES_MAX: usize = 64;

/// Addresses of one name; the one that was not heard for longest gives way. A name that moves
/// faster than this outruns the block.
pub const ADDRESSES_MAX: usize = 64;

/// How long an address counts after it was last heard, whatever the answer says: programs keep
/// what they were told, and those that are blocked have a reason to.
const KEPT_NS: u64 = 24 * 3600 * 1_000_000_000;

/// Addresses by name.
#[derive(Debug, Default)]
pub struct Known {
    names: BTreeMap<String, Vec<Heard>>,
}

#[derive(Debug)]
struct Heard {
    ip: IpAddr,
    last_ns: u64,
}

/// The same on disk. When each was heard is not kept: it counts as heard when it is read.
#[derive(Debug, Default, Encode, Decode)]
pub struct Kept {
    #[n(0)]
    names: Vec<KeptName>,
}

#[derive(Debug, Encode, Decode)]
struct KeptName {
    #[n(0)]
    name: String,
    #[n(1)]
    addresses: Vec<minicbor::bytes::ByteVec>,
}

impl Known {
    /// Takes up what was known when the agent last ran.
    pub fn resume(kept: Kept, now_ns: u64) -> Self {
        let mut known = Self::default();
        for KeptName { name, addresses } in kept.names {
            for bytes in addresses {
                if let Some(ip) = of_bytes(&bytes) {
                    known.learn(&name, ip, now_ns);
                }
            }
        }
        known
    }

    pub fn kept(&self) -> Kept {
        let name = |(name, heard): (&String, &Vec<Heard>)| KeptName {
            name: name.clone(),
            addresses: heard.iter().map(|heard| to_bytes(heard.ip).into()).collect(),
        };
        Kept { names: self.names.iter().map(name).collect() }
    }

    /// Takes note of an address; answers whether it is new.
    pub fn learn(&mut self, name: &str, ip: IpAddr, now_ns: u64) -> bool {
        let ip = ip.to_canonical();
        let all = self.names.entry(name.to_owned()).or_default();
        if let Some(heard) = all.iter_mut().find(|heard| heard.ip == ip) {
            heard.last_ns = now_ns;
            return false;
        }
        if all.len() >= ADDRESSES_MAX {
            all.sort_by_key(|heard| std::cmp::Reverse(heard.last_ns));
            all.truncate(ADDRESSES_MAX - 1);
        }
        all.push(Heard { ip, last_ns: now_ns });
        true
    }

    /// Forgets names that nobody blocks any more and addresses that were not heard for long;
    /// answers whether there were any.
    pub fn forget(&mut self, blocked: &[String], now_ns: u64) -> bool {
        let count = |names: &BTreeMap<String, Vec<Heard>>| names.values().map(Vec::len).sum();
        let before: usize = count(&self.names);
        self.names.retain(|name, _| blocked.contains(name));
        for all in self.names.values_mut() {
            all.retain(|heard| now_ns.saturating_sub(heard.last_ns) < KEPT_NS);
        }
        count(&self.names) != before
    }

    pub fn addresses(&self, name: &str) -> impl Iterator<Item = IpAddr> {
        self.names.get(name).into_iter().flatten().map(|heard| heard.ip)
    }
}

fn to_bytes(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

fn of_bytes(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from);
    v4.or_else(|| <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_NS: u64 = 3600 * 1_000_000_000;

    fn shown(known: &Known, name: &str) -> Vec<String> {
        known.addresses(name).map(|ip| ip.to_string()).collect()
    }

    fn ip(number: u8) -> IpAddr {
        [192, 0, 2, number].into()
    }

    #[test]
    fn an_address_counts_for_a_day_after_it_was_last_heard() {
        let (mut known, blocked) = (Known::default(), ["a.b".to_owned()]);
        assert!(known.learn("a.b", ip(1), 0));
        assert!(known.learn("a.b", ip(2), 0));
        assert!(!known.learn("a.b", ip(2), 10 * HOUR_NS));
        assert!(!known.forget(&blocked, 23 * HOUR_NS));
        assert!(known.forget(&blocked, 24 * HOUR_NS));
        assert_eq!(shown(&known, "a.b"), ["192.0.2.2"]);
        assert!(known.forget(&[], 24 * HOUR_NS), "nobody blocks it any more");
        assert!(shown(&known, "a.b").is_empty());
    }

    #[test]
    fn addresses_are_bounded_and_the_one_not_heard_for_longest_gives_way() {
        let mut known = Known::default();
        for number in 0..=64 {
            assert!(known.learn("a.b", ip(number), u64::from(number)));
        }
        assert_eq!(known.addresses("a.b").count(), ADDRESSES_MAX);
        assert!(!shown(&known, "a.b").contains(&"192.0.2.0".to_owned()));
    }

    #[test]
    fn what_was_known_is_known_again_after_a_restart() {
        let mut known = Known::default();
        known.learn("a.b", "::ffff:192.0.2.1".parse().unwrap(), 5);
        known.learn("a.b", "2001:db8::1".parse().unwrap(), 5);
        let bytes = cordon_proto::codec::encode(&known.kept());
        let kept = cordon_proto::codec::decode_strict(&bytes).unwrap();
        let again = Known::resume(kept, 7);
        assert_eq!(shown(&again, "a.b"), ["192.0.2.1", "2001:db8::1"]);
    }
}
