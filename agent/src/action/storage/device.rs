//! Removable storage as the kernel shows it in `/sys`, and how a driver is kept off it.

use std::collections::BTreeSet;
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// Of each bus, devices that are looked at.
const DEVICES_MAX: usize = 4096;
/// Disks upon disks: encrypted, joined, divided.
const DEPTH_MAX: usize = 8;
/// What units of FireWire say that hold disks: SBP-2.
const SBP2: (&str, &str) = ("0x00609e", "0x010483");

/// Where it is attached.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Bus {
    Usb,
    Mmc,
    FireWire,
}

impl Bus {
    const ALL: [Self; 3] = [Self::Usb, Self::Mmc, Self::FireWire];

    fn folder(self) -> &'static str {
        match self {
            Self::Usb => "sys/bus/usb",
            Self::Mmc => "sys/bus/mmc",
            Self::FireWire => "sys/bus/firewire",
        }
    }
}

/// One device: of USB the one interface that is storage, not all of a device.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Device {
    pub(super) bus: Bus,
    /// As the kernel names it on its bus: `1-1:1.0`.
    pub(super) name: String,
    /// Where it is below `/sys/devices`, without links.
    pub(super) path: PathBuf,
    /// What the kernel allows; none where it does not ask.
    pub(super) authorised: Option<bool>,
    driver: Option<String>,
}

/// All that is there.
pub(super) fn find(root: &Path) -> Result<Vec<Device>, String> {
    let mut found = Vec::new();
    for bus in Bus::ALL {
        let folder = root.join(bus.folder()).join("devices");
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(format!("listing {}: {error}", folder.display())),
        };
        for entry in entries.filter_map(Result::ok).take(DEVICES_MAX) {
            // What is pulled out while it is looked at is gone.
            let Ok(path) = entry.path().canonicalize() else { continue };
            let Some(name) = entry.file_name().to_str().map(str::to_owned) else { continue };
            let driver = fs::read_link(path.join("driver")).ok();
            let driver = driver.and_then(|link| Some(link.file_name()?.to_str()?.to_owned()));
            let authorised = line(&path.join("authorized")).map(|word| word != "0");
            let device = Device { bus, name, path, authorised, driver };
            if device.is_storage() {
                found.push(device);
            }
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// Whether a card is soldered in, so that the driver of cards is needed.
pub(super) fn built_in_cards(root: &Path) -> bool {
    let Ok(entries) = fs::read_dir(root.join(Bus::Mmc.folder()).join("devices")) else {
        return false;
    };
    let is_built_in = |path: PathBuf| line(&path.join("type")).is_some_and(|kind| kind == "MMC");
    entries.filter_map(Result::ok).any(|entry| is_built_in(entry.path()))
}

fn line(path: &Path) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}

impl Device {
    fn is_storage(&self) -> bool {
        let says = |file: &str, word: &str| line(&self.path.join(file)).as_deref() == Some(word);
        let driver = self.driver.as_deref().unwrap_or_default();
        match self.bus {
            // Some readers have a class of their own and drivers that say what they are.
            Bus::Usb => {
                says("bInterfaceClass", "08")
                    || matches!(driver, "usb-storage" | "uas")
                    || driver.starts_with("ums-")
            }
            Bus::Mmc => says("type", "SD"),
            Bus::FireWire => {
                driver == "sbp2" || (says("specifier_id", SBP2.0) && says("version", SBP2.1))
            }
        }
    }

    /// Whether a driver works on it.
    pub(super) fn is_used(&self) -> bool {
        self.driver.is_some() && self.authorised != Some(false)
    }

    /// Its name for people.
    pub(super) fn shown(&self) -> String {
        let product = self.path.parent().and_then(|parent| line(&parent.join("product")));
        let product = product.or_else(|| line(&self.path.join("name"))).unwrap_or_default();
        if product.is_empty() { self.name.clone() } else { format!("{} ({product})", self.name) }
    }

    /// Keeps drivers off it.
    pub(super) fn block(&self) -> Result<(), String> {
        let authorised = self.path.join("authorized");
        if self.authorised.is_some() {
            return write(&authorised, "0");
        }
        match &self.driver {
            Some(_) => write(&self.path.join("driver/unbind"), &self.name),
            None => Ok(()),
        }
    }

    /// Lets drivers take it again.
    pub(super) fn free(&self, root: &Path) -> Result<(), String> {
        if self.authorised == Some(false) {
            write(&self.path.join("authorized"), "1")?;
        }
        if self.driver.is_some() && self.authorised != Some(false) {
            return Ok(());
        }
        write(&root.join(self.bus.folder()).join("drivers_probe"), &self.name)
    }
}

/// What is pulled out meanwhile needs nothing done. Never makes a file.
fn write(path: &Path, word: &str) -> Result<(), String> {
    let file = fs::OpenOptions::new().write(true).open(path);
    match file.and_then(|mut file| file.write_all(word.as_bytes())) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        outcome => {
            outcome.map_err(|error| format!("writing {word} to {}: {error}", path.display()))
        }
    }
}

/// One disk or partition on a device, or made of one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Block {
    pub(super) name: String,
    pub(super) numbers: (u32, u32),
    /// Its number on its disk; none for a whole disk.
    pub(super) partition: Option<u32>,
    /// Whether it is of the device itself, and not made of what is.
    pub(super) is_direct: bool,
}

/// The disks of a device with their partitions, and what is made of them.
pub(super) fn blocks(root: &Path, device: &Device) -> Vec<Block> {
    let folder = root.join("sys/class/block");
    let Ok(entries) = fs::read_dir(&folder) else { return Vec::new() };
    let mut blocks = Vec::new();
    let mut names = BTreeSet::new();
    for entry in entries.filter_map(Result::ok).take(DEVICES_MAX) {
        if entry.path().canonicalize().is_ok_and(|path| path.starts_with(&device.path)) {
            names.extend(entry.file_name().into_string());
        }
    }
    let mut next: Vec<String> = names.iter().cloned().collect();
    for depth in 0..DEPTH_MAX {
        let mut made = Vec::new();
        for name in next {
            let path = folder.join(&name);
            let holders = fs::read_dir(path.join("holders")).into_iter().flatten();
            made.extend(holders.flatten().filter_map(|entry| entry.file_name().into_string().ok()));
            let numbers = line(&path.join("dev")).and_then(|numbers| {
                let (major, minor) = numbers.split_once(':')?;
                Some((major.parse().ok()?, minor.parse().ok()?))
            });
            let partition = line(&path.join("partition")).and_then(|number| number.parse().ok());
            if let Some(numbers) = numbers {
                blocks.push(Block { name, numbers, partition, is_direct: depth == 0 });
            }
        }
        made.retain(|name| names.insert(name.clone()));
        next = made;
    }
    blocks
}
