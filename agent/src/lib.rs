//! Under construction.

pub mod action;
pub mod platform;
