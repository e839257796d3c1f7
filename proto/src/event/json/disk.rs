//! File systems and disks as JSON: a class of our own extension.

use serde_json::{Map, Value, json};

use super::{Kind, put, put_text};
use crate::event::disk::{DiskEvent, Mount, Space};

/// Disk Activity of our own extension.
pub(super) fn fields(event: &DiskEvent, map: &mut Map<String, Value>) -> Kind {
    let (mount, activity) = match event {
        DiskEvent::Space(space) => {
            put(map, "space", space_json(space));
            (&space.mount, (1, "Space"))
        }
        DiskEvent::Mounted(mount) => (mount, (2, "Mounted")),
        DiskEvent::Unmounted(mount) => (mount, (3, "Unmounted")),
        DiskEvent::AccessChanged(mount) => (mount, (4, "Access Changed")),
        DiskEvent::Unresponsive(mount) => (mount, (5, "Unresponsive")),
    };
    let Mount { path, source, fs_type, read_only } = mount;
    let mut described = Map::new();
    put_text(&mut described, "path", path);
    put_text(&mut described, "source", source);
    put_text(&mut described, "fs_type", fs_type);
    put(&mut described, "read_only", read_only);
    map.insert("mount".to_owned(), Value::Object(described));
    Kind::own(1, "Disk Activity", activity)
}

fn space_json(space: &Space) -> Value {
    json!({
        "bytes_total": space.bytes_total.to_string(),
        "bytes_available": space.bytes_available.to_string(),
        "inodes_total": space.inodes_total.to_string(),
        "inodes_free": space.inodes_free.to_string(),
        "threshold_percent": space.threshold_percent,
    })
}
