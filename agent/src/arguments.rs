//! What `cordon-agent` is told to do, out of its arguments. Pure.
//!
//! `lexopt` takes them apart. A library that also writes the help was a fortieth of the whole
//! program.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use lexopt::Arg::{Long, Short, Value};
use lexopt::Parser;

use crate::config;
use crate::health::VERSION;

/// What to do, and with which settings.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Arguments {
    /// Where the settings are.
    pub config: PathBuf,
    /// What to do.
    pub deed: Deed,
}

/// What to do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Deed {
    /// Run until SIGTERM.
    Run,
    /// Look after an isolation while no agent runs.
    Hold,
    /// Let the endpoint back by hand.
    Release {
        /// A signed release; without it, a code is asked for.
        file: Option<PathBuf>,
    },
    /// Join a client.
    Enroll {
        /// What `cordon token create` has printed.
        string: String,
        /// Also though this endpoint is enrolled.
        force: bool,
    },
    /// Say who this endpoint is.
    Status,
    /// Do nothing, so that the agent that started this sees it.
    Canary,
    /// Take a roster by hand.
    InstallRoster {
        /// The signed roster.
        file: PathBuf,
    },
    /// Check what the agent needs here.
    Doctor {
        /// For programs.
        json: bool,
    },
    /// Be asked by the kernel before programs start.
    DenyWorker,
    /// Answer one query.
    QueryWorker,
    /// Make one archive of evidence.
    CollectWorker,
}

/// What the arguments ask for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Asked {
    /// To do something.
    Do(Arguments),
    /// To say this.
    Say(String),
}

/// Why arguments were not understood.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ArgumentError {
    /// Nothing is to be done.
    #[error("no command is given; `cordon-agent --help` lists them")]
    NoCommand,
    /// No such command.
    #[error("there is no command '{0}'; `cordon-agent --help` lists them")]
    Command(String),
    /// No such option, or not with this command.
    #[error("'{command}' has no option '{option}'; try `cordon-agent {command} --help`")]
    Option {
        /// With which command.
        command: String,
        /// Which.
        option: String,
    },
    /// An option lacks what belongs to it.
    #[error("'--config' needs a FILE")]
    NoFile,
    /// Something else, in the words of who takes arguments apart.
    #[error("{0}; try `cordon-agent --help`")]
    Other(String),
    /// Too few arguments, or too many.
    #[error("this is how it is used: {0}")]
    Usage(&'static str),
}

/// One command: its name, how it is used, and what it does, for a person.
struct Command {
    name: &'static str,
    usage: &'static str,
    about: &'static str,
}

const COMMANDS: [Command; 7] = [
    Command {
        name: "run",
        usage: "cordon-agent run",
        about: "\
Run in the foreground until SIGTERM. What contains the endpoint is not lifted by the end.",
    },
    Command {
        name: "hold",
        usage: "cordon-agent hold",
        about: "\
Put an isolation up again before the network is up, and look after it while no agent runs:
count its lease, put back what somebody changed, obey `release`. The service
cordon-hold.service does that; it ends when nothing is isolated.",
    },
    Command {
        name: "release",
        usage: "cordon-agent release [FILE]",
        about: "\
Let this endpoint back by hand, when no order gets through: with the code that an operator
reads to you, or with a signed release in a file. Needs neither agent nor supervisor.

FILE is what `cordon release ENDPOINT --reason TEXT --to FILE` has written; without it, a
code is asked for. The operator gets the code from `cordon break-glass`; it ends everything
that contains the endpoint, and counts once. Where no agent runs, the network is opened at
once and the rest waits for the agent. Wrong codes are slowed, up to five minutes each, and
never used up.",
    },
    Command {
        name: "enroll",
        usage: "cordon-agent enroll STRING [--force]",
        about: "\
Join a client. Makes this endpoint's keys, and trusts whom the string names.

STRING is what `cordon token create` has printed: `cordon1:…`; `-` reads it from standard
input. With --force this becomes a new endpoint though it is enrolled; what it has not sent
yet is lost.",
    },
    Command {
        name: "status",
        usage: "cordon-agent status",
        about: "Say who this endpoint is, whose, and what it has.",
    },
    Command {
        name: "roster",
        usage: "cordon-agent roster install FILE",
        about: "\
Take a list of people who may act on this endpoint by hand: signed by the authority, and
newer than the one held.",
    },
    Command {
        name: "doctor",
        usage: "cordon-agent doctor [--json]",
        about: "\
Check what the agent needs on this machine, and say what is missing. --json is for programs.",
    },
];

const HELP: &str = "\
Watches this endpoint, streams signed events to your collector, and contains the endpoint on
signed command.

First `cordon-agent enroll STRING` with a string from `cordon token create`, then
`cordon-agent run` (the service does that). `cordon-agent doctor` says what works here.

Usage: cordon-agent [--config FILE] COMMAND

Commands:
  run      Run in the foreground until SIGTERM
  hold     Look after an isolation while no agent runs
  release  Let this endpoint back by hand, when no order gets through
  enroll   Join a client
  status   Say who this endpoint is, whose, and what it has
  roster   The list of people who may act on this endpoint
  doctor   Check what the agent needs on this machine, and say what is missing
  help     Say more about one of these

Options:
  --config FILE  The settings; without the file the defaults hold
                 [default: /etc/cordon/agent.toml]
  -h, --help     Say this, or more about a command
  -V, --version  Say which version this is";

/// Options and words, before anybody asks what they mean together.
#[derive(Default)]
struct Given {
    config: Option<PathBuf>,
    help: bool,
    version: bool,
    option: Option<&'static str>,
    words: Vec<OsString>,
}

/// Understands arguments, without the program's own name.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Asked, ArgumentError> {
    let Given { config, mut help, version, option, words } = sort(Parser::from_args(arguments))?;
    let mut words = words.into_iter();
    let mut name = words.next();
    if name.as_deref() == Some(OsStr::new("help")) {
        help = true;
        name = words.next();
    }
    if version {
        return Ok(Asked::Say(format!("cordon-agent {VERSION}")));
    }
    let Some(name) = name else {
        return if help { Ok(Asked::Say(HELP.to_owned())) } else { Err(ArgumentError::NoCommand) };
    };
    let name = match name.to_string_lossy().into_owned() {
        name if name == "enrol" => "enroll".to_owned(),
        name => name,
    };
    let command = COMMANDS.iter().find(|command| command.name == name);
    if let (true, Some(Command { usage, about, .. })) = (help, command) {
        return Ok(Asked::Say(format!("{about}\n\nUsage: {usage} [--config FILE]")));
    }
    let is_its = |option| matches!((&*name, option), ("enroll", "--force") | ("doctor", "--json"));
    if let Some(option) = option.filter(|option| !is_its(option)) {
        return Err(ArgumentError::Option { command: name, option: option.to_owned() });
    }
    let words: Vec<_> = words.collect();
    let deed = deed(&name, &words, option.is_some(), command)?;
    let config = config.unwrap_or_else(|| config::PATH.into());
    Ok(Asked::Do(Arguments { config, deed }))
}

fn sort(mut parser: Parser) -> Result<Given, ArgumentError> {
    let mut given = Given::default();
    let fault = |given: &Given, error| match error {
        lexopt::Error::MissingValue { .. } => ArgumentError::NoFile,
        lexopt::Error::UnexpectedValue { option, .. } | lexopt::Error::UnexpectedOption(option) => {
            let command = given.words.first().map(|word| word.to_string_lossy().into_owned());
            let command = command.unwrap_or_else(|| "cordon-agent".to_owned());
            ArgumentError::Option { command, option }
        }
        other @ (lexopt::Error::UnexpectedArgument(_)
        | lexopt::Error::ParsingFailed { .. }
        | lexopt::Error::NonUnicodeValue(_)
        | lexopt::Error::Custom(_)) => ArgumentError::Other(other.to_string()),
    };
    while let Some(argument) = parser.next().map_err(|error| fault(&given, error))? {
        match argument {
            Short('h') | Long("help") => given.help = true,
            Short('V') | Long("version") => given.version = true,
            Long("force") => given.option = Some("--force"),
            Long("json") => given.option = Some("--json"),
            Long("config") => {
                given.config = Some(parser.value().map_err(|error| fault(&given, error))?.into());
            }
            Value(word) => given.words.push(word),
            Short(_) | Long(_) => return Err(fault(&given, argument.unexpected())),
        }
    }
    Ok(given)
}

fn deed(
    name: &str,
    words: &[OsString],
    option: bool,
    command: Option<&Command>,
) -> Result<Deed, ArgumentError> {
    let deed = match (name, words) {
        ("run", []) => Deed::Run,
        ("hold", []) => Deed::Hold,
        ("release", []) => Deed::Release { file: None },
        ("release", [file]) => Deed::Release { file: Some(file.into()) },
        ("enroll", [string]) => {
            Deed::Enroll { string: string.to_string_lossy().into_owned(), force: option }
        }
        ("status", []) => Deed::Status,
        ("canary", [_token]) => Deed::Canary,
        ("roster", [install, file]) if install == "install" => {
            Deed::InstallRoster { file: file.into() }
        }
        ("doctor", []) => Deed::Doctor { json: option },
        ("deny-worker", []) => Deed::DenyWorker,
        ("query-worker", []) => Deed::QueryWorker,
        ("collect-worker", []) => Deed::CollectWorker,
        (name, _) => {
            let unknown = || ArgumentError::Command(name.to_owned());
            return Err(command.map_or_else(unknown, |command| ArgumentError::Usage(command.usage)));
        }
    };
    Ok(deed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(line: &str) -> Result<Asked, ArgumentError> {
        parse(line.split_whitespace().map(OsString::from))
    }

    #[track_caller]
    fn check(line: &str, deed: Deed) {
        let config = config::PATH.into();
        assert_eq!(asked(line), Ok(Asked::Do(Arguments { config, deed })), "{line}");
    }

    #[track_caller]
    fn says(line: &str, part: &str) {
        let Ok(Asked::Say(text)) = asked(line) else { panic!("{line}: says nothing") };
        assert!(text.contains(part), "{line}: {text}");
    }

    #[test]
    fn every_command_is_understood() {
        check("run", Deed::Run);
        check("hold", Deed::Hold);
        check("release", Deed::Release { file: None });
        check("release /a", Deed::Release { file: Some("/a".into()) });
        let string = "cordon1:x".to_owned();
        check("enroll cordon1:x", Deed::Enroll { string: string.clone(), force: false });
        check("enrol --force cordon1:x", Deed::Enroll { string, force: true });
        check("enroll -", Deed::Enroll { string: "-".to_owned(), force: false });
        check("enroll -- -x", Deed::Enroll { string: "-x".to_owned(), force: false });
        check("status", Deed::Status);
        check("canary 0a1b", Deed::Canary);
        check("roster install /r", Deed::InstallRoster { file: "/r".into() });
        check("doctor", Deed::Doctor { json: false });
        check("doctor --json", Deed::Doctor { json: true });
        check("deny-worker", Deed::DenyWorker);
        check("query-worker", Deed::QueryWorker);
        check("collect-worker", Deed::CollectWorker);
    }

    #[test]
    fn the_settings_may_be_named_before_and_after_the_command() {
        for line in ["--config /s run", "run --config /s", "run --config=/s"] {
            let deed = Deed::Run;
            assert_eq!(asked(line), Ok(Asked::Do(Arguments { config: "/s".into(), deed })));
        }
        assert_eq!(asked("run --config"), Err(ArgumentError::NoFile));
    }

    #[test]
    fn help_is_of_the_whole_or_of_one_command_and_names_every_one() {
        says("--help", "Usage: cordon-agent [--config FILE] COMMAND");
        says("help", config::PATH);
        for Command { name, usage, .. } in &COMMANDS {
            says(&format!("{name} -h"), usage);
            says(&format!("help {name}"), usage);
            assert!(HELP.contains(&format!("\n  {name} ")), "{name}");
        }
        says("--version", VERSION);
    }

    #[test]
    fn what_is_not_understood_is_named() {
        assert_eq!(asked(""), Err(ArgumentError::NoCommand));
        assert_eq!(asked("rum"), Err(ArgumentError::Command("rum".to_owned())));
        for (line, command, option) in [
            ("run --force", "run", "--force"),
            ("enroll x --json", "enroll", "--json"),
            ("status --quick", "status", "--quick"),
            ("-q", "cordon-agent", "-q"),
            ("doctor --json=x", "doctor", "--json"),
        ] {
            let (command, option) = (command.to_owned(), option.to_owned());
            assert_eq!(asked(line), Err(ArgumentError::Option { command, option }), "{line}");
        }
        for line in ["run now", "enroll", "enroll a b", "roster", "roster install", "release a b"] {
            assert!(matches!(asked(line), Err(ArgumentError::Usage(_))), "{line}");
        }
    }
}
