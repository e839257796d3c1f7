//! Lines of logs as JSON: OCSF Base Event with `raw_data`.

use serde_json::{Map, Value};

use super::{Kind, put, put_text};
use crate::Text;
use crate::event::LogLine;
use crate::event::log::{Encoding, Journal, LogSource, Parsed};
use crate::time::rfc3339;

/// OCSF Base Event.
pub(super) fn fields(line: &LogLine, map: &mut Map<String, Value>) -> Kind {
    put_text(map, "raw_data", &line.line);
    match &line.source {
        None => {
            let mut file = Map::new();
            put_text(&mut file, "path", &line.path);
            put(&mut file, "device", line.device.to_string());
            put(&mut file, "inode", line.inode.to_string());
            put(&mut file, "offset", line.offset.to_string());
            put(&mut file, "encoding", line.encoding.map(Encoding::name));
            map.insert("log_file".to_owned(), Value::Object(file));
        }
        Some(LogSource::Journal(entry)) => {
            map.insert("journal".to_owned(), Value::Object(journal(entry)));
        }
    }
    if let Some(parsed) = &line.parsed {
        map.insert("syslog".to_owned(), Value::Object(head(parsed)));
    }
    put(map, "raw_data_size", line.line_bytes);
    put(map, "is_truncated", line.line_bytes.map(|_| true));
    put(map, "line_count", line.lines);
    put(map, "redacted", &line.redacted);
    Kind { class_uid: 0, class_name: "Base Event", activity_id: 99, activity_name: "Line" }
}

fn journal(entry: &Journal) -> Map<String, Value> {
    let Journal { cursor, unit, identifier, pid, uid, priority, boot_id, comm, time_ns } = entry;
    let mut map = Map::new();
    put(&mut map, "cursor", cursor);
    text(&mut map, "unit", unit.as_ref());
    text(&mut map, "identifier", identifier.as_ref());
    put(&mut map, "pid", pid);
    put(&mut map, "uid", uid.map(|uid| uid.to_string()));
    put(&mut map, "priority", priority);
    put(&mut map, "boot_id", boot_id);
    text(&mut map, "comm", comm.as_ref());
    put(&mut map, "time_dt", time_ns.map(rfc3339));
    map
}

fn head(parsed: &Parsed) -> Map<String, Value> {
    let Parsed { format, facility, severity, host, app, pid, msgid, time_ns, zone, structured } =
        parsed;
    let mut map = Map::new();
    put(&mut map, "format", format);
    put(&mut map, "facility", facility);
    put(&mut map, "severity", severity);
    text(&mut map, "host", host.as_ref());
    text(&mut map, "app", app.as_ref());
    put(&mut map, "pid", pid);
    text(&mut map, "msgid", msgid.as_ref());
    put(&mut map, "time_dt", time_ns.map(rfc3339));
    put(&mut map, "zone", zone);
    let mut data = Map::new();
    for pair in structured.iter().flatten() {
        put_text(&mut data, &pair.name.to_lossy(), &pair.value);
    }
    if !data.is_empty() {
        map.insert("structured".to_owned(), Value::Object(data));
    }
    map
}

fn text(map: &mut Map<String, Value>, name: &str, text: Option<&Text>) {
    if let Some(text) = text {
        put_text(map, name, text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::json::{of_body, of_body_apart};
    use crate::event::log::{LogFormat, Pair, Run, Zone};
    use crate::event::{Body, Redaction};

    #[test]
    fn what_was_made_of_a_text_is_said() {
        let line = LogLine {
            path: "/var/log/x".into(),
            device: 1,
            inode: 2,
            offset: 2,
            line: "a\n  b".into(),
            encoding: Some(Encoding::Utf16Le),
            lines: Some(2),
            ..LogLine::default()
        };
        let json = of_body(Body::Log(line));
        assert_eq!(
            (&json["log_file"]["encoding"], &json["line_count"]),
            (&"UTF-16LE".into(), &2.into())
        );
    }

    #[test]
    fn lines_that_travel_together_are_shown_one_by_one() {
        let line = LogLine {
            path: "/var/log/x".into(),
            offset: 10,
            line: "a\nb".into(),
            lines: Some(2),
            run: Some(Run::default()),
            ..LogLine::default()
        };
        let whole = of_body(Body::Log(line.clone()));
        assert_eq!((&whole["raw_data"], &whole["line_count"]), (&"a\nb".into(), &2.into()));
        let shown = of_body_apart(Body::Log(line));
        let of = |pointer: &str| -> Vec<&Value> {
            shown.iter().map(|json| json.pointer(pointer).unwrap_or(&Value::Null)).collect()
        };
        assert_eq!(of("/raw_data"), ["a", "b"]);
        assert_eq!(of("/log_file/offset"), ["10", "12"]);
        assert_eq!(of("/metadata/line"), [0, 1]);
        assert_eq!(of("/metadata/sequence"), ["9", "9"]);
        assert_eq!(of("/line_count"), [&Value::Null, &Value::Null]);
        let uid = whole["metadata"]["uid"].as_str().unwrap();
        assert_eq!(of("/metadata/uid"), [format!("{uid}/0"), format!("{uid}/1")].each_ref());
    }

    #[test]
    fn bytes_that_are_not_utf8_keep_an_exact_twin() {
        let line = LogLine {
            path: "/var/log/x".into(),
            device: 1,
            inode: u64::MAX,
            offset: 3,
            line: Text::from(&b"\xff!"[..]),
            ..LogLine::default()
        };
        let body = Body::Log(line);
        let json = of_body(body);
        assert_eq!(json["raw_data"], "\u{fffd}!");
        assert_eq!(json["raw_data_b64"], "/yE=");
        assert_eq!(json["log_file"]["inode"], "18446744073709551615");
        assert_eq!(json["metadata"]["sequence"], "9");
    }

    #[test]
    fn an_entry_of_the_journal_is_no_line_of_a_file() {
        let journal = Journal {
            cursor: "s=1".to_owned(),
            unit: Some("ssh.service".into()),
            uid: Some(0),
            time_ns: Some(0),
            ..Journal::default()
        };
        let parsed = Parsed {
            time_ns: Some(1),
            zone: Some(Zone { offset_secs: 3600, assumed: true }),
            structured: Some(vec![Pair { name: "a@1.b".into(), value: "c".into() }]),
            ..Parsed::new(LogFormat::Rfc5424)
        };
        let line = LogLine {
            line: "token=[redacted]".into(),
            source: Some(LogSource::Journal(Box::new(journal))),
            parsed: Some(parsed),
            redacted: Some(vec![Redaction { rule: "r".to_owned(), times: 1, bytes: 4 }]),
            ..LogLine::default()
        };
        let json = of_body(Body::Log(line));
        assert_eq!(json["log_file"], Value::Null);
        assert_eq!(json["journal"]["unit"], "ssh.service");
        assert_eq!(json["journal"]["time_dt"], "1970-01-01T00:00:00.000000000Z");
        assert_eq!(json["syslog"]["zone"]["assumed"], true);
        assert_eq!(json["syslog"]["structured"]["a@1.b"], "c");
        assert_eq!(json["redacted"][0]["bytes"], 4);
    }
}
