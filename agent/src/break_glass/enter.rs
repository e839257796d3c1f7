//! `cordon-agent release`: somebody at the endpoint types the code that an operator reads to him.
//!
//! The running agent is asked to look at it. Where none runs, this program looks itself, takes down
//! what stands, and leaves word for the agent, which tells of it when it runs again.

use std::process::ExitCode;

use anyhow::{Context, bail};
use cordon_proto::code::Code;

use super::ask::{self, Answer, Question, SOCKET};
use super::kept::Kept;
use super::{Attempt, BreakGlass, Verdict};
use crate::action::isolate::shell::{Safety, Shell};
use crate::clock;
use crate::config::Config;
use crate::hold;
use crate::identity::{Identity, StateDir};
use crate::kept::{self, ISOLATION};
use crate::machine::Machine;
use crate::platform::linux::terminal::ask_hidden;
use crate::roster_keeper::RosterKeeper;
use crate::tell::{complain, say};

/// A line that is longer holds no code.
const LINE_BYTES_MAX: u64 = 256;

/// Codes that are none may be typed so often before this ends.
const TRIES_MAX: usize = 5;

/// Asks for the code and ends what stands.
pub fn run(config: &Config) -> anyhow::Result<ExitCode> {
    let dir = StateDir::open(&config.state_dir)?;
    let path = dir.path(SOCKET);
    let asked = ask::ask(&path, &Question::Standing);
    let asked = asked.with_context(|| format!("asking the agent at {} failed", path.display()))?;
    let answer = match asked {
        Some(standing) => through_the_agent(standing, |code| {
            let question = Question::Try { code: *code.bytes() };
            let answer = ask::ask(&path, &question).context("asking the agent failed")?;
            answer.context("the agent ended; type `cordon-agent release` again")
        })?,
        None => alone(config, &dir)?,
    };
    Ok(told(&answer))
}

fn through_the_agent(
    standing: Answer,
    try_code: impl FnOnce(&Code) -> anyhow::Result<Answer>,
) -> anyhow::Result<Answer> {
    let Answer::Standing { serial, wait_secs, stand, under_way } = standing else {
        bail!("the agent answers another question than the one asked");
    };
    if under_way {
        return Ok(Answer::GoesOn);
    }
    let Some(serial) = serial else { return Ok(Answer::NoCode) };
    if wait_secs > 0 {
        return Ok(Answer::Slowed { wait_secs });
    }
    try_code(&read_code(serial, stand)?)
}

/// Says which code is meant, and reads one.
fn read_code(serial: u64, stand: u64) -> anyhow::Result<Code> {
    complain(&match stand {
        0 => {
            "Nothing is recorded as standing here; a right code is used up all the same.".to_owned()
        }
        stand => format!("{stand} containment(s) stand here. The code ends all of them."),
    });
    complain(&format!(
        "The code that holds is number {serial}; an operator sees it with `cordon break-glass`."
    ));
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

fn told(answer: &Answer) -> ExitCode {
    match answer {
        Answer::Open => {
            say(
                "The code was right and is used up. The network is open; whatever else stood is put \
                 back by the agent.",
            );
            return ExitCode::SUCCESS;
        }
        Answer::GoesOn => complain(
            "A right code was typed, and what stands could not be ended yet; it is tried on. See \
             the agent's log.",
        ),
        Answer::Wrong { wait_secs: 0 } => complain("That is not the code; try again."),
        Answer::Wrong { wait_secs } => {
            complain(&format!("That is not the code. The next one is looked at in {wait_secs} s."))
        }
        Answer::Slowed { wait_secs } => complain(&format!(
            "After several wrong codes the next one is looked at in {wait_secs} s."
        )),
        Answer::NoCode => complain(
            "No code holds at this moment: none was sealed to anybody, or the next one is just \
             being made. A signed release, or the end of the lease, are the ways out.",
        ),
        Answer::Busy => complain("Another code is just being looked at; try again."),
        Answer::Standing { .. } => complain("The agent answers another question."),
    }
    ExitCode::FAILURE
}

/// Looks here, in the place of an agent that does not run. Nobody waits for whoever types: the
/// supervisor holds on until there is a code, and stands aside only then.
fn alone(config: &Config, dir: &StateDir) -> anyhow::Result<Answer> {
    complain("The agent does not answer; the code is looked at here.");
    let before = Alone::open(config, dir)?;
    let code = match before.glass.attempt(before.held, before.secs) {
        Attempt::Check { serial, .. } => Some(read_code(serial, before.stand()?)?),
        Attempt::NoCode => return Ok(Answer::NoCode),
        Attempt::Slowed(wait_secs) => return Ok(Answer::Slowed { wait_secs }),
        // It was noted, and then something failed: no second code is asked for.
        Attempt::UnderWay => {
            complain("A right code was typed before, and no other is asked for.");
            None
        }
    };
    let _lock = hold::take_over(config, dir).context(
        "the agent runs and cannot be asked; stop it (systemctl stop cordon-agent), and type \
         `cordon-agent release` again",
    )?;
    Alone::open(config, dir)?.release(code.as_ref())
}

/// This program in the dead agent's place.
struct Alone<'a> {
    dir: &'a StateDir,
    own: StateDir,
    glass: BreakGlass,
    held: cordon_proto::roster::RosterRef,
    secs: u64,
    shell: Shell,
}

impl<'a> Alone<'a> {
    fn open(config: &Config, dir: &'a StateDir) -> anyhow::Result<Self> {
        let identity = Identity::load(dir)?;
        let own = dir.inner(&identity.own_dir_name())?;
        let kept = Kept::load(&own)?;
        let held = RosterKeeper::open(own.clone(), &identity)?.held().reference;
        // A lost clock must not lock the door: then every code is looked at.
        let secs = Machine::read().ok().and_then(|machine| {
            let time = kept::load_time(&own, &machine.boot_id, clock::boot_ns()).ok()?;
            Some(time.secs(clock::boot_ns()))
        });
        let secs = secs.unwrap_or(kept.next_secs);
        let plain_tables = !config.isolation.own_tables;
        let safety = Safety { outside_initial_netns_only: config.lab, plain_tables };
        let shell = Shell::new(safety, config.state_dir.clone());
        Ok(Self { dir, own, glass: BreakGlass::resume(kept), held, secs, shell })
    }

    fn stand(&self) -> anyhow::Result<u64> {
        Ok(u64::from(self.dir.read_secret(ISOLATION)?.is_some()))
    }

    /// What stands is looked at anew: somebody else may have been quicker.
    fn release(mut self, code: Option<&Code>) -> anyhow::Result<Answer> {
        let isolation = self.dir.read_secret(ISOLATION)?;
        let (serial, check) = match self.glass.attempt(self.held, self.secs) {
            Attempt::Check { serial, check } => (serial, check),
            Attempt::NoCode => return Ok(Answer::NoCode),
            Attempt::Slowed(wait_secs) => return Ok(Answer::Slowed { wait_secs }),
            Attempt::UnderWay => return self.let_back(isolation),
        };
        let right = code.is_some_and(|code| check.holds(code));
        let time_ns = clock::stamp().time_ns;
        match self.glass.handle_checked(serial, right, self.held, self.secs, time_ns) {
            Verdict::Right => self.let_back(isolation),
            Verdict::Wrong { wait_secs } => {
                self.glass.kept().store(&self.own)?;
                Ok(Answer::Wrong { wait_secs })
            }
            Verdict::Void => Ok(Answer::NoCode),
        }
    }

    /// The use is on disk before anything is opened, and with it the record of what stood, so that
    /// nothing puts it up again and the agent can tell how it ended.
    fn let_back(self, isolation: Option<Vec<u8>>) -> anyhow::Result<Answer> {
        let Self { dir, own, glass, mut shell, .. } = self;
        let mut kept = glass.kept().clone();
        if let Some(opening) = &mut kept.opening
            && isolation.is_some()
        {
            opening.isolation = isolation;
        }
        if let Err(error) = kept.store(&own) {
            // A full disk must not keep anybody in.
            complain(&format!("the use of the code could not be noted: {error}"));
        }
        shell.let_back().context("what stands could not be taken down")?;
        dir.remove(ISOLATION)?;
        say("The agent tells of it when it runs again.");
        Ok(Answer::Open)
    }
}
