//! Changes of files as JSON: OCSF File System Activity.

use serde_json::{Map, Value, json};

use super::{Kind, put, put_text};
use crate::Text;
use crate::event::actor::Actor;
use crate::event::file::{FileActivity, FileEvent, FileKind, FileState};

/// OCSF File System Activity: `file` is what it was before, `file_result` what came of it.
pub(super) fn fields(event: &FileEvent, map: &mut Map<String, Value>) -> Kind {
    let FileEvent { means, activity, path, path_before, actor, before, after, .. } = event;
    let is_rename = *activity == FileActivity::Renamed;
    let before_path = path_before.as_ref().filter(|_| is_rename).unwrap_or(path);
    if let Some(origin) = path_before.as_ref().filter(|_| !is_rename) {
        put_text(map, "moved_from", origin);
    }
    map.insert("file".to_owned(), file(before_path, before.as_ref()));
    if *activity != FileActivity::Deleted {
        map.insert("file_result".to_owned(), file(path, after.as_ref()));
    }
    put(map, "actor", actor.as_ref().map(|actor| json!({ "process": process(actor) })));
    put(map, "count", event.times);
    put(map, "sensor_means", means);
    put(map, "by_package_manager", event.by_package_manager);
    put(map, "changed", changed(before.as_ref(), after.as_ref()));
    let (activity_id, activity_name) = match activity {
        FileActivity::Created => (1, "Create"),
        FileActivity::Modified => (3, "Update"),
        FileActivity::Deleted => (4, "Delete"),
        FileActivity::Renamed => (5, "Rename"),
        FileActivity::AttributesChanged => (6, "Set Attributes"),
    };
    Kind { class_uid: 1001, class_name: "File System Activity", activity_id, activity_name }
}

/// A process as OCSF has it; what is not known is left out.
pub(super) fn process(actor: &Actor) -> Value {
    let Actor { pid, start_boot_ns, parent_pid, uid, name, image } = actor;
    let mut process = Map::new();
    put(&mut process, "pid", pid);
    put(&mut process, "start_boot_ns", start_boot_ns.map(|ns| ns.to_string()));
    put(&mut process, "user", uid.map(|uid| json!({ "uid": uid.to_string() })));
    put(&mut process, "parent_process", parent_pid.map(|pid| json!({ "pid": pid })));
    if let Some(name) = name {
        put_text(&mut process, "name", name);
    }
    if let Some(image) = image {
        let mut file = Map::new();
        put_text(&mut file, "path", image);
        process.insert("file".to_owned(), Value::Object(file));
    }
    Value::Object(process)
}

fn file(path: &Text, state: Option<&FileState>) -> Value {
    let mut file = Map::new();
    put_text(&mut file, "path", path);
    let name = path.as_bytes().rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    put_text(&mut file, "name", &Text::from(name));
    if let Some(state) = state {
        let FileState { kind, bytes, mode, uid, gid, modified_ns, sha256, capabilities } = state;
        let (type_id, type_name) = match kind {
            FileKind::Regular => (1, "Regular File"),
            FileKind::Directory => (2, "Folder"),
            FileKind::Link => (7, "Symbolic Link"),
            FileKind::Other => (99, "Other"),
        };
        put(&mut file, "type_id", type_id);
        put(&mut file, "type", type_name);
        put(&mut file, "size", bytes.to_string());
        put(&mut file, "mode", format!("{mode:04o}"));
        put(&mut file, "owner", json!({ "uid": uid.to_string() }));
        put(&mut file, "group_uid", gid.to_string());
        put(&mut file, "modified_time_dt", crate::time::rfc3339(*modified_ns));
        let hash = |hash: &crate::id::Hash| json!([{ "algorithm_id": 3, "algorithm": "SHA-256", "value": hash }]);
        put(&mut file, "hashes", sha256.as_ref().map(hash));
        put(&mut file, "capabilities_sha256", capabilities);
    }
    Value::Object(file)
}

/// What differs, where both sides are known.
fn changed(before: Option<&FileState>, after: Option<&FileState>) -> Option<Vec<&'static str>> {
    let (before, after) = before.zip(after)?;
    let fields = [
        ("kind", before.kind != after.kind),
        ("size", before.bytes != after.bytes),
        ("mode", before.mode != after.mode),
        ("owner", before.uid != after.uid),
        ("group", before.gid != after.gid),
        ("content", before.sha256 != after.sha256),
        ("capabilities", before.capabilities != after.capabilities),
    ];
    Some(fields.iter().filter(|(_, differs)| *differs).map(|(name, _)| *name).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Body;
    use crate::event::file::FileMeans;
    use crate::event::json::of_body;
    use crate::id::Hash;

    #[test]
    fn a_change_shows_the_file_before_and_after_and_who_did_it() {
        let state = |mode, content: &[u8]| FileState {
            kind: FileKind::Regular,
            bytes: 3,
            mode,
            uid: 0,
            gid: 42,
            modified_ns: 0,
            sha256: Some(Hash::of(content)),
            capabilities: None,
        };
        let event = FileEvent {
            means: FileMeans::Fanotify,
            activity: FileActivity::Modified,
            path: "/etc/shadow".into(),
            path_before: None,
            actor: Some(Actor {
                pid: 7,
                uid: Some(0),
                name: Some("vi".into()),
                ..Actor::default()
            }),
            before: Some(state(0o640, b"old")),
            after: Some(state(0o4640, b"new")),
            times: 3,
            by_package_manager: false,
        };
        let json = of_body(Body::File(Box::new(event)));
        assert_eq!(json["type_uid"], 100_103);
        assert_eq!(json["category_uid"], 1);
        assert_eq!(json["file"]["name"], "shadow");
        assert_eq!(json["file"]["mode"], "0640");
        assert_eq!(json["file_result"]["mode"], "4640");
        assert_eq!(json["file_result"]["hashes"][0]["value"], json!(Hash::of(b"new")));
        assert_eq!(json["changed"], json!(["mode", "content"]));
        assert_eq!(json["actor"]["process"]["name"], "vi");
        assert_eq!(json["count"], 3);
    }
}
