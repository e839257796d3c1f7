//! What the agent can do to its endpoint on command: one action a file.

pub mod deed;
pub mod isolate;
