//! What stands before every check of a password, a code or a token: how often who may try.
//!
//! Pure. One address may guess only so fast; one name from one address ever more slowly. All
//! strangers together may guess at one name only so fast, but an address from which that account
//! was signed in to before is no stranger: so nobody elsewhere can lock its owner out.

use std::net::IpAddr;
use std::time::Duration;

use cordon_proto::id::Hash;

use super::limit::{Backoff, Limit, TooMany, Tried};

const MINUTE: Duration = Duration::from_secs(60);

/// Credentials tried from one address in a minute, of whatever kind.
const PER_ADDRESS_MAX: u32 = 120;

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

    /// The code of an invitation.
    #[must_use]
    pub fn invitation() -> Self {
        Self(Hash::of(b"invitation"))
    }
}

/// Who tried what lately.
#[derive(Debug)]
pub struct Gate {
    per_address: Limit<IpAddr>,
    wrong_tokens: Limit<IpAddr>,
    waits: Backoff<(Guessed, IpAddr)>,
    strangers: Limit<Guessed>,
}

impl Default for Gate {
    fn default() -> Self {
        Self {
            per_address: Limit::new(PER_ADDRESS_MAX, MINUTE),
            wrong_tokens: Limit::new(WRONG_TOKENS_MAX, MINUTE),
            waits: Backoff::new(FREE_FAILURES, FIRST_WAIT, LONGEST_WAIT),
            strangers: Limit::new(STRANGERS_MAX, 15 * MINUTE),
        }
    }
}

impl Gate {
    /// Counts a try of any credential.
    pub fn address(&mut self, from: IpAddr, now: Duration) -> Result<(), TooMany> {
        self.per_address.count(network(from), now)
    }

    /// Counts a token that was none.
    pub fn wrong_token(&mut self, from: IpAddr, now: Duration) -> Result<(), TooMany> {
        self.wrong_tokens.count(network(from), now)
    }

    /// Counts a guess; `known` says that the account was signed in to from this address before.
    pub fn guess(
        &mut self,
        at: Guessed,
        from: IpAddr,
        known: bool,
        now: Duration,
    ) -> Result<Tried, TooMany> {
        self.address(from, now)?;
        let tried = self.waits.try_once((at, network(from)), now)?;
        if !known {
            self.strangers.count(at, now)?;
        }
        Ok(tried)
    }

    /// It was no guess.
    pub fn right(&mut self, at: Guessed, from: IpAddr) {
        self.waits.succeeded((at, network(from)));
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

    #[test]
    fn a_guesser_at_one_address_waits_and_the_owner_elsewhere_does_not() {
        let mut gate = Gate::default();
        let (here, there): (IpAddr, IpAddr) =
            ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let ann = Guessed::password("ann");
        let now = Duration::ZERO;
        for _ in 0..4 {
            assert_eq!(gate.guess(ann, here, false, now), Ok(Tried::Free));
        }
        assert_eq!(gate.guess(ann, here, false, now), Ok(Tried::Last));
        assert_eq!(gate.guess(ann, here, false, now), Err(TooMany { retry_secs: 15 }));
        assert_eq!(gate.guess(ann, there, false, now), Ok(Tried::Free));
        assert_eq!(gate.guess(Guessed::second("ann"), here, false, now), Ok(Tried::Free));
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
