//! The collector's settings: one file, read once, unknown keys refused with their line.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

/// Where the settings are by default.
pub const PATH_DEFAULT: &str = "/etc/cordon/collector.toml";

/// Everything that can be set.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Keys, certificates and everything embedded live here.
    pub state_dir: PathBuf,
    /// Where agents connect. `[::]` takes IPv4 too.
    pub agents: SocketAddr,
    /// Where people connect: the API and the console.
    pub people: SocketAddr,
    /// The engine of the log of signed batches.
    pub log: Engine,
    /// The engine of what is known about clients, endpoints and commands.
    pub state: Engine,
    /// Below so much free space nothing is acknowledged; agents keep their events meanwhile.
    pub free_bytes_min: u64,
    /// Host names and addresses of this collector, for its certificate.
    pub names: Vec<String>,
    /// Agents connected at once.
    pub agents_max: usize,
    /// Agents connected at once from one address; a client behind one router shares it.
    pub agents_per_address_max: usize,
    /// Connections of people at once.
    pub people_max: usize,
    /// Connections of people at once from one address; an office behind one router shares it, and so
    /// does everybody behind a proxy.
    pub people_per_address_max: usize,
    /// Commands that one client's operators may bring in an hour, on top of the roster's limits.
    pub commands_per_hour_max: usize,
    /// The part of a client's endpoints, in hundredths, that one person's commands may reach in an
    /// hour before a second person must sign, too.
    pub alone_percent_max: u8,
    /// How long an endpoint must have been a router, a name server or the like before isolating it
    /// needs a second person.
    pub carrier_settled_secs: u64,
    /// Queries that one client's operators may bring in an hour.
    pub queries_per_hour_max: usize,
    /// Whether a program on the collector's own machine gets figures without a session: sums over all
    /// clients, without their names.
    pub metrics_on_loopback: bool,
    /// Collected evidence of one client; an endpoint that has more offers it again later.
    pub collections_bytes_max: u64,
    /// How long whoever is at a door may take; no setting.
    #[serde(skip)]
    pub patience: Patience,
}

/// How long whoever is at a door may take.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Patience {
    /// For a TLS handshake; slower ones are an attack or a dead line.
    pub handshake: Duration,
    /// For the head of a person's request to arrive; a kept connection may be idle as long.
    pub head: Duration,
    /// For an answer to begin, with the rest of the request before it; a live feed then goes on.
    pub answer: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        let [handshake, head, answer] = [10, 30, 30].map(Duration::from_secs);
        Self { handshake, head, answer }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            state_dir: PathBuf::from("/var/lib/cordon-collector"),
            agents: SocketAddr::from(([0; 8], 7443)),
            people: SocketAddr::from(([0; 8], 8443)),
            log: Engine::Sqlite(PathBuf::from("log.db")),
            state: Engine::Sqlite(PathBuf::from("state.db")),
            free_bytes_min: 1 << 30,
            names: vec!["localhost".to_owned()],
            agents_max: 30_000,
            agents_per_address_max: 5_000,
            people_max: 512,
            people_per_address_max: 128,
            commands_per_hour_max: 60,
            alone_percent_max: 25,
            carrier_settled_secs: 3600,
            queries_per_hour_max: 600,
            metrics_on_loopback: false,
            collections_bytes_max: 16 << 30,
            patience: Patience::default(),
        }
    }
}

/// Which engine is behind a port.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize)]
#[serde(try_from = "String")]
pub enum Engine {
    /// SQLite in a file, under the state folder unless its path is absolute.
    Sqlite(PathBuf),
}

impl TryFrom<String> for Engine {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("sqlite", path)) if !path.is_empty() => Ok(Self::Sqlite(PathBuf::from(path))),
            Some(_) | None => {
                Err(format!("'{text}' is not an engine of this version; it knows 'sqlite:FILE'"))
            }
        }
    }
}

/// Why the settings were refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the settings in {path}: {cause}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// The file is not TOML, or holds a key or value that is none of ours.
    #[error("{path}: {cause}")]
    Parse {
        /// Which file.
        path: PathBuf,
        /// Which line, and why.
        cause: Box<toml::de::Error>,
    },
    /// Values do not make sense.
    #[error("{path}: {}", .mistakes.join("; "))]
    Values {
        /// Which file.
        path: PathBuf,
        /// All that is wrong.
        mistakes: Vec<String>,
    },
}

impl Config {
    /// Reads a file of settings.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|cause| ConfigError::Read { path: path.to_owned(), cause })?;
        Self::parse(&text, path)
    }

    /// Reads settings; `path` is named in what is refused.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let config: Self = toml::from_str(text).map_err(|cause| ConfigError::Parse {
            path: path.to_owned(),
            cause: Box::new(cause),
        })?;
        let mistakes = config.mistakes();
        if mistakes.is_empty() {
            return Ok(config);
        }
        Err(ConfigError::Values { path: path.to_owned(), mistakes })
    }

    /// The file behind an engine.
    #[must_use]
    pub fn file(&self, engine: &Engine) -> PathBuf {
        match engine {
            Engine::Sqlite(path) => self.state_dir.join(path),
        }
    }

    fn mistakes(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        let mut wrong = |is: bool, sentence: &str| {
            if is {
                mistakes.push(sentence.to_owned());
            }
        };
        wrong(!self.state_dir.is_absolute(), "`state_dir` must be an absolute path");
        wrong(
            self.agents == self.people && self.agents.port() != 0,
            "`agents` and `people` must be different addresses",
        );
        wrong(self.file(&self.log) == self.file(&self.state), "`log` and `state` are one file");
        wrong(self.names.is_empty(), "`names` must have at least one name of this collector");
        wrong(self.names.iter().any(String::is_empty), "a name in `names` is empty");
        let distinct: BTreeSet<_> = self.names.iter().collect();
        wrong(distinct.len() != self.names.len(), "a name stands twice in `names`");
        wrong(self.agents_max == 0, "`agents_max` must be at least 1");
        wrong(self.agents_per_address_max == 0, "`agents_per_address_max` must be at least 1");
        wrong(self.people_max == 0, "`people_max` must be at least 1");
        wrong(self.people_per_address_max == 0, "`people_per_address_max` must be at least 1");
        wrong(self.commands_per_hour_max == 0, "`commands_per_hour_max` must be at least 1");
        wrong(
            !(1..=100).contains(&self.alone_percent_max),
            "`alone_percent_max` must be from 1 to 100",
        );
        wrong(self.queries_per_hour_max == 0, "`queries_per_hour_max` must be at least 1");
        mistakes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `says` must be in what is refused; empty for settings that are good.
    #[track_caller]
    fn check(text: &str, says: &[&str]) {
        match Config::parse(text, Path::new("collector.toml")) {
            Ok(_) => assert_eq!(says, [""; 0], "was accepted"),
            Err(error) => {
                let error = error.to_string();
                assert!(!says.is_empty(), "{error}");
                for part in says {
                    assert!(error.contains(part), "'{part}' is not in: {error}");
                }
            }
        }
    }

    #[test]
    fn an_empty_file_means_the_defaults() {
        assert_eq!(Config::parse("", Path::new("x")).unwrap(), Config::default());
    }

    #[test]
    fn the_packaged_file_with_every_line_uncommented_is_the_default() {
        let packaged = include_str!("../../packaging/linux/collector.toml");
        let setting = |line: &&str| line.starts_with('#') && line.contains(" = ");
        let lines = packaged.lines().filter(setting).map(|line| line.trim_start_matches('#'));
        let text = lines.collect::<Vec<_>>().join("\n");
        assert_eq!(Config::parse(&text, Path::new("x")).unwrap(), Config::default());
        assert_eq!(text.lines().count(), 17, "every setting stands in the file");
        assert_eq!(Config::parse(packaged, Path::new("x")).unwrap(), Config::default());
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_line() {
        check("names = [\"a\"]\nagent = 7443\n", &["collector.toml", "line 2", "agent"]);
    }

    #[test]
    fn all_mistakes_are_reported_together() {
        check(
            "names = []\nstate_dir = \"x\"\nlog = \"sqlite:a\"\nstate = \"sqlite:a\"\n",
            &["`names` must", "`state_dir` must", "are one file"],
        );
    }

    #[test]
    fn an_engine_of_a_later_version_is_refused_by_name() {
        check("log = \"nats://x\"", &["'nats://x' is not an engine", "line 1"]);
        check("log = \"sqlite:/elsewhere/log.db\"", &[]);
    }
}
