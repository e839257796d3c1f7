//! What the agent can do to its endpoint on command: one action a file.

pub mod account;
#[cfg(target_os = "linux")]
pub mod block;
pub mod deed;
pub mod deny;
mod hash;
pub mod isolate;
pub mod process;
pub mod quarantine;
pub mod service;
pub mod storage;
