//! Under construction.

pub mod platform;
