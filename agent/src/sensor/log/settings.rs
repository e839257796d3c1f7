//! What can be set of the sensor.

use serde::{Deserialize, Serialize};

/// What the sensor does.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogSettings {
    /// Whether log files are watched at all.
    pub enabled: bool,
    /// Which: absolute paths with `*` and `?` in them.
    pub paths: Vec<String>,
    /// Whether files that are there when a path is watched for the first time are read from their
    /// beginning. Files that appear later always are.
    pub from_start: bool,
    /// Lines a second of one log; 0 for no limit.
    pub lines_per_s: u64,
    /// Bytes a second of one log; 0 for no limit.
    pub bytes_per_s: u64,
    /// How many seconds' worth of both may come at once.
    pub burst_secs: u64,
    /// Logs with settings of their own. They are watched, too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileSettings>,
}

impl Default for LogSettings {
    fn default() -> Self {
        let paths =
            ["/var/log/auth.log", "/var/log/secure", "/var/log/syslog", "/var/log/messages"];
        Self {
            enabled: true,
            paths: paths.map(str::to_owned).to_vec(),
            from_start: false,
            lines_per_s: 20_000,
            bytes_per_s: 8 << 20,
            burst_secs: 60,
            files: Vec::new(),
        }
    }
}

impl LogSettings {
    /// All paths that are watched.
    pub fn all_paths(&self) -> impl Iterator<Item = &String> {
        self.paths.iter().chain(self.files.iter().flat_map(|file| &file.paths))
    }
}

/// Settings of some logs.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct FileSettings {
    /// Which: absolute paths with `*` and `?` in them.
    pub paths: Vec<String>,
    /// Whether a line that begins with a space or a tab belongs to the one before.
    pub indented: bool,
    /// How the first line of an event begins, where it may have several: `#` is a digit, `?` any
    /// character, `*` any number of them.
    pub starts: Option<String>,
    /// How long lines wait for more that belong to them, in milliseconds.
    pub wait_ms: u64,
    /// Lines a second of one log; 0 for no limit. As for all logs where it is not set.
    pub lines_per_s: Option<u64>,
    /// Bytes a second of one log; 0 for no limit. As for all logs where it is not set.
    pub bytes_per_s: Option<u64>,
}

impl Default for FileSettings {
    fn default() -> Self {
        Self {
            paths: Vec::new(),
            indented: false,
            starts: None,
            wait_ms: 1000,
            lines_per_s: None,
            bytes_per_s: None,
        }
    }
}
