//! API tokens: for programs that act as a person, with less than the person may.
//!
//! Pure. What a token may do is worked out anew at every request from what its owner's rosters say
//! then; the token only takes away from it.

use cordon_proto::id::{ClientId, Hash, KeyId};
use cordon_proto::roster::Role;

use super::name::ApiTokenId;
use super::secret::base32;
use crate::time::Time;

/// What every token begins with, so that those who look for leaked secrets know it.
pub const PREFIX: &str = "cordon_";

/// Random bytes of a token.
pub const TOKEN_BYTES: usize = 30;

/// How long a token may be good: a year.
pub const VALID_SECS_MAX: u64 = 366 * 24 * 3600;

/// Longest name of a token.
pub const NAME_BYTES_MAX: usize = 64;

/// Tokens of one person at once.
pub const PER_PERSON_MAX: usize = 100;

/// Clients that a token may be bound to.
pub const CLIENTS_MAX: usize = 200;

/// How often a token's use is written down.
const NOTE_SECS: u64 = 60;

/// A token as it is kept: under the hash of its text.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ApiToken {
    /// What people call it.
    pub id: ApiTokenId,
    /// The rostered key of its owner.
    pub key: KeyId,
    /// Only these clients; none for all that the owner has.
    pub clients: Option<Vec<ClientId>>,
    /// No role above this.
    pub role_max: Role,
    /// Whether it may only look.
    pub read_only: bool,
    /// What it is for.
    pub name: String,
    /// When it was made.
    pub made: Time,
    /// Until when it is good.
    pub expires: Time,
    /// When it was last used, to the minute.
    pub used: Option<Time>,
    /// Where it was last used from.
    pub used_from: Option<String>,
}

impl ApiToken {
    /// Whether it is still good.
    #[must_use]
    pub fn stands(&self, now: Time) -> bool {
        now < self.expires
    }

    /// Whether its use is to be written down again.
    #[must_use]
    pub fn to_note(&self, now: Time, from: &str) -> bool {
        self.used_from.as_deref() != Some(from)
            || self.used.is_none_or(|used| now.secs_since(used) >= NOTE_SECS || used > now)
    }
}

/// The text of a token.
#[must_use]
pub fn text(bytes: &[u8; TOKEN_BYTES]) -> String {
    format!("{PREFIX}{}", base32(bytes).to_ascii_lowercase())
}

/// What a token is looked up by, if this is the text of one.
#[must_use]
pub fn hash(text: &str) -> Option<Hash> {
    let rest = text.strip_prefix(PREFIX)?;
    let fits = rest.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'2'..=b'7'));
    (rest.len() == TOKEN_BYTES * 8 / 5 && fits).then(|| Hash::of(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_known_by_its_look() {
        let text = text(&[7; TOKEN_BYTES]);
        assert!(text.starts_with("cordon_") && text.len() == 55, "{text}");
        assert!(hash(&text).is_some());
        for other in ["", "cordon_", &text[1..], &text[..54], &text.to_ascii_uppercase()] {
            assert_eq!(hash(other), None, "{other}");
        }
    }

    #[test]
    fn its_use_is_noted_by_the_minute_and_when_it_comes_from_elsewhere() {
        let at = |secs| Time(0).plus_secs(secs);
        let mut token = ApiToken {
            id: ApiTokenId([0; 16]),
            key: KeyId::default(),
            clients: None,
            role_max: Role::Viewer,
            read_only: true,
            name: String::new(),
            made: at(0),
            expires: at(1000),
            used: None,
            used_from: None,
        };
        assert!(token.to_note(at(1), "192.0.2.1"));
        (token.used, token.used_from) = (Some(at(100)), Some("192.0.2.1".to_owned()));
        assert!(!token.to_note(at(159), "192.0.2.1"));
        assert!(token.to_note(at(160), "192.0.2.1"));
        assert!(token.to_note(at(101), "192.0.2.2"));
        assert!(token.to_note(at(50), "192.0.2.1"), "the clock was set back");
        assert!(token.stands(at(999)) && !token.stands(at(1000)));
    }
}
