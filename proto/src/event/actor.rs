//! The process behind an event, as far as the machine could tell when it looked.

use minicbor::{Decode, Encode};

use crate::Text;

/// A process that did something. What could not be known is `None`, never guessed.
#[derive(Clone, Debug, Default, Eq, PartialEq, Encode, Decode)]
pub struct Actor {
    /// Process id, in the initial pid namespace.
    #[n(0)]
    pub pid: u32,
    /// When the process was made, boot-time clock in nanoseconds: with the pid, its identity.
    #[n(1)]
    pub start_boot_ns: Option<u64>,
    /// Process id of its parent.
    #[n(2)]
    pub parent_pid: Option<u32>,
    /// Real user id.
    #[n(3)]
    pub uid: Option<u32>,
    /// The name that it gives itself.
    #[n(4)]
    pub name: Option<Text>,
    /// The program that it runs, links resolved.
    #[n(5)]
    pub image: Option<Text>,
}
