//! `cordon-agent release`: lets this endpoint back by hand, when no order gets through. Whoever
//! owns the rules is asked: the agent, else the supervisor; where neither runs it is done here.

use std::io::Read;
use std::os::unix::net::UnixStream;
use std::path::Path;

use anyhow::{Context, bail};
use cordon_proto::event::receipt::Outcome;
use cordon_proto::limits::DOCUMENT_BYTES_MAX;

use crate::config::Config;
use crate::control::{self, Answer, Ask};
use crate::hold::Holder;
use crate::identity::StateDir;
use crate::kept::{Found, KeptIsolation};
use crate::tell::say;

/// Releases by a signed command in a file; without one, by a code.
pub fn run(config: &Config, file: Option<&Path>) -> anyhow::Result<()> {
    let Some(file) = file else {
        bail!(
            "no break-glass code is stored on this endpoint; give the file of a signed release: \
             an operator makes one with `cordon release ENDPOINT --reason TEXT --to FILE`"
        );
    };
    let bytes = read(file).with_context(|| format!("reading {}", file.display()))?;
    let answer = release(config, &Ask::Release(bytes))?;
    if !answer.done {
        bail!("not released: {}", answer.says);
    }
    say(&answer.says);
    Ok(())
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

fn release(config: &Config, ask: &Ask) -> anyhow::Result<Answer> {
    let sockets = [
        (control::agent_socket(config), "the agent"),
        (control::hold_socket(config), "the supervisor"),
    ];
    for (socket, who) in sockets {
        let answered: Option<(Answer, UnixStream)> =
            control::ask(&socket, ask).with_context(|| {
                format!("{who} does not answer; stop it (`systemctl stop`) and try again")
            })?;
        if let Some((answer, _)) = answered {
            return Ok(answer);
        }
    }
    alone(config, ask)
}

/// Nobody runs who owns the rules.
fn alone(config: &Config, ask: &Ask) -> anyhow::Result<Answer> {
    let dir = StateDir::open(&config.state_dir)?;
    let _lock = dir.lock().context("somebody owns the rules and does not answer")?;
    if let Found::Nothing = KeptIsolation::find(&dir) {
        return Ok(Answer::done("it is not isolated"));
    }
    let Some(mut holder) = Holder::open(config, &dir)? else {
        return Ok(Answer::done("it is not isolated"));
    };
    match ask {
        Ask::Release(bytes) => Ok(holder.release(bytes)),
        Ask::StandAside => bail!("there is nobody to stand aside"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_file_and_without_a_code_it_says_how_to_get_a_file() {
        let said = run(&Config::default(), None).unwrap_err().to_string();
        assert!(said.contains("no break-glass code") && said.contains("--to FILE"), "{said}");
    }

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
