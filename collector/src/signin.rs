//! Who is speaking: an operator proves to hold a key of a roster, and gets a short session.
//!
//! Pure: random numbers and the time come in. The answer is signed over the collector's identity
//! too, so that one given to another server is worth nothing here. Nobody can guess it: what fails is
//! slowed per address, and what is right opens whoever else failed there. Signing in without the key,
//! and what programs sign in with, is beside it.

pub mod account;
pub mod api_token;
pub mod ceremony;
pub mod challenge;
pub mod gate;
mod limit;
pub mod name;
pub mod password;
pub mod pending;
pub mod seal;
pub mod secret;
pub mod session;
pub mod totp;

use std::net::IpAddr;
use std::time::Duration;

use cordon_proto::id::{Hash, KeyId};
use cordon_proto::sign::VerifyingKey;
use cordon_proto::sign::document::{self, Kind};
use minicbor::bytes::ByteVec;

use ceremony::Purpose;
use challenge::{Challenges, RANDOM_BYTES};
use gate::Gate;
pub use limit::{Backoff, Limit, TooMany, Tried};
use pending::Pendings;

/// How long a challenge may be answered.
pub const CHALLENGE_SECS: u64 = 60;

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

/// Challenges, and how often somebody tried.
#[derive(Debug)]
pub struct SignIn {
    /// Who tried what lately.
    pub gate: Gate,
    /// Passwords that were right and await their second factor.
    pub pendings: Pendings,
    /// What keys and passkeys sign.
    pub challenges: Challenges,
}

impl SignIn {
    /// Under a secret of random bytes, new with every start.
    #[must_use]
    pub fn new(secret: &[u8; SECRET_BYTES]) -> Self {
        let challenges = Challenges::new(secret);
        Self { gate: Gate::default(), pendings: Pendings::default(), challenges }
    }

    /// A challenge for a key, whether a roster has it or not.
    #[must_use]
    pub fn challenge(
        &self,
        key: KeyId,
        random: [u8; RANDOM_BYTES],
        now: Duration,
    ) -> [u8; SECRET_BYTES] {
        let until = now + Duration::from_secs(CHALLENGE_SECS);
        self.challenges.give(&Purpose::Key(key).bytes(), random, until)
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
        let public = public.filter(|public| public.id() == key);
        let signed = public.and_then(|public| {
            document::verify::<ByteVec>(Kind::SignIn, answer, &pin.0, public).ok()
        });
        let purpose = Purpose::Key(key).bytes();
        match signed.filter(|challenge| self.challenges.stands(&purpose, challenge, now)) {
            Some(challenge) => {
                self.gate.own_act(key, now)?;
                if self.challenges.spend(&challenge, now) {
                    Ok(())
                } else {
                    Err(SignInRefused::Wrong)
                }
            }
            None => {
                self.gate.wrong_answer(from, now)?;
                Err(SignInRefused::Wrong)
            }
        }
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

    fn answer(challenge: &[u8], pin: &[u8], name: &str) -> Vec<u8> {
        let bytes = ByteVec::from(challenge.to_vec());
        document::sign(Kind::SignIn, &bytes, &Hash::of(pin).0, &key(name))
    }

    fn fresh() -> SignIn {
        SignIn::new(&[3; SECRET_BYTES])
    }

    /// A challenge is given to ann at second 0; what somebody signed comes back at a second.
    #[track_caller]
    fn check(secs: u64, sign: impl Fn(&[u8]) -> Vec<u8>, who: &str, rostered: bool, good: bool) {
        let mut sign_in = fresh();
        let ann = key("ann").id();
        let challenge = sign_in.challenge(ann, [1; RANDOM_BYTES], Duration::ZERO);
        let answer = sign(&challenge);
        let public = key(who).verifying();
        let public_known = rostered.then_some(&public);
        let now = Duration::from_secs(secs);
        let pin = Hash::of(b"this collector");
        let mut try_it = || sign_in.answer(public.id(), public_known, HERE, &answer, pin, now);
        assert_eq!(try_it().is_ok(), good);
        assert_eq!(try_it(), Err(SignInRefused::Wrong), "an answer counts once");
    }

    #[test]
    fn only_the_keys_own_timely_answer_to_this_collector_opens_a_session() {
        let here = b"this collector";
        let ann = |challenge: &[u8]| answer(challenge, here, "ann");
        check(59, ann, "ann", true, true);
        check(60, ann, "ann", true, false);
        check(1, |_| answer(&[2; SECRET_BYTES], here, "ann"), "ann", true, false);
        check(1, |given| answer(given, b"another collector", "ann"), "ann", true, false);
        check(1, |given| answer(given, here, "bob"), "ann", true, false);
        check(1, |given| answer(given, here, "bob"), "bob", true, false);
        check(1, ann, "ann", false, false);
        check(1, |_| Vec::new(), "ann", true, false);
    }

    #[test]
    fn who_fails_is_told_to_wait_and_the_right_key_behind_the_same_address_signs_in() {
        let mut sign_in = fresh();
        let (ann, pin) = (key("ann").verifying(), Hash::of(b"this collector"));
        let now = Duration::from_secs(1);
        let mut fail = || sign_in.answer(ann.id(), Some(&ann), HERE, b"made up", pin, now);
        (0..120).for_each(|_| assert_eq!(fail(), Err(SignInRefused::Wrong)));
        assert_eq!(fail(), Err(SignInRefused::TooMany(TooMany { retry_secs: 60 })));
        let given = sign_in.challenge(ann.id(), [1; RANDOM_BYTES], now);
        let right = answer(&given, b"this collector", "ann");
        assert_eq!(sign_in.answer(ann.id(), Some(&ann), HERE, &right, pin, now), Ok(()));
    }

    #[test]
    fn one_key_opens_only_so_many_sessions_in_a_minute() {
        let mut sign_in = fresh();
        let (ann, pin) = (key("ann").verifying(), Hash::of(b"this collector"));
        let mut open = |number: u8, secs: u64| {
            let now = Duration::from_secs(secs);
            let given = sign_in.challenge(ann.id(), [number; RANDOM_BYTES], now);
            let right = answer(&given, b"this collector", "ann");
            sign_in.answer(ann.id(), Some(&ann), HERE, &right, pin, now)
        };
        (0..60).for_each(|number| assert_eq!(open(number, 0), Ok(())));
        assert!(matches!(open(60, 1), Err(SignInRefused::TooMany(_))));
        assert_eq!(open(61, 60), Ok(()));
    }
}
