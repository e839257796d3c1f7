//! `cordon-agent release`: lets this endpoint back by hand, when no order gets through. Whoever
//! owns the rules is asked: the agent, else the supervisor; where neither runs it is done here.

use std::io::Read;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};
use cordon_proto::event::receipt::Outcome;
use cordon_proto::limits::DOCUMENT_BYTES_MAX;

use crate::break_glass::enter;
use crate::config::Config;
use crate::control::{self, Answer, Ask};
use crate::hold::Holder;
use crate::identity::StateDir;
use crate::tell::say;

/// Releases by a signed command in a file; without one, by a code.
pub fn run(config: &Config, file: Option<&Path>) -> anyhow::Result<ExitCode> {
    let Some(file) = file else { return enter::run(config) };
    let bytes = read(file).with_context(|| format!("reading {}", file.display()))?;
    let answer = release(config, &bytes)?;
    if !answer.done {
        bail!("not released: {}", answer.says);
    }
    say(&answer.says);
    Ok(ExitCode::SUCCESS)
}

/// What whoever waits for a release is told of this outcome; nothing while it is under way.
#[must_use]
pub fn answer(outcome: &Outcome) -> Option<Answer> {
    if let Outcome::Failed { reason } = outcome {
        return Some(Answer::refused(reason.clone()));
    }
    if matches!(outcome, Outcome::Applied { stood_already: true, .. }) {
        return Some(Answer::done("it is not isolated"));
    }
    matches!(outcome, Outcome::Ended { .. }).then(|| Answer::done("let back; the rules are gone"))
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let longest = u64::try_from(DOCUMENT_BYTES_MAX)?.saturating_add(1);
    std::fs::File::open(file)?.take(longest).read_to_end(&mut bytes)?;
    if bytes.len() > DOCUMENT_BYTES_MAX {
        bail!("it is longer than any command");
    }
    Ok(bytes)
}

fn release(config: &Config, bytes: &[u8]) -> anyhow::Result<Answer> {
    let ask = Ask::Release(bytes.to_vec());
    let sockets = [
        (control::agent_socket(config), "the agent"),
        (control::hold_socket(config), "the supervisor"),
    ];
    for (socket, who) in sockets {
        let answered: Option<(Answer, UnixStream)> =
            control::ask(&socket, &ask).with_context(|| {
                format!("{who} does not answer; stop it (`systemctl stop`) and try again")
            })?;
        if let Some((answer, _)) = answered {
            return Ok(answer);
        }
    }
    alone(config, bytes)
}

/// Nobody runs who owns the rules.
fn alone(config: &Config, bytes: &[u8]) -> anyhow::Result<Answer> {
    let dir = StateDir::open(&config.state_dir)?;
    let _lock = dir.lock().context("somebody owns the rules and does not answer")?;
    let Some(mut holder) = Holder::open(config, &dir)? else {
        return Ok(Answer::done("it is not isolated"));
    };
    Ok(holder.release(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_no_command_is_refused_before_anybody_is_asked() {
        let temp = tempfile::tempdir().unwrap();
        let config = Config { state_dir: temp.path().join("state"), ..Config::default() };
        let file = temp.path().join("file");
        std::fs::write(&file, vec![0; DOCUMENT_BYTES_MAX + 1]).unwrap();
        let said = format!("{:#}", run(&config, Some(&file)).unwrap_err());
        assert!(said.ends_with("it is longer than any command"), "{said}");
    }
}
