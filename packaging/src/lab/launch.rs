//! Starts a program in a namespace, in a control group, with a listener handed over as systemd
//! does it (`LISTEN_FDS`): as descriptor 3.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::cgroup::Cgroup;
use super::error::{LabError, doing};
use super::namespace::Namespace;
use crate::process::Process;

/// A program to be started; nothing happens before one of the `start` functions.
#[derive(Debug)]
pub struct Launch {
    what: String,
    program: OsString,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    cgroup: Option<PathBuf>,
    listener: Option<(String, OwnedFd)>,
    output: Option<File>,
}

impl Launch {
    /// `what` names it in messages.
    pub fn new(what: &str, program: impl AsRef<OsStr>) -> Self {
        Self {
            what: what.to_owned(),
            program: program.as_ref().to_owned(),
            arguments: Vec::new(),
            environment: Vec::new(),
            cgroup: None,
            listener: None,
            output: None,
        }
    }

    pub fn arguments<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    pub fn environment(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.into(), value.as_ref().to_owned()));
        self
    }

    /// It joins the group before its first instruction.
    pub fn cgroup(mut self, cgroup: &Cgroup) -> Self {
        self.cgroup = Some(cgroup.path().to_owned());
        self
    }

    /// Handed over as descriptor 3 under this name (`LISTEN_FDNAMES`).
    pub fn listener(mut self, name: &str, listener: OwnedFd) -> Self {
        self.listener = Some((name.to_owned(), listener));
        self
    }

    /// Where its output and errors go; without it, where ours go.
    pub fn output(mut self, file: File) -> Self {
        self.output = Some(file);
        self
    }

    /// Starts it in the namespace.
    pub fn start_in(self, namespace: &Namespace) -> Result<Process, LabError> {
        let name = namespace.name().to_owned();
        namespace.run(move || self.start(&name))?
    }

    /// Starts it beside us, in the initial namespace, which it can leave only through a listener.
    pub fn start_here(self) -> Result<Process, LabError> {
        self.start("the initial namespace")
    }

    fn start(self, namespace: &str) -> Result<Process, LabError> {
        let mut command = Command::new("sh");
        command.args(["-c", &script(self.cgroup.is_some(), self.listener.is_some()), "sh"]);
        command.args(&self.cgroup);
        match self.listener {
            Some((name, descriptor)) => command.arg(name).stdin(Stdio::from(descriptor)),
            None => command.stdin(Stdio::null()),
        };
        command.arg(&self.program).args(&self.arguments).envs(self.environment);
        if let Some(file) = self.output {
            let errors =
                file.try_clone().map_err(doing(|| format!("the output of {}", self.what)))?;
            command.stdout(file).stderr(errors);
        }
        Process::start(&self.what, &mut command)
            .map_err(|cause| LabError::Process { namespace: namespace.to_owned(), cause })
    }
}

/// What a shell does before it becomes the program. The listener comes in as standard input,
/// because that is the one descriptor that reaches it and no other program started meanwhile.
fn script(has_cgroup: bool, has_listener: bool) -> String {
    let mut lines = vec!["set -e"];
    if has_cgroup {
        lines.push("echo $$ >\"$1/cgroup.procs\"; shift");
    }
    if has_listener {
        lines.push("export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=\"$1\"; shift");
        lines.push("exec \"$@\" 3<&0 </dev/null");
    } else {
        lines.push("exec \"$@\"");
    }
    lines.join("\n")
}
