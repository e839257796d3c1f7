//! What the tests ask of the operating system that no safe call gives.

pub(crate) mod packet;
