//! Devices as JSON: a class of our own extension with OCSF's peripheral device object.

use serde_json::{Map, Value};

use super::{Kind, put, put_text};
use crate::event::device::{Device, DeviceEvent};

/// Device Activity of our own extension.
pub(super) fn fields(event: &DeviceEvent, map: &mut Map<String, Value>) -> Kind {
    let activity = match event {
        DeviceEvent::Attached(_) => (1, "Attached"),
        DeviceEvent::Removed(_) => (2, "Removed"),
        DeviceEvent::Present(_) => (3, "Present"),
    };
    map.insert("peripheral_device".to_owned(), Value::Object(described(event.device())));
    Kind::own(13, "Device Activity", activity)
}

fn described(device: &Device) -> Map<String, Value> {
    let mut map = Map::new();
    put(&mut map, "class", device.kind);
    put_text(&mut map, "name", &device.name);
    put_text(&mut map, "path", &device.path);
    let texts = [
        ("vendor_name", &device.vendor),
        ("model", &device.model),
        ("serial_number", &device.serial),
        ("disk", &device.disk),
        ("mac", &device.address),
    ];
    for (name, text) in texts {
        if let Some(text) = text {
            put_text(&mut map, name, text);
        }
    }
    let hexadecimal = |number: Option<u16>| number.map(|number| format!("{number:04x}"));
    put(&mut map, "usb_vendor_id", hexadecimal(device.usb_vendor));
    put(&mut map, "usb_product_id", hexadecimal(device.usb_product));
    put(&mut map, "usb_classes", some(&device.usb_classes));
    put(&mut map, "size", device.bytes.map(|bytes| bytes.to_string()));
    put(&mut map, "is_removable", device.removable);
    put(&mut map, "is_external", device.external);
    let mounted: Vec<_> = device.mounted.iter().map(|path| path.to_lossy()).collect();
    put(&mut map, "mounted", some(&mounted));
    map
}

fn some<T>(list: &[T]) -> Option<&[T]> {
    (!list.is_empty()).then_some(list)
}
