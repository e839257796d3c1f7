//! Passwords: which ones will do, and the Argon2id hash that is kept.
//!
//! Hashing takes memory on purpose, so only a few are worked on at once and only a few wait;
//! whoever comes then is told to come again. An unknown name costs exactly what a known one does.

use std::fmt;
use std::sync::Arc;

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use cordon_proto::id::Hash;
use tokio::sync::Semaphore;

use super::limit::TooMany;

/// What OWASP asks for at least is 19 MiB and two passes.
const MEMORY_KIB: u32 = 32 << 10;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// What a kept hash may ask for: the state may have been brought from elsewhere.
const MEMORY_KIB_MAX: u32 = 256 << 10;
const PASSES_MAX: u32 = 16;
const LANES_MAX: u32 = 8;

const SALT_BYTES: usize = 16;
const HASH_BYTES: usize = 32;

/// Hashed at once: so many times [`MEMORY_KIB`] is what sign-ins can take of the machine.
const HASHED_AT_ONCE_MAX: usize = 2;

/// Waiting for their turn; more are told to come again.
const WAITING_MAX: usize = 32;

/// When to come again.
const RETRY_SECS: u64 = 2;

/// Fewest characters of a new password.
pub const CHARACTERS_MIN: usize = 12;

/// Longest password that is looked at.
pub const BYTES_MAX: usize = 256;

/// Fewest different characters.
const DIFFERENT_MIN: usize = 5;

/// Why a new password will not do.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Unfit {
    /// Too easily tried.
    #[error("the password is shorter than {CHARACTERS_MIN} characters")]
    Short,
    /// Nobody types that.
    #[error("the password is longer than {BYTES_MAX} bytes")]
    Long,
    /// One key held down.
    #[error("the password has fewer than {DIFFERENT_MIN} different characters")]
    Plain,
    /// The first thing that is tried.
    #[error("the password has the account's name in it")]
    Name,
}

/// Whether a new password will do for an account.
pub fn check(password: &str, account: &str) -> Result<(), Unfit> {
    if password.len() > BYTES_MAX {
        return Err(Unfit::Long);
    }
    if password.chars().count() < CHARACTERS_MIN {
        return Err(Unfit::Short);
    }
    let mut different: Vec<char> = password.chars().collect();
    different.sort_unstable();
    different.dedup();
    if different.len() < DIFFERENT_MIN {
        return Err(Unfit::Plain);
    }
    let name = account.split('@').next().unwrap_or(account);
    if name.len() >= 3 && password.to_ascii_lowercase().contains(name) {
        return Err(Unfit::Name);
    }
    Ok(())
}

/// A password as it is kept.
#[derive(Clone, Eq, PartialEq)]
pub struct PasswordHash {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    salt: [u8; SALT_BYTES],
    hash: [u8; HASH_BYTES],
}

/// A text is not a kept password.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("it is not a password's hash as this version keeps it")]
pub struct NotAHash;

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash")
    }
}

impl PasswordHash {
    /// As it is kept: the usual `$argon2id$…` text.
    #[must_use]
    pub fn to_text(&self) -> String {
        let Self { memory_kib, passes, lanes, salt, hash } = self;
        let (salt, hash) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(hash));
        format!("$argon2id$v=19$m={memory_kib},t={passes},p={lanes}${salt}${hash}")
    }

    /// Reads what was kept.
    pub fn from_text(text: &str) -> Result<Self, NotAHash> {
        Self::read(text).ok_or(NotAHash)
    }

    fn read(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("$argon2id$v=19$")?;
        let [numbers, salt, hash] =
            <[&str; 3]>::try_from(rest.split('$').collect::<Vec<_>>()).ok()?;
        let numbers: Vec<&str> = numbers.split(',').collect();
        let [memory, passes, lanes] = <[&str; 3]>::try_from(numbers).ok()?;
        let number = |text: &str, name: &str, max: u32| {
            text.strip_prefix(name)?.parse::<u32>().ok().filter(|number| *number <= max)
        };
        Some(Self {
            memory_kib: number(memory, "m=", MEMORY_KIB_MAX)?,
            passes: number(passes, "t=", PASSES_MAX)?,
            lanes: number(lanes, "p=", LANES_MAX)?,
            salt: STANDARD_NO_PAD.decode(salt).ok()?.try_into().ok()?,
            hash: STANDARD_NO_PAD.decode(hash).ok()?.try_into().ok()?,
        })
    }

    fn make(password: &str, salt: [u8; SALT_BYTES]) -> Option<Self> {
        let (memory_kib, passes, lanes) = (MEMORY_KIB, PASSES, LANES);
        let hash = derive(password, &salt, memory_kib, passes, lanes)?;
        Some(Self { memory_kib, passes, lanes, salt, hash })
    }

    fn is_of(&self, password: &str) -> bool {
        let Self { memory_kib, passes, lanes, salt, hash } = self;
        let derived = derive(password, salt, *memory_kib, *passes, *lanes);
        // Hashed once more, so that how far two are alike does not show in the time taken.
        derived.is_some_and(|derived| Hash::of(&derived) == Hash::of(hash))
    }
}

fn derive(
    password: &str,
    salt: &[u8],
    memory_kib: u32,
    passes: u32,
    lanes: u32,
) -> Option<[u8; HASH_BYTES]> {
    let params = Params::new(memory_kib, passes, lanes, Some(HASH_BYTES)).ok()?;
    let mut hash = [0; HASH_BYTES];
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon2.hash_password_into(password.as_bytes(), salt, &mut hash).ok()?;
    Some(hash)
}

/// Where passwords are hashed: a few at once.
#[derive(Debug)]
pub struct Passwords {
    turns: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    /// What is compared with when there is no such account.
    nobody: PasswordHash,
}

impl Default for Passwords {
    fn default() -> Self {
        Self {
            turns: Arc::new(Semaphore::new(HASHED_AT_ONCE_MAX)),
            waiting: Arc::new(Semaphore::new(WAITING_MAX)),
            nobody: PasswordHash {
                memory_kib: MEMORY_KIB,
                passes: PASSES,
                lanes: LANES,
                salt: [0; SALT_BYTES],
                hash: [0; HASH_BYTES],
            },
        }
    }
}

/// Why a password was not looked at.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PasswordsError {
    /// Others come first.
    #[error(transparent)]
    Busy(#[from] TooMany),
    /// The machine cannot.
    #[error("this machine has not the memory that a password takes, or is stopping")]
    Machine,
}

impl Passwords {
    /// Hashes a new password with a random salt.
    pub async fn hash(
        &self,
        password: String,
        salt: [u8; SALT_BYTES],
    ) -> Result<PasswordHash, PasswordsError> {
        let made = self.in_turn(move || PasswordHash::make(&password, salt)).await?;
        made.ok_or(PasswordsError::Machine)
    }

    /// Whether this is the password; none for an account that is not there, which takes as long.
    pub async fn verify(
        &self,
        password: String,
        kept: Option<PasswordHash>,
    ) -> Result<bool, PasswordsError> {
        let known = kept.is_some();
        let kept = kept.unwrap_or_else(|| self.nobody.clone());
        self.in_turn(move || kept.is_of(&password) && known).await
    }

    async fn in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, PasswordsError> {
        let place = self.waiting.try_acquire().ok();
        let place = place.ok_or(TooMany { retry_secs: RETRY_SECS })?;
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        let turn = turn.ok().ok_or(PasswordsError::Machine)?;
        drop(place);
        // The turn goes along: the work goes on even if whoever asked has gone.
        let done = tokio::task::spawn_blocking(move || {
            let answer = work();
            drop(turn);
            answer
        });
        done.await.ok().ok_or(PasswordsError::Machine)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_password_is_long_varied_and_not_the_name() {
        #[track_caller]
        fn fits(password: &str, says: Result<(), Unfit>) {
            assert_eq!(check(password, "annabel@msp"), says, "{password}");
        }
        fits("correct horse", Ok(()));
        fits("ünïcödé ist gut", Ok(()));
        fits("correct hor", Err(Unfit::Short));
        fits("abababababababab", Err(Unfit::Plain));
        fits("hello Annabel hello", Err(Unfit::Name));
        fits(&"abcdefgh".repeat(33), Err(Unfit::Long));
    }

    #[tokio::test]
    async fn a_password_is_known_again_and_another_is_not() {
        let passwords = Passwords::default();
        let kept = passwords.hash("correct horse".to_owned(), [1; SALT_BYTES]).await.unwrap();
        let read = PasswordHash::from_text(&kept.to_text()).unwrap();
        assert_eq!(read, kept);
        let verify = async |password: &str, kept: Option<&PasswordHash>| {
            passwords.verify(password.to_owned(), kept.cloned()).await
        };
        assert_eq!(verify("correct horse", Some(&read)).await, Ok(true));
        assert_eq!(verify("correct horsf", Some(&read)).await, Ok(false));
        assert_eq!(verify("correct horse", None).await, Ok(false));
    }

    #[test]
    fn a_kept_hash_that_asks_for_the_whole_machine_is_none() {
        let good = "$argon2id$v=19$m=32768,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        assert!(PasswordHash::from_text(good).is_ok());
        for (from, to) in
            [("32768", "99999999"), ("t=2", "t=99"), ("argon2id", "argon2i"), ("$A", "$")]
        {
            assert_eq!(PasswordHash::from_text(&good.replacen(from, to, 1)), Err(NotAHash), "{to}");
        }
    }

    #[tokio::test]
    async fn more_than_may_wait_are_told_to_come_again() {
        let passwords = Passwords::default();
        let held = passwords.turns.acquire_many(2).await.unwrap();
        let asked = (0..=WAITING_MAX).map(|_| passwords.in_turn(|| ()));
        let mut asked: Vec<_> = asked.map(Box::pin).collect();
        let last = asked.pop().unwrap();
        let waiting = futures_util::future::join_all(asked);
        tokio::pin!(waiting);
        assert!(futures_util::FutureExt::now_or_never(waiting.as_mut()).is_none());
        let busy = PasswordsError::Busy(TooMany { retry_secs: RETRY_SECS });
        assert_eq!(last.await, Err(busy));
        drop(held);
        assert!(waiting.await.iter().all(Result::is_ok));
    }
}
