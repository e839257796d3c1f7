//! Speaks with a running qemu (QMP): plugs devices in and out, changes their properties, resets.

use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::clock::Stopwatch;
use crate::lines::Lines;

/// qemu answers at once, but for a machine that is being emulated on a busy one.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

#[derive(Debug, thiserror::Error)]
pub enum QmpError {
    #[error("{doing} qemu: {cause}")]
    Io { doing: &'static str, cause: io::Error },
    #[error("qemu has ended")]
    Ended,
    #[error("qemu refused {command}: {reason}")]
    Refused { command: String, reason: String },
    #[error("qemu said what is no JSON: {0}")]
    NotJson(String),
}

#[derive(Debug)]
pub struct Qmp {
    stream: UnixStream,
    lines: Lines,
}

impl Qmp {
    /// Connects to qemu's socket and gets ready to command.
    pub fn connect(socket: &Path) -> Result<Self, QmpError> {
        let io = |doing| move |cause| QmpError::Io { doing, cause };
        let stream = UnixStream::connect(socket).map_err(io("connecting to"))?;
        let reader = stream.try_clone().map_err(io("connecting to"))?;
        let mut qmp = Self { stream, lines: Lines::new(reader) };
        qmp.next(Stopwatch::start())?;
        qmp.command("qmp_capabilities", json!({}))?;
        Ok(qmp)
    }

    /// Gives a command and waits for its answer.
    pub fn command(&mut self, name: &str, arguments: Value) -> Result<Value, QmpError> {
        let command = json!({ "execute": name, "arguments": arguments }).to_string();
        let sent = self.stream.write_all(format!("{command}\n").as_bytes());
        sent.map_err(|cause| QmpError::Io { doing: "commanding", cause })?;
        let watch = Stopwatch::start();
        loop {
            let said = self.next(watch)?;
            if let Some(answer) = said.get("return") {
                return Ok(answer.clone());
            }
            if let Some(reason) = said.pointer("/error/desc").and_then(Value::as_str) {
                let (command, reason) = (name.to_owned(), reason.to_owned());
                return Err(QmpError::Refused { command, reason });
            }
            // What remains are events: the console tells what came of a command.
        }
    }

    fn next(&mut self, watch: Stopwatch) -> Result<Value, QmpError> {
        let line = self.lines.next_within(watch.left_of(ANSWER_WITHIN));
        let line = line.map_err(|cause| QmpError::Io { doing: "waiting for", cause })?;
        let line = line.ok_or(QmpError::Ended)?;
        match serde_json::from_str(&line) {
            Ok(value) => Ok(value),
            Err(_not_json) => Err(QmpError::NotJson(line)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn events_are_passed_over_and_a_refusal_says_why() {
        let folder = std::env::temp_dir().join(format!("cordon-qmp-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let socket = folder.join("socket");
        let listener = UnixListener::bind(&socket).unwrap();
        let qemu = std::thread::spawn(move || {
            let mut stream = listener.accept().unwrap().0;
            let mut heard = BufReader::new(stream.try_clone().unwrap()).lines();
            stream.write_all(b"{\"QMP\": {}}\r\n").unwrap();
            for answers in [
                "{\"return\": {}}\r\n",
                "{\"event\": \"RESUME\"}\r\n{\"return\": 7}\r\n",
                "{\"error\": {\"class\": \"GenericError\", \"desc\": \"no such device\"}}\r\n",
            ] {
                heard.next().unwrap().unwrap();
                stream.write_all(answers.as_bytes()).unwrap();
            }
        });
        let mut qmp = Qmp::connect(&socket).unwrap();
        assert_eq!(qmp.command("x", json!({})).unwrap(), 7);
        let refusal = qmp.command("device_del", json!({ "id": "x" })).unwrap_err();
        assert_eq!(refusal.to_string(), "qemu refused device_del: no such device");
        qemu.join().unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
