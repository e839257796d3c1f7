//! A machine with the real package is isolated and loses its power: from the kernel's start to the
//! agent's start its network card must not send one packet to anybody it may not speak to, though
//! somebody inside tries all the time.

use std::net::Ipv4Addr;

use anyhow::{Context, Result, ensure};
use cordon_packaging::clock::wait_until;
use cordon_packaging::stage::COLLECTOR;
use cordon_packaging::vm::capture::{self, Frame, What};
use cordon_packaging::vm::depot::Depot;
use cordon_packaging::vm::system::{Image, System};

use crate::endpoint::{Endpoint, GUEST, WITHIN};
use crate::held;

/// The machine's network card.
const CARD: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
const FORBIDDEN: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 77);

pub(crate) fn sealed(depot: &Depot, image: &Image) -> Result<()> {
    let mut here = Endpoint::start(depot, image, "cordon.noise", &[])?;
    await_noise(&here.system, 0).context("without isolation")?;
    here.install()?;
    here.prove(&["isolate", GUEST, "--lease", "1h"])?;
    here.system.await_success("systemctl is-active cordon-hold.service")?;
    cannot_be_removed(&mut here.system)?;

    let mut here = here.lose_power(&[])?;
    let system = &mut here.system;
    system.await_success("systemctl is-active cordon-agent.service")?;
    let escaped = forbidden(&system.capture()?);
    ensure!(escaped.is_empty(), "{} packets escaped: {escaped:?}", escaped.len());
    // Somebody did try, and the rules stood before there was any network.
    system.run("systemctl is-active noise.service")?;
    system.await_success("nft list ruleset | grep 'counter packets [1-9]'")?;
    rules_came_first(system)?;
    here.fleet.wait_for_state(GUEST, "online", WITHIN)?;
    let escaped = forbidden(&here.system.capture()?);
    ensure!(escaped.is_empty(), "{} packets escaped later: {escaped:?}", escaped.len());

    held::let_back_on_a_full_disk(&mut here)?;
    let released = here.system.capture()?.len();
    await_noise(&here.system, released).context("after the release")?;
    held::let_back_on_a_read_only_disk(&mut here)?;
    here.system.run("systemctl start cordon-agent.service && dpkg --remove cordon-agent")?;
    here.system.run("! test -e /usr/bin/cordon-agent").map(drop)
}

fn cannot_be_removed(system: &mut System) -> Result<()> {
    let (status, said) = system.try_run("dpkg --remove cordon-agent")?;
    ensure!(status != 0, "the package of an isolated endpoint was removed:\n{said}");
    ensure!(said.contains("this endpoint is isolated"), "it does not say why:\n{said}");
    system.run("test -x /usr/bin/cordon-agent").map(drop)
}

/// By the service manager's own times.
fn rules_came_first(system: &mut System) -> Result<()> {
    let mut stamp = |unit: &str, what: &str| -> Result<u64> {
        let said = system.run(&format!("systemctl show --value -p {what} {unit}"))?;
        said.trim().parse().with_context(|| format!("{what} of {unit} is {said}"))
    };
    let rules = stamp("cordon-hold.service", "ActiveEnterTimestampMonotonic")?;
    let network = stamp("systemd-networkd.service", "InactiveExitTimestampMonotonic")?;
    ensure!(rules > 0 && rules < network, "rules at {rules} us, network at {network} us");
    Ok(())
}

fn await_noise(system: &System, from: usize) -> Result<()> {
    let noise = |frame: &Frame| {
        let what = What::Ipv4 { protocol: 17, to: FORBIDDEN, port: 9 };
        frame.from == CARD && frame.what == what
    };
    let heard = wait_until(WITHIN, || {
        let frames = capture::frames(&system.capture()?, from);
        anyhow::Ok(frames.iter().any(noise).then_some(()))
    })?;
    heard.context("the forbidden peer is sent nothing, so that nothing could be seen to stop")
}

/// What the machine sent that an isolated endpoint may not send.
fn forbidden(capture: &[u8]) -> Vec<Frame> {
    let collector = |what: &What| {
        let ours: Option<Ipv4Addr> = COLLECTOR.v4.parse().ok();
        matches!(what, What::Ipv4 { protocol: 6, to, port: 7443 } if Some(*to) == ours)
    };
    let mut frames = capture::frames(capture, 0);
    frames.retain(|frame| frame.from == CARD && !frame.what.is_upkeep() && !collector(&frame.what));
    frames
}
