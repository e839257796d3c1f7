//! Cordon's agent: watches an endpoint, streams signed events, contains it on signed command.

pub mod action;
pub mod budget;
pub mod canary;
pub mod clock;
pub mod config;
pub mod containment;
pub mod doctor;
pub mod endpoint_time;
pub mod enrol;
pub mod guard;
pub mod health;
pub mod identity;
pub mod inventory;
pub mod kept;
pub mod link;
pub mod machine;
pub mod nonce;
pub mod platform;
pub mod query;
pub mod redact;
pub mod roster_keeper;
pub mod run;
pub mod sensor;
pub mod spool;
pub mod tell;
pub mod tls;
