//! How the lines of a log are treated: which belong together, and how many may come.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::join::Join;
use super::limit::Limit;
use super::pattern::Pattern;
use super::settings::{FileSettings, LogSettings};

/// Names of logs that are never limited unless they are asked for by a path of their own: who came
/// in and who failed to is not to be drowned.
const UNLIMITED: [&str; 2] = ["auth.log", "secure"];

/// What is done with the lines of a log.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Treat {
    pub(super) join: Join,
    /// How long lines wait for more that belong to them.
    pub(super) wait_ns: u64,
    pub(super) limit: Limit,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Treats {
    special: Vec<(Pattern, Arc<Treat>)>,
    limited: Arc<Treat>,
    unlimited: Arc<Treat>,
}

impl Treats {
    pub(super) fn new(settings: &LogSettings) -> Self {
        let limit = Limit {
            lines_per_s: settings.lines_per_s,
            bytes_per_s: settings.bytes_per_s,
            burst_secs: settings.burst_secs,
        };
        let treat = |file: &FileSettings| Treat {
            join: match &file.starts {
                Some(pattern) => Join::starts(pattern),
                None if file.indented => Join::Indented,
                None => Join::Never,
            },
            wait_ns: u64::try_from(Duration::from_millis(file.wait_ms).as_nanos())
                .unwrap_or(u64::MAX),
            limit: Limit {
                lines_per_s: file.lines_per_s.unwrap_or(limit.lines_per_s),
                bytes_per_s: file.bytes_per_s.unwrap_or(limit.bytes_per_s),
                burst_secs: limit.burst_secs,
            },
        };
        let special = settings.files.iter().flat_map(|file| {
            let treat = Arc::new(treat(file));
            file.paths.iter().map(move |path| (Pattern::new(path), Arc::clone(&treat)))
        });
        Self {
            special: special.collect(),
            limited: Arc::new(Treat { limit, ..Treat::default() }),
            unlimited: Arc::default(),
        }
    }

    /// What is done with the log at this path: what the first path that means it says.
    pub(super) fn of(&self, path: &Path) -> Arc<Treat> {
        let special = self.special.iter().find(|(pattern, _treat)| pattern.means(path));
        let is_unlimited =
            path.file_name().is_some_and(|name| UNLIMITED.iter().any(|n| name == *n));
        Arc::clone(match special {
            Some((_pattern, treat)) => treat,
            None if is_unlimited => &self.unlimited,
            None => &self.limited,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_its_own_comes_before_what_is_general_and_logins_are_not_limited() {
        let settings: LogSettings = toml::from_str(
            "lines_per_s = 7
             [[files]]
             paths = ['/var/log/app/*.log']
             starts = '####-'
             lines_per_s = 3
             [[files]]
             paths = ['/var/log/*/b.log', '/srv/secure']
             indented = true",
        )
        .unwrap();
        let treats = Treats::new(&settings);
        let of = |path: &str| {
            let treat = treats.of(Path::new(path));
            (treat.join.clone(), treat.limit.lines_per_s)
        };
        assert_eq!(of("/var/log/syslog"), (Join::Never, 7));
        assert_eq!(of("/var/log/auth.log"), (Join::Never, 0));
        assert_eq!(of("/var/log/app/b.log"), (Join::starts("####-"), 3));
        assert_eq!(of("/var/log/x/b.log"), (Join::Indented, 7));
        assert_eq!(of("/srv/secure"), (Join::Indented, 7));
    }
}
