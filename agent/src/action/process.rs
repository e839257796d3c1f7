//! Ending processes and stopping them where they are: each is what the command says it is, or
//! nothing is done to it; a tree is held still before it is touched.
//!
//! What cannot be seen: a process that left its tree before the command came (its maker had ended,
//! and it shares no session that the tree leads) is nobody's child any more and is not found.

mod before;
mod family;
mod freeze;
mod hold;
mod hunt;
mod kill;
mod protect;
mod stat;
mod suspend;

pub use kill::KillDeed;
pub use suspend::SuspendDeed;
