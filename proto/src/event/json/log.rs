//! Lines of logs as JSON: OCSF Base Event with `raw_data`.

use serde_json::{Map, Value};

use super::{Kind, put, put_text};
use crate::event::LogLine;
use crate::event::log::Encoding;

/// OCSF Base Event.
pub(super) fn fields(line: &LogLine, map: &mut Map<String, Value>) -> Kind {
    put_text(map, "raw_data", &line.line);
    let mut file = Map::new();
    put_text(&mut file, "path", &line.path);
    put(&mut file, "device", line.device.to_string());
    put(&mut file, "inode", line.inode.to_string());
    put(&mut file, "offset", line.offset.to_string());
    put(&mut file, "encoding", line.encoding.map(Encoding::name));
    map.insert("log_file".to_owned(), Value::Object(file));
    put(map, "raw_data_size", line.line_bytes);
    put(map, "is_truncated", line.line_bytes.map(|_| true));
    put(map, "line_count", line.lines);
    Kind { class_uid: 0, class_name: "Base Event", activity_id: 99, activity_name: "Line" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Text;
    use crate::event::Body;
    use crate::event::json::of_body;

    #[test]
    fn what_was_made_of_a_text_is_said() {
        let line = LogLine {
            path: "/var/log/x".into(),
            device: 1,
            inode: 2,
            offset: 2,
            line: "a\n  b".into(),
            line_bytes: None,
            encoding: Some(Encoding::Utf16Le),
            lines: Some(2),
        };
        let json = of_body(Body::Log(line));
        assert_eq!(
            (&json["log_file"]["encoding"], &json["line_count"]),
            (&"UTF-16LE".into(), &2.into())
        );
    }

    #[test]
    fn bytes_that_are_not_utf8_keep_an_exact_twin() {
        let line = LogLine {
            path: "/var/log/x".into(),
            device: 1,
            inode: u64::MAX,
            offset: 3,
            line: Text::from(&b"\xff!"[..]),
            line_bytes: None,
            encoding: None,
            lines: None,
        };
        let body = Body::Log(line);
        let json = of_body(body);
        assert_eq!(json["raw_data"], "\u{fffd}!");
        assert_eq!(json["raw_data_b64"], "/yE=");
        assert_eq!(json["log_file"]["inode"], "18446744073709551615");
        assert_eq!(json["metadata"]["sequence"], "9");
    }
}
