//! The life of disks: a controller that warns, a stick that comes and goes, a keyboard, a disk that
//! cannot be read. Shown by qemu's own NVMe, USB and blkdebug; SATA and SAS health are shown by
//! answers of smartctl, composed and recorded, in the agent's own tests.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use cordon_packaging::vm::depot::Depot;
use cordon_packaging::vm::initramfs;
use cordon_packaging::vm::machine::{Machine, Plan};
use cordon_packaging::vm::modules::Modules;
use serde_json::{Value, json};

use crate::guest::{EVENT, SENSES, TO_BE_READ};

/// What a boot takes where it is emulated on a busy machine.
const BOOT_WITHIN: Duration = Duration::from_secs(120);
/// What anything else takes there.
const WITHIN: Duration = Duration::from_secs(60);

const MODULES: [&str; 7] =
    ["nvme", "xhci_pci", "sd_mod", "usb_storage", "usbhid", "hid_generic", "uas"];

const STICK_BYTES: u64 = 8 << 20;

pub(crate) fn life(depot: &Depot) -> Result<()> {
    let folder = tempfile::tempdir().context("making a folder for the machine")?;
    let mut machine = Machine::start(depot, &plan(depot, folder.path())?)?;
    let mut sensing = Vec::new();
    machine.hear("three sensors that run", BOOT_WITHIN, |line| {
        sensing.extend(line.strip_prefix(SENSES).and_then(|rest| {
            let (sensor, running) = rest.split_once(' ')?;
            running.starts_with("true").then(|| sensor.to_owned())
        }));
        sensing.sort_unstable();
        sensing.dedup();
        (sensing.len() == 3).then_some(())
    })?;
    controller_warns(&mut machine)?;
    stick_comes_and_goes(&mut machine, folder.path())?;
    keyboard_comes(&mut machine)?;
    disk_fails(&mut machine, folder.path())?;
    machine.power_off()
}

fn plan(depot: &Depot, folder: &Path) -> Result<Plan> {
    let modules = Modules::below(&depot.modules)?.in_order(&MODULES)?;
    let initramfs = initramfs::build(&std::env::current_exe()?, &modules, &[])?;
    let disk = image(folder, "nvme.img", &vec![0; 1 << 20])?;
    let hardware = [
        "-device",
        "qemu-xhci,id=usb",
        "-drive",
        &format!("file={disk},if=none,format=raw,id=nvme-disk"),
        "-device",
        "nvme,id=nvme0,serial=N-0001,drive=nvme-disk",
    ];
    Ok(Plan {
        folder: folder.to_owned(),
        initramfs,
        memory_mib: 768,
        kernel_arguments: String::new(),
        hardware: hardware.map(str::to_owned).to_vec(),
        reboots: false,
    })
}

/// The health log of qemu's controller, and a warning that its spare blocks run out.
fn controller_warns(machine: &mut Machine) -> Result<()> {
    let health = event(machine, "the controller's health", |event| {
        event.pointer("/disk_health/device") == Some(&json!("nvme0"))
    })?;
    expect(&health, "/disk_health/means", json!("nvme_log"))?;
    expect(&health, "/disk_health/serial_number", json!("N-0001"))?;
    expect(&health, "/disk_health/model", json!("QEMU NVMe Ctrl"))?;
    expect(&health, "/disk_health/critical_warning", json!(0))?;
    expect(&health, "/disk_health/problems", json!([]))?;
    expect(&health, "/disk_health/media_errors", json!("0"))?;
    anyhow::ensure!(
        health.pointer("/disk_health/temperature_celsius").and_then(Value::as_i64).is_some(),
        "no temperature: {health}"
    );
    let warning = json!({
        "path": "/machine/peripheral/nvme0", "property": "smart_critical_warning", "value": 1,
    });
    machine.command("qom-set", warning)?;
    let health = event(machine, "the controller's warning", |event| {
        event.pointer("/disk_health/critical_warning") == Some(&json!(1))
    })?;
    expect(&health, "/disk_health/problems", json!(["spare_low"]))?;
    expect(&health, "/severity", json!("high"))
}

/// A stick with one partition is plugged in and pulled out.
fn stick_comes_and_goes(machine: &mut Machine, folder: &Path) -> Result<()> {
    let file = image(folder, "stick.img", &partitioned())?;
    let drive = json!({ "driver": "raw", "node-name": "stick",
        "file": { "driver": "file", "filename": file } });
    machine.command("blockdev-add", drive)?;
    let device = json!({ "driver": "usb-storage", "id": "stick", "drive": "stick",
        "serial": "S-0042", "removable": true, "bus": "usb.0" });
    machine.command("device_add", device)?;
    let usb = attached(machine, "usb")?;
    expect(&usb, "/peripheral_device/usb_classes", json!([8]))?;
    let disk = attached(machine, "disk")?;
    for (pointer, value) in [
        ("/peripheral_device/usb_vendor_id", json!("46f4")),
        ("/peripheral_device/usb_product_id", json!("0001")),
        ("/peripheral_device/serial_number", json!("S-0042")),
        ("/peripheral_device/vendor_name", json!("QEMU")),
        ("/peripheral_device/model", json!("QEMU HARDDISK")),
        ("/peripheral_device/size", json!(STICK_BYTES.to_string())),
        ("/peripheral_device/is_removable", json!(true)),
        ("/peripheral_device/is_external", json!(true)),
        ("/severity", json!("low")),
    ] {
        expect(&disk, pointer, value)?;
    }
    let partition = attached(machine, "partition")?;
    let name = disk.pointer("/peripheral_device/name").cloned().unwrap_or_default();
    expect(&partition, "/peripheral_device/disk", name)?;
    machine.command("device_del", json!({ "id": "stick" }))?;
    let gone = event(machine, "the stick's going", |event| is_device(event, "Removed", "disk"))?;
    expect(&gone, "/peripheral_device/serial_number", json!("S-0042"))
}

fn keyboard_comes(machine: &mut Machine) -> Result<()> {
    machine.command("device_add", json!({ "driver": "usb-kbd", "id": "kbd", "bus": "usb.0" }))?;
    let keyboard = attached(machine, "input")?;
    expect(&keyboard, "/peripheral_device/usb_vendor_id", json!("0627"))?;
    expect(&keyboard, "/peripheral_device/is_external", json!(true))
}

/// A disk is plugged in whose first megabyte cannot be read; the guest reads it.
fn disk_fails(machine: &mut Machine, folder: &Path) -> Result<()> {
    let file = image(folder, "bad.img", &vec![0; 4 << 20])?;
    let drive = json!({
        "driver": "raw", "node-name": "bad",
        "file": {
            "driver": "blkdebug",
            "image": { "driver": "file", "filename": file },
            "inject-error": [{ "event": "read_aio", "errno": 5, "sector": 64 }],
        },
    });
    machine.command("blockdev-add", drive)?;
    let device = json!({ "driver": "usb-storage", "id": "bad", "drive": "bad",
        "serial": TO_BE_READ, "bus": "usb.0" });
    machine.command("device_add", device)?;
    let error = event(machine, "the disk's error", |event| event.get("io_error").is_some())?;
    anyhow::ensure!(
        error.pointer("/io_error/device").and_then(Value::as_str).is_some_and(is_scsi_disk),
        "not of the disk: {error}"
    );
    let line = error.pointer("/io_error/line").and_then(Value::as_str).unwrap_or_default();
    anyhow::ensure!(line.contains("error"), "not the kernel's line: {error}");
    anyhow::ensure!(error.pointer("/io_error/count").is_some(), "not counted: {error}");
    Ok(())
}

fn is_scsi_disk(name: &str) -> bool {
    name.starts_with("sd")
}

/// The first event that is the one.
fn event(
    machine: &mut Machine,
    what: &str,
    mut is_it: impl FnMut(&Value) -> bool,
) -> Result<Value> {
    machine.hear(what, WITHIN, |line| {
        let event: Value = serde_json::from_str(line.split_once(EVENT)?.1).ok()?;
        is_it(&event).then_some(event)
    })
}

fn attached(machine: &mut Machine, class: &str) -> Result<Value> {
    event(machine, class, |event| is_device(event, "Attached", class))
}

fn is_device(event: &Value, activity: &str, class: &str) -> bool {
    event.pointer("/activity_name") == Some(&json!(activity))
        && event.pointer("/peripheral_device/class") == Some(&json!(class))
}

fn expect(event: &Value, pointer: &str, value: Value) -> Result<()> {
    let found = event.pointer(pointer);
    anyhow::ensure!(found == Some(&value), "{pointer} is not {value}: {event}");
    Ok(())
}

fn image(folder: &Path, name: &str, content: &[u8]) -> Result<String> {
    let path = folder.join(name);
    std::fs::write(&path, content).with_context(|| format!("writing {}", path.display()))?;
    Ok(path.display().to_string())
}

/// A disk with one partition in its old-style table: from sector 2048 on, 4096 sectors.
fn partitioned() -> Vec<u8> {
    let mut disk = vec![0; usize::try_from(STICK_BYTES).unwrap_or_default()];
    let linux = 0x83;
    let mut entry = [0, 0, 0, 0, linux, 0, 0, 0].to_vec();
    entry.extend(2048_u32.to_le_bytes());
    entry.extend(4096_u32.to_le_bytes());
    disk[446..462].copy_from_slice(&entry);
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    disk
}
