//! Starts of the agent that fail because of its disk: they are tried again, ever less often. Until one
//! succeeds nothing is held here, so that the supervisor has the lock, and a signed release and a
//! typed code are taken.

use std::time::Duration;

use super::start::StartError;
use super::{Agent, Asked, Signals};
use crate::config::Config;
use crate::identity::StateDirError;
use crate::kept::KeptError;
use crate::sd_notify;

const FIRST: Duration = Duration::from_secs(2);
/// A disk that was mended is noticed within this.
const LONGEST: Duration = Duration::from_secs(5 * 60);

/// Starts the agent; none if the system wants it to end before it could.
pub(super) async fn start(config: &Config) -> Result<Option<Agent>, StartError> {
    let mut signals = Signals::new().map_err(StartError::Runtime)?;
    let mut wait = FIRST;
    loop {
        let error = match Agent::start(config.clone()).await {
            Ok(agent) => {
                sd_notify::tell("STATUS=");
                return Ok(Some(agent));
            }
            Err(error) if is_of_the_disk(&error) => error,
            Err(error) => return Err(error),
        };
        let wait_secs = wait.as_secs();
        tracing::error!(%error, wait_secs, "the agent cannot start on this disk; it tries again");
        let status = format!("STATUS=Cannot start, tries again every {wait_secs} s: {error}");
        sd_notify::tell(&status);
        if is_stopped(&mut signals, wait).await {
            return Ok(None);
        }
        wait = longer(wait);
    }
}

/// Waits; true if the system wants the agent to end meanwhile.
async fn is_stopped(signals: &mut Signals, wait: Duration) -> bool {
    let over = tokio::time::sleep(wait);
    tokio::pin!(over);
    loop {
        tokio::select! {
            () = &mut over => return false,
            asked = signals.next() => match asked {
                Asked::Stop(_) => return true,
                Asked::Sleep => {}
            },
        }
    }
}

fn longer(wait: Duration) -> Duration {
    wait.saturating_mul(2).min(LONGEST)
}

/// Whether it is the disk that keeps the agent from starting: one that is full, that can only be
/// read, or that fails. Everything else is a mistake of somebody's, who is to see it at once.
fn is_of_the_disk(error: &StartError) -> bool {
    match error {
        StartError::Spool(_) | StartError::Collected(_) => true,
        StartError::StateDir(error) | StartError::Kept(KeptError::StateDir(error)) => {
            matches!(error, StateDirError::Io { cause, .. } if fails(cause))
        }
        StartError::Kept(KeptError::Random | KeptError::Time(_))
        | StartError::Identity(_)
        | StartError::Roster(_)
        | StartError::Key(_)
        | StartError::Certificate(_)
        | StartError::Proxy(_)
        | StartError::Machine(_)
        | StartError::Runtime(_) => false,
    }
}

fn fails(cause: &std::io::Error) -> bool {
    use std::io::ErrorKind;
    let io = rustix::io::Errno::IO.raw_os_error();
    matches!(
        cause.kind(),
        ErrorKind::ReadOnlyFilesystem | ErrorKind::StorageFull | ErrorKind::QuotaExceeded
    ) || cause.raw_os_error() == Some(io)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(errno: rustix::io::Errno, expected: bool) {
        let cause = std::io::Error::from(errno);
        let error = StateDirError::Io { doing: "opening", path: "/x".into(), cause };
        assert_eq!(is_of_the_disk(&StartError::StateDir(error)), expected, "{errno:?}");
    }

    #[test]
    fn a_disk_may_be_mended_and_a_mistake_is_told_at_once() {
        use rustix::io::Errno;
        for errno in [Errno::ROFS, Errno::NOSPC, Errno::DQUOT, Errno::IO] {
            check(errno, true);
        }
        for errno in [Errno::ACCESS, Errno::NOENT, Errno::NOTDIR] {
            check(errno, false);
        }
        let in_use = StateDirError::InUse("/x".into());
        assert!(!is_of_the_disk(&StartError::StateDir(in_use)), "another agent runs");
    }

    #[test]
    fn waits_grow_to_minutes_and_no_further() {
        let mut wait = FIRST;
        let mut waits = Vec::new();
        for _ in 0..10 {
            waits.push(wait.as_secs());
            wait = longer(wait);
        }
        assert_eq!(waits, [2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
    }
}
