//! Starts and ends of processes as JSON: OCSF Process Activity.

use serde_json::{Map, Value, json};

use super::{Kind, put, put_text};
use crate::Text;
use crate::event::container::container;
use crate::event::process::{
    Exec, Exit, FileId, Fork, ImageHash, ProcessEvent, ProcessId, UNSET, split_args,
};
use crate::event::redaction::length_before;
use crate::id::Hash;
use crate::time::rfc3339;

/// OCSF Process Activity.
pub(super) fn fields(event: &ProcessEvent, boot_ns: u64, map: &mut Map<String, Value>) -> Kind {
    let (process, tier, activity) = match event {
        ProcessEvent::Exec(exec) => {
            put(map, "unavailable", unavailable(exec));
            put(map, "redacted", &exec.redacted);
            (exec_fields(exec), Some(exec.tier), (1, "Launch"))
        }
        ProcessEvent::Fork(Fork { tier, pid, start_boot_ns, parent_pid, uid }) => {
            let process = identity(*pid, *start_boot_ns, *uid, *parent_pid);
            (process, Some(*tier), (99, "Fork"))
        }
        ProcessEvent::Exit(exit) => {
            exit_fields(exit, boot_ns, map);
            let Exit { tier, pid, start_boot_ns, parent_pid, uid, .. } = exit;
            (identity(*pid, *start_boot_ns, *uid, *parent_pid), Some(*tier), (2, "Terminate"))
        }
        ProcessEvent::ImageHash(ImageHash { file, path, sha256 }) => {
            let missing = sha256.is_none().then_some(["sha256"]);
            put(map, "unavailable", missing);
            let file = file_json(path.as_ref(), None, Some(file), sha256.as_ref());
            (Map::from_iter([("file".to_owned(), file)]), None, (99, "Image Hash"))
        }
    };
    map.insert("process".to_owned(), Value::Object(process));
    put(map, "sensor_tier", tier);
    let (activity_id, activity_name) = activity;
    Kind { class_uid: 1007, class_name: "Process Activity", activity_id, activity_name }
}

/// How it ended and how long it lived: OCSF counts in milliseconds.
fn exit_fields(exit: &Exit, boot_ns: u64, map: &mut Map<String, Value>) {
    if let Some(status) = exit.wait_status {
        put(map, "exit_code", (status >> 8) & 0xff);
        put(map, "exit_signal", Some(status & 0x7f).filter(|signal| *signal != 0));
    }
    let duration_ns = exit.duration_ns(boot_ns);
    put(map, "duration", duration_ns.map(|ns| ns / 1_000_000));
    put(map, "duration_ns", duration_ns.map(|ns| ns.to_string()));
    let fields = [("exit_code", exit.wait_status.is_none()), ("duration", duration_ns.is_none())];
    put(map, "unavailable", missing(&fields));
}

fn identity(
    pid: u32,
    start_boot_ns: Option<u64>,
    uid: Option<u32>,
    parent: Option<u32>,
) -> Map<String, Value> {
    let mut process = Map::new();
    put(&mut process, "pid", pid);
    put(&mut process, "start_boot_ns", start_boot_ns.map(|ns| ns.to_string()));
    put(&mut process, "user", uid.map(|uid| json!({ "uid": uid.to_string() })));
    put(&mut process, "parent_process", parent.map(|pid| json!({ "pid": pid })));
    process
}

fn exec_fields(exec: &Exec) -> Map<String, Value> {
    let mut process = identity(exec.pid, exec.start_boot_ns, exec.uid, exec.parent_pid);
    if let (Some(Value::Object(parent)), Some(ns)) =
        (process.get_mut("parent_process"), exec.parent_start_boot_ns)
    {
        put(parent, "start_boot_ns", ns.to_string());
    }
    let one = |id: &ProcessId| json!({ "pid": id.pid, "start_boot_ns": id.start_boot_ns.map(|ns| ns.to_string()) });
    let ancestry = exec.ancestors.as_ref().map(|all| all.iter().map(one).collect::<Vec<_>>());
    put(&mut process, "ancestry", ancestry);
    put(&mut process, "euid", exec.euid.map(|euid| euid.to_string()));
    put(&mut process, "session", session(exec));
    put(
        &mut process,
        "auid",
        exec.login_uid.filter(|uid| *uid != UNSET).map(|uid| uid.to_string()),
    );
    put(&mut process, "cgroup_id", exec.cgroup_id.map(|id| id.to_string()));
    if let Some(cgroup) = &exec.cgroup {
        put_text(&mut process, "cgroup", cgroup);
        let container = container(cgroup.as_bytes());
        put(
            &mut process,
            "container",
            container.map(|found| json!({ "uid": found.id, "runtime": found.runtime })),
        );
    }
    if let Some(cwd) = &exec.cwd {
        put_text(&mut process, "working_directory", cwd);
    }
    if exec.image.is_some() || exec.image_resolved.is_some() || exec.file.is_some() {
        let Exec { image, image_resolved, file, sha256, .. } = exec;
        let resolved = image_resolved.as_ref();
        let file = file_json(image.as_ref(), resolved, file.as_ref(), sha256.as_ref());
        process.insert("file".to_owned(), file);
    }
    args_fields(exec, &mut process);
    process
}

/// The session, its terminal, and the audit session that it belongs to.
fn session(exec: &Exec) -> Option<Value> {
    let mut session = Map::new();
    put(&mut session, "uid", exec.session.map(|id| id.to_string()));
    if let Some(tty) = exec.tty.as_ref().filter(|tty| !tty.is_empty()) {
        put_text(&mut session, "terminal", tty);
    }
    let audit = exec.audit_session.filter(|id| *id != UNSET).map(|id| id.to_string());
    put(&mut session, "audit_uid", audit);
    (!session.is_empty()).then_some(Value::Object(session))
}

fn file_json(
    path: Option<&Text>,
    resolved: Option<&Text>,
    id: Option<&FileId>,
    sha256: Option<&Hash>,
) -> Value {
    let mut file = Map::new();
    if let Some(path) = path {
        put_text(&mut file, "path", path);
    }
    if let Some(resolved) = resolved {
        put_text(&mut file, "resolved_path", resolved);
    }
    if let Some(FileId { device, inode, bytes, modified_ns, .. }) = id {
        put(&mut file, "device", device.to_string());
        put(&mut file, "inode", inode.to_string());
        put(&mut file, "size", bytes.to_string());
        put(&mut file, "modified_time_dt", u64::try_from(*modified_ns).ok().map(rfc3339));
    }
    let hash = |sha256| json!([{ "algorithm": "SHA-256", "algorithm_id": 3, "value": sha256 }]);
    put(&mut file, "hashes", sha256.map(hash));
    Value::Object(file)
}

fn args_fields(exec: &Exec, process: &mut Map<String, Value>) {
    let Some(args) = &exec.args else { return };
    let line = split_args(args).collect::<Vec<_>>().join(&b' ');
    put_text(process, "cmd_line", &Text::from(line));
    let each = split_args(args).map(|arg| String::from_utf8_lossy(arg).into_owned());
    put(process, "args", each.collect::<Vec<_>>());
    let held = length_before(args.len(), exec.redacted.as_deref());
    put(process, "args_bytes", exec.args_bytes);
    put(process, "args_truncated", exec.args_bytes.is_some_and(|full| full > held));
}

/// What the tier could not know is said, never guessed. An exec without any of the later
/// fields is of an older agent, which did not know them: then nothing is said of those.
fn unavailable(exec: &Exec) -> Option<Vec<&'static str>> {
    let is_older = exec.session.is_none() && exec.tty.is_none() && exec.ancestors.is_none();
    let fields = [
        ("image", exec.image.is_none()),
        ("args", exec.args.is_none()),
        ("parent_pid", exec.parent_pid.is_none()),
        ("uid", exec.uid.is_none()),
        ("start_boot_ns", exec.start_boot_ns.is_none()),
        ("cwd", exec.cwd.is_none() && !is_older),
        ("session", exec.session.is_none() && !is_older),
        ("tty", exec.tty.is_none() && !is_older),
        ("login_uid", exec.login_uid.is_none() && !is_older),
        ("cgroup", exec.cgroup.is_none() && !is_older),
        ("file", exec.file.is_none() && !is_older),
    ];
    missing(&fields)
}

fn missing(fields: &[(&'static str, bool)]) -> Option<Vec<&'static str>> {
    let missing: Vec<_> =
        fields.iter().filter(|(_, missing)| *missing).map(|(name, _)| *name).collect();
    (!missing.is_empty()).then_some(missing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Body;
    use crate::event::json::of_body;
    use crate::event::process::Tier;

    fn exec_json(exec: Exec) -> Value {
        of_body(Body::Process(ProcessEvent::Exec(Box::new(exec))))
    }

    #[test]
    fn an_exec_says_what_its_tier_could_not_know() {
        let exec = Exec {
            parent_pid: Some(1),
            uid: Some(0),
            args: Some("ls\0-l\0".into()),
            args_bytes: Some(9000),
            ..Exec::new(Tier::ProcConnector, 7)
        };
        let json = exec_json(exec.clone());
        assert_eq!(json["type_uid"], 100_701);
        assert_eq!(json["unavailable"], json!(["image", "start_boot_ns"]));
        assert_eq!(json["process"]["cmd_line"], "ls -l");
        assert_eq!(json["process"]["args"], json!(["ls", "-l"]));
        assert_eq!(json["process"]["args_truncated"], true);
        let json = exec_json(Exec { session: Some(3), ..exec });
        let missing = ["image", "start_boot_ns", "cwd", "tty", "login_uid", "cgroup", "file"];
        assert_eq!(json["unavailable"], json!(missing));
    }

    #[test]
    fn an_exec_names_its_surroundings() {
        let id = "0123456789abcdef".repeat(4);
        let file = FileId { device: 64_769, inode: 7, bytes: 9, modified_ns: 1, changed_ns: 2 };
        let exec = Exec {
            parent_pid: Some(6),
            parent_start_boot_ns: Some(5),
            ancestors: Some(vec![ProcessId { pid: 4, start_boot_ns: Some(3) }]),
            cwd: Some("/srv".into()),
            session: Some(4),
            tty: Some("pts/0".into()),
            login_uid: Some(1000),
            audit_session: Some(UNSET),
            cgroup: Some(format!("/system.slice/docker-{id}.scope").into()),
            file: Some(file),
            sha256: Some(Hash([0xab; 32])),
            ..Exec::new(Tier::Bpf, 7)
        };
        let json = exec_json(exec);
        let process = &json["process"];
        assert_eq!(process["parent_process"], json!({ "pid": 6, "start_boot_ns": "5" }));
        assert_eq!(process["ancestry"], json!([{ "pid": 4, "start_boot_ns": "3" }]));
        assert_eq!(process["working_directory"], "/srv");
        assert_eq!(process["session"], json!({ "uid": "4", "terminal": "pts/0" }));
        assert_eq!(process["auid"], "1000");
        assert_eq!(process["container"], json!({ "uid": id, "runtime": "docker" }));
        assert_eq!(process["file"]["inode"], "7");
        assert_eq!(process["file"]["hashes"][0]["value"], "ab".repeat(32));
    }

    #[test]
    fn an_end_tells_how_long_the_process_lived_where_that_was_seen() {
        let exit = |tier, wait_status| {
            let start_boot_ns = Some(1_000_000);
            let (pid, parent_pid, uid) = (7, Some(1), Some(0));
            Exit { tier, pid, start_boot_ns, parent_pid, uid, wait_status }
        };
        let mut map = Map::new();
        fields(&ProcessEvent::Exit(exit(Tier::Bpf, Some(0x300))), 4_500_000, &mut map);
        assert_eq!(map["exit_code"], 3);
        assert_eq!(map["duration"], 3);
        assert_eq!(map["duration_ns"], "3500000");
        assert!(!map.contains_key("unavailable"));
        let mut map = Map::new();
        fields(&ProcessEvent::Exit(exit(Tier::ProcList, None)), 4_500_000, &mut map);
        assert_eq!(map["unavailable"], json!(["exit_code", "duration"]));
        assert!(!map.contains_key("duration"));
    }
}
