//! Who is speaking: an operator proves to hold a key of a roster, and gets a short session.
//!
//! Pure: random numbers and the time come in. The answer is signed over the collector's identity
//! too, so that one given to another server is worth nothing here. Tries are limited per address,
//! and per key and address, so that a stranger elsewhere cannot lock an operator out. Signing in
//! without the key, and what programs sign in with, is beside it.

pub mod account;
pub mod api_token;
pub mod ceremony;
pub mod gate;
mod limit;
pub mod name;
pub mod password;
pub mod pending;
pub mod seal;
pub mod secret;
pub mod session;
pub mod totp;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use cordon_proto::id::{Hash, KeyId};
use cordon_proto::sign::VerifyingKey;
use cordon_proto::sign::document::{self, Kind};
use minicbor::bytes::ByteVec;

use ceremony::Ceremonies;
use gate::{Gate, network};
pub use limit::{Backoff, Limit, TooMany, Tried};
use pending::Pendings;

/// How long a challenge may be answered.
pub const CHALLENGE_SECS: u64 = 60;

/// Challenges waiting for an answer; the oldest goes first.
const CHALLENGES_MAX: usize = 1024;

/// Bytes of a challenge and of a session's token.
pub const SECRET_BYTES: usize = 32;

/// What was answered is not a proof. Which part was wrong is not said.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SignInRefused {
    /// Wrong, late, given before, or of a key that no roster has.
    #[error("the answer does not prove that this key is an operator's")]
    Wrong,
    /// Too fast.
    #[error(transparent)]
    TooMany(#[from] TooMany),
}

/// Challenges that wait for their answer, and how often somebody tried.
#[derive(Debug)]
pub struct SignIn {
    /// Who tried what lately.
    pub gate: Gate,
    /// Passwords that were right and await their second factor.
    pub pendings: Pendings,
    /// Passkeys that are awaited.
    pub ceremonies: Ceremonies,
    challenges: BTreeMap<[u8; SECRET_BYTES], Waiting>,
    per_key: Limit<(KeyId, IpAddr)>,
}

#[derive(Debug)]
struct Waiting {
    key: KeyId,
    until: Duration,
}

impl Default for SignIn {
    fn default() -> Self {
        // A sign-in takes two tries: the challenge and the answer.
        Self {
            gate: Gate::default(),
            pendings: Pendings::default(),
            ceremonies: Ceremonies::default(),
            challenges: BTreeMap::new(),
            per_key: Limit::new(20, Duration::from_secs(60)),
        }
    }
}

impl SignIn {
    /// Takes a challenge (random bytes) into account for a key, whether a roster has it or not.
    pub fn challenge(
        &mut self,
        key: KeyId,
        from: IpAddr,
        challenge: [u8; SECRET_BYTES],
        now: Duration,
    ) -> Result<(), TooMany> {
        self.count(key, from, now)?;
        self.challenges.retain(|_, waiting| waiting.until > now);
        if self.challenges.len() >= CHALLENGES_MAX {
            let oldest = self.challenges.iter().min_by_key(|(_, waiting)| waiting.until);
            if let Some(oldest) = oldest.map(|(challenge, _)| *challenge) {
                self.challenges.remove(&oldest);
            }
        }
        let until = now + Duration::from_secs(CHALLENGE_SECS);
        self.challenges.insert(challenge, Waiting { key, until });
        Ok(())
    }

    /// Checks an answer: signed by the key over one of its challenges and this collector's pin.
    ///
    /// `public` is the key as the rosters have it; none for one that they do not.
    pub fn answer(
        &mut self,
        key: KeyId,
        public: Option<&VerifyingKey>,
        from: IpAddr,
        answer: &[u8],
        pin: Hash,
        now: Duration,
    ) -> Result<(), SignInRefused> {
        self.count(key, from, now)?;
        let public = public.filter(|public| public.id() == key).ok_or(SignInRefused::Wrong)?;
        let signed = document::verify::<ByteVec>(Kind::SignIn, answer, &pin.0, public);
        let signed = signed.ok().ok_or(SignInRefused::Wrong)?;
        let challenge = <[u8; SECRET_BYTES]>::try_from(signed.as_slice()).ok();
        let challenge = challenge.ok_or(SignInRefused::Wrong)?;
        let waiting = self.challenges.get(&challenge).ok_or(SignInRefused::Wrong)?;
        if waiting.key != key || waiting.until <= now {
            return Err(SignInRefused::Wrong);
        }
        self.challenges.remove(&challenge);
        Ok(())
    }

    fn count(&mut self, key: KeyId, from: IpAddr, now: Duration) -> Result<(), TooMany> {
        self.gate.address(from, now)?;
        self.per_key.count((key, network(from)), now)
    }
}

#[cfg(test)]
mod tests {
    use cordon_proto::sign::SigningKey;

    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn key(name: &str) -> SigningKey {
        SigningKey::from_seed(&cordon_proto::sign::sha256(name.as_bytes())).unwrap()
    }

    fn answer(challenge: u8, pin: &[u8], name: &str) -> Vec<u8> {
        let bytes = ByteVec::from(vec![challenge; SECRET_BYTES]);
        document::sign(Kind::SignIn, &bytes, &Hash::of(pin).0, &key(name))
    }

    /// Challenge 1 is given to ann at second 0; the answer comes at a second, signed by somebody.
    #[track_caller]
    fn check(secs: u64, answer: &[u8], who: &str, rostered: bool, good: bool) {
        let mut sign_in = SignIn::default();
        let ann = key("ann").id();
        sign_in.challenge(ann, HERE, [1; SECRET_BYTES], Duration::ZERO).unwrap();
        let public = key(who).verifying();
        let public_known = rostered.then_some(&public);
        let now = Duration::from_secs(secs);
        let pin = Hash::of(b"this collector");
        let mut try_it = || sign_in.answer(public.id(), public_known, HERE, answer, pin, now);
        assert_eq!(try_it().is_ok(), good);
        assert_eq!(try_it(), Err(SignInRefused::Wrong), "an answer counts once");
    }

    #[test]
    fn only_the_keys_own_timely_answer_to_this_collector_opens_a_session() {
        let here = b"this collector";
        check(59, &answer(1, here, "ann"), "ann", true, true);
        check(60, &answer(1, here, "ann"), "ann", true, false);
        check(1, &answer(2, here, "ann"), "ann", true, false);
        check(1, &answer(1, b"another collector", "ann"), "ann", true, false);
        check(1, &answer(1, here, "bob"), "ann", true, false);
        check(1, &answer(1, here, "bob"), "bob", true, false);
        check(1, &answer(1, here, "ann"), "ann", false, false);
        check(1, b"", "ann", true, false);
    }

    #[test]
    fn tries_are_limited_per_key_and_address_and_others_go_on() {
        let mut sign_in = SignIn::default();
        let (ann, bob) = (key("ann").id(), key("bob").id());
        let there: IpAddr = "192.0.2.1".parse().unwrap();
        let mut challenge = |key, from, secs| {
            sign_in.challenge(key, from, [1; SECRET_BYTES], Duration::from_secs(secs))
        };
        (0..20).for_each(|_| challenge(ann, HERE, 0).unwrap());
        assert_eq!(challenge(ann, HERE, 15), Err(TooMany { retry_secs: 45 }));
        assert_eq!(challenge(ann, there, 15), Ok(()), "a stranger does not lock ann out");
        assert_eq!(challenge(bob, HERE, 15), Ok(()));
        assert_eq!(challenge(ann, HERE, 60), Ok(()));
    }

    #[test]
    fn challenges_are_bounded_and_the_oldest_goes_first() {
        let mut sign_in = SignIn::default();
        for number in 0..2 * u32::try_from(CHALLENGES_MAX).unwrap() {
            let mut challenge = [0; SECRET_BYTES];
            challenge[..4].copy_from_slice(&number.to_be_bytes());
            let from = IpAddr::from(number.to_be_bytes());
            let now = Duration::from_millis(number.into());
            sign_in.challenge(KeyId::default(), from, challenge, now).unwrap();
        }
        assert_eq!(sign_in.challenges.len(), CHALLENGES_MAX);
        assert!(!sign_in.challenges.contains_key(&[0; SECRET_BYTES]));
    }
}
