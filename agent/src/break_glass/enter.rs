//! `cordon-agent release` without a file: somebody at the endpoint types the code that an operator
//! reads to him. The running agent judges it; where none runs, this program does.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};
use cordon_proto::code::Code;

use super::alone::Alone;
use super::reply::Reply;
use crate::config::Config;
use crate::control::{self, Answer, Ask};
use crate::hold;
use crate::identity::StateDir;
use crate::platform::linux::terminal::ask_hidden;
use crate::tell::{complain, say};

/// A line that is longer holds no code.
const LINE_BYTES_MAX: u64 = 256;

/// Codes that are none may be typed so often before this ends.
const TRIES_MAX: usize = 5;

/// Asks for the code and ends what stands.
pub fn run(config: &Config) -> anyhow::Result<ExitCode> {
    let socket = control::agent_socket(config);
    let answer = match asked(&socket, &Ask::MayType)? {
        Some(may) if may.done => {
            let code = read_code(&may.says)?;
            let answer = asked(&socket, &Ask::Code(code))?;
            answer.context("the agent ended; type `cordon-agent release` again")?
        }
        Some(answer) => answer,
        None => alone(config)?.answer(),
    };
    if !answer.done {
        complain(&answer.says);
        return Ok(ExitCode::FAILURE);
    }
    say(&answer.says);
    Ok(ExitCode::SUCCESS)
}

fn asked(socket: &Path, ask: &Ask) -> anyhow::Result<Option<Answer>> {
    let answered = control::ask(socket, ask);
    let answered =
        answered.with_context(|| format!("the agent does not answer at {}", socket.display()))?;
    Ok(answered.map(|(answer, _)| answer))
}

/// Says what a code would do, and reads one.
fn read_code(question: &str) -> anyhow::Result<Code> {
    complain(question);
    for _ in 0..TRIES_MAX {
        let line = ask_hidden("Code: ", LINE_BYTES_MAX).context("reading the code failed")?;
        let line = line.context("no code was given")?;
        match Code::from_text(&line) {
            Ok(code) => return Ok(code),
            Err(error) => complain(&format!("{error}; nothing was tried")),
        }
    }
    bail!("no code was given")
}

/// Judges here, in the place of an agent that does not run. Nobody waits for whoever types: the
/// supervisor holds on until there is a code, and stands aside only then. What stands is looked at
/// anew by then, for somebody else may have been quicker.
fn alone(config: &Config) -> anyhow::Result<Reply> {
    complain("The agent does not answer; the code is judged here.");
    let dir = StateDir::open(&config.state_dir)?;
    let code = match Alone::open(config, &dir)?.standing()? {
        Some(may @ Reply::Ask { .. }) => Some(read_code(&may.answer().says)?),
        Some(reply) => return Ok(reply),
        // It was noted, and then something failed: no second code is asked for.
        None => {
            complain("A right code was typed before, and no other is asked for.");
            None
        }
    };
    let _lock = hold::take_over(config, &dir).context(
        "the agent runs and cannot be asked; stop it (systemctl stop cordon-agent), and type \
         `cordon-agent release` again",
    )?;
    let reply = Alone::open(config, &dir)?.release(code.as_ref())?;
    if reply == Reply::Open {
        complain("The agent tells of it when it runs again.");
    }
    Ok(reply)
}
