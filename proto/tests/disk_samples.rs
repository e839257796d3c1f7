//! Golden bytes of disk and device events, as they were first written; read for ever, and signed
//! bytes must come out the same. `CORDON_SAMPLES=write` adds the missing ones.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what went wrong by panicking")]

use std::path::PathBuf;

use cordon_proto::codec;
use cordon_proto::event::device::{Device, DeviceKind};
use cordon_proto::event::disk::{
    DiskHealth, Forecast, HealthMeans, HealthProblem, IoError, IoErrorKind, Load, LoadState, Mount,
    Space,
};
use cordon_proto::event::{Body, DeviceEvent, DiskEvent, Event, Severity};

#[track_caller]
fn check(name: &str, body: Body) {
    let event = Event { seq: 7, time_ns: 1, boot_ns: 2, severity: Severity::Low, body };
    let made = codec::encode(&event);
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("samples").join(name);
    if !path.exists() && std::env::var("CORDON_SAMPLES").is_ok_and(|value| value == "write") {
        std::fs::write(&path, &made).unwrap();
    }
    let kept =
        std::fs::read(&path).unwrap_or_else(|error| panic!("reading {}: {error}", path.display()));
    assert_eq!(made, kept, "{name}");
    assert_eq!(codec::decode_strict::<Event>(&kept).unwrap(), event, "{name}");
}

fn mount() -> Mount {
    Mount {
        path: "/srv".into(),
        source: "/dev/sda1".into(),
        fs_type: "ext4".into(),
        read_only: false,
    }
}

fn space() -> Space {
    Space {
        mount: mount(),
        bytes_total: 100,
        bytes_available: 20,
        inodes_total: 10,
        inodes_free: 9,
        threshold_percent: None,
        full_in_secs: None,
        confidence_percent: None,
    }
}

#[test]
fn space_without_a_forecast_is_what_it_was_before_there_were_forecasts() {
    let bytes = codec::encode(&space());
    assert_eq!(bytes.first(), Some(&0x85), "an array of the five fields that are there");
    assert_eq!(codec::decode_strict::<Space>(&bytes).unwrap(), space());
}

#[test]
fn disk_events_encode_to_the_same_bytes_for_ever() {
    let space = Space { full_in_secs: Some(3600), confidence_percent: Some(80), ..space() };
    check("event-disk-space.cbor", Body::Disk(DiskEvent::Space(space)));
    let forecast = Forecast {
        mount: mount(),
        full_in_secs: Some(86_000),
        confidence_percent: Some(91),
        within_secs: Some(86_400),
        of_inodes: false,
        left: 1 << 40,
    };
    check("event-disk-forecast.cbor", Body::Disk(DiskEvent::Forecast(forecast)));
    let error = IoError {
        device: "sda".into(),
        kind: IoErrorKind::Medium,
        sector: Some(2048),
        count: 3,
        line: "critical medium error, dev sda, sector 2048".into(),
    };
    check("event-disk-io-error.cbor", Body::Disk(DiskEvent::IoError(error)));
    let load = Load {
        device: "nvme0n1".into(),
        state: LoadState::Saturated,
        period_ms: 10_000,
        reads: 1,
        writes: 2,
        read_bytes: 512,
        written_bytes: 1024,
        wait_us: Some(1500),
        wait_us_p95: Some(2048),
        busy_permille: 999,
    };
    check("event-disk-load.cbor", Body::Disk(DiskEvent::Load(load)));
}

#[test]
fn the_health_of_disks_encodes_to_the_same_bytes_for_ever() {
    let health = DiskHealth {
        device: "nvme0".into(),
        means: HealthMeans::NvmeLog,
        model: Some("QEMU NVMe Ctrl".into()),
        serial: Some("0001".into()),
        problems: vec![HealthProblem::SpareLow, HealthProblem::WornOut],
        passed: None,
        critical_warning: Some(1),
        used_percent: Some(101),
        spare_percent: Some(4),
        spare_min_percent: Some(10),
        media_errors: Some(0),
        replaced_sectors: None,
        bad_sectors: None,
        temperature_celsius: Some(50),
        power_on_hours: Some(20_000),
        unsafe_shutdowns: None,
    };
    check("event-disk-health.cbor", Body::Disk(DiskEvent::Health(Box::new(health))));
}

#[test]
fn device_events_encode_to_the_same_bytes_for_ever() {
    let device = Device {
        kind: DeviceKind::Disk,
        name: "sdb".into(),
        path: "/devices/pci0000:00/usb1/1-1/1-1:1.0/host2/target2:0:0/2:0:0:0/block/sdb".into(),
        vendor: Some("QEMU".into()),
        model: Some("QEMU HARDDISK".into()),
        serial: Some("S-1".into()),
        usb_vendor: Some(0x46f4),
        usb_product: Some(1),
        usb_classes: vec![8],
        bytes: Some(64 << 20),
        removable: Some(true),
        external: true,
        disk: None,
        address: None,
        mounted: vec!["/mnt".into()],
    };
    check("event-device.cbor", Body::Device(DeviceEvent::Attached(Box::new(device))));
}
