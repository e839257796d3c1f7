//! Logins and changes of accounts, as logs tell them (OCSF Authentication, 3002; Account Change,
//! 3001; Group Management, 3006).
//!
//! Such an event is what a line of a log *says*. Whoever may write to that log can say it too, so
//! each names the line it was read from and whether the sender was who the line says.

use minicbor::{Decode, Encode};
use serde::Serialize;

use super::Redaction;
use crate::Text;

/// The line that an event was read from; the line is an event of its own.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub enum Origin {
    /// A line of a log file.
    #[n(0)]
    File(#[n(0)] FileOrigin),
    /// An entry of the systemd journal.
    #[n(1)]
    Journal(#[n(0)] JournalOrigin),
    /// A record that the system itself keeps of its logins.
    #[n(2)]
    Record(#[n(0)] RecordOrigin),
}

/// Where the system keeps records of logins.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Encode, Decode, Serialize)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum RecordSource {
    /// The file of logins and logouts.
    #[n(0)]
    Wtmp,
    /// The file of failed logins.
    #[n(1)]
    Btmp,
    /// The database of pam_wtmpdb.
    #[n(2)]
    Wtmpdb,
    /// The sessions that logind keeps.
    #[n(3)]
    Logind,
}

/// A record of a login, and what it says that lines of logs do not.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub struct RecordOrigin {
    /// The file or directory.
    #[n(0)]
    pub path: Text,
    /// Which record it is.
    #[n(1)]
    pub source: RecordSource,
    /// Where the record begins in its file, or the row's number.
    #[n(2)]
    pub place: u64,
    /// The account's user id, where the machine knows it.
    #[n(3)]
    pub uid: Option<u32>,
    /// The session's id.
    #[n(4)]
    pub session: Option<String>,
    /// How long a session lasted that has ended.
    #[n(5)]
    pub lasted_secs: Option<u64>,
}

/// Where a line of a log file stood.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub struct FileOrigin {
    /// The file's path as watched.
    #[n(0)]
    pub path: Text,
    /// The device the file is on.
    #[n(1)]
    pub device: u64,
    /// The file's inode.
    #[n(2)]
    pub inode: u64,
    /// Where in the file the line began, in bytes.
    #[n(3)]
    pub offset: u64,
}

/// An entry of the journal, and who sent it as journald saw it.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub struct JournalOrigin {
    /// The entry's place.
    #[n(0)]
    pub cursor: String,
    /// The sender's user id.
    #[n(1)]
    pub uid: Option<u32>,
    /// Whether the sender's program is the one that the entry names; null where journald did not
    /// know it.
    #[n(2)]
    pub attested: Option<bool>,
}

/// What was tried.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Encode, Decode, Serialize)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum AuthActivity {
    /// A session was asked for.
    #[n(1)]
    Logon,
    /// A session ended.
    #[n(2)]
    Logoff,
    /// A step before a session: a name was given, a key offered.
    #[n(6)]
    Preauth,
    /// Acting as another user was asked for (sudo, su).
    #[n(7)]
    AccountSwitch,
}

/// How it went.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Encode, Decode, Serialize)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum Status {
    /// The line does not say.
    #[n(0)]
    Unknown,
    /// Granted.
    #[n(1)]
    Success,
    /// Refused.
    #[n(2)]
    Failure,
}

/// Somebody tried to log in, logged in or out, or acted as somebody else.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub struct Authentication {
    /// The line that says so.
    #[n(0)]
    pub origin: Origin,
    /// What was tried.
    #[n(1)]
    pub activity: AuthActivity,
    /// How it went.
    #[n(2)]
    pub status: Status,
    /// The program that says so: `sshd`, `sudo`, `su`, `login`, `cron`.
    #[n(3)]
    pub service: Text,
    /// The account asked for; with sudo and su the one acted as.
    #[n(4)]
    pub user: Option<Text>,
    /// Who asked, where that is another account.
    #[n(5)]
    pub actor: Option<Text>,
    /// Whether the account exists.
    #[n(6)]
    pub user_exists: Option<bool>,
    /// How the proof was given: `password`, `publickey`, `keyboard-interactive/pam`.
    #[n(7)]
    pub method: Option<Text>,
    /// The address or name it came from.
    #[n(8)]
    pub from: Option<Text>,
    /// The port it came from.
    #[n(9)]
    pub from_port: Option<u16>,
    /// The terminal.
    #[n(10)]
    pub terminal: Option<Text>,
    /// What was run.
    #[n(11)]
    pub command: Option<Text>,
    /// The key or certificate that was shown.
    #[n(12)]
    pub key: Option<Text>,
    /// Why it was refused, or what else the line says.
    #[n(13)]
    pub detail: Option<Text>,
    /// The process that says so.
    #[n(14)]
    pub pid: Option<u32>,
    /// How many tries the line stands for, where it says.
    #[n(15)]
    pub tries: Option<u32>,
    /// Secrets that were taken out of `command` before it was signed.
    #[n(16)]
    pub redacted: Option<Vec<Redaction>>,
}

/// What was changed about an account or a group.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Encode, Decode, Serialize)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum AccountActivity {
    /// A user was made.
    #[n(0)]
    UserCreated,
    /// A user was deleted.
    #[n(1)]
    UserDeleted,
    /// A user's name, ids, home, shell or the like were changed.
    #[n(2)]
    UserChanged,
    /// A password was changed.
    #[n(3)]
    PasswordChanged,
    /// A password was locked.
    #[n(4)]
    Locked,
    /// A password was unlocked.
    #[n(5)]
    Unlocked,
    /// When a password or an account ends was changed.
    #[n(6)]
    AgingChanged,
    /// A group was made.
    #[n(7)]
    GroupCreated,
    /// A group was deleted.
    #[n(8)]
    GroupDeleted,
    /// A group's name or id was changed.
    #[n(9)]
    GroupChanged,
    /// A user was put into a group.
    #[n(10)]
    MemberAdded,
    /// A user was taken out of a group.
    #[n(11)]
    MemberRemoved,
}

/// An account or a group was changed.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub struct AccountChange {
    /// The line that says so.
    #[n(0)]
    pub origin: Origin,
    /// What was changed.
    #[n(1)]
    pub activity: AccountActivity,
    /// How it went.
    #[n(2)]
    pub status: Status,
    /// The program that says so: `useradd`, `usermod`, `passwd`, ….
    #[n(3)]
    pub service: Text,
    /// The user.
    #[n(4)]
    pub user: Option<Text>,
    /// The group.
    #[n(5)]
    pub group: Option<Text>,
    /// Who did it, where the line says.
    #[n(6)]
    pub actor: Option<Text>,
    /// The user's id.
    #[n(7)]
    pub uid: Option<u32>,
    /// The group's id.
    #[n(8)]
    pub gid: Option<u32>,
    /// The home directory.
    #[n(9)]
    pub home: Option<Text>,
    /// The login shell.
    #[n(10)]
    pub shell: Option<Text>,
    /// What else the line says.
    #[n(11)]
    pub detail: Option<Text>,
    /// The process that says so.
    #[n(12)]
    pub pid: Option<u32>,
}
