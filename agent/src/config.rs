//! The agent's settings: one TOML file, one struct, read once.
//!
//! A mistake never stops at the first: every unknown key, wrong type and impossible value of the
//! file is reported together, each with its line. Nothing secret stands here; the one secret that
//! settings need, a proxy's password, is in a file of its own that is named here.

mod mistake;
mod sensors;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::budget::Limits;

pub use mistake::Mistake;
pub use sensors::{ProcessSensor, Sensors};

/// Where the settings are looked for.
pub const PATH: &str = "/etc/cordon/agent.toml";

/// Everything that can be set.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where keys, spool and records are kept.
    pub state_dir: PathBuf,
    /// What is written to the log.
    pub log_level: LogLevel,
    /// Whether to change the machine only outside the initial network namespace.
    pub lab: bool,
    /// What is watched.
    pub sensors: Sensors,
    /// What waits for the collector.
    pub spool: Spool,
    /// What the agent may cost the machine.
    pub budget: Limits,
    /// How an endpoint is cut off.
    pub isolation: Isolation,
    /// How the collector is reached where there is no direct way.
    pub proxy: Proxy,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            state_dir: PathBuf::from("/var/lib/cordon-agent"),
            log_level: LogLevel::default(),
            lab: false,
            sensors: Sensors::default(),
            spool: Spool::default(),
            budget: Limits::default(),
            isolation: Isolation::default(),
            proxy: Proxy::default(),
        }
    }
}

/// How much the agent writes to its log.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    /// What went wrong.
    Error,
    /// And what may.
    Warn,
    /// And what changed.
    #[default]
    Info,
    /// And why; may hold names and paths of this machine.
    Debug,
    /// And everything.
    Trace,
}

impl From<LogLevel> for tracing::Level {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Error => Self::ERROR,
            LogLevel::Warn => Self::WARN,
            LogLevel::Info => Self::INFO,
            LogLevel::Debug => Self::DEBUG,
            LogLevel::Trace => Self::TRACE,
        }
    }
}

/// What waits for the collector.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Spool {
    /// How much of the disk waiting events may take.
    pub bytes_max: u64,
}

impl Default for Spool {
    fn default() -> Self {
        Self { bytes_max: 256 << 20 }
    }
}

/// How an endpoint is cut off.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Isolation {
    /// The socket mark by which the agent's own packets are known.
    pub mark: u32,
    /// Whether the rules are owned where the kernel can, so that no other program can edit them.
    /// Only a lab may do without, to be like an older kernel.
    pub own_tables: bool,
}

impl Default for Isolation {
    fn default() -> Self {
        Self { mark: 0x00c0_4d0e, own_tables: true }
    }
}

/// An HTTP proxy on the way to the collector.
#[derive(Clone, Debug, Default, Eq, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Proxy {
    /// `host:port` of a proxy that answers CONNECT; none for the direct way.
    pub address: Option<String>,
    /// The user, where the proxy asks for one.
    pub user: Option<String>,
    /// The file that holds the user's password, and nothing else.
    pub password_file: Option<PathBuf>,
}

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is there and cannot be read.
    #[error("settings file {} cannot be read: {cause}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// The file says what cannot be.
    #[error("settings file {} has mistakes:\n{}", path.display(), mistake::list(mistakes))]
    Mistakes {
        /// Which file.
        path: PathBuf,
        /// All of them, in the order of their lines.
        mistakes: Vec<Mistake>,
    },
}

impl Config {
    /// Reads the settings; a file that is not there is the defaults.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(cause) => return Err(ConfigError::Read { path: path.to_owned(), cause }),
        };
        let path = path.to_owned();
        Self::from_text(&text).map_err(|mistakes| ConfigError::Mistakes { path, mistakes })
    }

    /// Reads settings from text.
    pub fn from_text(text: &str) -> Result<Self, Vec<Mistake>> {
        let (config, mut mistakes) = mistake::parse::<Self>(text);
        if let Some(config) = &config {
            let impossible = config.impossible().into_iter();
            mistakes.extend(impossible.map(|(key, what)| Mistake::at_key(text, key, what)));
        }
        mistakes.sort_by_key(|mistake| mistake.line);
        match config {
            Some(config) if mistakes.is_empty() => Ok(config),
            Some(_) | None => Err(mistakes),
        }
    }

    /// What is watched, and whether in a lab.
    #[must_use]
    pub fn watched(&self) -> Sensors {
        let mut watched = self.sensors.clone();
        watched.network.lab = self.lab;
        watched
    }

    /// What is of the right type and still cannot be.
    fn impossible(&self) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        let mut check = |fine: bool, key: &'static str, what: &str| {
            if !fine {
                found.push((key, what.to_owned()));
            }
        };
        check(self.state_dir.is_absolute(), "state_dir", "must be an absolute path");
        check(
            self.spool.bytes_max >= SPOOL_BYTES_MIN,
            "spool.bytes_max",
            "must be 16777216 or more",
        );
        let cpu = (1..=6400).contains(&self.budget.cpu_percent);
        check(cpu, "budget.cpu_percent", "must be 1 to 6400");
        let memory = self.budget.memory_bytes >= MEMORY_BYTES_MIN;
        check(memory, "budget.memory_bytes", "must be 25165824 or more");
        let rate = self.budget.bandwidth_bytes_per_s;
        let rate = rate == 0 || rate >= BANDWIDTH_MIN;
        check(rate, "budget.bandwidth_bytes_per_s", "must be 0 or 1024 or more");
        check(self.isolation.mark != 0, "isolation.mark", "must not be 0, the mark of all packets");
        let owned = self.isolation.own_tables || self.lab;
        check(owned, "isolation.own_tables", "can be false in a lab only");
        self.sensors.impossible(&mut check);
        let Proxy { address, user, password_file } = &self.proxy;
        let with_port = |text: &String| {
            text.rsplit_once(':').is_some_and(|(h, p)| !h.is_empty() && p.parse::<u16>().is_ok())
        };
        check(address.as_ref().is_none_or(with_port), "proxy.address", "must be host:port");
        check(user.is_none() || address.is_some(), "proxy.user", "needs proxy.address");
        let pair = user.is_some() == password_file.is_some();
        check(pair, "proxy.password_file", "goes together with proxy.user");
        found
    }
}

/// Less, and the agent would be at its limit without any load.
const MEMORY_BYTES_MIN: u64 = 24 << 20;

/// Less would not even carry health.
const BANDWIDTH_MIN: u64 = 1024;

/// Less would drop events in an ordinary night without a collector.
const SPOOL_BYTES_MIN: u64 = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULT_FILE: &str = include_str!("../../packaging/linux/agent.toml");

    #[test]
    fn the_default_file_says_exactly_the_defaults() {
        assert_eq!(Config::from_text(DEFAULT_FILE).unwrap(), Config::default());
    }

    #[test]
    fn the_default_file_mentions_every_setting() {
        let mut full = Config {
            proxy: Proxy {
                address: Some("proxy.example:3128".to_owned()),
                user: Some("cordon".to_owned()),
                password_file: Some(PathBuf::from("/etc/cordon/proxy-password")),
            },
            ..Config::default()
        };
        full.sensors.journal.directory = Some(PathBuf::from("/srv/journal"));
        let toml = toml::to_string(&full).unwrap();
        let settings = toml.lines().filter(|line| line.contains('=') || line.starts_with('['));
        let mut count = 0;
        for setting in settings {
            let name = setting.split(" =").next().unwrap();
            let stands = |line: &str| line.trim_start_matches("# ").starts_with(name);
            assert!(DEFAULT_FILE.lines().any(stands), "{name} is not in the default file");
            count += 1;
        }
        assert!(count > 12, "{toml}");
    }

    #[track_caller]
    fn check(text: &str, mistakes: &[&str]) {
        let found = Config::from_text(text).map_or_else(
            |mistakes| mistakes.iter().map(ToString::to_string).collect(),
            |_| Vec::new(),
        );
        assert_eq!(found, mistakes);
    }

    #[test]
    fn all_mistakes_are_reported_together_each_with_its_line() {
        check(
            "lab = 1\nstate_dir = \"here\"\n[spool]\nbytes = 5\nbytes_max = 6\n",
            &[
                "line 1: invalid type: integer `1`, expected a boolean",
                "line 2: state_dir must be an absolute path",
                "line 4: unknown field `bytes`, expected `bytes_max`",
                "line 5: spool.bytes_max must be 16777216 or more",
            ],
        );
    }

    #[test]
    fn an_unknown_section_is_one_mistake_and_not_one_for_each_of_its_lines() {
        check(
            "[spol]\nbytes_max = 1\n\n[isolation]\nmark = 0\n",
            &[
                "line 1: unknown field `spol`, expected one of `state_dir`, `log_level`, `lab`, \
                 `sensors`, `spool`, `budget`, `isolation`, `proxy`",
                "line 5: isolation.mark must not be 0, the mark of all packets",
            ],
        );
    }

    #[test]
    fn what_is_not_toml_is_one_mistake_with_its_line() {
        let mistakes = Config::from_text("lab = false\nlab false\n").unwrap_err();
        assert_eq!(mistakes.len(), 1);
        assert_eq!(mistakes[0].line, Some(2));
    }

    #[test]
    fn a_proxy_needs_an_address_with_a_port_and_a_password_for_its_user() {
        check("[proxy]\naddress = \"p:3128\"\n", &[]);
        check("[proxy]\naddress = \"p\"\n", &["line 2: proxy.address must be host:port"]);
        check(
            "[proxy]\nuser = \"u\"\n",
            &[
                "proxy.password_file goes together with proxy.user",
                "line 2: proxy.user needs proxy.address",
            ],
        );
    }
}
