//! Lines as kernels from 4.19 to 6.12 write them, and what is made of them.

use proptest::prelude::*;

use super::*;

/// The fault as `kind device sector`; an empty text for none.
#[track_caller]
fn check(line: &str, expected: &str) {
    let shown = fault(line).map(|Fault { device, kind, sector }| {
        let sector = sector.map(|sector| format!(" {sector}")).unwrap_or_default();
        format!("{kind:?} {device}{sector}")
    });
    assert_eq!(shown.unwrap_or_default(), expected, "{line}");
}

#[test]
fn errors_of_the_block_layer_name_device_and_sector() {
    for (line, expected) in [
        (
            "blk_update_request: I/O error, dev sda, sector 2048 op 0x0:(READ) flags 0x0",
            "Io sda 2048",
        ),
        (
            "I/O error, dev nvme0n1, sector 16 op 0x0:(READ) flags 0x80700 phys_seg 1",
            "Io nvme0n1 16",
        ),
        ("print_req_error: I/O error, dev vda, sector 9 flags 0", "Io vda 9"),
        (
            "critical medium error, dev sdb, sector 1953524992 op 0x0:(READ)",
            "Medium sdb 1953524992",
        ),
        ("blk_update_request: critical target error, dev sdc, sector 0", "Io sdc 0"),
        ("timeout error, dev sda, sector 7 op", "Timeout sda 7"),
        ("recoverable transport error, dev sda, sector 7", "Link sda 7"),
        ("Buffer I/O error on dev sda1, logical block 5, async page read", "Buffer sda1"),
        ("Buffer I/O error on device dm-3, logical block 0", "Buffer dm-3"),
    ] {
        check(line, expected);
    }
}

#[test]
fn file_systems_in_trouble_are_known() {
    for (line, expected) in [
        (
            "EXT4-fs error (device sda1): ext4_find_entry:1455: inode #2: comm ls: reading",
            "FileSystem sda1",
        ),
        ("EXT4-fs (sda1): Remounting filesystem read-only", "ReadOnly sda1"),
        ("Aborting journal on device sda1-8.", "ReadOnly sda1"),
        ("Aborting journal on device dm-0-8.", "ReadOnly dm-0"),
        ("JBD2: Detected IO errors while flushing file data on sda1-8", "Io sda1"),
        ("XFS (dm-0): Metadata corruption detected at xfs_agf_read_verify", "FileSystem dm-0"),
        ("XFS (sdb1): Internal error XFS_WANT_CORRUPTED_GOTO at line 1", "FileSystem sdb1"),
        ("XFS (sdb1): log I/O error -5", "Io sdb1"),
        ("XFS (sdb1): Filesystem has been shut down due to log error (0x2).", "ReadOnly sdb1"),
        ("BTRFS error (device sdb1): bdev /dev/sdb1 errs: wr 0, rd 1, flush 0", "FileSystem sdb1"),
        ("BTRFS info (device sdb1: state E): forced readonly", "ReadOnly sdb1"),
        ("FAT-fs (sdc1): error, fat_get_cluster: invalid cluster chain", "FileSystem sdc1"),
        ("FAT-fs (sdc1): Filesystem has been set read-only", "ReadOnly sdc1"),
    ] {
        check(line, expected);
    }
}

#[test]
fn controllers_links_and_arrays_in_trouble_are_known() {
    for (line, expected) in [
        ("nvme nvme0: I/O 12 QID 3 timeout, aborting", "Timeout nvme0"),
        ("nvme nvme0: I/O 8 (I/O Cmd) QID 2 timeout, reset controller", "Timeout nvme0"),
        ("nvme nvme0: controller is down; will reset: CSTS=0xffffffff", "Reset nvme0"),
        ("nvme nvme0: Removing after probe failure status: -19", "Gone nvme0"),
        ("ata1.00: exception Emask 0x0 SAct 0x0 SErr 0x0 action 0x0", "Link ata1.00"),
        ("ata1: hard resetting link", "Reset ata1"),
        ("sd 2:0:0:0: rejecting I/O to offline device", "Gone 2:0:0:0"),
        ("sd 0:0:0:0: Device offlined - not ready after error recovery", "Gone 0:0:0:0"),
        ("md/raid1:md0: Disk failure on sdb1, disabling device.", "Degraded md0"),
        ("md/raid:md127: Disk failure on sdc, disabling device.", "Degraded md127"),
    ] {
        check(line, expected);
    }
}

#[test]
fn everyday_lines_are_no_faults() {
    for line in [
        "ata2: SATA link down (SStatus 0 SControl 300)",
        "EXT4-fs (sda1): mounted filesystem with ordered data mode. Quota mode: none.",
        "XFS (sda1): Mounting V5 Filesystem",
        "XFS (sda1): Unmounting Filesystem",
        "nvme nvme0: 2/0/0 default/read/poll queues",
        "BTRFS info (device sda1): using free space tree",
        "FAT-fs (sdc1): Volume was not properly unmounted. Some data may be corrupt.",
        "sd 2:0:0:0: [sdb] Attached SCSI removable disk",
        "sd 2:0:0:0: [sdb] tag#0 FAILED Result: hostbyte=DID_OK driverbyte=DRIVER_OK",
        "md/raid1:md0: active with 2 out of 2 mirrors",
        "my own error, dev null, sector 5",
        "I/O error, dev , sector 5",
        "I/O error, dev sd\u{fc}, sector 5",
        "",
    ] {
        check(line, "");
    }
}

#[test]
fn lines_are_as_grave_as_they_say() {
    for (level, line, expected) in [
        (6, "usb 1-1: new high-speed USB device", Severity::Informational),
        (4, "anything", Severity::Low),
        (3, "anything", Severity::Medium),
        (1, "anything", Severity::High),
        (3, "Out of memory: Killed process 77 (java) total-vm:1kB", Severity::Medium),
        (6, "Memory cgroup out of memory: Killed process 5 (x)", Severity::Medium),
        (6, "mce: [Hardware Error]: Machine check events logged", Severity::High),
        (6, "sh[7]: segfault at 0 ip 0 sp 0 error 4 in sh", Severity::Low),
        (4, "BUG: unable to handle page fault for address: 0", Severity::High),
    ] {
        assert_eq!(line_severity(level, line), expected, "{line}");
    }
}

proptest! {
    #[test]
    fn nothing_makes_it_fail(line: String) {
        fault(&line);
        fault(&format!("EXT4-fs error (device {line}"));
        fault(&format!("I/O error, dev sda, sector {line}"));
        fault(&format!("nvme {line}"));
    }
}
