//! The nonces that prove a command to be fresh: made here, published in signed health, checked
//! when a command brings one back.
//!
//! Pure. Time is endpoint time; the secret never leaves the endpoint. What a nonce says is
//! readable by everyone; only its maker can make one.

use cordon_proto::command::Nonce;
use cordon_proto::limits::{NONCE_AGE_SECS_MAX, NONCE_PERIOD_SECS};
use ring::hmac;

/// Bytes of the secret.
pub const SECRET_BYTES: usize = 32;

/// Where endpoint time stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Moment {
    /// How often this endpoint has booted since enrolment.
    pub boot_count: u64,
    /// Endpoint time in seconds.
    pub endpoint_secs: u64,
}

/// Why a nonce does not prove that its command is fresh.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Stale {
    /// It was not made here, or before the secret was renewed.
    #[error("this endpoint did not make the nonce, or has renewed its secret since")]
    Foreign,
    /// It says a time that has not come: this endpoint was rolled back.
    #[error("the nonce is of a time that this endpoint has not reached")]
    Future,
    /// The endpoint has booted since, and the command was not signed for that.
    #[error("the nonce is of boot {found} and this is boot {now}; the command is not queued")]
    EarlierBoot {
        /// The nonce's boot.
        found: u64,
        /// The boot now.
        now: u64,
    },
    /// It is too old.
    #[error("the nonce is {age_secs} s old; the command allows {age_secs_max} s")]
    TooOld {
        /// Its age.
        age_secs: u64,
        /// What the command allows.
        age_secs_max: u64,
    },
}

/// Makes nonces and knows its own again.
#[derive(Debug)]
pub struct Nonces {
    key: hmac::Key,
    current: Option<Nonce>,
}

impl Nonces {
    /// Under a secret of random bytes. A new secret makes every nonce of the old one void.
    #[must_use]
    pub fn new(secret: &[u8; SECRET_BYTES]) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, secret), current: None }
    }

    /// The nonce to publish: a new one each minute and each boot.
    pub fn current(&mut self, now: Moment) -> Nonce {
        if let Some(nonce) = self.current
            && nonce.boot_count == now.boot_count
            && nonce.endpoint_secs <= now.endpoint_secs
            && now.endpoint_secs - nonce.endpoint_secs < NONCE_PERIOD_SECS
        {
            return nonce;
        }
        let Moment { boot_count, endpoint_secs } = now;
        let nonce = Nonce { boot_count, endpoint_secs, mac: self.mac(boot_count, endpoint_secs) };
        self.current = Some(nonce);
        nonce
    }

    /// Whether a command that carries this nonce is fresh. One of an earlier boot counts only for
    /// a queued command, and is bound by its age all the same; one of the future never counts.
    pub fn check(
        &self,
        nonce: &Nonce,
        age_secs_max: u64,
        queued: bool,
        now: Moment,
    ) -> Result<(), Stale> {
        let expected = self.mac(nonce.boot_count, nonce.endpoint_secs);
        // Without an early end, so that the time taken tells nothing of the bytes expected.
        let difference = expected.iter().zip(nonce.mac).fold(0, |sum, (a, b)| sum | (a ^ b));
        if difference != 0 {
            return Err(Stale::Foreign);
        }
        if nonce.boot_count > now.boot_count || nonce.endpoint_secs > now.endpoint_secs {
            return Err(Stale::Future);
        }
        if nonce.boot_count < now.boot_count && !queued {
            return Err(Stale::EarlierBoot { found: nonce.boot_count, now: now.boot_count });
        }
        let age_secs = now.endpoint_secs - nonce.endpoint_secs;
        let age_secs_max = age_secs_max.min(NONCE_AGE_SECS_MAX);
        if age_secs > age_secs_max {
            return Err(Stale::TooOld { age_secs, age_secs_max });
        }
        Ok(())
    }

    fn mac(&self, boot_count: u64, endpoint_secs: u64) -> [u8; 16] {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(b"cordon/nonce/1");
        context.update(&boot_count.to_be_bytes());
        context.update(&endpoint_secs.to_be_bytes());
        let tag = context.sign();
        let mut mac = [0; 16];
        mac.iter_mut().zip(tag.as_ref()).for_each(|(to, from)| *to = *from);
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(boot_count: u64, endpoint_secs: u64) -> Moment {
        Moment { boot_count, endpoint_secs }
    }

    /// A nonce made at boot 3, second 1000 comes back at another moment.
    #[track_caller]
    fn check(age_secs_max: u64, queued: bool, now: Moment, expected: Result<(), Stale>) {
        let mut nonces = Nonces::new(&[7; 32]);
        let nonce = nonces.current(at(3, 1000));
        assert_eq!(nonces.check(&nonce, age_secs_max, queued, now), expected);
    }

    #[test]
    fn a_nonce_is_fresh_up_to_its_age_and_not_beyond() {
        check(900, false, at(3, 1000), Ok(()));
        check(900, false, at(3, 1900), Ok(()));
        let old = Stale::TooOld { age_secs: 901, age_secs_max: 900 };
        check(900, false, at(3, 1901), Err(old));
        check(900, true, at(3, 1901), Err(old));
    }

    #[test]
    fn no_command_can_ask_for_a_longer_age_than_the_limit() {
        let age_secs = NONCE_AGE_SECS_MAX + 1;
        let old = Stale::TooOld { age_secs, age_secs_max: NONCE_AGE_SECS_MAX };
        check(u64::MAX, true, at(3, 1000 + age_secs), Err(old));
        check(u64::MAX, true, at(3, 1000 + NONCE_AGE_SECS_MAX), Ok(()));
    }

    #[test]
    fn a_nonce_of_an_earlier_boot_counts_only_for_a_queued_command() {
        check(900, true, at(4, 1100), Ok(()));
        check(900, false, at(4, 1100), Err(Stale::EarlierBoot { found: 3, now: 4 }));
    }

    #[test]
    fn a_nonce_of_the_future_never_counts() {
        for queued in [false, true] {
            check(900, queued, at(2, 1100), Err(Stale::Future));
            check(900, queued, at(3, 999), Err(Stale::Future));
        }
    }

    #[test]
    fn any_change_to_a_nonce_is_noticed() {
        let mut nonces = Nonces::new(&[7; 32]);
        let nonce = nonces.current(at(3, 1000));
        let foreign = |nonce: Nonce| {
            assert_eq!(nonces.check(&nonce, 900, true, at(3, 1000)), Err(Stale::Foreign));
        };
        foreign(Nonce { boot_count: 2, ..nonce });
        foreign(Nonce { endpoint_secs: 999, ..nonce });
        for bit in 0..128 {
            let mut mac = nonce.mac;
            mac[bit / 8] ^= 1 << (bit % 8);
            foreign(Nonce { mac, ..nonce });
        }
    }

    #[test]
    fn a_renewed_secret_makes_every_older_nonce_void() {
        let nonce = Nonces::new(&[7; 32]).current(at(3, 1000));
        let renewed = Nonces::new(&[8; 32]);
        assert_eq!(renewed.check(&nonce, 900, true, at(3, 1000)), Err(Stale::Foreign));
    }

    #[test]
    fn a_nonce_is_renewed_each_minute_and_each_boot() {
        let mut nonces = Nonces::new(&[7; 32]);
        let first = nonces.current(at(1, 100));
        assert_eq!(nonces.current(at(1, 159)), first);
        assert_eq!(nonces.current(at(1, 160)).endpoint_secs, 160);
        assert_eq!(nonces.current(at(2, 161)).boot_count, 2);
    }
}
