//! A session: who proved to be whom, how, and how long that counts.
//!
//! Pure. A session belongs to the way it came: one in a cookie is none in a header, and the other
//! way round, so that a stolen one is worth nothing through the other door.

use cordon_proto::id::{ClientId, KeyId};
use ring::digest;
use serde::Serialize;
use utoipa::ToSchema;

use super::name::{AccountId, SessionId};
use crate::time::Time;

/// How long a session lasts at most.
pub const SESSION_SECS_MAX: u64 = 8 * 3600;

/// How long a session lasts unused.
pub const SESSION_IDLE_SECS_MAX: u64 = 30 * 60;

/// How often a session's use is written down; between, it only ends that much early.
pub const SESSION_NOTE_SECS: u64 = 60;

/// How long after proving oneself one may change how one signs in.
pub const FRESH_SECS: u64 = 300;

/// A wall clock may be set back by so much; a session from further ahead than that is over, or a
/// clock that was wrong for a moment would make sessions that last for years.
const AHEAD_SECS_MAX: u64 = 300;

/// Longest text kept of what a client program says of itself.
const AGENT_BYTES_MAX: usize = 120;

/// How somebody proved to be somebody.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// With the rostered key.
    Key,
    /// With a password and a code of an app.
    Password,
    /// With a password and a recovery code.
    Recovery,
    /// With a passkey.
    Passkey,
}

impl Way {
    /// Its name in the state.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Password => "password",
            Self::Recovery => "recovery",
            Self::Passkey => "passkey",
        }
    }

    /// The way of a name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        [Self::Key, Self::Password, Self::Recovery, Self::Passkey]
            .into_iter()
            .find(|way| way.name() == name)
    }

    /// In a sentence.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Key => "the operator's key",
            Self::Password => "a password and a code",
            Self::Recovery => "a password and a recovery code",
            Self::Passkey => "a passkey",
        }
    }
}

/// A session as it is kept: under the hash of its token, so that the state holds no way in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Session {
    /// What people call it.
    pub id: SessionId,
    /// The rostered key of the person.
    pub key: KeyId,
    /// The account it was opened with, if it was not with the key itself.
    pub account: Option<AccountId>,
    /// Only these clients, if the account was vouched for only there; none for all of the key's.
    pub clients: Option<Vec<ClientId>>,
    /// How the person proved to be it.
    pub way: Way,
    /// Whether it lives in a browser's cookie.
    pub cookie: bool,
    /// Where it was opened from.
    pub address: String,
    /// What the program that opened it said of itself.
    pub agent: String,
    /// When.
    pub made: Time,
    /// When it was last used, to the minute.
    pub used: Time,
    /// When the person last proved to be it.
    pub proved: Time,
}

impl Session {
    /// Whether it still stands.
    #[must_use]
    pub fn stands(&self, now: Time) -> bool {
        let newest = now.plus_secs(AHEAD_SECS_MAX);
        now.secs_since(self.made) < SESSION_SECS_MAX
            && now.secs_since(self.used) < SESSION_IDLE_SECS_MAX
            && self.made <= newest
            && self.used <= newest
    }

    /// When it ends however much it is used.
    #[must_use]
    pub fn ends(&self) -> Time {
        self.made.plus_secs(SESSION_SECS_MAX)
    }

    /// Whether its use is to be written down again.
    #[must_use]
    pub fn to_note(&self, now: Time) -> bool {
        now.secs_since(self.used) >= SESSION_NOTE_SECS
    }

    /// Whether the person proved to be it just now.
    #[must_use]
    pub fn is_fresh(&self, now: Time) -> bool {
        now.secs_since(self.proved) < FRESH_SECS && self.proved <= now.plus_secs(AHEAD_SECS_MAX)
    }
}

/// What a page of the console must say with every change that it asks for: made of the session's
/// token, which no page of another origin can read.
#[must_use]
pub fn csrf(token: &[u8]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(b"cordon csrf\0");
    context.update(token);
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    out
}

/// What a program says of itself, as far as it is kept.
#[must_use]
pub fn agent_kept(agent: &str) -> String {
    let mut agent: String = agent.chars().filter(|c| !c.is_control()).collect();
    agent.truncate(agent.floor_char_boundary(AGENT_BYTES_MAX));
    agent
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A session of a key, opened and used at these seconds.
    pub(crate) fn session(made_secs: u64, used_secs: u64) -> Session {
        let at = |secs| Time(0).plus_secs(secs);
        Session {
            id: SessionId([0; 16]),
            key: KeyId::default(),
            account: None,
            clients: None,
            way: Way::Key,
            cookie: false,
            address: "192.0.2.1".to_owned(),
            agent: String::new(),
            made: at(made_secs),
            used: at(used_secs),
            proved: at(made_secs),
        }
    }

    #[track_caller]
    fn check(made: u64, used: u64, now: u64, stands: bool) {
        assert_eq!(session(made, used).stands(Time(0).plus_secs(now)), stands);
    }

    #[test]
    fn a_session_ends_after_half_an_hour_unused_and_after_eight_in_any_case() {
        check(0, 0, 1799, true);
        check(0, 0, 1800, false);
        check(0, 28_000, 28_799, true);
        check(0, 28_700, 28_800, false);
    }

    #[test]
    fn a_clock_set_back_a_little_keeps_sessions_and_one_set_back_a_year_ends_them() {
        check(1000, 1000, 700, true);
        check(1000, 1000, 699, false);
        check(0, 1000, 699, false);
    }

    #[test]
    fn what_was_proved_is_fresh_for_five_minutes_by_any_clock() {
        let session = session(1000, 1000);
        let fresh = |secs: u64| session.is_fresh(Time(0).plus_secs(secs));
        assert_eq!([699, 700, 1299, 1300].map(fresh), [false, true, true, false]);
    }

    #[test]
    fn what_a_program_says_of_itself_is_cut_and_has_no_controls() {
        assert_eq!(agent_kept("a\u{1b}[0m\nb"), "a[0mb");
        assert_eq!(agent_kept(&"é".repeat(100)).len(), AGENT_BYTES_MAX);
    }
}
