//! Somebody inside a machine who sends to one peer all the time (`cordon.noise`), as the machine's
//! network card saw it.

use std::net::Ipv4Addr;

use anyhow::{Context, Result};
use cordon_packaging::clock::wait_until;
use cordon_packaging::vm::capture::{self, Frame, What};
use cordon_packaging::vm::system::System;

use crate::endpoint::WITHIN;

/// The machine's network card.
pub(crate) const CARD: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
/// Who is sent to.
pub(crate) const PEER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 77);

/// Waits until more of it comes out than there was at a length of the capture.
pub(crate) fn heard(system: &System, from: usize) -> Result<()> {
    let heard =
        wait_until(WITHIN, || anyhow::Ok((count(&system.capture()?, from) > 0).then_some(())))?;
    heard.context("the peer is sent nothing, so that nothing could be seen to stop")
}

/// How many packets of it the card sent from a length of the capture on.
pub(crate) fn count(capture: &[u8], from: usize) -> usize {
    let noise = |frame: &Frame| {
        let what = What::Ipv4 { protocol: 17, to: PEER, port: 9 };
        frame.from == CARD && frame.what == what
    };
    capture::frames(capture, from).into_iter().filter(noise).count()
}
