//! Collecting evidence: one archive made at the source, hashed there, and delivered in pieces.
//!
//! The archive is made by a process of its own, as the answer to a query is: it reads whatever the
//! command names, has hard limits, and can write no file. The agent takes what it says, seals it to
//! those who may read it before it touches the disk, keeps it in the state directory, and sends it
//! when the collector is there, however often the link is cut.

pub mod archive;
pub mod child;
pub mod glob;
pub mod orders;
pub mod sealer;
pub mod snapshot;
pub mod source;
pub mod store;
pub mod walk;
pub mod worker;
