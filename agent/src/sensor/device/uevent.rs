//! Reads what the kernel says of a device: `add@/devices/…`, then `NAME=value`, each ended by NUL.
//!
//! Pure.

use cordon_proto::event::device::DeviceKind;

/// What happened to a device.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Action {
    Add,
    Remove,
    /// The medium was exchanged.
    Media,
}

/// A device of interest, and what happened to it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Uevent {
    pub action: Action,
    pub kind: DeviceKind,
    /// Below `/sys`, with the slash it begins with.
    pub path: String,
    pub variables: Variables,
}

/// What the kernel says of a device, as in the device's file `uevent`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Variables(Vec<(String, String)>);

impl Variables {
    /// From text whose parts end with `end`; what is no `NAME=value` is passed over.
    pub fn parse(text: &[u8], end: u8) -> Self {
        let pair = |part: &[u8]| {
            let (name, value) = std::str::from_utf8(part).ok()?.split_once('=')?;
            Some((name.to_owned(), value.to_owned()))
        };
        Self(text.split(|byte| *byte == end).filter_map(pair).collect())
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// The device's numbers, where it has a file.
    pub fn numbers(&self) -> Option<(u32, u32)> {
        Some((self.get("MAJOR")?.parse().ok()?, self.get("MINOR")?.parse().ok()?))
    }
}

impl Uevent {
    /// None where it is of no interest.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let variables = Variables::parse(bytes, 0);
        let action = match variables.get("ACTION")? {
            "add" => Action::Add,
            "remove" => Action::Remove,
            "change" if variables.get("DISK_MEDIA_CHANGE") == Some("1") => Action::Media,
            _ => return None,
        };
        let path = variables.get("DEVPATH").filter(|path| is_path(path))?.to_owned();
        let kind = kind(variables.get("SUBSYSTEM")?, variables.get("DEVTYPE"), &path)?;
        Some(Self { action, kind, path, variables })
    }
}

/// What kind of device it is, where it is of interest: not what only the kernel made up, such as
/// loops and bridges, and not the roots of the USB.
pub fn kind(subsystem: &str, devtype: Option<&str>, path: &str) -> Option<DeviceKind> {
    if path.starts_with("/devices/virtual/") && subsystem != "hid" {
        return None;
    }
    let is_root = path.rsplit('/').next().is_some_and(|name| name.starts_with("usb"));
    match (subsystem, devtype) {
        ("usb", Some("usb_device")) if !is_root => Some(DeviceKind::Usb),
        ("block", Some("disk")) => Some(DeviceKind::Disk),
        ("block", Some("partition")) => Some(DeviceKind::Partition),
        ("hid", _) => Some(DeviceKind::Input),
        ("net", _) => Some(DeviceKind::Network),
        _ => None,
    }
}

/// It is joined to `/sys` later: it must stay below.
fn is_path(path: &str) -> bool {
    path.starts_with("/devices/") && path.split('/').all(|part| part != "..")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Variables without their NULs; what is made of it.
    #[track_caller]
    fn check(variables: &str, expected: Option<(Action, DeviceKind)>) {
        let message = format!("x@y {variables}").replace(' ', "\0");
        let found = Uevent::parse(message.as_bytes());
        assert_eq!(found.map(|uevent| (uevent.action, uevent.kind)), expected, "{variables}");
    }

    #[test]
    fn disks_partitions_usb_input_and_network_are_of_interest() {
        let add = |rest: &str| format!("ACTION=add {rest} SEQNUM=1");
        let usb = "DEVPATH=/devices/pci0000:00/0000:00:04.0/usb1/1-1";
        for (variables, kind) in [
            (format!("{usb} SUBSYSTEM=usb DEVTYPE=usb_device"), Some(DeviceKind::Usb)),
            (format!("{usb}/1-1:1.0 SUBSYSTEM=usb DEVTYPE=usb_interface"), None),
            (format!("{usb}/x/block/sdb SUBSYSTEM=block DEVTYPE=disk"), Some(DeviceKind::Disk)),
            (
                format!("{usb}/x/block/sdb/sdb1 SUBSYSTEM=block DEVTYPE=partition"),
                Some(DeviceKind::Partition),
            ),
            (format!("{usb}/0003:0627:0001.0001 SUBSYSTEM=hid"), Some(DeviceKind::Input)),
            (format!("{usb}/net/eth1 SUBSYSTEM=net"), Some(DeviceKind::Network)),
            ("DEVPATH=/devices/virtual/net/veth1 SUBSYSTEM=net".to_owned(), None),
            ("DEVPATH=/devices/virtual/block/loop0 SUBSYSTEM=block DEVTYPE=disk".to_owned(), None),
            ("DEVPATH=/devices/pci/usb1 SUBSYSTEM=usb DEVTYPE=usb_device".to_owned(), None),
            ("DEVPATH=/devices/../../etc SUBSYSTEM=net".to_owned(), None),
            ("DEVPATH=/etc SUBSYSTEM=net".to_owned(), None),
        ] {
            check(&add(&variables), kind.map(|kind| (Action::Add, kind)));
        }
    }

    #[test]
    fn only_what_comes_goes_or_has_its_medium_exchanged_is_of_interest() {
        let device = "DEVPATH=/devices/pci/block/sr0 SUBSYSTEM=block DEVTYPE=disk";
        let disk = DeviceKind::Disk;
        check(&format!("ACTION=remove {device}"), Some((Action::Remove, disk)));
        check(&format!("ACTION=change {device}"), None);
        check(&format!("ACTION=change {device} DISK_MEDIA_CHANGE=1"), Some((Action::Media, disk)));
        check(&format!("ACTION=bind {device}"), None);
        check(device, None);
    }

    #[test]
    fn the_device_file_of_sysfs_reads_the_same() {
        let variables = Variables::parse(b"MAJOR=8\nMINOR=16\nDEVNAME=sdb\nDEVTYPE=disk\n", b'\n');
        assert_eq!(variables.numbers(), Some((8, 16)));
        assert_eq!(variables.get("DEVTYPE"), Some("disk"));
        assert_eq!(variables.get("DEV"), None);
    }

    proptest! {
        #[test]
        fn nothing_makes_it_fail(bytes: Vec<u8>) {
            Uevent::parse(&bytes);
        }
    }
}
