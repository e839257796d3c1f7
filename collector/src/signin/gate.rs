//! What stands before every check of a password, a code or a token: how often who may try.
//!
//! Pure. Only what fails is counted. What cannot be guessed (tokens, signatures, invitations) is looked
//! at however often others failed, so that a stranger behind the same address keeps nobody out who has
//! a good one. At passwords and codes one address may guess only so fast, and at one name ever more
//! slowly; all strangers together may guess at one name only so fast. An address from which the
//! account was signed in to before is no stranger: there only guesses at that very name count.

use std::net::IpAddr;
use std::time::Duration;

use cordon_proto::id::{Hash, KeyId};

use super::limit::{Backoff, Limit, TooMany, Tried};

const MINUTE: Duration = Duration::from_secs(60);

/// Guesses at passwords and codes from one address in a minute that failed.
const GUESSES_MAX: u32 = 120;

/// Answers to challenges and invitations that were none, from one address in a minute. They cannot be
/// guessed; from here on whoever fails is told to wait.
const WRONG_ANSWERS_MAX: u32 = 120;

/// What the owner of one key may do in a minute that costs something: open a session, have a new
/// password hashed.
const OWN_ACTS_MAX: u32 = 60;

/// Session and API tokens that were none, from one address in a minute. They cannot be guessed; this
/// bounds what looking for them costs.
const WRONG_TOKENS_MAX: u32 = 600;

/// Failures at one name from one address before the first wait.
const FREE_FAILURES: u32 = 5;

/// The first wait.
const FIRST_WAIT: Duration = Duration::from_secs(15);

/// The longest wait.
const LONGEST_WAIT: Duration = Duration::from_secs(15 * 60);

/// Tries at one name by strangers of all addresses, in a quarter of an hour.
const STRANGERS_MAX: u32 = 40;

/// What is guessed at: a name and the kind of secret, known or not.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
pub struct Guessed(Hash);

impl Guessed {
    /// The password of an account of this name, whether there is one or not.
    #[must_use]
    pub fn password(account: &str) -> Self {
        Self(Hash::of(format!("password {account}").as_bytes()))
    }

    /// The second factor of an account.
    #[must_use]
    pub fn second(account: &str) -> Self {
        Self(Hash::of(format!("second {account}").as_bytes()))
    }
}

/// Who tried what lately.
#[derive(Debug)]
pub struct Gate {
    guesses: Limit<IpAddr>,
    wrong_answers: Limit<IpAddr>,
    wrong_tokens: Limit<IpAddr>,
    own: Limit<KeyId>,
    waits: Backoff<(Guessed, IpAddr)>,
    strangers: Limit<Guessed>,
}

impl Default for Gate {
    fn default() -> Self {
        Self {
            guesses: Limit::new(GUESSES_MAX, MINUTE),
            wrong_answers: Limit::new(WRONG_ANSWERS_MAX, MINUTE),
            own: Limit::new(OWN_ACTS_MAX, MINUTE),
            wrong_tokens: Limit::new(WRONG_TOKENS_MAX, MINUTE),
            waits: Backoff::new(FREE_FAILURES, FIRST_WAIT, LONGEST_WAIT),
            strangers: Limit::new(STRANGERS_MAX, 15 * MINUTE),
        }
    }
}

impl Gate {
    /// Counts an answer to a challenge, or an invitation, that was none.
    pub fn wrong_answer(&mut self, from: IpAddr, now: Duration) -> Result<(), TooMany> {
        self.wrong_answers.count(network(from), now)
    }

    /// Counts something costly that the owner of a key does.
    pub fn own_act(&mut self, key: KeyId, now: Duration) -> Result<(), TooMany> {
        self.own.count(key, now)
    }

    /// Counts a token that was none.
    pub fn wrong_token(&mut self, from: IpAddr, now: Duration) -> Result<(), TooMany> {
        self.wrong_tokens.count(network(from), now)
    }

    /// Counts a guess as failed until [`Self::right`] says otherwise; `known` says that the account was
    /// signed in to from this address before.
    pub fn guess(
        &mut self,
        at: Guessed,
        from: IpAddr,
        known: bool,
        now: Duration,
    ) -> Result<Tried, TooMany> {
        if !known {
            self.guesses.count(network(from), now)?;
        }
        let tried = self.waits.try_once((at, network(from)), now)?;
        if !known {
            self.strangers.count(at, now)?;
        }
        Ok(tried)
    }

    /// It was no guess.
    pub fn right(&mut self, at: Guessed, from: IpAddr, known: bool) {
        self.waits.succeeded((at, network(from)));
        if !known {
            self.guesses.forgive(network(from));
            self.strangers.forgive(at);
        }
    }
}

/// Who counts as one address: a whole /64 of IPv6, because one machine may have all of it.
#[must_use]
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.into(),
        IpAddr::V6(v6) => std::net::Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_ipv6_network_count_as_one() {
        let one = network("2001:db8::1".parse().unwrap());
        assert_eq!(one, network("2001:db8::ffff:2".parse().unwrap()));
        assert_ne!(one, network("2001:db8:0:1::1".parse().unwrap()));
        assert_eq!(network("::ffff:192.0.2.1".parse().unwrap()).to_string(), "192.0.2.1");
    }

    /// What happens at one gate: `SECONDS NAME PASSWORD from ADDRESS`, so many times; the last answer.
    /// An address with an `h` was signed in from before; the right password is `right`.
    #[track_caller]
    fn check(story: &[(u64, u32, &str, &str, &str, &str)]) {
        let mut gate = Gate::default();
        for (secs, times, name, password, from, says) in story {
            let known = from.starts_with('h');
            let address: IpAddr = from.trim_start_matches(['h', 's']).parse().unwrap();
            let (at, now) = (Guessed::password(name), Duration::from_secs(*secs));
            let mut said = String::new();
            for _ in 0..*times {
                said = match gate.guess(at, address, known, now) {
                    Err(TooMany { retry_secs }) => format!("wait {retry_secs}"),
                    Ok(_) if *password == "right" => {
                        gate.right(at, address, known);
                        "in".to_owned()
                    }
                    Ok(_) => "wrong".to_owned(),
                };
            }
            assert_eq!(said, *says, "at {secs}: {name} from {from}");
        }
    }

    #[test]
    fn a_guesser_at_one_name_waits_ever_longer_and_the_owner_elsewhere_does_not() {
        check(&[
            (0, 5, "ann", "guess", "s192.0.2.1", "wrong"),
            (0, 1, "ann", "guess", "s192.0.2.1", "wait 15"),
            (0, 1, "ann", "right", "h192.0.2.2", "in"),
            (15, 1, "ann", "guess", "s192.0.2.1", "wrong"),
            (15, 1, "ann", "right", "s192.0.2.1", "wait 30"),
            (45, 1, "ann", "right", "s192.0.2.1", "in"),
            (45, 5, "ann", "guess", "s192.0.2.1", "wrong"),
        ]);
    }

    #[test]
    fn who_tries_every_name_waits_and_keeps_out_nobody_who_signed_in_there_before() {
        let names: Vec<String> = (0..30).map(|number| format!("name{number}")).collect();
        let mut story: Vec<_> = names
            .iter()
            .map(|name| (0, 4, name.as_str(), "guess", "s192.0.2.1", "wrong"))
            .collect();
        story.extend([
            (1, 1, "bob", "guess", "s192.0.2.1", "wait 59"),
            (1, 200, "ann", "right", "h192.0.2.1", "in"),
            (1, 1, "new", "right", "s192.0.2.1", "wait 59"),
            (60, 1, "new", "right", "s192.0.2.1", "in"),
        ]);
        check(&story);
    }

    #[test]
    fn who_is_right_uses_nothing_up() {
        check(&[
            (0, 1000, "ann", "right", "s192.0.2.1", "in"),
            (0, 5, "bob", "guess", "s192.0.2.1", "wrong"),
        ]);
    }

    #[test]
    fn strangers_of_a_thousand_addresses_do_not_lock_out_who_was_here_before() {
        let mut gate = Gate::default();
        let ann = Guessed::password("ann");
        let stranger = |number: u32| IpAddr::from((0xc000_0200_u32 + number).to_be_bytes());
        let refused = (0..1000)
            .filter(|number| gate.guess(ann, stranger(*number), false, Duration::ZERO).is_err());
        assert_eq!(refused.count(), 960);
        let home: IpAddr = "198.51.100.7".parse().unwrap();
        assert!(gate.guess(ann, home, false, Duration::ZERO).is_err());
        assert_eq!(gate.guess(ann, home, true, Duration::ZERO), Ok(Tried::Free));
    }
}
