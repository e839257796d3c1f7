//! The machine itself: system, hardware, disks, network devices with their addresses, clock.
//!
//! What changes by itself (load, free memory, an interface's counters) is not part of it.
//! Addresses that a machine makes up for a day, and the ends of containers' cables, are left out.

mod virtualisation;

use std::path::{Path, PathBuf};
use std::time::Duration;

use cordon_proto::Text;

use super::tree::Tree;
use super::{CollectError, Columns, Found, Row, number};
use crate::platform::linux::{address, clock_sync};

/// One part of the machine.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Part {
    /// What it is: `os`, `cpu`, `disk` …
    pub kind: &'static str,
    /// Which, where there are several.
    pub name: Text,
    /// What is known of it.
    pub facts: Vec<(&'static str, Text)>,
}

impl Row for Part {
    fn key(&self) -> Text {
        match self.name.is_empty() {
            true => self.kind.into(),
            false => super::joined(&[self.kind.as_bytes(), self.name.as_bytes()], b" "),
        }
    }

    fn columns(&self, columns: &mut Columns) {
        for (name, value) in &self.facts {
            columns.text(name, value);
        }
    }
}

impl Part {
    fn new(kind: &'static str) -> Self {
        Self { kind, name: Text::default(), facts: Vec::new() }
    }

    fn named(kind: &'static str, name: &[u8]) -> Self {
        Self { name: name.into(), ..Self::new(kind) }
    }

    fn fact(mut self, name: &'static str, value: impl Into<Option<Text>>) -> Self {
        if let Some(value) = value.into().filter(|value| !value.is_empty()) {
            self.facts.push((name, value));
        }
        self
    }
}

/// All parts.
pub fn collect(root: &Path) -> Result<Found<Part>, CollectError> {
    let tree = Tree::new(root);
    let mut parts = vec![os(&tree), hardware(&tree), cpu(&tree), memory(&tree)];
    let kind = virtualisation::detect(&tree);
    parts.push(Part::new("virtualisation").fact("kind", Text::from(kind)));
    parts.extend(disks(&tree));
    parts.extend(nics(&tree)?);
    parts.push(forwarding(&tree));
    parts.push(clock(&tree)?);
    parts.retain(|part| !part.facts.is_empty());
    Ok(tree.found(parts))
}

fn os(tree: &Tree<'_>) -> Part {
    let release = tree.read("/etc/os-release").or_else(|| tree.read("/usr/lib/os-release"));
    let release = release.unwrap_or_default();
    let value = |name: &[u8]| {
        let mut lines = release.split(|byte| *byte == b'\n');
        let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(b"="))?;
        let value = value.trim_ascii();
        let quoted = |quote: &[u8]| value.strip_prefix(quote)?.strip_suffix(quote);
        Some(Text::from(quoted(b"\"").or_else(|| quoted(b"'")).unwrap_or(value)))
    };
    Part::new("os")
        .fact("name", value(b"PRETTY_NAME"))
        .fact("id", value(b"ID"))
        .fact("version", value(b"VERSION_ID"))
        .fact("kernel", tree.line("/proc/sys/kernel/osrelease"))
        .fact("kernel_build", tree.line("/proc/sys/kernel/version"))
        .fact("arch", Text::from(std::env::consts::ARCH))
        .fact("hostname", tree.line("/proc/sys/kernel/hostname"))
}

fn hardware(tree: &Tree<'_>) -> Part {
    let id = |name: &str| tree.line(format!("/sys/class/dmi/id/{name}"));
    let model = || {
        let model = tree.read("/proc/device-tree/model")?;
        Some(Text::from(model.strip_suffix(b"\0").unwrap_or(&model)))
    };
    Part::new("hardware")
        .fact("vendor", id("sys_vendor"))
        .fact("product", id("product_name").or_else(model))
        .fact("product_version", id("product_version"))
        .fact("serial", id("product_serial"))
        .fact("uuid", id("product_uuid"))
        .fact("board_vendor", id("board_vendor"))
        .fact("board", id("board_name"))
        .fact("chassis_type", id("chassis_type"))
        .fact("bios_vendor", id("bios_vendor"))
        .fact("bios_version", id("bios_version"))
        .fact("bios_date", id("bios_date"))
}

fn cpu(tree: &Tree<'_>) -> Part {
    let text = tree.read("/proc/cpuinfo").unwrap_or_default();
    let value = |name: &[u8]| colon_value(&text, name);
    let threads = text.split(|byte| *byte == b'\n').filter(|line| line.starts_with(b"processor"));
    let threads = threads.count();
    Part::new("cpu")
        .fact("model", value(b"model name").or_else(|| value(b"Model")))
        .fact("vendor", value(b"vendor_id").or_else(|| value(b"CPU implementer")))
        .fact("microcode", value(b"microcode"))
        .fact("threads", (threads > 0).then(|| threads.to_string().into()))
}

fn memory(tree: &Tree<'_>) -> Part {
    let text = tree.read("/proc/meminfo").unwrap_or_default();
    let kib = |name: &[u8]| {
        let value = colon_value(&text, name)?;
        let kib: u64 = number(value.as_bytes().strip_suffix(b" kB")?)?;
        Some(Text::from(kib.saturating_mul(1024).to_string()))
    };
    Part::new("memory").fact("bytes", kib(b"MemTotal")).fact("swap_bytes", kib(b"SwapTotal"))
}

/// The value of the first `name : value` line.
fn colon_value(text: &[u8], name: &[u8]) -> Option<Text> {
    let value = |line: &[u8]| {
        let rest = line.strip_prefix(name)?.trim_ascii_start();
        Some(Text::from(rest.strip_prefix(b":")?.trim_ascii()))
    };
    text.split(|byte| *byte == b'\n').find_map(value)
}

/// Devices that are made of others or of memory, and come and go by themselves.
const MADE_UP: [&str; 5] = ["loop", "ram", "zram", "dm-", "nbd"];

fn disks(tree: &Tree<'_>) -> Vec<Part> {
    let mut disks = Vec::new();
    for name in tree.names("/sys/block") {
        let Some(text) =
            name.to_str().filter(|name| !MADE_UP.iter().any(|prefix| name.starts_with(prefix)))
        else {
            continue;
        };
        let line = |what: &str| tree.line(format!("/sys/block/{text}/{what}"));
        let is_so = |what: &str| line(what).filter(|value| value.as_bytes() == b"1");
        let sectors = line("size").and_then(|text| number::<u64>(text.as_bytes()));
        let Some(sectors) = sectors.filter(|sectors| *sectors > 0) else { continue };
        // The kernel counts in 512 bytes whatever the device does.
        let bytes = sectors.saturating_mul(512).to_string();
        let disk = Part::named("disk", text.as_bytes())
            .fact("bytes", Text::from(bytes))
            .fact("vendor", line("device/vendor"))
            .fact("model", line("device/model"))
            .fact("serial", line("device/serial").or_else(|| line("serial")))
            .fact("is_rotational", is_so("queue/rotational").map(|_| "true".into()))
            .fact("is_removable", is_so("removable").map(|_| "true".into()));
        disks.push(disk);
    }
    disks
}

fn nics(tree: &Tree<'_>) -> Result<Vec<Part>, CollectError> {
    let what = "the addresses";
    let addresses = if tree.is_machine() {
        let addresses = address::addresses();
        addresses.map_err(|error| CollectError::Kernel { what, reason: error.to_string() })?
    } else {
        Vec::new()
    };
    let mut nics = Vec::new();
    for name in tree.names("/sys/class/net") {
        let Some(text) = name.to_str().filter(|name| *name != "lo" && !name.starts_with("veth"))
        else {
            continue;
        };
        let base = PathBuf::from("/sys/class/net").join(text);
        let index: Option<u32> =
            tree.line(base.join("ifindex")).and_then(|text| number(text.as_bytes()));
        let own = addresses.iter().filter(|address| Some(address.link) == index);
        let own: Vec<String> = own.map(|one| format!("{}/{}", one.ip, one.prefix)).collect();
        let driver = tree.link(base.join("device/driver"));
        let driver =
            driver.as_deref().and_then(Path::file_name).map(|name| name.as_encoded_bytes());
        let nic = Part::named("nic", text.as_bytes())
            .fact("mac", tree.line(base.join("address")))
            .fact("addresses", Text::from(own.join(" ")))
            .fact("driver", driver.map(Text::from));
        nics.push(nic);
    }
    Ok(nics)
}

/// Whether the machine passes packets on between its devices: any device that does counts, because
/// routers and hosts of containers often switch it on for single ones.
fn forwarding(tree: &Tree<'_>) -> Part {
    let passes = |family: &str| {
        let devices = format!("/proc/sys/net/{family}/conf");
        let names = tree.names(&devices);
        let mut names = names.iter().filter_map(|name| name.to_str());
        let is_on = |name: &str| {
            let line = tree.line(format!("{devices}/{name}/forwarding"));
            !["lo", "default"].contains(&name) && line.is_some_and(|line| line.as_bytes() != b"0")
        };
        names.any(is_on).then(|| Text::from("true"))
    };
    Part::new("forwarding").fact("ipv4", passes("ipv4")).fact("ipv6", passes("ipv6"))
}

fn clock(tree: &Tree<'_>) -> Result<Part, CollectError> {
    let zone = tree.link("/etc/localtime");
    let zone = zone.as_deref().and_then(Path::to_str);
    let zone = zone.and_then(|path| path.split_once("zoneinfo/")).map(|(_, zone)| zone.into());
    let part = Part::new("clock").fact("time_zone", zone.or_else(|| tree.line("/etc/timezone")));
    if !tree.is_machine() {
        return Ok(part);
    }
    let what = "the state of its clock";
    let sync = clock_sync::clock_sync();
    let sync = sync.map_err(|error| CollectError::Kernel { what, reason: error.to_string() })?;
    let is_synchronised = if sync.is_synchronised { "true" } else { "false" };
    let part = part.fact("is_synchronised", Text::from(is_synchronised));
    Ok(match sync.is_synchronised {
        true => part.fact("error_within", Text::from(error_within(sync.error))),
        false => part,
    })
}

/// A bound on an error that moves all the time, so coarse that it rarely changes.
fn error_within(error: Duration) -> &'static str {
    const BOUNDS: [(u64, &str); 4] = [(1, "1 ms"), (10, "10 ms"), (100, "100 ms"), (1000, "1 s")];
    let within = BOUNDS.iter().find(|(millis, _)| error <= Duration::from_millis(*millis));
    within.map_or("more than 1 s", |(_, bound)| bound)
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    #[test]
    fn a_machine_is_told_by_its_parts() {
        let root = testing::tree(&[
            (
                "etc/os-release",
                "NAME=\"Alpine\"\nID=alpine\nVERSION_ID=3.20.1\nPRETTY_NAME='Alpine Linux v3.20'\n",
            ),
            ("proc/sys/kernel/osrelease", "6.6.32-0-lts\n"),
            (
                "proc/cpuinfo",
                "processor\t: 0\nvendor_id\t: GenuineIntel\nmodel name\t: Xeon\n\nprocessor\t: 1\n",
            ),
            ("proc/meminfo", "MemTotal:        2048 kB\nMemFree: 1 kB\nSwapTotal: 0 kB\n"),
            ("sys/class/dmi/id/sys_vendor", "QEMU\n"),
            ("sys/block/vda/size", "2048\n"),
            ("sys/block/vda/queue/rotational", "1\n"),
            ("sys/block/loop0/size", "8\n"),
            ("sys/class/net/eth0/address", "52:54:00:12:34:56\n"),
            ("sys/class/net/veth1/address", "52:54:00:12:34:57\n"),
            ("proc/sys/net/ipv4/conf/all/forwarding", "0\n"),
            ("proc/sys/net/ipv4/conf/eth0/forwarding", "1\n"),
            ("proc/sys/net/ipv6/conf/eth0/forwarding", "0\n"),
            ("etc/localtime", ">/usr/share/zoneinfo/Europe/Berlin"),
        ]);
        let arch = std::env::consts::ARCH;
        assert_eq!(
            testing::show_all(&collect(root.path()).unwrap().rows),
            [
                "clock: time_zone=Europe/Berlin",
                "cpu: model=Xeon vendor=GenuineIntel threads=2",
                "disk vda: bytes=1048576 is_rotational=true",
                "forwarding: ipv4=true",
                "hardware: vendor=QEMU",
                "memory: bytes=2097152 swap_bytes=0",
                "nic eth0: mac=52:54:00:12:34:56",
                &format!(
                    "os: name=Alpine Linux v3.20 id=alpine version=3.20.1 kernel=6.6.32-0-lts \
                     arch={arch}"
                ),
                "virtualisation: kind=kvm",
            ]
        );
    }

    #[test]
    fn this_machine_has_a_system_memory_and_a_clock() {
        let found = collect(Path::new("/")).unwrap();
        let has = |kind, fact| {
            let part = found.rows.iter().find(|part| part.kind == kind).unwrap();
            part.facts.iter().any(|(name, _)| *name == fact)
        };
        assert!(has("os", "kernel") && has("memory", "bytes") && has("clock", "is_synchronised"));
    }

    #[test]
    fn an_error_of_the_clock_is_told_coarsely() {
        assert_eq!(error_within(Duration::from_micros(900)), "1 ms");
        assert_eq!(error_within(Duration::from_secs(2)), "more than 1 s");
    }
}
