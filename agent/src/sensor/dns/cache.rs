//! Which name an address was given by an answer, and for how long. Pure.

use std::collections::HashMap;
use std::net::IpAddr;

use cordon_proto::Text;

use super::message::{Message, Says};

/// Addresses that are known at once, some hundred bytes each.
const ADDRESSES_MAX: usize = 4096;

/// Programs keep what they were told a little longer than they may.
const KEPT_SECS_MIN: u32 = 60;

/// Nothing is kept for longer, whatever an answer says.
const KEPT_SECS_MAX: u32 = 24 * 3600;

const NS_IN_SEC: u64 = 1_000_000_000;

/// Names by address.
#[derive(Debug, Default)]
pub(super) struct Cache {
    names: HashMap<IpAddr, Known>,
}

#[derive(Debug)]
struct Known {
    name: Text,
    until_ns: u64,
}

impl Cache {
    /// Takes note of an answer; the name that counts is the one that was asked for.
    pub(super) fn learn(&mut self, message: &Message, now_ns: u64) {
        for record in &message.answers {
            let Says::Address(ip) = record.says else { continue };
            let secs = record.ttl_secs.clamp(KEPT_SECS_MIN, KEPT_SECS_MAX);
            let until_ns = now_ns.saturating_add(u64::from(secs).saturating_mul(NS_IN_SEC));
            if self.names.len() >= ADDRESSES_MAX && !self.names.contains_key(&ip) {
                self.make_room(now_ns);
            }
            let name = Text::from(message.query.as_str());
            self.names.insert(ip, Known { name, until_ns });
        }
    }

    /// The name that an answer gave the address, while it may be kept.
    pub(super) fn name(&self, ip: IpAddr, now_ns: u64) -> Option<Text> {
        self.names.get(&ip).filter(|known| known.until_ns > now_ns).map(|known| known.name.clone())
    }

    /// Forgets what is over or, where nothing is, the half that is over first.
    fn make_room(&mut self, now_ns: u64) {
        self.names.retain(|_, known| known.until_ns > now_ns);
        if self.names.len() < ADDRESSES_MAX {
            return;
        }
        let mut ends: Vec<u64> = self.names.values().map(|known| known.until_ns).collect();
        let (_, middle, _) = ends.select_nth_unstable(ADDRESSES_MAX / 2);
        let middle = *middle;
        self.names.retain(|_, known| known.until_ns > middle);
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::Record;
    use super::*;

    fn answer(name: &str, ip: IpAddr, ttl_secs: u32) -> Message {
        let answers = vec![Record { ttl_secs, says: Says::Address(ip) }];
        Message { query: name.to_owned(), query_type: 1, rcode: 0, records: 1, answers }
    }

    fn at(secs: u64) -> u64 {
        secs * NS_IN_SEC
    }

    #[test]
    fn a_name_is_known_for_as_long_as_the_answer_says() {
        let mut cache = Cache::default();
        let [short, long, never] =
            [[192, 0, 2, 1], [192, 0, 2, 2], [192, 0, 2, 3]].map(IpAddr::from);
        cache.learn(&answer("a.example", short, 0), at(100));
        cache.learn(&answer("b.example", long, 300), at(100));
        cache.learn(&answer("c.example", never, u32::MAX), at(100));
        assert_eq!(cache.name(short, at(159)), Some("a.example".into()));
        assert_eq!(cache.name(short, at(160)), None);
        assert_eq!(cache.name(long, at(399)), Some("b.example".into()));
        assert_eq!(cache.name(long, at(400)), None);
        assert_eq!(cache.name(never, at(100 + 24 * 3600)), None);
        cache.learn(&answer("d.example", short, 60), at(200));
        assert_eq!(cache.name(short, at(201)), Some("d.example".into()), "the latest counts");
    }

    #[test]
    fn addresses_are_bounded_and_the_oldest_go() {
        let mut cache = Cache::default();
        for number in 0..u32::try_from(ADDRESSES_MAX).unwrap() + 1 {
            let ip = std::net::Ipv4Addr::from(number).into();
            cache.learn(&answer("a.example", ip, 100 + number), at(0));
        }
        assert!(cache.names.len() <= ADDRESSES_MAX);
        let last = std::net::Ipv4Addr::from(u32::try_from(ADDRESSES_MAX).unwrap()).into();
        assert!(cache.name(last, at(1)).is_some());
        assert_eq!(cache.name(std::net::Ipv4Addr::from(0).into(), at(1)), None);
    }
}
