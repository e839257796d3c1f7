//! Challenges that may be asked for by anybody: each carries its own proof of where it came from and
//! when it ends, so that nothing is kept for it and no stranger can push another's out.
//!
//! Pure: random numbers and the time come in. Only a challenge that was answered rightly is
//! remembered, until it would have ended: each counts once.

use std::collections::BTreeMap;
use std::time::Duration;

use ring::hmac;

use super::SECRET_BYTES;

/// Random bytes in a challenge.
pub const RANDOM_BYTES: usize = 8;

/// When it ends, in milliseconds of the collector's run.
const END_BYTES: usize = 8;

/// Right answers remembered; their number is bounded before by how often one key may sign in.
const SPENT_MAX: usize = 16_384;

/// Gives challenges, and knows its own again.
#[derive(Debug)]
pub struct Challenges {
    key: hmac::Key,
    spent: BTreeMap<[u8; SECRET_BYTES], Duration>,
}

impl Challenges {
    /// Under a secret of random bytes that ends with the process, as the clock does that it is
    /// used with.
    #[must_use]
    pub fn new(secret: &[u8; SECRET_BYTES]) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, secret), spent: BTreeMap::new() }
    }

    /// A challenge for a purpose, good until a moment.
    #[must_use]
    pub fn give(
        &self,
        purpose: &[u8],
        random: [u8; RANDOM_BYTES],
        until: Duration,
    ) -> [u8; SECRET_BYTES] {
        let end = u64::try_from(until.as_millis()).unwrap_or(u64::MAX).to_be_bytes();
        let proof = self.proof(purpose, &random, &end);
        let mut challenge = [0; SECRET_BYTES];
        let parts = random.iter().chain(&end).chain(proof.as_ref());
        challenge.iter_mut().zip(parts).for_each(|(to, from)| *to = *from);
        challenge
    }

    /// Whether a challenge was given here for this purpose, and is neither over nor spent.
    #[must_use]
    pub fn stands(&self, purpose: &[u8], challenge: &[u8], now: Duration) -> bool {
        let Some((random, rest)) = challenge.split_at_checked(RANDOM_BYTES) else { return false };
        let Some((end, proof)) = rest.split_at_checked(END_BYTES) else { return false };
        let expected = self.proof(purpose, random, end);
        let expected = expected.as_ref().get(..SECRET_BYTES - RANDOM_BYTES - END_BYTES);
        // Without an early end, so that the time taken tells nothing of the bytes expected.
        let same = expected.is_some_and(|expected| {
            expected.len() == proof.len()
                && expected.iter().zip(proof).fold(0, |sum, (a, b)| sum | (a ^ b)) == 0
        });
        same && self.end(challenge).is_some_and(|end| now < end)
            && !self.spent.contains_key(challenge)
    }

    /// Spends a challenge that stands and was answered rightly; false if it was spent meanwhile.
    pub fn spend(&mut self, challenge: &[u8], now: Duration) -> bool {
        self.spent.retain(|_, end| *end > now);
        let Ok(key) = <[u8; SECRET_BYTES]>::try_from(challenge) else { return false };
        let Some(end) = self.end(challenge) else { return false };
        // Forgetting one early would let it count again.
        self.spent.len() < SPENT_MAX && self.spent.insert(key, end).is_none()
    }

    fn end(&self, challenge: &[u8]) -> Option<Duration> {
        let end = challenge.get(RANDOM_BYTES..RANDOM_BYTES + END_BYTES)?;
        Some(Duration::from_millis(u64::from_be_bytes(end.try_into().ok()?)))
    }

    fn proof(&self, purpose: &[u8], random: &[u8], end: &[u8]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(random);
        context.update(end);
        context.update(purpose);
        context.sign()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    /// Given for `ann` at second 0 and good until 60; whether it stands later, for somebody.
    #[track_caller]
    fn check(purpose: &str, change: Option<usize>, secs: u64, says: bool) {
        let challenges = Challenges::new(&[7; SECRET_BYTES]);
        let mut challenge = challenges.give(b"ann", [1; RANDOM_BYTES], at(60));
        if let Some(place) = change {
            challenge[place] ^= 1;
        }
        assert_eq!(challenges.stands(purpose.as_bytes(), &challenge, at(secs)), says);
    }

    #[test]
    fn a_challenge_stands_until_its_end_for_what_it_was_given_for() {
        check("ann", None, 0, true);
        check("ann", None, 59, true);
        check("ann", None, 60, false);
        check("bob", None, 1, false);
        (0..SECRET_BYTES).for_each(|place| check("ann", Some(place), 1, false));
    }

    #[test]
    fn one_of_another_process_or_length_is_none() {
        let [one, other] = [7, 8].map(|seed| Challenges::new(&[seed; SECRET_BYTES]));
        let challenge = other.give(b"ann", [1; RANDOM_BYTES], at(60));
        assert!(!one.stands(b"ann", &challenge, at(1)));
        for length in [0, 7, 15, 16, 31] {
            assert!(!other.stands(b"ann", &challenge[..length], at(1)), "{length}");
        }
        assert!(!other.stands(b"ann", &[&challenge[..], &[0]].concat(), at(1)));
    }

    #[test]
    fn each_counts_once_and_is_forgotten_when_it_would_have_ended() {
        let mut challenges = Challenges::new(&[7; SECRET_BYTES]);
        let [one, other] = [1, 2].map(|n| challenges.give(b"ann", [n; RANDOM_BYTES], at(60)));
        assert!(challenges.spend(&one, at(1)));
        assert!(!challenges.stands(b"ann", &one, at(1)) && !challenges.spend(&one, at(1)));
        assert!(challenges.stands(b"ann", &other, at(1)));
        assert!(challenges.spend(&other, at(61)));
        assert_eq!(challenges.spent.len(), 1, "what has ended is not kept");
    }
}
