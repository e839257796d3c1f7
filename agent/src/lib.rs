//! Cordon's agent: watches an endpoint, streams signed events, contains it on signed command.

pub mod action;
pub mod clock;
pub mod endpoint_time;
pub mod nonce;
pub mod platform;
pub mod sensor;
pub mod spool;
