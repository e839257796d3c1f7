//! A watched file changed (OCSF File System Activity, 1001).

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use super::actor::Actor;
use crate::Text;
use crate::id::Hash;

/// By which means a change was seen.
#[derive(
    Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash, Encode, Decode, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum FileMeans {
    /// The kernel told of it, and of the process.
    #[n(0)]
    Fanotify,
    /// The kernel told of it, not of the process.
    #[n(1)]
    Inotify,
    /// The file differs from what was known: it changed while nobody watched.
    #[n(2)]
    Comparison,
}

/// What happened to a file.
#[derive(
    Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash, Encode, Decode, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum FileActivity {
    /// It is new.
    #[n(0)]
    Created,
    /// Its content was written, or another file was put in its place.
    #[n(1)]
    Modified,
    /// Owner, mode, capabilities or times changed, the content did not.
    #[n(2)]
    AttributesChanged,
    /// It is gone, or was moved to where nobody watches.
    #[n(3)]
    Deleted,
    /// It has another name.
    #[n(4)]
    Renamed,
}

/// What a path stands for.
#[derive(
    Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash, Encode, Decode, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum FileKind {
    /// A file.
    #[n(0)]
    Regular,
    /// A directory.
    #[n(1)]
    Directory,
    /// A symbolic link.
    #[n(2)]
    Link,
    /// A device, a pipe or a socket.
    #[n(3)]
    Other,
}

/// What a file is like at one moment.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub struct FileState {
    /// What it is.
    #[n(0)]
    pub kind: FileKind,
    /// Its length.
    #[n(1)]
    pub bytes: u64,
    /// Permissions, with the set-id bits and the sticky bit.
    #[n(2)]
    pub mode: u32,
    /// The owner.
    #[n(3)]
    pub uid: u32,
    /// The group.
    #[n(4)]
    pub gid: u32,
    /// When the content was last written as far as the file says, nanoseconds since 1970 UTC.
    #[n(5)]
    pub modified_ns: u64,
    /// SHA-256 of the content (of a link: of where it leads); none where the file is too large, or
    /// could not be read.
    #[n(6)]
    pub sha256: Option<Hash>,
    /// SHA-256 of the capabilities that it gives to whoever runs it; none for none.
    #[n(7)]
    pub capabilities: Option<Hash>,
}

/// A watched file changed.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub struct FileEvent {
    /// How it was seen.
    #[n(0)]
    pub means: FileMeans,
    /// What happened.
    #[n(1)]
    pub activity: FileActivity,
    /// The file; after a change of its name, the new one.
    #[n(2)]
    pub path: Text,
    /// The name before a rename; of a modified file, where the file that took its place came from.
    #[n(3)]
    pub path_before: Option<Text>,
    /// Who did it; the last, where it was more than one.
    #[n(4)]
    pub actor: Option<Actor>,
    /// What the file was like when it was last looked at; none where nobody had.
    #[n(5)]
    pub before: Option<FileState>,
    /// What it is like now; none where it is gone or could not be looked at.
    #[n(6)]
    pub after: Option<FileState>,
    /// How many changes within a second this event stands for.
    #[n(7)]
    pub times: u32,
    /// Whether the process, or one it descends from, is a package manager.
    #[n(8)]
    pub by_package_manager: bool,
}
