//! What people did: each client's trail, append-only, each entry naming the hash of the one before.
//!
//! Pure. An entry that was changed, left out or put in shows, as long as somebody kept a later
//! hash; the last entries of a trail can be cut off unseen by whoever holds the database.

use cordon_proto::codec;
use cordon_proto::id::{ClientId, Hash, KeyId, OperatorId};
use minicbor::{Decode, Encode};

/// Longest text kept of what an act was done to, and of what else is known of it.
const TEXT_BYTES_MAX: usize = 2048;

/// An act of a person.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Act {
    /// Whose trail it belongs to.
    pub client: ClientId,
    /// Who did it.
    pub who: OperatorId,
    /// The person's rostered key, whether the session was opened with it or with an account.
    pub key: KeyId,
    /// What was done.
    pub what: Deed,
    /// To what: an id or a name.
    pub to: String,
    /// What else a reader should know: a reason, a version.
    pub detail: String,
}

/// What can be done.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Encode, Decode)]
#[cbor(index_only)]
pub enum Deed {
    /// A session was opened.
    #[n(0)]
    SignIn,
    /// A command was uploaded.
    #[n(1)]
    CommandUpload,
    /// A signature was added to a command.
    #[n(2)]
    CommandSign,
    /// A token was made.
    #[n(3)]
    TokenCreate,
    /// A token was taken back.
    #[n(4)]
    TokenRevoke,
    /// A roster was brought.
    #[n(5)]
    RosterPut,
    /// Evidence was taken out.
    #[n(6)]
    Export,
    /// A break-glass code, sealed, was fetched.
    #[n(7)]
    WayOutFetch,
    /// A site was made.
    #[n(16)]
    SiteCreate,
    /// A site was changed.
    #[n(17)]
    SiteChange,
    /// A site was taken away.
    #[n(18)]
    SiteRemove,
    /// What people say of an endpoint was changed.
    #[n(19)]
    EndpointNote,
    /// Somebody who knew a name or a password failed, and must wait or begin anew.
    #[n(32)]
    SignInRefused,
    /// A session was ended by somebody.
    #[n(33)]
    SessionRevoke,
    /// Somebody was invited to set an account up.
    #[n(34)]
    AccountInvite,
    /// An invitation was taken back.
    #[n(35)]
    AccountUninvite,
    /// An account was set up, or set up anew.
    #[n(36)]
    AccountSetUp,
    /// What an account is signed in with was changed.
    #[n(37)]
    AccountChange,
    /// An account was removed.
    #[n(38)]
    AccountRemove,
    /// An API token was made.
    #[n(39)]
    ApiTokenCreate,
    /// An API token was taken back.
    #[n(40)]
    ApiTokenRevoke,
}

impl Deed {
    /// Its name on pages and in exports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::SignIn => "sign-in",
            Self::CommandUpload => "command.upload",
            Self::CommandSign => "command.sign",
            Self::TokenCreate => "token.create",
            Self::TokenRevoke => "token.revoke",
            Self::RosterPut => "roster.put",
            Self::Export => "export",
            Self::WayOutFetch => "way-out.fetch",
            Self::SiteCreate => "site.create",
            Self::SiteChange => "site.change",
            Self::SiteRemove => "site.remove",
            Self::EndpointNote => "endpoint.note",
            Self::SignInRefused => "sign-in.refuse",
            Self::SessionRevoke => "session.revoke",
            Self::AccountInvite => "account.invite",
            Self::AccountUninvite => "account.uninvite",
            Self::AccountSetUp => "account.set-up",
            Self::AccountChange => "account.change",
            Self::AccountRemove => "account.remove",
            Self::ApiTokenCreate => "api-token.create",
            Self::ApiTokenRevoke => "api-token.revoke",
        }
    }
}

/// An act with its place in its client's trail.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub struct Entry {
    /// Its number, from 1.
    #[n(0)]
    pub number: u64,
    /// Hash of the entry before; zeros for the first.
    #[n(1)]
    pub previous: Hash,
    /// When, nanoseconds since 1970 UTC.
    #[n(2)]
    pub time_ns: u64,
    /// Whose trail.
    #[n(3)]
    pub client: ClientId,
    /// Who.
    #[n(4)]
    pub who: OperatorId,
    /// With which key.
    #[n(5)]
    pub key: KeyId,
    /// What.
    #[n(6)]
    pub what: Deed,
    /// To what.
    #[n(7)]
    pub to: String,
    /// What else.
    #[n(8)]
    pub detail: String,
}

/// Where a trail ends.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Head {
    /// The last entry's number; 0 for an empty trail.
    pub number: u64,
    /// Its hash.
    pub hash: Hash,
}

/// A trail is not whole.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the audit trail of client {client} does not hold at entry {number}: {what}")]
pub struct Broken {
    /// Whose.
    pub client: ClientId,
    /// Where.
    pub number: u64,
    /// What is wrong there.
    pub what: &'static str,
}

impl Entry {
    /// The entry that follows a trail's end.
    #[must_use]
    pub fn after(head: Head, act: Act, time_ns: u64) -> Self {
        let Act { client, who, key, what, to, detail } = act;
        let (to, detail) = (cut(to), cut(detail));
        let number = head.number.saturating_add(1);
        Self { number, previous: head.hash, time_ns, client, who, key, what, to, detail }
    }

    /// SHA-256 of its deterministic CBOR: what the next entry names.
    #[must_use]
    pub fn hash(&self) -> Hash {
        Hash::of(&codec::encode(self))
    }

    /// Where its trail stands after it.
    #[must_use]
    pub fn head(&self) -> Head {
        Head { number: self.number, hash: self.hash() }
    }
}

/// Checks a run of one client's entries that follows `head`; answers where it ends.
pub fn verify<'e>(
    client: &ClientId,
    head: Head,
    entries: impl IntoIterator<Item = &'e Entry>,
) -> Result<Head, Broken> {
    entries.into_iter().try_fold(head, |head, entry| {
        let number = head.number.saturating_add(1);
        let broken = |what| Broken { client: client.clone(), number, what };
        if entry.client != *client {
            return Err(broken("the entry is another client's"));
        }
        if entry.number != number {
            return Err(broken("the entry that stands there has another number"));
        }
        if entry.previous != head.hash {
            return Err(broken("it names another entry before it"));
        }
        Ok(entry.head())
    })
}

fn cut(mut text: String) -> String {
    if text.len() > TEXT_BYTES_MAX {
        text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trail() -> Vec<Entry> {
        let act = |number: u64| Act {
            client: "acme".parse().unwrap(),
            who: "ann".parse().unwrap(),
            key: KeyId::default(),
            what: Deed::TokenCreate,
            to: format!("token {number}"),
            detail: String::new(),
        };
        let mut head = Head::default();
        let mut next = |number| {
            let entry = Entry::after(head, act(number), number);
            head = entry.head();
            entry
        };
        (1..=4).map(&mut next).collect()
    }

    #[track_caller]
    fn check(change: impl FnOnce(&mut Vec<Entry>), says: &str) {
        let mut entries = trail();
        change(&mut entries);
        let client = "acme".parse().unwrap();
        let said = match verify(&client, Head::default(), &entries) {
            Ok(head) => format!("whole to {}", head.number),
            Err(broken) => format!("{}: {}", broken.number, broken.what),
        };
        assert_eq!(said, says);
    }

    #[test]
    fn a_trail_that_was_not_touched_holds() {
        check(|_| (), "whole to 4");
        check(Vec::clear, "whole to 0");
    }

    #[test]
    fn an_entry_changed_left_out_or_put_in_shows() {
        check(|t| t[1].who = "bob".parse().unwrap(), "3: it names another entry before it");
        check(|t| t[2].time_ns += 1, "4: it names another entry before it");
        check(|t| drop(t.remove(1)), "2: the entry that stands there has another number");
        check(|t| t.swap(1, 2), "2: the entry that stands there has another number");
        check(|t| t.insert(1, t[0].clone()), "2: the entry that stands there has another number");
        check(|t| t[0].client = "other".parse().unwrap(), "1: the entry is another client's");
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let mut entry = trail().remove(0);
        entry = Entry::after(
            Head::default(),
            Act {
                client: entry.client,
                who: entry.who,
                key: entry.key,
                what: entry.what,
                to: "é".repeat(TEXT_BYTES_MAX),
                detail: String::new(),
            },
            0,
        );
        assert_eq!(entry.to.chars().count(), TEXT_BYTES_MAX / 2 + 1);
    }
}
