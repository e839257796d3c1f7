//! Removable storage of a made-up machine, as files below a root; what the kernel itself would have
//! to do is shown in a machine of qemu.

use super::*;
use crate::inventory::testing;

const USB: &str = "sys/devices/pci/usb1";
const SD: &str = "sys/devices/pci/mmc0/mmc0:0001";

/// A stick, a keyboard, a reader with drivers of its own, an SD card; the stick's partition holds
/// an encrypted disk. `mounts` and `swaps` are what /proc says.
fn machine(mounts: &str, swaps: &str) -> tempfile::TempDir {
    let stick = format!("{USB}/1-1/1-1:1.0");
    let block = format!("{stick}/host2/block/sdb");
    let files = [
        (format!("{stick}/bInterfaceClass"), "08\n"),
        (format!("{stick}/authorized"), "1\n"),
        (format!("{stick}/driver"), ">../../../../../bus/usb/drivers/usb-storage"),
        (format!("{USB}/1-1/product"), "Stick\n"),
        (format!("{USB}/1-2/1-2:1.0/bInterfaceClass"), "03\n"),
        (format!("{USB}/1-2/1-2:1.0/authorized"), "1\n"),
        (format!("{USB}/1-2/1-2:1.0/driver"), ">../../../../../bus/usb/drivers/usbhid"),
        (format!("{USB}/1-3/1-3:1.0/bInterfaceClass"), "ff\n"),
        (format!("{USB}/1-3/1-3:1.0/authorized"), "1\n"),
        (format!("{USB}/1-3/1-3:1.0/driver"), ">../../../../../bus/usb/drivers/ums-realtek"),
        (format!("{USB}/1-4/1-4:1.0/bInterfaceClass"), "08\n"),
        (format!("{USB}/1-4/1-4:1.0/authorized"), "0\n"),
        ("sys/bus/usb/devices/1-1:1.0".to_owned(), ">../../../devices/pci/usb1/1-1/1-1:1.0"),
        ("sys/bus/usb/devices/1-2:1.0".to_owned(), ">../../../devices/pci/usb1/1-2/1-2:1.0"),
        ("sys/bus/usb/devices/1-3:1.0".to_owned(), ">../../../devices/pci/usb1/1-3/1-3:1.0"),
        ("sys/bus/usb/devices/1-4:1.0".to_owned(), ">../../../devices/pci/usb1/1-4/1-4:1.0"),
        ("sys/bus/usb/drivers_probe".to_owned(), ""),
        ("sys/bus/usb/drivers/usb-storage/x".to_owned(), ""),
        (format!("{SD}/type"), "SD\n"),
        (format!("{SD}/driver"), ">../../../../bus/mmc/drivers/mmcblk"),
        ("sys/bus/mmc/devices/mmc0:0001".to_owned(), ">../../../devices/pci/mmc0/mmc0:0001"),
        ("sys/bus/mmc/drivers/mmcblk/unbind".to_owned(), ""),
        (format!("{block}/dev"), "8:16\n"),
        (format!("{block}/sdb1/dev"), "8:17\n"),
        (format!("{block}/sdb1/partition"), "1\n"),
        (format!("{block}/sdb1/holders/dm-0"), ""),
        ("sys/class/block/sdb".to_owned(), ">../../devices/pci/usb1/1-1/1-1:1.0/host2/block/sdb"),
        (
            "sys/class/block/sdb1".to_owned(),
            ">../../devices/pci/usb1/1-1/1-1:1.0/host2/block/sdb/sdb1",
        ),
        ("sys/class/block/dm-0/dev".to_owned(), "253:0\n"),
        ("sys/class/block/sda/dev".to_owned(), "8:0\n"),
        ("proc/self/mountinfo".to_owned(), mounts),
        ("proc/swaps".to_owned(), swaps),
    ];
    let files: Vec<_> = files.iter().map(|(path, content)| (path.as_str(), *content)).collect();
    testing::tree(&files)
}

fn with<T>(root: &Path, act: impl FnOnce(&Storage<'_>) -> T) -> T {
    let watch = Watch::default();
    let state = Path::new("/var/lib/cordon-agent");
    act(&Storage { root, state, watch: &watch, lab: false })
}

fn read(root: &Path, path: &str) -> String {
    std::fs::read_to_string(root.join(path)).unwrap().trim().to_owned()
}

const SYSTEM: &str = "20 1 8:1 / / rw - ext4 /dev/sda1 rw\n";

#[test]
fn drivers_are_taken_off_storage_and_nothing_else_and_come_back() {
    let root = machine(SYSTEM, "Filename Type\n/dev/sda2 partition\n");
    let root = root.path();
    let authorised = |name: &str| read(root, &format!("{USB}/{name}/{name}:1.0/authorized"));
    with(root, |storage| {
        let before = storage.prepare().unwrap();
        let done = storage.apply(&before).unwrap();
        let is_allowed: Vec<_> = ["1-1", "1-2", "1-3", "1-4"].map(authorised).into();
        assert_eq!(is_allowed, ["0", "1", "0", "0"]);
        assert_eq!(read(root, "sys/bus/mmc/drivers/mmcblk/unbind"), "mmc0:0001");
        let bar = read(root, modules::FILE);
        assert!(
            bar.contains("install usb_storage /bin/false") && bar.contains("mmc_block"),
            "{bar}"
        );
        // Files do not do what the kernel would: the card's driver is still there.
        assert_eq!(done.missing, ["not so: no removable storage is used by a driver; mmc0:0001"]);
        std::fs::remove_file(root.join(SD).join("driver")).unwrap();
        assert!(matches!(storage.look(&before), Seen::Holds(_)));
        std::fs::remove_file(root.join(modules::FILE)).unwrap();
        assert!(matches!(storage.look(&before), Seen::Drifted(_)));
        let done = storage.undo(&before).unwrap();
        assert!(done.missing.is_empty(), "{done:?}");
        // One was not authorised before either.
        let is_allowed: Vec<_> = ["1-1", "1-2", "1-3", "1-4"].map(authorised).into();
        assert_eq!(is_allowed, ["1", "1", "1", "0"]);
        assert!(!root.join(modules::FILE).exists());
    });
}

#[test]
fn the_driver_of_cards_is_not_barred_where_one_is_soldered_in() {
    let root = machine(SYSTEM, "");
    let card = root.path().join("sys/bus/mmc/devices/mmc1:0001");
    std::fs::create_dir_all(&card).unwrap();
    std::fs::write(card.join("type"), "MMC\n").unwrap();
    with(root.path(), |storage| {
        storage.apply(&storage.prepare().unwrap()).unwrap();
    });
    assert!(!read(root.path(), modules::FILE).contains("mmc_block"));
}

#[track_caller]
fn check_refused(mounts: &str, swaps: &str, expected: Option<&str>) {
    let root = machine(&format!("{SYSTEM}{mounts}"), &format!("Filename Type\n{swaps}\n"));
    let said = with(root.path(), |storage| storage.prepare().err());
    match (said, expected) {
        (None, None) => {}
        (Some(NotDone::Refused(said)), Some(expected)) if said.starts_with(expected) => {}
        (said, expected) => panic!("{said:?}, not {expected:?}"),
    }
}

#[test]
fn a_machine_that_stands_on_removable_storage_is_left_alone() {
    check_refused("30 20 8:17 / /media/stick rw - vfat /dev/sdb1 rw\n", "", None);
    check_refused("30 20 8:17 / /boot rw - vfat /dev/sdb1 rw\n", "", Some("/boot is on"));
    check_refused("30 20 253:0 / /home rw - ext4 /dev/mapper/x rw\n", "", Some("/home is on"));
    check_refused("30 20 0:33 / /usr rw - btrfs /dev/sdb1 rw\n", "", Some("/usr is on"));
    let state = "30 20 8:17 / /var/lib/cordon-agent rw - ext4 /dev/sdb1 rw\n";
    check_refused(state, "", Some("the agent's own state"));
    check_refused("", "/dev/sdb1 partition", Some("swap (/dev/sdb1)"));
    check_refused("", "/dev/dm-0 partition", Some("swap (/dev/dm-0)"));
    check_refused("", "/dev/sda2 partition", None);
}

#[test]
fn what_is_mounted_is_remembered_with_how_it_was() {
    let mounts = "30 20 8:17 / /media/a\\040b rw,nosuid - vfat /dev/sdb1 rw,fmask=0022\n\
                  31 20 253:0 /x /mnt ro - ext4 /dev/mapper/x ro\n";
    let root = machine(&format!("{SYSTEM}{mounts}"), "");
    let before = with(root.path(), |storage| storage.prepare().unwrap());
    let before: Before = codec::decode_strict(&before).unwrap();
    let shown: Vec<_> = before.mounted.iter().map(|mounted| format!("{mounted:?}")).collect();
    assert_eq!(shown.len(), 2);
    assert!(
        shown[0].contains("/media/a b") && shown[0].contains("partition: Some(1)"),
        "{shown:?}"
    );
    assert!(shown[1].contains("is_direct: false") && shown[1].contains("is_whole: false"));
}

#[test]
fn in_a_lab_it_is_refused() {
    let root = machine(SYSTEM, "");
    let watch = Watch::default();
    let storage = Storage { root: root.path(), state: Path::new("/x"), watch: &watch, lab: true };
    assert!(matches!(storage.prepare(), Err(NotDone::Refused(_))));
}
