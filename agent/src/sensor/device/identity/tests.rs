//! Identities read from folders that look like `/sys`.

use super::*;

const USB: &str = "/devices/pci0000:00/0000:00:04.0/usb1/1-1";

fn sys(files: &[(&str, &str)]) -> tempfile::TempDir {
    let sys = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = sys.path().join(path.trim_start_matches('/'));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, format!("{text}\n")).unwrap();
    }
    sys
}

fn stick() -> tempfile::TempDir {
    let disk = format!("{USB}/1-1:1.0/host2/target2:0:0/2:0:0:0");
    let files = [
        (format!("{USB}/idVendor"), "46f4"),
        (format!("{USB}/idProduct"), "0001"),
        (format!("{USB}/manufacturer"), "QEMU"),
        (format!("{USB}/product"), "QEMU USB HARDDRIVE"),
        (format!("{USB}/serial"), "S-42"),
        (format!("{USB}/removable"), "unknown"),
        (format!("{USB}/uevent"), "DEVTYPE=usb_device"),
        (format!("{USB}/1-1:1.0/bInterfaceClass"), "08"),
        (format!("{USB}/1-1:1.1/bInterfaceClass"), "03"),
        (format!("{disk}/vendor"), "QEMU    "),
        (format!("{disk}/model"), "QEMU HARDDISK   "),
        (format!("{disk}/block/sdb/size"), "131072"),
        (format!("{disk}/block/sdb/removable"), "1"),
        (format!("{disk}/block/sdb/uevent"), "MAJOR=8\nMINOR=16\nDEVTYPE=disk"),
        (format!("{disk}/block/sdb/sdb1/size"), "2048"),
        (format!("{disk}/block/sdb/sdb1/uevent"), "DEVTYPE=partition"),
    ];
    let files: Vec<_> = files.iter().map(|(path, text)| (path.as_str(), *text)).collect();
    let sys = sys(&files);
    let below = sys.path().join(disk.trim_start_matches('/'));
    std::os::unix::fs::symlink(&below, below.join("block/sdb/device")).unwrap();
    sys
}

#[test]
fn a_stick_is_known_by_its_usb_and_its_disk() {
    let sys = stick();
    let path = format!("{USB}/1-1:1.0/host2/target2:0:0/2:0:0:0/block/sdb");
    let disk = look(sys.path(), DeviceKind::Disk, &path).unwrap();
    assert_eq!((disk.usb_vendor, disk.usb_product), (Some(0x46f4), Some(1)));
    assert_eq!((disk.vendor, disk.model), (Some("QEMU".into()), Some("QEMU HARDDISK".into())));
    assert_eq!(disk.serial, Some("S-42".into()));
    assert_eq!((disk.bytes, disk.removable), (Some(64 << 20), Some(true)));
    assert!(disk.external);
    let partition = look(sys.path(), DeviceKind::Partition, &format!("{path}/sdb1")).unwrap();
    assert_eq!((partition.disk, partition.bytes), (Some("sdb".into()), Some(1 << 20)));
    let usb = look(sys.path(), DeviceKind::Usb, USB).unwrap();
    assert_eq!(usb.usb_classes, [3, 8], "a stick that is a keyboard too says so");
    assert_eq!(usb.model, Some("QEMU USB HARDDRIVE".into()));
}

#[test]
fn what_is_built_in_is_not_external() {
    let sys = stick();
    let usb = sys.path().join(USB.trim_start_matches('/'));
    std::fs::write(usb.join("removable"), "fixed\n").unwrap();
    assert!(!look(sys.path(), DeviceKind::Usb, USB).unwrap().external);
}

#[test]
fn a_disk_of_a_bus_inside_tells_its_own_serial_number() {
    let path = "/devices/pci/nvme/nvme0/nvme0n1";
    let sys = sys(&[
        ("/devices/pci/nvme/nvme0/nvme0n1/size", "8"),
        ("/devices/pci/nvme/nvme0/nvme0n1/removable", "0"),
        ("/devices/pci/nvme/nvme0/nvme0n1/device/model", "QEMU NVMe Ctrl"),
        ("/devices/pci/nvme/nvme0/nvme0n1/device/serial", "N-1"),
        ("/devices/pci/sda/device/vpd_pg80", "\0\u{1}\0\u{8}  ABC123"),
    ]);
    let disk = look(sys.path(), DeviceKind::Disk, path).unwrap();
    assert_eq!((disk.serial, disk.external), (Some("N-1".into()), false));
    assert_eq!(disk.usb_vendor, None);
    let disk = look(sys.path(), DeviceKind::Disk, "/devices/pci/sda").unwrap();
    assert_eq!(disk.serial, Some("ABC123".into()));
}

#[test]
fn a_keyboard_is_known_by_what_the_kernel_says_of_it() {
    let text = b"HID_ID=0003:00000627:00000001\0HID_NAME=QEMU Keyboard\0HID_UNIQ=68284\0";
    let path = "/devices/pci/usb1/1-2/1-2:1.0/0003:0627:0001.0001";
    let device = told(DeviceKind::Input, path, &Variables::parse(text, 0));
    assert_eq!((device.usb_vendor, device.usb_product), (Some(0x627), Some(1)));
    assert_eq!((device.model, device.serial), (Some("QEMU Keyboard".into()), Some("68284".into())));
    assert!(device.external);
    let inside = Variables::parse(b"HID_ID=0018:000006CB:0000CE65\0", 0);
    assert!(!told(DeviceKind::Input, path, &inside).external, "a touchpad on I2C");
}

#[test]
fn what_is_gone_is_none_and_what_is_there_is_listed() {
    let sys = stick();
    assert!(look(sys.path(), DeviceKind::Usb, "/devices/pci/gone").is_none());
    let folder = sys.path().join("bus/usb/devices");
    std::fs::create_dir_all(&folder).unwrap();
    let target = sys.path().join(USB.trim_start_matches('/'));
    std::os::unix::fs::symlink(target, folder.join("1-1")).unwrap();
    assert_eq!(list(sys.path(), 9), [(DeviceKind::Usb, USB.to_owned())]);
    assert!(list(sys.path(), 0).is_empty());
}

#[test]
fn the_devices_of_this_machine_can_be_listed_and_looked_at() {
    let sys = Path::new("/sys");
    for (kind, path) in list(sys, 1000) {
        assert!(look(sys, kind, &path).is_none_or(|device| device.kind == kind), "{path}");
    }
}
