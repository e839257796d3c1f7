//! Starts and ends of processes as JSON: OCSF Process Activity.

use serde_json::{Map, Value, json};

use super::{Kind, put, put_text};
use crate::Text;
use crate::event::process::{Exec, Exit, Fork, ProcessEvent, split_args};
use crate::event::redaction::length_before;

/// OCSF Process Activity.
pub(super) fn fields(event: &ProcessEvent, map: &mut Map<String, Value>) -> Kind {
    let kind = |activity_id, activity_name| Kind {
        class_uid: 1007,
        class_name: "Process Activity",
        activity_id,
        activity_name,
    };
    match event {
        ProcessEvent::Exec(exec) => {
            let mut process = identity(exec.pid, exec.start_boot_ns, exec.uid, exec.parent_pid);
            exec_fields(exec, &mut process);
            map.insert("process".to_owned(), Value::Object(process));
            put(map, "sensor_tier", exec.tier);
            put(map, "unavailable", unavailable(exec));
            put(map, "redacted", &exec.redacted);
            kind(1, "Launch")
        }
        ProcessEvent::Fork(Fork { tier, pid, start_boot_ns, parent_pid, uid }) => {
            let process = identity(*pid, *start_boot_ns, *uid, *parent_pid);
            map.insert("process".to_owned(), Value::Object(process));
            put(map, "sensor_tier", tier);
            kind(99, "Fork")
        }
        ProcessEvent::Exit(Exit { tier, pid, start_boot_ns, parent_pid, uid, wait_status }) => {
            let process = identity(*pid, *start_boot_ns, *uid, *parent_pid);
            map.insert("process".to_owned(), Value::Object(process));
            put(map, "sensor_tier", tier);
            if let Some(status) = wait_status {
                put(map, "exit_code", (status >> 8) & 0xff);
                put(map, "exit_signal", Some(status & 0x7f).filter(|signal| *signal != 0));
            }
            kind(2, "Terminate")
        }
    }
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

fn exec_fields(exec: &Exec, process: &mut Map<String, Value>) {
    put(process, "euid", exec.euid.map(|euid| euid.to_string()));
    put(process, "cgroup_id", exec.cgroup_id.map(|id| id.to_string()));
    if let Some(image) = &exec.image {
        let mut file = Map::new();
        put_text(&mut file, "path", image);
        if let Some(resolved) = &exec.image_resolved {
            put_text(&mut file, "resolved_path", resolved);
        }
        process.insert("file".to_owned(), Value::Object(file));
    }
    if let Some(args) = &exec.args {
        let line = split_args(args).collect::<Vec<_>>().join(&b' ');
        put_text(process, "cmd_line", &Text::from(line));
        let each = split_args(args).map(|arg| String::from_utf8_lossy(arg).into_owned());
        put(process, "args", each.collect::<Vec<_>>());
        let held = length_before(args.len(), exec.redacted.as_deref());
        put(process, "args_bytes", exec.args_bytes);
        put(process, "args_truncated", exec.args_bytes.is_some_and(|full| full > held));
    }
}

/// What the tier could not know is said, never guessed.
fn unavailable(exec: &Exec) -> Option<Vec<&'static str>> {
    let fields = [
        ("image", exec.image.is_none()),
        ("args", exec.args.is_none()),
        ("parent_pid", exec.parent_pid.is_none()),
        ("uid", exec.uid.is_none()),
    ];
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

    #[test]
    fn an_exec_says_what_its_tier_could_not_know() {
        let exec = Exec {
            tier: Tier::ProcConnector,
            pid: 7,
            start_boot_ns: None,
            parent_pid: Some(1),
            uid: Some(0),
            euid: None,
            cgroup_id: None,
            image: None,
            image_resolved: None,
            args: Some("ls\0-l\0".into()),
            args_bytes: Some(9000),
            redacted: None,
        };
        let body = Body::Process(ProcessEvent::Exec(exec));
        let json = of_body(body);
        assert_eq!(json["type_uid"], 100_701);
        assert_eq!(json["unavailable"], json!(["image"]));
        assert_eq!(json["process"]["cmd_line"], "ls -l");
        assert_eq!(json["process"]["args"], json!(["ls", "-l"]));
        assert_eq!(json["process"]["args_truncated"], true);
    }
}
