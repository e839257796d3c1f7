//! A machine with the real package is isolated and loses its power: from the kernel's start to the
//! agent's start its network card must not send one packet to anybody it may not speak to, though
//! somebody inside tries all the time.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cordon_packaging::clock::wait_until;
use cordon_packaging::fleet::{Fleet, Plan};
use cordon_packaging::stage::COLLECTOR;
use cordon_packaging::vm::capture::{self, Frame, What};
use cordon_packaging::vm::depot::Depot;
use cordon_packaging::vm::system::{Image, System, SystemPlan};
use cordon_tests::guest;

/// What anything takes in an emulated machine on a busy one.
const WITHIN: Duration = Duration::from_secs(180);
/// The machine's network card.
const CARD: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
const FORBIDDEN: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 77);
const GUEST: &str = "guest";

pub(crate) fn sealed(depot: &Depot, image: &Image) -> Result<()> {
    let fleet = Fleet::make(Plan::default())?;
    let folder = tempfile::tempdir().context("making a folder for the machine")?;
    let plan = SystemPlan {
        folder: folder.path().to_owned(),
        files: guest::files(folder.path(), &[])?,
        kernel_arguments: "cordon.noise mitigations=off".to_owned(),
    };
    // Its packets are sent by qemu from the collector's namespace, which has no way to anybody
    // else; what the card saw is written down before that.
    let door = fleet.stage()?.door.clone();
    let mut system = door.run(|| System::start(depot, image, &plan))??;
    await_noise(&system, 0).context("without isolation")?;
    guest::install(&mut system, &fleet, GUEST)?;
    guest::await_obedience(&fleet, GUEST)?;
    fleet.cordon(&[
        "isolate",
        GUEST,
        "--reason",
        "vm",
        "--lease",
        "1h",
        "--wait",
        "--timeout",
        "3m",
    ])?;
    system.await_success("systemctl is-active cordon-hold.service")?;
    cannot_be_removed(&mut system)?;

    system.cut_power()?;
    let mut system = door.run(|| System::start(depot, image, &plan))??;
    system.await_success("systemctl is-active cordon-agent.service")?;
    let escaped = forbidden(&system.capture()?);
    ensure!(escaped.is_empty(), "{} packets escaped: {escaped:?}", escaped.len());
    // Somebody did try, and the rules stood before there was any network.
    system.run("systemctl is-active noise.service")?;
    system.await_success("nft list ruleset | grep 'counter packets [1-9]'")?;
    rules_came_first(&mut system)?;
    fleet.wait_for_state(GUEST, "online", WITHIN)?;
    let escaped = forbidden(&system.capture()?);
    ensure!(escaped.is_empty(), "{} packets escaped later: {escaped:?}", escaped.len());

    let_back_without_agent(&mut system, &fleet, folder.path())?;
    let released = system.capture()?.len();
    await_noise(&system, released).context("after the release")?;
    system.run("systemctl start cordon-agent.service && dpkg --remove cordon-agent")?;
    system.run("! test -e /usr/bin/cordon-agent").map(drop)
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

/// The agent is gone; a signed release comes by hand.
fn let_back_without_agent(system: &mut System, fleet: &Fleet, folder: &Path) -> Result<()> {
    // A new boot has new nonces, which its health must have told.
    let file = folder.join("release.cordon");
    let shown = file.display().to_string();
    system.run("systemctl stop cordon-agent.service")?;
    let released = wait_until(WITHIN, || {
        fleet.cordon(&["release", GUEST, "--reason", "vm", "--queued", "--to", &shown])?;
        let hex: String =
            std::fs::read(&file)?.iter().map(|byte| format!("\\x{byte:02x}")).collect();
        system.run(&format!("printf '{hex}' >/root/release.cordon"))?;
        let (status, said) = system.try_run("cordon-agent release /root/release.cordon")?;
        anyhow::Ok((status == 0).then_some(said))
    })?;
    let said = released.context("the supervisor does not let the endpoint back")?;
    ensure!(said.contains("the rules are gone"), "it says: {said}");
    system.run("! nft list ruleset | grep cordon").map(drop)
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
