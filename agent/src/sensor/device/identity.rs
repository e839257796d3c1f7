//! What `/sys` knows of a device: maker, model, serial number, size, and the USB that it hangs on.
//!
//! Reads small files; some wait for the device's lock, so that it must not run in the event loop.

use std::path::{Path, PathBuf};

use cordon_proto::Text;
use cordon_proto::event::device::{Device, DeviceKind};

use super::uevent::{Variables, kind};

/// Attributes are one page at most, and those read here are short.
const ATTRIBUTE_BYTES_MAX: usize = 4096;

/// A USB device has no more interfaces than this.
const INTERFACES_MAX: usize = 32;

/// The kind of bus in `HID_ID`.
const BUS_USB: u32 = 3;
const BUS_BLUETOOTH: u32 = 5;

const SECTOR_BYTES: u64 = 512;

/// What the kernel said when the device came, without a look at `/sys`.
pub(super) fn told(kind: DeviceKind, path: &str, variables: &Variables) -> Device {
    let mut device = Device {
        kind,
        name: path.rsplit('/').next().unwrap_or_default().into(),
        path: path.into(),
        vendor: None,
        model: variables.get("HID_NAME").map(Text::from),
        serial: variables.get("HID_UNIQ").map(Text::from),
        usb_vendor: None,
        usb_product: None,
        usb_classes: Vec::new(),
        bytes: None,
        removable: None,
        external: false,
        disk: None,
        address: None,
        mounted: Vec::new(),
    };
    let hexadecimal = |text: &str| u32::from_str_radix(text, 16).ok();
    let small = |text: Option<&str>| u16::try_from(hexadecimal(text?)?).ok();
    if let Some(product) = variables.get("PRODUCT").filter(|_| kind == DeviceKind::Usb) {
        let mut parts = product.split('/');
        (device.usb_vendor, device.usb_product) = (small(parts.next()), small(parts.next()));
        device.external = true;
    }
    if let Some(id) = variables.get("HID_ID") {
        let mut parts = id.split(':');
        let bus = parts.next().and_then(hexadecimal);
        if bus == Some(BUS_USB) {
            (device.usb_vendor, device.usb_product) = (small(parts.next()), small(parts.next()));
        }
        device.external = matches!(bus, Some(BUS_USB | BUS_BLUETOOTH));
    }
    device
}

/// All that is known; none where the device is gone.
pub(super) fn look(sys: &Path, kind: DeviceKind, path: &str) -> Option<Device> {
    let folder = sys.join(path.trim_start_matches('/'));
    if !folder.is_dir() {
        return None;
    }
    let variables = Variables::parse(&bytes(&folder, "uevent").unwrap_or_default(), b'\n');
    let mut device = told(kind, path, &variables);
    if let Some(usb) = usb_above(sys, &folder) {
        on_usb(&mut device, &usb);
    }
    match kind {
        DeviceKind::Disk => disk(&mut device, &folder, &folder),
        DeviceKind::Partition => {
            let parent = folder.parent().unwrap_or(&folder).to_owned();
            disk(&mut device, &folder, &parent);
            device.disk = parent.file_name().and_then(|name| name.to_str()).map(Text::from);
        }
        DeviceKind::Network => device.address = text(&folder, "address"),
        DeviceKind::Usb | DeviceKind::Input => {}
    }
    Some(device)
}

/// The devices of interest that are there, as kind and path; at most `devices_max`.
pub(super) fn list(sys: &Path, devices_max: usize) -> Vec<(DeviceKind, String)> {
    let mut found = Vec::new();
    for (subsystem, folder) in [
        ("usb", "bus/usb/devices"),
        ("block", "class/block"),
        ("hid", "bus/hid/devices"),
        ("net", "class/net"),
    ] {
        let Ok(root) = sys.canonicalize() else { return found };
        let entries = std::fs::read_dir(sys.join(folder)).into_iter().flatten().flatten();
        for folder in entries.filter_map(|entry| entry.path().canonicalize().ok()) {
            let Some(path) = folder.strip_prefix(&root).ok().and_then(Path::to_str) else {
                continue;
            };
            let path = format!("/{path}");
            let variables = Variables::parse(&bytes(&folder, "uevent").unwrap_or_default(), b'\n');
            if found.len() < devices_max
                && let Some(kind) = kind(subsystem, variables.get("DEVTYPE"), &path)
            {
                found.push((kind, path));
            }
        }
    }
    found
}

/// The nearest USB device that it is, or hangs on.
fn usb_above(sys: &Path, folder: &Path) -> Option<PathBuf> {
    let above = folder.ancestors().take_while(|above| above.starts_with(sys) && *above != sys);
    above.filter(|above| above.join("idVendor").exists()).map(Path::to_owned).next()
}

fn on_usb(device: &mut Device, usb: &Path) {
    let number = |name: &str| u16::from_str_radix(text(usb, name)?.as_str()?, 16).ok();
    device.usb_vendor = number("idVendor");
    device.usb_product = number("idProduct");
    device.vendor = text(usb, "manufacturer");
    device.model = device.model.take().or_else(|| text(usb, "product"));
    device.serial = device.serial.take().or_else(|| text(usb, "serial"));
    // What is soldered to the board is on the USB too, and the firmware says so.
    device.external = text(usb, "removable").as_ref().and_then(Text::as_str) != Some("fixed");
    let mut classes = Vec::new();
    let entries = std::fs::read_dir(usb).into_iter().flatten().flatten();
    for folder in entries.map(|entry| entry.path()).take(INTERFACES_MAX * 8) {
        let class = text(&folder, "bInterfaceClass");
        let class = class.as_ref().and_then(Text::as_str);
        classes.extend(class.and_then(|class| u8::from_str_radix(class, 16).ok()));
    }
    classes.sort_unstable();
    classes.dedup();
    classes.truncate(INTERFACES_MAX);
    device.usb_classes = classes;
}

/// `folder` is the disk's or the partition's, `whole` the disk's.
fn disk(device: &mut Device, folder: &Path, whole: &Path) {
    let number = |folder: &Path, name: &str| text(folder, name)?.as_str()?.parse::<u64>().ok();
    device.bytes = number(folder, "size").map(|sectors| sectors.saturating_mul(SECTOR_BYTES));
    device.removable = number(whole, "removable").map(|flag| flag == 1);
    device.external |= device.removable == Some(true);
    let below = whole.join("device");
    device.vendor = text(&below, "vendor").or_else(|| device.vendor.take());
    device.model = text(&below, "model").or_else(|| device.model.take());
    let own = text(whole, "serial").or_else(|| text(&below, "serial"));
    let own = own.or_else(|| vital_serial(&below));
    device.serial = device.serial.take().or(own);
}

/// SCSI's page of vital product data that holds the serial number, behind four bytes of header.
fn vital_serial(folder: &Path) -> Option<Text> {
    let page = bytes(folder, "vpd_pg80")?;
    let serial = page.get(4..)?.trim_ascii();
    let is_text = serial.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ');
    (!serial.is_empty() && is_text).then(|| Text::from(serial))
}

fn text(folder: &Path, name: &str) -> Option<Text> {
    let bytes = bytes(folder, name)?;
    let text = bytes.trim_ascii();
    (!text.is_empty()).then(|| Text::from(text))
}

fn bytes(folder: &Path, name: &str) -> Option<Vec<u8>> {
    let mut bytes = std::fs::read(folder.join(name)).ok()?;
    bytes.truncate(ATTRIBUTE_BYTES_MAX);
    Some(bytes)
}

#[cfg(test)]
mod tests;
