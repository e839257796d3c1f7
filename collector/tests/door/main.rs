//! Both doors from outside: real sockets, real TLS, an endpoint driven by hand.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a test stops where something is not as it must be"
)]

mod endpoint;
mod enrol;
mod hostile;
mod people;
mod program;
mod session;
mod stage;
