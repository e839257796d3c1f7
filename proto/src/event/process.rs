//! A process started or ended (OCSF Process Activity, 1007).

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use super::Redaction;
use crate::Text;
use crate::id::Hash;

/// Ancestors that one exec names: enough for a shell in a session in a container in a service.
pub const ANCESTORS_MAX: usize = 8;

/// By which means the agent saw a process; each misses something else.
#[derive(
    Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash, Encode, Decode, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum Tier {
    /// BPF on the scheduler's trace points: complete.
    #[n(1)]
    Bpf,
    /// The kernel's process connector, fields from /proc: short-lived ones lack path and arguments.
    #[n(2)]
    ProcConnector,
    /// Differences between lists of /proc: short-lived ones are not seen at all.
    #[n(3)]
    ProcList,
    /// The kernel's audit records, fields from them: what the administrator's rules cover is
    /// complete, the rest is as with the process connector.
    #[n(4)]
    Audit,
}

/// What happened to a process.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub enum ProcessEvent {
    /// It began to run a program.
    #[n(0)]
    Exec(#[n(0)] Box<Exec>),
    /// It was made as a copy of its parent.
    #[n(1)]
    Fork(#[n(0)] Fork),
    /// It ended.
    #[n(2)]
    Exit(#[n(0)] Exit),
    /// A program's file was hashed; told once for each file as long as it does not change.
    #[n(3)]
    ImageHash(#[n(0)] ImageHash),
}

/// A process of this boot: numbers are used again, so that a number alone names none.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Encode, Decode)]
pub struct ProcessId {
    /// Process id.
    #[n(0)]
    pub pid: u32,
    /// When it was made, boot-time clock in nanoseconds. A multiple of ten milliseconds comes from
    /// /proc, which rounds down to that.
    #[n(1)]
    pub start_boot_ns: Option<u64>,
}

/// Which file a program is, and in which state: the same as long as nobody has written to it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash, Encode, Decode)]
pub struct FileId {
    /// The device, as stat(2) gives it.
    #[n(0)]
    pub device: u64,
    /// The inode on it.
    #[n(1)]
    pub inode: u64,
    /// Its length.
    #[n(2)]
    pub bytes: u64,
    /// When its content changed last, nanoseconds since 1970 UTC.
    #[n(3)]
    pub modified_ns: i64,
    /// When anything of it changed last. No call sets this to a time of one's choice.
    #[n(4)]
    pub changed_ns: i64,
}

/// A process began to run a program. What the tier could not know is `None`, never guessed.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub struct Exec {
    /// How it was seen.
    #[n(0)]
    pub tier: Tier,
    /// Process id, in the initial pid namespace.
    #[n(1)]
    pub pid: u32,
    /// When the process was made, boot-time clock in nanoseconds: with the pid, its identity.
    #[n(2)]
    pub start_boot_ns: Option<u64>,
    /// Process id of the real parent.
    #[n(3)]
    pub parent_pid: Option<u32>,
    /// Real user id.
    #[n(4)]
    pub uid: Option<u32>,
    /// Effective user id.
    #[n(5)]
    pub euid: Option<u32>,
    /// Control group, by its cgroup-v2 id.
    #[n(6)]
    pub cgroup_id: Option<u64>,
    /// The path as executed.
    #[n(7)]
    pub image: Option<Text>,
    /// The path with symbolic links resolved, read while the process lived.
    #[n(8)]
    pub image_resolved: Option<Text>,
    /// Arguments, each ended by a NUL byte, as the kernel holds them.
    #[n(9)]
    pub args: Option<Text>,
    /// How long the arguments were in full; more than `args` holds means that they were cut.
    #[n(10)]
    pub args_bytes: Option<u64>,
    /// When the real parent was made: with `parent_pid` its identity.
    #[n(11)]
    pub parent_start_boot_ns: Option<u64>,
    /// Who made this process, who made that one, and so on: at most [`ANCESTORS_MAX`], as the
    /// agent saw them being made. An orphan keeps its makers here while its parent becomes init.
    #[n(12)]
    pub ancestors: Option<Vec<ProcessId>>,
    /// Where relative paths start.
    #[n(13)]
    pub cwd: Option<Text>,
    /// Session id: the number of its first process.
    #[n(14)]
    pub session: Option<u32>,
    /// The terminal that controls it, as `pts/0`; empty if there is none.
    #[n(15)]
    pub tty: Option<Text>,
    /// Who signed in, whatever the user id became since; [`UNSET`] if nobody did.
    #[n(16)]
    pub login_uid: Option<u32>,
    /// The audit session of that sign-in; [`UNSET`] if nobody signed in.
    #[n(17)]
    pub audit_session: Option<u32>,
    /// The path of the control group below the root of the cgroup-v2 tree.
    #[n(18)]
    pub cgroup: Option<Text>,
    /// The program's file; a script's is its interpreter.
    #[n(19)]
    pub file: Option<FileId>,
    /// SHA-256 of that file where it is known already; a later [`ImageHash`] tells it otherwise.
    #[n(20)]
    pub sha256: Option<Hash>,
    /// Secrets that were taken out of `args` before it was signed.
    #[n(24)]
    pub redacted: Option<Vec<Redaction>>,
}

/// What the kernel gives as login uid and audit session where nobody has signed in.
pub const UNSET: u32 = u32::MAX;

impl Exec {
    /// An exec of which nothing else is known.
    #[must_use]
    pub fn new(tier: Tier, pid: u32) -> Self {
        Self {
            tier,
            pid,
            start_boot_ns: None,
            parent_pid: None,
            uid: None,
            euid: None,
            cgroup_id: None,
            image: None,
            image_resolved: None,
            args: None,
            args_bytes: None,
            parent_start_boot_ns: None,
            ancestors: None,
            cwd: None,
            session: None,
            tty: None,
            login_uid: None,
            audit_session: None,
            cgroup: None,
            file: None,
            sha256: None,
            redacted: None,
        }
    }
}

/// A process was made as a copy of its parent.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub struct Fork {
    /// How it was seen.
    #[n(0)]
    pub tier: Tier,
    /// Process id.
    #[n(1)]
    pub pid: u32,
    /// When it was made, boot-time clock in nanoseconds.
    #[n(2)]
    pub start_boot_ns: Option<u64>,
    /// Process id of the real parent.
    #[n(3)]
    pub parent_pid: Option<u32>,
    /// Real user id.
    #[n(4)]
    pub uid: Option<u32>,
}

/// A process ended.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub struct Exit {
    /// How it was seen.
    #[n(0)]
    pub tier: Tier,
    /// Process id.
    #[n(1)]
    pub pid: u32,
    /// When it was made, boot-time clock in nanoseconds.
    #[n(2)]
    pub start_boot_ns: Option<u64>,
    /// Process id of the real parent at the end.
    #[n(3)]
    pub parent_pid: Option<u32>,
    /// Real user id.
    #[n(4)]
    pub uid: Option<u32>,
    /// Wait status as wait(2) gives it: exit code in the second byte, signal in the first.
    #[n(5)]
    pub wait_status: Option<u32>,
}

impl Exit {
    /// How long it lived, for an end that was seen at `boot_ns`; none where the end itself was not
    /// seen but only that the process is gone.
    #[must_use]
    pub fn duration_ns(&self, boot_ns: u64) -> Option<u64> {
        match self.tier {
            Tier::Bpf | Tier::ProcConnector | Tier::Audit => {
                boot_ns.checked_sub(self.start_boot_ns?)
            }
            Tier::ProcList => None,
        }
    }
}

/// A program's file was hashed.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub struct ImageHash {
    /// Which file, in which state.
    #[n(0)]
    pub file: FileId,
    /// The path by which it was run when it was first seen.
    #[n(1)]
    pub path: Option<Text>,
    /// SHA-256 of its content; none if it is longer than the agent reads.
    #[n(2)]
    pub sha256: Option<Hash>,
}

/// Splits the kernel's NUL-ended argument block.
pub fn split_args(args: &Text) -> impl Iterator<Item = &[u8]> {
    let block = args.as_bytes();
    let block = block.strip_suffix(b"\0").unwrap_or(block);
    let none = args.is_empty();
    block.split(|byte| *byte == 0).filter(move |_| !none)
}
