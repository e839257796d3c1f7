//! File systems and disks as JSON: a class of our own extension.

use serde_json::{Map, Value, json};

use super::{Kind, put, put_text};
use crate::event::disk::{DiskEvent, DiskHealth, Forecast, IoError, Load, Mount, Space};

/// Disk Activity of our own extension.
pub(super) fn fields(event: &DiskEvent, map: &mut Map<String, Value>) -> Kind {
    let (mount, activity) = match event {
        DiskEvent::Space(space) => {
            put(map, "space", space_json(space));
            (Some(&space.mount), (1, "Space"))
        }
        DiskEvent::Mounted(mount) => (Some(mount), (2, "Mounted")),
        DiskEvent::Unmounted(mount) => (Some(mount), (3, "Unmounted")),
        DiskEvent::AccessChanged(mount) => (Some(mount), (4, "Access Changed")),
        DiskEvent::Unresponsive(mount) => (Some(mount), (5, "Unresponsive")),
        DiskEvent::Forecast(forecast) => {
            put(map, "forecast", forecast_json(forecast));
            (Some(&forecast.mount), (6, "Forecast"))
        }
        DiskEvent::IoError(error) => {
            put(map, "io_error", io_error_json(error));
            (None, (7, "I/O Error"))
        }
        DiskEvent::Load(load) => {
            put(map, "load", load_json(load));
            (None, (8, "Load"))
        }
        DiskEvent::Health(health) => {
            put(map, "disk_health", health_json(health));
            (None, (9, "Health"))
        }
    };
    if let Some(Mount { path, source, fs_type, read_only }) = mount {
        let mut described = Map::new();
        put_text(&mut described, "path", path);
        put_text(&mut described, "source", source);
        put_text(&mut described, "fs_type", fs_type);
        put(&mut described, "read_only", read_only);
        map.insert("mount".to_owned(), Value::Object(described));
    }
    Kind::own(1, "Disk Activity", activity)
}

fn forecast_json(forecast: &Forecast) -> Value {
    json!({
        "full_in_secs": forecast.full_in_secs,
        "confidence_percent": forecast.confidence_percent,
        "within_secs": forecast.within_secs,
        "of": if forecast.of_inodes { "inodes" } else { "bytes" },
        "left": forecast.left.to_string(),
    })
}

fn io_error_json(error: &IoError) -> Map<String, Value> {
    let mut map = Map::new();
    put_text(&mut map, "device", &error.device);
    put(&mut map, "kind", error.kind);
    put(&mut map, "sector", error.sector.map(|sector| sector.to_string()));
    put(&mut map, "count", error.count);
    put_text(&mut map, "line", &error.line);
    map
}

fn load_json(load: &Load) -> Map<String, Value> {
    let mut map = Map::new();
    put_text(&mut map, "device", &load.device);
    put(&mut map, "state", load.state);
    put(&mut map, "period_ms", load.period_ms);
    put(&mut map, "reads", load.reads.to_string());
    put(&mut map, "writes", load.writes.to_string());
    put(&mut map, "read_bytes", load.read_bytes.to_string());
    put(&mut map, "written_bytes", load.written_bytes.to_string());
    put(&mut map, "wait_us", load.wait_us);
    put(&mut map, "wait_us_p95", load.wait_us_p95);
    put(&mut map, "busy_permille", load.busy_permille);
    map
}

fn health_json(health: &DiskHealth) -> Map<String, Value> {
    let mut map = Map::new();
    put_text(&mut map, "device", &health.device);
    put(&mut map, "means", health.means);
    for (name, text) in [("model", &health.model), ("serial_number", &health.serial)] {
        if let Some(text) = text {
            put_text(&mut map, name, text);
        }
    }
    put(&mut map, "problems", &health.problems);
    put(&mut map, "passed", health.passed);
    put(&mut map, "critical_warning", health.critical_warning);
    put(&mut map, "used_percent", health.used_percent);
    put(&mut map, "spare_percent", health.spare_percent);
    put(&mut map, "spare_min_percent", health.spare_min_percent);
    put(&mut map, "temperature_celsius", health.temperature_celsius);
    let counts = [
        ("media_errors", health.media_errors),
        ("replaced_sectors", health.replaced_sectors),
        ("bad_sectors", health.bad_sectors),
        ("power_on_hours", health.power_on_hours),
        ("unsafe_shutdowns", health.unsafe_shutdowns),
    ];
    for (name, count) in counts {
        put(&mut map, name, count.map(|count| count.to_string()));
    }
    map
}

fn space_json(space: &Space) -> Value {
    json!({
        "bytes_total": space.bytes_total.to_string(),
        "bytes_available": space.bytes_available.to_string(),
        "inodes_total": space.inodes_total.to_string(),
        "inodes_free": space.inodes_free.to_string(),
        "threshold_percent": space.threshold_percent,
        "full_in_secs": space.full_in_secs,
        "confidence_percent": space.confidence_percent,
    })
}
