//! An operator acts on a whole Debian with systemd, logind, PAM and sshd: services stop, an account
//! is locked, sticks and a peer are blocked; somebody with root works against it, the power goes, and
//! all of it is put back as it was. On the way the agent's own unit, its doctor and the journal are
//! looked at.

mod account;
mod journal;
mod peer;
mod service;
mod stick;
mod unit;

use anyhow::Result;
use cordon_packaging::vm::depot::Depot;
use cordon_packaging::vm::system::Image;

use crate::endpoint::Endpoint;

/// People, their sessions and the bus between them; and somebody who sends.
const PEOPLE: &str = "systemd.wants=dbus.service systemd.wants=systemd-logind.service \
                      systemd.wants=ssh.service cordon.noise";

pub(crate) fn acts(depot: &Depot, image: &Image) -> Result<()> {
    let hardware = ["-device", "qemu-xhci,id=usb"];
    let mut here = Endpoint::start(depot, image, PEOPLE, &hardware)?;
    here.install()?;
    unit::fares_well(&mut here)?;
    journal::is_followed(&mut here)?;

    let services = service::made(&mut here)?;
    let accounts = account::made(&mut here)?;
    stick::mounted(&mut here)?;
    service::is_refused(&here)?;
    service::stops(&mut here)?;
    account::is_refused(&here)?;
    account::is_locked(&mut here)?;
    stick::is_blocked(&mut here)?;
    peer::is_blocked(&mut here)?;

    // Somebody with root works against all three at once; each is looked at every minute.
    service::is_started_again(&mut here)?;
    account::is_opened_again(&mut here)?;
    stick::drivers_are_loaded_again(&mut here)?;
    here.await_repaired(&[("stop_service", 2), ("lock_account", 1), ("block_storage", 1)])?;
    service::stands(&mut here)?;
    account::stands(&mut here)?;
    stick::stands(&mut here)?;

    let sticks = stick::from_the_start(&here);
    let mut here = here.lose_power(&sticks)?;
    here.system.await_success("systemctl is-active cordon-agent.service ssh.service")?;
    here.await_fresh()?;
    service::stood_from_the_start(&mut here)?;
    account::stands(&mut here)?;
    stick::stood_from_the_start(&mut here)?;
    peer::stood_from_the_start(&mut here)?;

    service::is_put_back(&mut here, &services)?;
    account::is_put_back(&mut here, &accounts)?;
    stick::is_put_back(&mut here)?;
    peer::is_put_back(&mut here)
}
