//! Worlds in which everything goes wrong, each run decided by its seed: what lies between an
//! endpoint and its collector ([`wire`]), and what stands on the endpoint itself ([`endpoint`]).

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    reason = "a model that contradicts itself ends its run, with the seed in the message"
)]

pub mod endpoint;
mod random;
pub mod wire;
