//! Cordon's agent: watches an endpoint, streams signed events, contains it on signed command.

pub mod action;
pub mod platform;
pub mod sensor;
