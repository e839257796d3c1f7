//! Connections, listeners, datagrams and answers of the domain name system in one line.

use serde_json::Value;

use super::word;

/// What happened between which ends, and whose it is.
pub(super) fn summary(event: &Value) -> String {
    let activity = word(event, "/activity_name");
    let protocol = word(event, "/connection_info/protocol_name");
    let whose = whose(event);
    if activity.starts_with("Listen") {
        return format!("{} {protocol} {}{whose}", activity.to_lowercase(), end(event, "dst"));
    }
    let direction = word(event, "/connection_info/direction").to_lowercase();
    let detail = word(event, "/status_detail");
    let detail = if detail.is_empty() { detail } else { format!(" {detail}") };
    let traffic = ["out", "in"].map(|way| {
        let count = word(event, &format!("/traffic/bytes_{way}"));
        if count.is_empty() { count } else { format!(", {count} bytes {way}") }
    });
    let sends = word(event, "/traffic/packets_out");
    let sends = if sends.is_empty() { sends } else { format!(", {sends} sends") };
    let milliseconds = word(event, "/duration");
    let lasted =
        if milliseconds.is_empty() { milliseconds } else { format!(", {milliseconds} ms") };
    format!(
        "{} {protocol} {direction} {} to {}{detail}{whose}{lasted}{}{sends}",
        activity.to_lowercase(),
        end(event, "src"),
        end(event, "dst"),
        traffic.concat(),
    )
}

/// What was asked and what was answered.
pub(super) fn dns(event: &Value) -> String {
    let answers = event.pointer("/answers").and_then(Value::as_array);
    let answers: Vec<_> =
        answers.into_iter().flatten().map(|answer| word(answer, "/rdata")).collect();
    let answers = match (word(event, "/rcode").as_str(), answers.is_empty()) {
        ("NoError", false) => answers.join(", "),
        ("NoError", true) => format!("no address, {} records", word(event, "/records")),
        (rcode, _) => rcode.to_owned(),
    };
    let (name, kind) = (word(event, "/query/hostname"), word(event, "/query/type"));
    format!("{kind} {name}: {answers}{}", whose(event))
}

fn whose(event: &Value) -> String {
    let pid = word(event, "/actor/process/pid");
    if pid.is_empty() {
        return String::new();
    }
    format!(" by {} pid {pid}", word(event, "/actor/process/name"))
}

fn end(event: &Value, which: &str) -> String {
    let part = |name| word(event, &format!("/{which}_endpoint/{name}"));
    let (ip, port, name) = (part("ip"), part("port"), part("hostname"));
    let ip = if ip.contains(':') { format!("[{ip}]") } else { ip };
    let name = if name.is_empty() { name } else { format!(" ({name})") };
    let port = if port.is_empty() { port } else { format!(":{port}") };
    format!("{ip}{port}{name}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_connection_is_told_with_both_ends_and_its_process() {
        let event = json!({
            "activity_name": "Close",
            "connection_info": { "protocol_name": "tcp", "direction": "Outbound" },
            "src_endpoint": { "ip": "2001:db8::1", "port": 40000 },
            "dst_endpoint": { "ip": "192.0.2.7", "port": 443, "hostname": "example.com" },
            "actor": { "process": { "pid": 7, "name": "curl" } },
            "duration": 12, "traffic": { "bytes_out": "10", "bytes_in": "20" },
        });
        let says = "close tcp outbound [2001:db8::1]:40000 to 192.0.2.7:443 (example.com) \
                    by curl pid 7, 12 ms, 10 bytes out, 20 bytes in";
        assert_eq!(summary(&event), says);
    }

    #[test]
    fn a_listener_and_an_answer_are_told() {
        let event = json!({
            "activity_name": "Listen", "connection_info": { "protocol_name": "tcp" },
            "dst_endpoint": { "ip": "0.0.0.0", "port": 22 },
        });
        assert_eq!(summary(&event), "listen tcp 0.0.0.0:22");
        let event = json!({
            "query": { "hostname": "a.example", "type": "A" }, "rcode": "NXDomain", "answers": [],
        });
        assert_eq!(dns(&event), "A a.example: NXDomain");
    }
}
