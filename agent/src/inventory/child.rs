//! Asks another program and takes its answer, within a time and a length.

use crate::own_program::PATH;
use std::io::{ErrorKind, Read};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ChildError {
    /// It cannot be started, or not be listened to.
    #[error("running {program}: {source}")]
    Run {
        /// Which.
        program: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It took too long and was ended.
    #[error("{program} did not answer within {} s", within.as_secs())]
    TooSlow {
        /// Which.
        program: String,
        /// How long it had.
        within: Duration,
    },
    /// It said more than is taken, and was ended.
    #[error("{program} said more than {bytes_max} bytes")]
    TooLong {
        /// Which.
        program: String,
        /// How much it might have said.
        bytes_max: usize,
    },
    /// It failed.
    #[error("{program} failed: {status}")]
    Failed {
        /// Which.
        program: String,
        /// How.
        status: std::process::ExitStatus,
    },
}

/// Runs a program with a bare environment and answers what it wrote. Blocks.
pub fn ask(
    program: &str,
    arguments: &[&str],
    within: Duration,
    bytes_max: usize,
    now: impl Fn() -> Duration,
) -> Result<Vec<u8>, ChildError> {
    let named = || program.to_owned();
    let failed = |source| ChildError::Run { program: program.to_owned(), source };
    let mut command = Command::new(program);
    command.args(arguments).env_clear().env("PATH", PATH);
    command.env("LC_ALL", "C").stdin(Stdio::null()).stderr(Stdio::null()).stdout(Stdio::piped());
    let mut child = Ended(command.spawn().map_err(failed)?);
    let deadline = now().saturating_add(within);
    let mut answer = Vec::new();
    if let Some(mut output) = child.0.stdout.take() {
        loop {
            let left = deadline.saturating_sub(now());
            if left.is_zero() || !readable(&output, left).map_err(failed)? {
                return Err(ChildError::TooSlow { program: named(), within });
            }
            match read(&mut output, &mut answer).map_err(failed)? {
                0 => break,
                _ if answer.len() > bytes_max => {
                    return Err(ChildError::TooLong { program: named(), bytes_max });
                }
                _ => {}
            }
        }
    }
    // It has closed its output, so that it is about to end; if not, it is ended.
    let status = child.end_within(deadline, now).map_err(failed)?;
    match status {
        Some(status) if status.success() => Ok(answer),
        Some(status) => Err(ChildError::Failed { program: named(), status }),
        None => Err(ChildError::TooSlow { program: named(), within }),
    }
}

/// A child that does not outlive whoever started it.
struct Ended(Child);

impl Ended {
    fn end_within(
        &mut self,
        deadline: Duration,
        now: impl Fn() -> Duration,
    ) -> std::io::Result<Option<std::process::ExitStatus>> {
        const LOOK_EVERY: Duration = Duration::from_millis(5);
        loop {
            let status = self.0.try_wait()?;
            let left = deadline.saturating_sub(now());
            if status.is_some() || left.is_zero() {
                return Ok(status);
            }
            // Nothing to be read: a wait that a signal may end.
            let wait = Timespec::try_from(left.min(LOOK_EVERY)).unwrap_or_default();
            rustix::event::poll(&mut [], Some(&wait)).ok();
        }
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        // One that has ended already cannot be killed, and its status was taken.
        if matches!(self.0.try_wait(), Ok(None)) {
            self.0.kill().ok();
            self.0.wait().ok();
        }
    }
}

fn readable(output: &ChildStdout, within: Duration) -> std::io::Result<bool> {
    let wait = Timespec::try_from(within).unwrap_or_default();
    let mut fds = [PollFd::new(output, PollFlags::IN)];
    match rustix::event::poll(&mut fds, Some(&wait)) {
        Ok(count) => Ok(count > 0),
        Err(rustix::io::Errno::INTR) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

fn read(output: &mut ChildStdout, answer: &mut Vec<u8>) -> std::io::Result<usize> {
    let mut buffer = [0; 8 << 10];
    loop {
        match output.read(&mut buffer) {
            Ok(count) => {
                answer.extend_from_slice(buffer.get(..count).unwrap_or_default());
                return Ok(count);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Duration {
        Duration::from_nanos(crate::clock::boot_ns())
    }

    fn shell(script: &str, within: Duration) -> Result<Vec<u8>, ChildError> {
        ask("/bin/sh", &["-c", script], within, 1 << 16, now)
    }

    const LONG: Duration = Duration::from_secs(30);

    #[test]
    fn an_answer_is_taken_whole() {
        assert_eq!(shell("echo a; echo b >&2; echo $LC_ALL", LONG).unwrap(), b"a\nC\n");
    }

    #[test]
    fn one_that_fails_or_is_not_there_says_so() {
        assert!(matches!(shell("echo a; exit 3", LONG), Err(ChildError::Failed { .. })));
        let absent = ask("/nowhere/none", &[], LONG, 1, now);
        assert!(matches!(absent, Err(ChildError::Run { .. })));
    }

    #[test]
    fn one_that_never_ends_is_ended() {
        let soon = Duration::from_millis(50);
        assert!(matches!(shell("exec sleep 1000", soon), Err(ChildError::TooSlow { .. })));
        let closed = shell("exec >&-; exec sleep 1000", soon);
        assert!(matches!(closed, Err(ChildError::TooSlow { .. })));
    }

    #[test]
    fn one_that_never_stops_talking_is_ended() {
        assert!(matches!(shell("exec yes", LONG), Err(ChildError::TooLong { .. })));
    }
}
