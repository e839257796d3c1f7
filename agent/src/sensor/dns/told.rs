//! Which answers were told lately, so that a busy resolver tells each once. Pure.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use super::message::Message;

/// Answers that are remembered at once.
const ANSWERS_MAX: usize = 2048;

/// Answers are told again no sooner and no later than this, whatever their time to live.
const AGAIN_SECS_MIN: u32 = 60;
const AGAIN_SECS_MAX: u32 = 3600;

/// Answers that are told in a second on the long run, and at once. A machine that asks for more
/// names is a resolver for others, or asks for names that nobody would.
const RATE_PER_SEC: u64 = 50;
const BURST: u64 = 1000;

const NS_IN_SEC: u64 = 1_000_000_000;

/// What to do with an answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Tell {
    /// Tell it; it came so often since it was last told.
    Now { repeats: u32 },
    /// It was told lately.
    Repeated,
    /// Too many are told already.
    TooMany,
}

/// The answers that were told.
#[derive(Debug, Default)]
pub(super) struct Told {
    answers: HashMap<u64, Last>,
    /// Nobody outside can make two answers look alike.
    hash: RandomState,
    /// When the allowance is used up, were it used no more from then on.
    allowance_ns: u64,
}

#[derive(Clone, Copy, Debug)]
struct Last {
    until_ns: u64,
    repeats: u32,
}

impl Told {
    /// Whether to tell it. What the records say counts, in any order; who asked whom does not.
    pub(super) fn handle(&mut self, message: &Message, now_ns: u64) -> Tell {
        let key = self.key(message);
        let last = self.answers.get_mut(&key);
        if let Some(last) = last.filter(|last| last.until_ns > now_ns) {
            last.repeats = last.repeats.saturating_add(1);
            return Tell::Repeated;
        }
        let step = NS_IN_SEC / RATE_PER_SEC;
        let allowance_ns = self.allowance_ns.max(now_ns);
        if allowance_ns.saturating_sub(now_ns) > (BURST - 1) * step {
            return Tell::TooMany;
        }
        self.allowance_ns = allowance_ns.saturating_add(step);
        let ttl = message.answers.iter().map(|record| record.ttl_secs).max().unwrap_or(0);
        let secs = u64::from(ttl.clamp(AGAIN_SECS_MIN, AGAIN_SECS_MAX));
        let until_ns = now_ns.saturating_add(secs * NS_IN_SEC);
        if self.answers.len() >= ANSWERS_MAX {
            self.make_room(now_ns);
        }
        let before = self.answers.insert(key, Last { until_ns, repeats: 0 });
        Tell::Now { repeats: before.map_or(0, |last| last.repeats) }
    }

    fn key(&self, message: &Message) -> u64 {
        let Message { query, query_type, rcode, answers, .. } = message;
        let mut said: Vec<u64> =
            answers.iter().map(|record| self.hash.hash_one(&record.says)).collect();
        said.sort_unstable();
        self.hash.hash_one((query, query_type, rcode, said))
    }

    /// Forgets what is over or, where nothing is, the half that is over first.
    fn make_room(&mut self, now_ns: u64) {
        self.answers.retain(|_, last| last.until_ns > now_ns);
        if self.answers.len() < ANSWERS_MAX {
            return;
        }
        let mut ends: Vec<u64> = self.answers.values().map(|last| last.until_ns).collect();
        let (_, middle, _) = ends.select_nth_unstable(ANSWERS_MAX / 2);
        let middle = *middle;
        self.answers.retain(|_, last| last.until_ns > middle);
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::{Record, Says};
    use super::*;

    fn answer(name: &str, hosts: &[u8], ttl_secs: u32) -> Message {
        let record =
            |host: &u8| Record { ttl_secs, says: Says::Address([192, 0, 2, *host].into()) };
        let answers: Vec<Record> = hosts.iter().map(record).collect();
        Message { query: name.to_owned(), query_type: 1, rcode: 0, records: 1, answers }
    }

    fn at(secs: u64) -> u64 {
        secs * NS_IN_SEC
    }

    #[test]
    fn the_same_answer_is_told_again_after_its_time_to_live() {
        let mut told = Told::default();
        let first = told.handle(&answer("a", &[1, 2], 300), at(0));
        assert_eq!(first, Tell::Now { repeats: 0 });
        assert_eq!(told.handle(&answer("a", &[2, 1], 20), at(299)), Tell::Repeated, "any order");
        let again = told.handle(&answer("a", &[1, 2], 300), at(300));
        assert_eq!(again, Tell::Now { repeats: 1 });
    }

    #[test]
    fn other_addresses_and_other_names_are_told_at_once() {
        let mut told = Told::default();
        for message in [answer("a", &[1], 5), answer("a", &[1, 2], 5), answer("b", &[1], 5)] {
            assert_eq!(told.handle(&message, at(0)), Tell::Now { repeats: 0 });
        }
    }

    #[test]
    fn a_flood_of_names_is_cut_and_memory_is_bounded() {
        let mut told = Told::default();
        let flood = |told: &mut Told, from: u64, secs| {
            let names = from..from + 2 * BURST;
            let tell = |number| told.handle(&answer(&format!("{number}.x"), &[], 0), at(secs));
            names.map(tell).filter(|tell| *tell == Tell::TooMany).count()
        };
        assert_eq!(flood(&mut told, 0, 100), usize::try_from(BURST).unwrap());
        let all = 2 * BURST - 10 * RATE_PER_SEC;
        assert_eq!(flood(&mut told, 10_000, 110), usize::try_from(all).unwrap());
        for secs in 1000..1020 {
            flood(&mut told, secs * 10_000, secs);
        }
        assert!(told.answers.len() <= ANSWERS_MAX);
    }
}
