//! A stick that is mounted when removable storage is blocked, one that comes afterwards, and both
//! from the machine's next start on.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::endpoint::{Endpoint, GUEST};
use crate::storage::plug_in;

const PLACE: &str = "/srv/stick";

pub(super) fn mounted(here: &mut Endpoint<'_>) -> Result<()> {
    let folder = here.folder().to_owned();
    plug_in(here.system.machine(), &folder, "first")?;
    // Its drivers come by the device's name, as anywhere.
    let mount = format!("mkdir -p {PLACE} && mount -o nosuid,noatime /dev/sda {PLACE}");
    here.system.await_success(&mount)?;
    here.system.run(&format!("echo before >{PLACE}/file")).map(drop)
}

pub(super) fn is_blocked(here: &mut Endpoint<'_>) -> Result<()> {
    here.prove(&["storage", "block", GUEST])?;
    here.system.run(&format!("! mountpoint {PLACE} && ! test -e {PLACE}/file"))?;
    // By the kernel's own words: first no more writing, then no more disk.
    let order = "dmesg | grep -E 're-mounted|Synchronizing SCSI cache' | cut -d ']' -f 2-";
    let said = here.system.run(order)?;
    let at = |what: &str| said.find(what).with_context(|| format!("no {what}; it says:\n{said}"));
    ensure!(at("re-mounted")? < at("Synchronizing")?, "not in this order:\n{said}");
    is_clean(&here.folder().join("first.img"))?;
    let folder = here.folder().to_owned();
    plug_in(here.system.machine(), &folder, "second")?;
    here.system.await_success("grep -lx second /sys/bus/usb/devices/*/serial")?;
    stands(here)
}

/// A stick that was pulled out while it was written to says so.
fn is_clean(stick: &Path) -> Result<()> {
    let told = Command::new("dumpe2fs").arg("-h").arg(stick).output();
    let told = told.context("starting dumpe2fs")?;
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    let says =
        |what: &str| told.lines().any(|line| line.starts_with("Filesystem") && line.contains(what));
    ensure!(says(" clean") && !told.contains("needs_recovery"), "the stick is not clean:\n{told}");
    Ok(())
}

pub(super) fn stands(here: &mut Endpoint<'_>) -> Result<()> {
    here.system.run("udevadm settle; ! ls /dev/sd*").map(drop).context("disks of sticks")
}

pub(super) fn drivers_are_loaded_again(here: &mut Endpoint<'_>) -> Result<()> {
    here.system
        .run("rm /etc/modprobe.d/cordon-block-storage.conf && modprobe usb_storage && modprobe uas")
        .map(drop)
}

/// For the machine's next start: both are plugged in before it is switched on.
pub(super) fn from_the_start(here: &Endpoint<'_>) -> Vec<String> {
    let one = |name: &str| {
        let file = here.folder().join(format!("{name}.img"));
        [
            "-drive".to_owned(),
            format!("file={},if=none,format=raw,id={name}", file.display()),
            "-device".to_owned(),
            format!("usb-storage,id={name},drive={name},serial={name},removable=on,bus=usb.0"),
        ]
    };
    ["first", "second"].iter().flat_map(|name| one(name)).collect()
}

pub(super) fn stood_from_the_start(here: &mut Endpoint<'_>) -> Result<()> {
    stands(here)?;
    // Not even before the agent ran.
    here.system.run("! dmesg | grep -E 'usb-storage|uas|sd [0-9]'").map(drop)?;
    here.system.run("grep -lx first /sys/bus/usb/devices/*/serial").map(drop)
}

pub(super) fn is_put_back(here: &mut Endpoint<'_>) -> Result<()> {
    here.prove(&["storage", "allow", GUEST])?;
    let there =
        format!("grep -x before {PLACE}/file && echo after >{PLACE}/other && ls /dev/sda /dev/sdb");
    here.system.run(&there)?;
    here.system.run(&format!("grep ' {PLACE} ' /proc/self/mountinfo | grep nosuid,noatime"))?;
    here.system.run("! test -e /etc/modprobe.d/cordon-block-storage.conf").map(drop)
}
