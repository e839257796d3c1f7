//! Signing in that is half done: the password was right, the second factor is awaited.
//!
//! Pure; random numbers and the time come in. Only who knows a password gets here.

use std::collections::BTreeMap;
use std::time::Duration;

use cordon_proto::id::Hash;

use super::name::AccountId;

/// How long the second factor may take.
pub const PENDING_SECS: u64 = 300;

/// Tries of the second factor before the password is asked for again.
const TRIES_MAX: u8 = 5;

/// Half-done sign-ins at once; the oldest goes first.
const PENDING_MAX: usize = 1024;

/// Half-done sign-ins, under the hash of what the next step must name.
#[derive(Debug, Default)]
pub struct Pendings(BTreeMap<Hash, Pending>);

#[derive(Clone, Copy, Debug)]
struct Pending {
    account: AccountId,
    until: Duration,
    tries: u8,
}

impl Pendings {
    /// Remembers that the password of an account was right.
    pub fn begin(&mut self, named: Hash, account: AccountId, now: Duration) {
        self.0.retain(|_, pending| pending.until > now);
        if self.0.len() >= PENDING_MAX
            && let Some(oldest) = self.0.iter().min_by_key(|(_, p)| p.until).map(|(n, _)| *n)
        {
            self.0.remove(&oldest);
        }
        let until = now + Duration::from_secs(PENDING_SECS);
        self.0.insert(named, Pending { account, until, tries: 0 });
    }

    /// Whose second factor may be tried once more.
    pub fn try_once(&mut self, named: Hash, now: Duration) -> Option<AccountId> {
        let pending = self.0.get_mut(&named)?;
        if pending.until <= now || pending.tries >= TRIES_MAX {
            self.0.remove(&named);
            return None;
        }
        pending.tries += 1;
        Some(pending.account)
    }

    /// Done, one way or the other.
    pub fn end(&mut self, named: Hash) {
        self.0.remove(&named);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANN: AccountId = AccountId([1; 16]);

    fn at(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn five_tries_in_five_minutes_and_none_after_its_end() {
        let named = Hash::of(b"half");
        let mut pendings = Pendings::default();
        pendings.begin(named, ANN, at(0));
        let tries: Vec<_> = (0..6).map(|_| pendings.try_once(named, at(299))).collect();
        assert_eq!(tries, [Some(ANN), Some(ANN), Some(ANN), Some(ANN), Some(ANN), None]);
        pendings.begin(named, ANN, at(0));
        assert_eq!(pendings.try_once(named, at(300)), None);
        pendings.begin(named, ANN, at(0));
        pendings.end(named);
        assert_eq!(pendings.try_once(named, at(1)), None);
        assert_eq!(pendings.try_once(Hash::of(b"other"), at(1)), None);
    }

    #[test]
    fn they_are_bounded_and_the_oldest_goes_first() {
        let mut pendings = Pendings::default();
        let named = |number: u32| Hash::of(&number.to_be_bytes());
        for number in 0..2000_u32 {
            pendings.begin(named(number), ANN, Duration::from_millis(number.into()));
        }
        assert_eq!(pendings.0.len(), PENDING_MAX);
        assert_eq!(pendings.try_once(named(0), at(2)), None);
        assert_eq!(pendings.try_once(named(1999), at(2)), Some(ANN));
    }
}
