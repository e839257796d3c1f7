//! Starts and ends of processes in one line.

use serde_json::Value;

use super::word;

/// What happened to which process.
pub(super) fn summary(event: &Value) -> String {
    let pid = word(event, "/process/pid");
    let parent = word(event, "/process/parent_process/pid");
    let user = word(event, "/process/user/uid");
    match word(event, "/activity_name").as_str() {
        "Terminate" => {
            let code = word(event, "/exit_code");
            let signal = word(event, "/exit_signal");
            match (signal.is_empty(), code.is_empty()) {
                (false, _) => format!("ended pid {pid} by signal {signal}"),
                (true, false) => format!("ended pid {pid} with {code}"),
                (true, true) => format!("ended pid {pid}"),
            }
        }
        "Fork" => format!("fork pid {pid} of {parent}"),
        _ => {
            let line = word(event, "/process/cmd_line");
            let line = if line.is_empty() { word(event, "/process/file/path") } else { line };
            format!("exec pid {pid} of {parent} uid {user}: {line}")
        }
    }
}
