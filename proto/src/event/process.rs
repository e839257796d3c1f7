//! A process started or ended (OCSF Process Activity, 1007).

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use super::Redaction;
use crate::Text;

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
}

/// What happened to a process.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub enum ProcessEvent {
    /// It began to run a program.
    #[n(0)]
    Exec(#[n(0)] Exec),
    /// It was made as a copy of its parent.
    #[n(1)]
    Fork(#[n(0)] Fork),
    /// It ended.
    #[n(2)]
    Exit(#[n(0)] Exit),
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
    /// Secrets that were taken out of `args` before it was signed.
    #[n(24)]
    pub redacted: Option<Vec<Redaction>>,
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

/// Splits the kernel's NUL-ended argument block.
pub fn split_args(args: &Text) -> impl Iterator<Item = &[u8]> {
    let block = args.as_bytes();
    let block = block.strip_suffix(b"\0").unwrap_or(block);
    let none = args.is_empty();
    block.split(|byte| *byte == 0).filter(move |_| !none)
}
