//! The agent's own program, started again for work that must not be done in the agent itself.

use std::path::Path;
use std::process::{Command, Stdio};

/// This program, whatever happened to its file meanwhile.
pub(crate) const OWN_PROGRAM: &str = "/proc/self/exe";

/// Where such a process finds the programs of the machine, if it starts any.
pub(crate) const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// A process that does what `word` says: it sees nothing of the agent's environment, is asked by its
/// input and answers by its output.
pub(crate) fn worker(program: &Path, word: &str) -> Command {
    let mut command = Command::new(program);
    command.arg(word).env_clear().current_dir("/");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    command
}
