//! `cordon-agent doctor`: checks what the agent needs on this machine, and says what is missing and
//! what follows from it. Changes nothing.

mod hold;
mod query;
mod sight;

use std::process::ExitCode;

use cordon_proto::version::SESSION_PATH;
use serde::Serialize;

use crate::config::Config;
use crate::identity::{Identity, StateDir};
use crate::link::dial::DialError;
use crate::platform::linux::netns::Netns;
use crate::platform::linux::nft::Nftables;
use crate::roster_keeper::RosterKeeper;
use crate::{clock, run, tell};

/// How a check went.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Grade {
    Fine,
    /// The agent runs, and can do less.
    Less,
    /// The agent does not do what it is for.
    Bad,
}

/// One check and what it found.
#[derive(Clone, Debug, Serialize)]
struct Finding {
    check: &'static str,
    grade: Grade,
    found: String,
}

impl Finding {
    fn of(check: &'static str, grade: Grade, found: impl Into<String>) -> Self {
        Self { check, grade, found: found.into() }
    }
}

/// Checks everything and says it; failing if something is bad.
pub fn run(config: &Config, json: bool) -> anyhow::Result<ExitCode> {
    let mut findings = vec![rights(), state(config)];
    findings.extend(sight::all(config));
    findings.extend([query::finding(), nftables(config), hold::finding(config)]);
    findings.extend([collector(config)?, wall_clock()]);
    if json {
        tell::say(&serde_json::to_string_pretty(&findings)?);
    } else {
        findings.iter().for_each(|finding| tell::say(&line(finding)));
    }
    let bad = findings.iter().any(|finding| finding.grade == Grade::Bad);
    Ok(if bad { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn line(Finding { check, grade, found }: &Finding) -> String {
    let grade = match grade {
        Grade::Fine => "fine",
        Grade::Less => "less",
        Grade::Bad => "BAD ",
    };
    format!("{grade}  {check:<10}  {found}")
}

fn rights() -> Finding {
    if rustix::process::geteuid().is_root() {
        Finding::of("rights", Grade::Fine, "running as root")
    } else {
        let found = "not running as root: the agent itself must, and these checks see less";
        Finding::of("rights", Grade::Less, found)
    }
}

fn state(config: &Config) -> Finding {
    let check = "state";
    let looked = StateDir::open(&config.state_dir).map_err(|error| error.to_string());
    let identity = looked.and_then(|dir| Identity::load(&dir).map_err(|error| error.to_string()));
    match identity {
        Ok(identity) => {
            let found = format!("endpoint {} of {}", identity.endpoint.short(), identity.client);
            Finding::of(check, Grade::Fine, found)
        }
        Err(error) => Finding::of(check, Grade::Bad, error),
    }
}

fn nftables(config: &Config) -> Finding {
    let check = "isolation";
    if config.lab {
        match Netns::own().and_then(Netns::is_initial) {
            Ok(false) => {}
            Ok(true) => {
                let found = "settings say `lab`, and this is the initial network namespace: \
                             isolation is refused";
                return Finding::of(check, Grade::Less, found);
            }
            Err(error) => return Finding::of(check, Grade::Bad, error.to_string()),
        }
    }
    match Nftables::open(true) {
        Ok(_) => Finding::of(check, Grade::Fine, "nf_tables answers"),
        Err(error) => {
            Finding::of(check, Grade::Bad, format!("this endpoint cannot be isolated: {error}"))
        }
    }
}

fn collector(config: &Config) -> anyhow::Result<Finding> {
    let check = "collector";
    let dialer = StateDir::open(&config.state_dir).map_err(|error| error.to_string());
    let dialer = dialer.and_then(|dir| {
        let identity = Identity::load(&dir).map_err(|_untold| "not enrolled".to_owned())?;
        let own = dir.inner(&identity.own_dir_name()).map_err(|error| error.to_string())?;
        let roster = RosterKeeper::open(own, &identity).map_err(|error| error.to_string())?;
        run::dialer(config, &identity, &roster).map_err(|error| error.to_string())
    });
    let dialer = match dialer {
        Ok(dialer) => dialer,
        Err(error) => return Ok(Finding::of(check, Grade::Bad, error)),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let dialed = runtime.block_on(async { dialer.dial(SESSION_PATH).await.map(|it| it.peer) });
    // A name that is still being resolved must not hold the answer up.
    runtime.shutdown_background();
    Ok(match dialed {
        Ok(peer) => Finding::of(check, Grade::Fine, format!("reached at {peer}, pin and all")),
        Err(error @ DialError { certificate_refused: true, .. }) => {
            let found = format!("{error}; the agent will ask for a new certificate by itself");
            Finding::of(check, Grade::Less, found)
        }
        Err(error) => Finding::of(check, Grade::Bad, error.to_string()),
    })
}

/// 2026-01-01: no machine that runs this version lives before it.
const BUILT_AFTER_NS: u64 = 1_767_225_600_000_000_000;

fn wall_clock() -> Finding {
    if clock::stamp().time_ns >= BUILT_AFTER_NS {
        return Finding::of("clock", Grade::Fine, "plausible; nothing but display relies on it");
    }
    let found = "the wall clock is before this version was made: times shown will be wrong; \
                 leases and commands count endpoint time and are not touched by it";
    Finding::of("clock", Grade::Less, found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_that_is_not_enrolled_is_told_how_to() {
        let temp = tempfile::tempdir().unwrap();
        let config = Config { state_dir: temp.path().join("state"), ..Config::default() };
        let finding = state(&config);
        assert_eq!(finding.grade, Grade::Bad);
        assert!(finding.found.contains("cordon-agent enroll STRING"), "{}", finding.found);
        assert_eq!(collector(&config).unwrap().grade, Grade::Bad);
    }

    #[test]
    fn a_finding_reads_as_one_line_and_as_json() {
        let finding = Finding::of("clock", Grade::Bad, "it stands still");
        assert_eq!(line(&finding), "BAD   clock       it stands still");
        let json = serde_json::to_string(&finding).unwrap();
        assert_eq!(json, r#"{"check":"clock","grade":"bad","found":"it stands still"}"#);
    }
}
