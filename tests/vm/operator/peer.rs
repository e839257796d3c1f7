//! A peer that somebody on the machine sends to all the time, and that is blocked; nobody has root to
//! work against it, but the power goes.

use anyhow::{Context, Result, ensure};

use crate::endpoint::{Endpoint, GUEST};
use crate::noise;

pub(super) fn is_blocked(here: &mut Endpoint<'_>) -> Result<()> {
    noise::heard(&here.system, 0).context("before the block")?;
    here.prove(&["block", GUEST, "--address", &noise::PEER.to_string()])?;
    stands(here, here.system.capture()?.len())
}

/// From the kernel's start on nothing went there, though it was tried before the agent ran.
pub(super) fn stood_from_the_start(here: &mut Endpoint<'_>) -> Result<()> {
    here.system.run("systemctl is-active noise.service")?;
    stands(here, 0)
}

/// Nothing went there since, though the rules counted what was tried.
fn stands(here: &mut Endpoint<'_>, from: usize) -> Result<()> {
    here.system.await_success("nft list ruleset | grep 'counter packets [1-9]'")?;
    let passed = noise::count(&here.system.capture()?, from);
    ensure!(passed == 0, "{passed} packets went to a peer that is blocked");
    Ok(())
}

pub(super) fn is_put_back(here: &mut Endpoint<'_>) -> Result<()> {
    let standing = here.standing()?;
    let block = standing.iter().find(|one| one["action"] == "block");
    let id = block.and_then(|one| one["command"].as_str()).context("no block stands")?.to_owned();
    here.prove(&["unblock", &id])?;
    noise::heard(&here.system, here.system.capture()?.len()).context("after the block")
}
