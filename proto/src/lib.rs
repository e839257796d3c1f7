//! What Cordon's agent, collector and console say to each other, and what all of them must agree on.
//!
//! This package decides and touches nothing: bytes and times come in as arguments, answers go out
//! as values. `PROTOCOL.md` beside it says the same in words.

#![cfg_attr(test, allow(clippy::arithmetic_side_effects, reason = "tests know their values"))]

pub mod code;
pub mod codec;
pub mod collection;
pub mod command;
pub mod event;
pub mod evidence;

pub mod id;
pub mod limits;
pub mod message;
pub mod policy;
pub mod query;
pub mod roster;
pub mod session;
pub mod sign;
pub mod text;
pub mod time;
pub mod token;
pub mod version;

pub use text::Text;
