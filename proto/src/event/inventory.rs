//! What is on a machine, and what of it has changed since it was last looked at (OCSF discovery
//! classes, 5xxx).
//!
//! An inventory is sent whole once and then as differences. Each has a version number and the hash
//! of the whole after it, so that whoever rebuilds it from the events can prove that nothing of it
//! is missing; `rebuilt` does.

pub mod rebuilt;

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::Text;
use crate::codec::encode;
use crate::id::Hash;

/// Which inventory.
#[derive(
    Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash, Encode, Decode, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum Subject {
    /// Accounts.
    #[n(0)]
    Users,
    /// Groups and who is in them.
    #[n(1)]
    Groups,
    /// Keys that may log in over SSH.
    #[n(2)]
    SshKeys,
    /// Who may act as whom: the rules of sudo.
    #[n(3)]
    Sudoers,
    /// What is started without anybody asking for it each time.
    #[n(4)]
    Autoruns,
    /// Installed packages.
    #[n(5)]
    Packages,
    /// Services and their state.
    #[n(6)]
    Services,
    /// Ports that somebody listens on.
    #[n(7)]
    Listeners,
    /// Mounted file systems.
    #[n(8)]
    Mounts,
    /// Operating system, hardware, addresses, clock.
    #[n(9)]
    Machine,
}

impl Subject {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 10] = [
        Self::Users,
        Self::Groups,
        Self::SshKeys,
        Self::Sudoers,
        Self::Autoruns,
        Self::Packages,
        Self::Services,
        Self::Listeners,
        Self::Mounts,
        Self::Machine,
    ];

    /// The name used in keys, settings and on the page.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Users => "users",
            Self::Groups => "groups",
            Self::SshKeys => "ssh_keys",
            Self::Sudoers => "sudoers",
            Self::Autoruns => "autoruns",
            Self::Packages => "packages",
            Self::Services => "services",
            Self::Listeners => "listeners",
            Self::Mounts => "mounts",
            Self::Machine => "machine",
        }
    }
}

/// One part of one version of an inventory.
///
/// The parts of a version follow each other; part 0 begins the version anew, also if some of its
/// parts came before (the endpoint stopped in between and starts it again).
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub struct Inventory {
    /// Which inventory.
    #[n(0)]
    pub subject: Subject,
    /// Counts the versions; one more than that of the version changed from.
    #[n(1)]
    pub version: u64,
    /// Whether this version stands alone: everything is in it, whatever was said before.
    #[n(2)]
    pub is_base: bool,
    /// Which part of the version, from 0.
    #[n(3)]
    pub part: u32,
    /// Of how many.
    #[n(4)]
    pub parts: u32,
    /// What differs from the version before, in the order of the keys.
    #[n(5)]
    pub changes: Vec<Change>,
    /// Items in the whole of this version.
    #[n(6)]
    pub items: u64,
    /// SHA-256 over the encodings of all items of this version, in the order of their keys.
    #[n(7)]
    pub hash: Hash,
    /// Items that were found and left out, because there were too many.
    #[n(8)]
    pub left_out: u64,
}

/// What differs in one item: added without `before`, removed without `after`.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub struct Change {
    /// What tells the item from the others of its inventory.
    #[n(0)]
    pub key: Text,
    /// What it was: all fields if it was removed, those that differ if it was changed.
    #[n(1)]
    pub before: Option<Vec<Field>>,
    /// What it is, all fields.
    #[n(2)]
    pub after: Option<Vec<Field>>,
    /// Why this change deserves to be looked at.
    #[n(3)]
    pub warning: Option<String>,
}

/// One thing that is known of an item. What is not known has no field.
#[derive(Clone, Debug, Eq, PartialEq, Ord, PartialOrd, Encode, Decode)]
pub struct Field {
    /// What it is.
    #[n(0)]
    pub name: String,
    /// Its value; numbers in decimal.
    #[n(1)]
    pub value: Text,
}

/// One item of an inventory.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub struct Item {
    /// What tells it from the others.
    #[n(0)]
    pub key: Text,
    /// What is known of it, in an order that is always the same.
    #[n(1)]
    pub fields: Vec<Field>,
}

impl Item {
    /// The bytes that the hash of the whole is made over.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        encode(self)
    }
}

/// What was done to an item.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Doing {
    /// It was not there before.
    Added,
    /// It is not there any more.
    Removed,
    /// It is another.
    Changed,
}

impl Change {
    /// What was done to the item.
    #[must_use]
    pub fn doing(&self) -> Doing {
        match (&self.before, &self.after) {
            (Some(_), Some(_)) => Doing::Changed,
            (Some(_), None) => Doing::Removed,
            (None, Some(_) | None) => Doing::Added,
        }
    }
}
