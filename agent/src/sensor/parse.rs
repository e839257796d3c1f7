//! What lines of logs say: their heads, and logins and changes of accounts that they tell. Pure;
//! borrows from the line.
//!
//! Lines are written by whom they speak of, too: a user may have a name like
//! `root from 192.0.2.1 port 22 ssh2`. So what a stranger chose is read last, from the side that he
//! cannot reach; what can be read in two ways is not read at all, and the event says so.

mod account;
mod cut;
mod head;
mod interpret;
mod json;
mod login;
mod pam;
mod sshd;
mod stamped;
mod sudo;
#[cfg(test)]
mod tests;
mod when;

pub use head::{Assumed, Head, head};
pub use interpret::{interpret, interpret_below};
pub use stamped::Stamped;
