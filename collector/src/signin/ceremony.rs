//! Challenges of passkeys, and where this collector's passkeys live.
//!
//! Pure; random numbers and the time come in. A challenge counts once, for what it was given for.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use super::SECRET_BYTES;
use super::name::{AccountId, SessionId};

/// How long a challenge may be answered: people look for their keys.
pub const CEREMONY_SECS: u64 = 300;

/// Challenges that wait at once; the oldest goes first.
const CHALLENGES_MAX: usize = 1024;

/// The port that browsers leave out.
const HTTPS_PORT: u16 = 443;

/// What a challenge was given for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Purpose {
    /// Signing in, whoever it is.
    SignIn,
    /// A new passkey of an account, in this session.
    Register(AccountId, SessionId),
}

/// Challenges that wait for their answer.
#[derive(Debug, Default)]
pub struct Ceremonies(BTreeMap<[u8; SECRET_BYTES], (Purpose, Duration)>);

impl Ceremonies {
    /// Takes a challenge (random bytes) into account.
    pub fn begin(&mut self, challenge: [u8; SECRET_BYTES], purpose: Purpose, now: Duration) {
        self.0.retain(|_, (_, until)| *until > now);
        if self.0.len() >= CHALLENGES_MAX
            && let Some(oldest) = self.0.iter().min_by_key(|(_, (_, until))| *until)
        {
            let oldest = *oldest.0;
            self.0.remove(&oldest);
        }
        self.0.insert(challenge, (purpose, now + Duration::from_secs(CEREMONY_SECS)));
    }

    /// Whether this was given for this and not answered yet; it is then spent.
    pub fn end(&mut self, challenge: &[u8], purpose: Purpose, now: Duration) -> bool {
        let Ok(challenge) = <[u8; SECRET_BYTES]>::try_from(challenge) else { return false };
        let found = self.0.remove(&challenge);
        found.is_some_and(|(given_for, until)| given_for == purpose && now < until)
    }
}

/// Whose passkeys they are, for a browser: the collector's first host name, since browsers take no
/// address. Passkeys of a collector that is known by addresses alone do not work.
#[must_use]
pub fn rp_id(names: &[String]) -> Option<&str> {
    let mut names = names.iter().map(String::as_str);
    names.find(|name| name.parse::<IpAddr>().is_err())
}

/// The origins that the console is served at.
#[must_use]
pub fn origins(rp_id: &str, port: u16) -> Vec<String> {
    let plain = format!("https://{rp_id}");
    if port == HTTPS_PORT { vec![plain] } else { vec![format!("{plain}:{port}"), plain] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_counts_once_in_time_and_for_its_purpose() {
        let mut ceremonies = Ceremonies::default();
        let register = Purpose::Register(AccountId([1; 16]), SessionId([1; 16]));
        let at = Duration::from_secs;
        let mut check = |given: Purpose, answered: Purpose, secs: u64, good: bool| {
            ceremonies.begin([7; 32], given, at(0));
            assert_eq!(ceremonies.end(&[7; 32], answered, at(secs)), good);
            assert!(!ceremonies.end(&[7; 32], answered, at(secs)), "it counts once");
        };
        check(Purpose::SignIn, Purpose::SignIn, 299, true);
        check(Purpose::SignIn, Purpose::SignIn, 300, false);
        check(Purpose::SignIn, register, 1, false);
        check(register, Purpose::SignIn, 1, false);
        check(register, Purpose::Register(AccountId([2; 16]), SessionId([1; 16])), 1, false);
        check(register, register, 1, true);
        assert!(!ceremonies.end(&[7; 31], register, at(0)));
    }

    #[test]
    fn challenges_are_bounded_and_the_oldest_goes_first() {
        let mut ceremonies = Ceremonies::default();
        for number in 0..2000_u32 {
            let mut challenge = [0; SECRET_BYTES];
            challenge[..4].copy_from_slice(&number.to_be_bytes());
            ceremonies.begin(challenge, Purpose::SignIn, Duration::from_millis(number.into()));
        }
        assert_eq!(ceremonies.0.len(), CHALLENGES_MAX);
        assert!(!ceremonies.0.contains_key(&[0; SECRET_BYTES]));
    }

    #[test]
    fn passkeys_live_under_a_host_name_at_the_doors_own_origins() {
        let names = ["192.0.2.1", "collector.example", "other"].map(str::to_owned);
        assert_eq!(rp_id(&names), Some("collector.example"));
        assert_eq!(rp_id(&names[..1]), None);
        assert_eq!(origins("a", 8443), ["https://a:8443", "https://a"]);
        assert_eq!(origins("a", 443), ["https://a"]);
    }
}
