//! An event in one line, from the JSON that the collector shows. Pure.

mod agent;
mod device;
mod disk;
mod file;
mod finding;
mod inventory;
mod log;
mod login;
mod network;
mod process;

use serde_json::Value;

use crate::moment;
use crate::output::text::{cut, plain};

/// Characters of one event's summary; `--json` shows all.
const SUMMARY_CHARACTERS_MAX: usize = 240;

/// Characters of the names of rules that took secrets out.
const RULES_CHARACTERS_MAX: usize = 60;

/// When an event happened, for a table.
#[must_use]
pub fn time(event: &Value) -> String {
    let text = word(event, "/time_dt");
    match cordon_proto::time::from_rfc3339(&text) {
        Some(ns) => moment::table_time(ns),
        None => plain(&text).into_owned(),
    }
}

/// The endpoint's host name.
#[must_use]
pub fn host_name(event: &Value) -> String {
    plain(&word(event, "/device/hostname")).into_owned()
}

/// The class, as filters name it.
#[must_use]
pub fn class(event: &Value) -> String {
    plain(&word(event, "/class")).into_owned()
}

/// What happened, in one line.
#[must_use]
pub fn summary(event: &Value) -> String {
    let whole = match word(event, "/class").as_str() {
        "process" => process::summary(event),
        "log" => log::summary(event),
        "disk" => disk::summary(event),
        "health" => agent::health(event),
        "gap" => agent::gap(event),
        "receipt" => agent::receipt(event),
        "lifecycle" => agent::lifecycle(event),
        "network" => network::summary(event),
        "dns" => network::dns(event),
        "authentication" => login::authentication(event),
        "account" => login::account(event),
        "file" => file::summary(event),
        "finding" => finding::summary(event),
        "device" => device::summary(event),
        "inventory" => inventory::summary(event),
        _ => rest(event),
    };
    let mark = redacted(event);
    let room = SUMMARY_CHARACTERS_MAX.saturating_sub(mark.len());
    format!("{}{mark}", cut(&plain(&whole), room))
}

/// That secrets were taken out on the endpoint: by which rules, and how many bytes.
fn redacted(event: &Value) -> String {
    let Some(marks) = event.pointer("/redacted").and_then(Value::as_array) else {
        return String::new();
    };
    let bytes: u64 = marks.iter().filter_map(|mark| mark.get("bytes")?.as_u64()).sum();
    let rules: Vec<_> = marks.iter().map(|mark| word(mark, "/rule")).collect();
    let rules = rules.join(", ");
    format!(" (redacted: {}, {bytes} bytes)", cut(&plain(&rules), RULES_CHARACTERS_MAX))
}

/// Everything that is not in every event, for classes that this version has no words for.
fn rest(event: &Value) -> String {
    const COMMON: [&str; 12] = [
        "class",
        "class_uid",
        "class_name",
        "category_uid",
        "activity_id",
        "type_uid",
        "severity_id",
        "severity",
        "time_dt",
        "device",
        "metadata",
        "activity_name",
    ];
    let fields = event.as_object().into_iter().flatten();
    let own = fields.filter(|(name, _)| !COMMON.contains(&name.as_str()));
    let own: Vec<_> = own.map(|(name, value)| format!("{name}={}", flat(value))).collect();
    format!("{} {}", word(event, "/activity_name"), own.join(" "))
}

fn flat(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let inner: Vec<_> = map.iter().map(|(k, v)| format!("{k}={}", flat(v))).collect();
            format!("{{{}}}", inner.join(" "))
        }
        Value::String(text) => text.clone(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => value.to_string(),
    }
}

fn first(event: &Value, pointers: &[&str]) -> String {
    let found = pointers.iter().map(|pointer| word(event, pointer)).find(|word| !word.is_empty());
    found.unwrap_or_default()
}

fn flag(event: &Value, pointer: &str) -> bool {
    event.pointer(pointer).and_then(Value::as_bool).unwrap_or(false)
}

/// A value as a word; empty if there is none.
#[must_use]
pub fn word(value: &Value, pointer: &str) -> String {
    match value.pointer(pointer) {
        Some(Value::String(text)) => text.clone(),
        Some(value @ (Value::Number(_) | Value::Bool(_))) => value.to_string(),
        Some(Value::Null | Value::Array(_) | Value::Object(_)) | None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cordon_proto::Text;
    use cordon_proto::event::json::{Context, to_json};
    use cordon_proto::event::process::{Exec, Exit, FileId, ImageHash, Tier};
    use cordon_proto::event::{Body, Event, Lane, LogLine, ProcessEvent, Severity, Started};
    use cordon_proto::id::{EndpointId, Hash};

    #[test]
    fn a_file_system_is_summed_up_by_how_full_it_is() {
        use cordon_proto::event::DiskEvent;
        use cordon_proto::event::disk::{Forecast, Mount, Space};
        let mount = Mount {
            path: "/srv".into(),
            source: "/dev/vda".into(),
            fs_type: "ext4".into(),
            read_only: false,
        };
        let space = Space {
            mount: mount.clone(),
            bytes_total: 100 << 20,
            bytes_available: 5 << 20,
            inodes_total: 0,
            inodes_free: 0,
            threshold_percent: Some(95),
            full_in_secs: Some(7200),
            confidence_percent: Some(90),
        };
        check(
            Body::Disk(DiskEvent::Space(space)),
            "/srv 95 % of 100 MiB used, 0 % of inodes, crossed 95 %, full in 2h",
        );
        check(Body::Disk(DiskEvent::Mounted(mount.clone())), "mounted /srv (ext4 on /dev/vda)");
        let forecast = Forecast {
            mount,
            full_in_secs: Some(90_000),
            confidence_percent: Some(80),
            within_secs: Some(259_200),
            of_inodes: true,
            left: 9,
        };
        let end = Forecast { full_in_secs: None, within_secs: None, ..forecast.clone() };
        check(
            Body::Disk(DiskEvent::Forecast(forecast)),
            "/srv will be full of inodes in 1d 1h (80 % sure)",
        );
        check(Body::Disk(DiskEvent::Forecast(end)), "/srv does not fill steadily any more");
    }

    #[test]
    fn a_disk_is_summed_up_by_what_is_wrong_with_it() {
        use cordon_proto::event::DiskEvent;
        use cordon_proto::event::disk::{IoError, IoErrorKind, Load, LoadState};
        let error = IoError {
            device: "sda".into(),
            kind: IoErrorKind::Medium,
            sector: Some(2048),
            count: 3,
            line: "critical medium error, dev sda, sector 2048".into(),
        };
        check(
            Body::Disk(DiskEvent::IoError(error)),
            "sda: 3 medium error(s), sector 2048: critical medium error, dev sda, sector 2048",
        );
        let load = Load {
            device: "sda".into(),
            state: LoadState::Saturated,
            period_ms: 60_000,
            reads: 600,
            writes: 60,
            read_bytes: 60 << 20,
            written_bytes: 0,
            wait_us: Some(15_000),
            wait_us_p95: Some(32_768),
            busy_permille: 987,
        };
        check(
            Body::Disk(DiskEvent::Load(load)),
            "sda saturated: 98 % busy, 11 requests/s, 1024 KiB/s, 15000 us each",
        );
    }

    #[test]
    fn the_health_of_a_disk_is_told_by_its_problems() {
        use cordon_proto::event::DiskEvent;
        use cordon_proto::event::disk::{DiskHealth, HealthMeans, HealthProblem};
        let health = DiskHealth {
            device: "nvme0".into(),
            means: HealthMeans::NvmeLog,
            model: Some("QEMU NVMe Ctrl".into()),
            serial: None,
            problems: vec![HealthProblem::SpareLow, HealthProblem::WornOut],
            passed: None,
            critical_warning: Some(1),
            used_percent: Some(101),
            spare_percent: Some(4),
            spare_min_percent: Some(10),
            media_errors: None,
            replaced_sectors: None,
            bad_sectors: None,
            temperature_celsius: Some(41),
            power_on_hours: None,
            unsafe_shutdowns: None,
        };
        let fine = DiskHealth { problems: Vec::new(), used_percent: None, ..health.clone() };
        let event = |health| Body::Disk(DiskEvent::Health(Box::new(health)));
        check(event(health), "nvme0 (QEMU NVMe Ctrl): spare_low, worn_out; 101 % worn, 41 C");
        check(event(fine), "nvme0 (QEMU NVMe Ctrl): healthy; 41 C");
    }

    #[test]
    fn a_device_is_told_with_its_identity() {
        use cordon_proto::event::DeviceEvent;
        use cordon_proto::event::device::{Device, DeviceKind};
        let device = Device {
            kind: DeviceKind::Disk,
            name: "sdb".into(),
            path: "/devices/x/block/sdb".into(),
            vendor: Some("ACME".into()),
            model: Some("Stick".into()),
            serial: Some("0001".into()),
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
        check(
            Body::Device(DeviceEvent::Removed(Box::new(device))),
            "removed disk sdb: ACME Stick, serial 0001, usb 46f4:0001, 64 MiB, mounted on /mnt",
        );
    }

    /// What the collector would show of this, in one line.
    #[track_caller]
    fn check(body: Body, says: &str) {
        let context = Context {
            client: "acme".parse().unwrap(),
            endpoint: EndpointId::of(b"k"),
            host_name: "web-01".to_owned(),
            lane: Lane::Telemetry,
            epoch: 1,
            received_ns: 0,
            clock_offset_ns: None,
        };
        let event = Event { seq: 1, time_ns: 0, boot_ns: 0, severity: Severity::default(), body };
        let json = to_json(&context, &event);
        assert_eq!(summary(&json), says);
        assert_eq!(host_name(&json), "web-01");
        assert_eq!(time(&json), "1970-01-01 00:00:00.000Z");
    }

    #[test]
    fn events_are_told_in_one_harmless_line() {
        check(
            Body::Process(ProcessEvent::Exec(Box::new(Exec {
                parent_pid: Some(1),
                uid: Some(0),
                args: Some("sh\0-c\0echo \u{1b}[2J\0".into()),
                ..Exec::new(Tier::ProcConnector, 7)
            }))),
            "exec pid 7 of 1 uid 0: sh -c echo \\u{1b}[2J",
        );
        check(
            Body::Process(ProcessEvent::Exit(Exit {
                tier: Tier::ProcConnector,
                pid: 7,
                start_boot_ns: None,
                parent_pid: None,
                uid: None,
                wait_status: Some(9),
            })),
            "ended pid 7 by signal 9",
        );
        let file = FileId { device: 1, inode: 2, bytes: 3, modified_ns: 4, changed_ns: 5 };
        let hash = |sha256| {
            let hash = ImageHash { file, path: Some("/bin/sh".into()), sha256 };
            Body::Process(ProcessEvent::ImageHash(hash))
        };
        let told = format!("program /bin/sh: {}", "ab".repeat(32));
        check(hash(Some(Hash([0xab; 32]))), &told);
        check(hash(None), "program /bin/sh: too long to hash");
        check(
            Body::Log(LogLine {
                path: "/var/log/auth.log".into(),
                device: 1,
                inode: 2,
                offset: 0,
                line: Text::from("Failed password\nfor root"),
                line_bytes: None,
                ..LogLine::default()
            }),
            "/var/log/auth.log: Failed password\\nfor root",
        );
        check(
            Body::Lifecycle(Started {
                agent_version: "0.1.0".to_owned(),
                boot_id: "b".to_owned(),
                boot_count: 3,
                unclean: true,
            }),
            "agent 0.1.0 started, boot 3, the run before ended uncleanly",
        );
    }

    #[test]
    fn a_class_of_a_newer_collector_is_shown_as_it_comes() {
        let event = serde_json::json!({
            "class": "usb", "activity_name": "Plugged", "port": { "n": 1 }, "time_dt": "x\u{7}",
        });
        assert_eq!(summary(&event), "Plugged port={n=1}");
        assert_eq!(time(&event), "x\\u{7}");
    }
}
