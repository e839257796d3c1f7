//! Accounts: how a person signs in without the key, and the invitation that makes one.
//!
//! Pure. An account stands for the person who holds a rostered key, and reaches what that key's
//! rosters allow at the time, and there only where somebody who may vouched for it: an
//! administrator of one client cannot make an account that sees another.

use cordon_proto::id::{ClientId, KeyId, OperatorId};

use super::name::{AccountId, AccountName, InvitationId};
use super::password::PasswordHash;
use crate::tenant::View;
use crate::time::Time;

/// How long an invitation may be good: two weeks.
pub const INVITED_SECS_MAX: u64 = 14 * 24 * 3600;

/// Invitations that stand at once, of one key.
pub const INVITATIONS_PER_KEY_MAX: usize = 8;

/// Passkeys of one account.
pub const PASSKEYS_MAX: usize = 16;

/// An account as it is kept.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Account {
    /// What it is called inside.
    pub id: AccountId,
    /// What its owner types.
    pub name: AccountName,
    /// The rostered key of its owner.
    pub key: KeyId,
    /// Where it was vouched for; none for every client of the key.
    pub clients: Option<Vec<ClientId>>,
    /// The password.
    pub password: PasswordHash,
    /// The secret of the authenticator app, sealed.
    pub totp: Vec<u8>,
    /// When it was set up.
    pub made: Time,
}

/// An invitation to set an account up, or to set it up anew.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Invitation {
    /// What people call it.
    pub id: InvitationId,
    /// Who is invited, by key.
    pub key: KeyId,
    /// Who is invited, by name.
    pub operator: OperatorId,
    /// What the inviter can vouch for; none for every client of the key.
    pub clients: Option<Vec<ClientId>>,
    /// Who invited.
    pub made_by: String,
    /// When.
    pub made: Time,
    /// Until when.
    pub expires: Time,
    /// What was chosen so far.
    pub draft: Option<Draft>,
}

/// What an invited person has chosen, before the first code of the app shows that it took.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Draft {
    /// The account's name.
    pub name: AccountName,
    /// The password.
    pub password: PasswordHash,
    /// The secret of the authenticator app, sealed.
    pub totp: Vec<u8>,
}

/// Why an invitation cannot be made or taken.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvitationRefused {
    /// It would put an end to an account that reaches further than the inviter.
    #[error(
        "the person has an account that reaches clients where you are no administrator; the \
         person can set it up anew with the key (`cordon account set-up`), or somebody on the \
         collector's machine can invite (`cordon-collector operator invite`)"
    )]
    Further,
}

/// What a view is to somebody vouched for at some clients only.
#[must_use]
pub fn reach(view: View, vouched: Option<&[ClientId]>) -> View {
    match vouched {
        None => view,
        Some(clients) => view.only(clients),
    }
}

/// Whether somebody who can vouch for these clients may put an end to what an account was before.
/// `reached` is what the account reaches now.
pub fn may_replace(reached: &View, vouched: Option<&[ClientId]>) -> Result<(), InvitationRefused> {
    let covered = |client: &ClientId| vouched.is_none_or(|clients| clients.contains(client));
    if reached.clients().iter().all(covered) { Ok(()) } else { Err(InvitationRefused::Further) }
}
