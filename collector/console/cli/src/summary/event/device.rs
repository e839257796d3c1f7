//! Devices that come and go in one line.

use serde_json::Value;

use super::word;

/// What happened to which device.
pub(super) fn summary(event: &Value) -> String {
    let at = |name: &str| word(event, &format!("/peripheral_device/{name}"));
    let named = |before: &str, name: &str| {
        let word = at(name);
        (!word.is_empty()).then(|| format!("{before}{word}"))
    };
    let made: Vec<_> = ["vendor_name", "model"].into_iter().filter_map(|n| named("", n)).collect();
    let usb = named("usb ", "usb_vendor_id").map(|vendor| {
        let product = at("usb_product_id");
        format!("{vendor}:{product}")
    });
    let size = at("size").parse::<u64>().ok().map(|bytes| format!("{} MiB", bytes >> 20));
    let paths = event.pointer("/peripheral_device/mounted").and_then(Value::as_array);
    let paths: Vec<_> = paths.into_iter().flatten().filter_map(Value::as_str).collect();
    let mounted = (!paths.is_empty()).then(|| format!("mounted on {}", paths.join(" ")));
    let words = [
        (!made.is_empty()).then(|| made.join(" ")),
        named("serial ", "serial_number"),
        usb,
        size,
        named("of ", "disk"),
        named("address ", "mac"),
        mounted,
    ];
    let words: Vec<_> = words.into_iter().flatten().collect();
    let activity = word(event, "/activity_name").to_lowercase();
    let colon = if words.is_empty() { "" } else { ": " };
    format!("{activity} {} {}{colon}{}", at("class"), at("name"), words.join(", "))
}
