//! System calls that no safe library offers.

pub(crate) mod packet;
