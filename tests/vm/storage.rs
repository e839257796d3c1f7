//! Removable storage that is blocked and allowed again, in a machine with sticks: one that is
//! mounted, one that comes when no driver is loaded, one that comes when somebody has loaded it.

mod guest;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cordon_packaging::vm::depot::Depot;
use cordon_packaging::vm::initramfs;
use cordon_packaging::vm::machine::{Machine, Plan};
use cordon_packaging::vm::modules::Modules;
use serde_json::json;

pub(crate) use guest::{modprobe, run};

/// In the kernel's command line: this machine is for this test.
pub(crate) const ARGUMENT: &str = "cordon.guest=storage";

/// What the machine says when it has come so far.
const MOUNTED: &str = "STORAGE mounted";
const BLOCKED: &str = "STORAGE blocked";
const OTHER_BLOCKED: &str = "STORAGE blocked without the driver's absence";
const UNBLOCKED: &str = "STORAGE unblocked";

const BOOT_WITHIN: Duration = Duration::from_secs(120);
const WITHIN: Duration = Duration::from_secs(180);

const MODULES: [&str; 8] =
    ["xhci_pci", "sd_mod", "usb_storage", "uas", "usbhid", "hid_generic", "crc32c_generic", "ext4"];

const STICK_BYTES: u64 = 8 << 20;

pub(crate) fn life(depot: &Depot) -> Result<()> {
    let folder = tempfile::tempdir().context("making a folder for the machine")?;
    let mut machine = Machine::start(depot, &plan(depot, folder.path())?)?;
    plug_in(&mut machine, folder.path(), "first")?;
    said(&mut machine, MOUNTED, BOOT_WITHIN)?;
    said(&mut machine, BLOCKED, WITHIN)?;
    plug_in(&mut machine, folder.path(), "second")?;
    machine.command("device_add", json!({ "driver": "usb-kbd", "id": "kbd", "bus": "usb.0" }))?;
    said(&mut machine, OTHER_BLOCKED, WITHIN)?;
    plug_in(&mut machine, folder.path(), "third")?;
    said(&mut machine, UNBLOCKED, WITHIN)?;
    machine.power_off()
}

fn plan(depot: &Depot, folder: &Path) -> Result<Plan> {
    let modules = Modules::below(&depot.modules)?.in_order(&MODULES)?;
    Ok(Plan {
        folder: folder.to_owned(),
        initramfs: initramfs::build(&std::env::current_exe()?, &modules, &[])?,
        memory_mib: 768,
        kernel_arguments: ARGUMENT.to_owned(),
        hardware: ["-device", "qemu-xhci,id=usb"].map(str::to_owned).to_vec(),
        reboots: false,
    })
}

/// The whole line: one is the beginning of another.
fn said(machine: &mut Machine, line: &str, within: Duration) -> Result<()> {
    machine.hear(line, within, |heard| {
        if heard.contains("the guest failed") {
            return Some(Err(anyhow::anyhow!("{}", heard.trim())));
        }
        (heard.trim() == line).then_some(Ok(()))
    })?
}

/// A stick with an empty file system and no table of partitions.
pub(crate) fn plug_in(machine: &mut Machine, folder: &Path, name: &str) -> Result<()> {
    let path = folder.join(format!("{name}.img"));
    let file = std::fs::File::create(&path).context("making a stick")?;
    file.set_len(STICK_BYTES)?;
    let made = Command::new("mke2fs").args(["-q", "-F", "-t", "ext4"]).arg(&path).status();
    ensure!(made.context("starting mke2fs")?.success(), "mke2fs failed");
    let drive = json!({ "driver": "raw", "node-name": name,
        "file": { "driver": "file", "filename": path } });
    machine.command("blockdev-add", drive)?;
    let device = json!({ "driver": "usb-storage", "id": name, "drive": name,
        "serial": name, "removable": true, "bus": "usb.0" });
    machine.command("device_add", device)?;
    Ok(())
}
