//! A machine with the real package is isolated and loses its power: from the kernel's start to the
//! agent's start its network card must not send one packet to anybody it may not speak to, though
//! somebody inside tries all the time.

use std::net::Ipv4Addr;

use anyhow::{Context, Result, ensure};
use cordon_packaging::stage::COLLECTOR;
use cordon_packaging::vm::capture::{self, Frame, What};
use cordon_packaging::vm::depot::Depot;
use cordon_packaging::vm::system::{Image, System};

use crate::endpoint::{Endpoint, GUEST, WITHIN};
use crate::{held, noise};

pub(crate) fn sealed(depot: &Depot, image: &Image) -> Result<()> {
    let mut here = Endpoint::start(depot, image, "cordon.noise", &[])?;
    noise::heard(&here.system, 0).context("without isolation")?;
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
    noise::heard(&here.system, released).context("after the release")?;
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

/// What the machine sent that an isolated endpoint may not send.
fn forbidden(capture: &[u8]) -> Vec<Frame> {
    let collector = |what: &What| {
        let ours: Option<Ipv4Addr> = COLLECTOR.v4.parse().ok();
        matches!(what, What::Ipv4 { protocol: 6, to, port: 7443 } if Some(*to) == ours)
    };
    let mut frames = capture::frames(capture, 0);
    frames.retain(|frame| {
        frame.from == noise::CARD && !frame.what.is_upkeep() && !collector(&frame.what)
    });
    frames
}
