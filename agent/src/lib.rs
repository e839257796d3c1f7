//! Cordon's agent: watches an endpoint, streams signed events, contains it on signed command.

pub mod clock;
pub mod config;
pub mod endpoint_time;
pub mod enrol;
pub mod guard;
pub mod identity;
pub mod link;
pub mod machine;
pub mod nonce;
pub mod roster_keeper;
pub mod sensor;
pub mod tls;
