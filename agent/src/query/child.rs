//! The process of one query as the agent sees it: started, read from, and ended in time.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, ExitStatus};
use std::sync::Arc;
use std::time::Duration;

use cordon_proto::codec;
use cordon_proto::query::Limit;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::frame::{self, Ended, Frame, Request};
use crate::clock::Clock;
use crate::own_program::{PATH, worker};

/// The word by which the program knows that it is to answer a query.
pub const WORD: &str = "query-worker";

/// How much longer than the query the process may take: to start, and to say that time is over.
const GRACE: Duration = Duration::from_secs(2);

/// Read from the pipe at once.
const READ_BYTES: usize = 64 << 10;

/// The process. It ends when this is dropped.
#[derive(Debug)]
pub struct Worker {
    child: Child,
    request: Option<(ChildStdin, Vec<u8>)>,
    out: ChildStdout,
    read: Vec<u8>,
    deadline: Duration,
    clock: Clock,
}

/// Ends the process from elsewhere while its answer is waited for.
#[derive(Clone, Debug)]
pub struct Brake(Arc<OwnedFd>);

impl Brake {
    /// Ends the process; whoever reads from it sees that at once.
    pub fn pull(&self) {
        if let Err(error) = pidfd_send_signal(&self.0, Signal::KILL) {
            tracing::debug!(%error, "the process of a query had ended already");
        }
    }
}

impl Worker {
    /// Starts the process. It must be called from a thread that lives as long as the agent: the
    /// process ends with the thread that started it.
    pub fn start(program: &Path, request: &Request, clock: Clock) -> io::Result<(Self, Brake)> {
        let mut child = worker(program, WORD).env("PATH", PATH).spawn()?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let pipes = child.stdin.take().zip(child.stdout.take());
        let time = Duration::from_millis(request.query.time_ms_max);
        let started = pipes.zip(pid).ok_or_else(|| io::Error::other("it has no pipes"));
        let opened =
            started.and_then(|(pipes, pid)| Ok((pipes, pidfd_open(pid, PidfdFlags::empty())?)));
        let ((stdin, out), pidfd) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                end(&mut child);
                return Err(error);
            }
        };
        let request = Some((stdin, codec::encode(request)));
        let deadline = clock.now().saturating_add(time).saturating_add(GRACE);
        let worker = Self { child, request, out, read: Vec::new(), deadline, clock };
        Ok((worker, Brake(Arc::new(pidfd))))
    }

    /// The next frame. Blocks, at the longest until the process's time is over.
    pub fn read(&mut self) -> Frame {
        self.try_read().unwrap_or_else(|error| {
            Frame::End(Ended::failed(format!("the process of the query cannot be read: {error}")))
        })
    }

    fn try_read(&mut self) -> io::Result<Frame> {
        if let Some((mut stdin, request)) = self.request.take()
            && let Err(error) = stdin.write_all(&request)
        {
            // It has ended before it read; how, is said below.
            tracing::debug!(%error, "the process of a query takes nothing");
        }
        loop {
            if let Some(frame) = frame::take(&mut self.read)? {
                return Ok(frame);
            }
            if !self.wait()? {
                return Ok(Frame::End(Ended::cut(Limit::Time)));
            }
            let mut buffer = vec![0; READ_BYTES];
            match self.out.read(&mut buffer) {
                Ok(0) => return Ok(Frame::End(of_status(self.child.wait()?))),
                Ok(read) => self.read.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits until there is something to read; false once the time is over.
    fn wait(&self) -> io::Result<bool> {
        loop {
            let left = self.deadline.saturating_sub(self.clock.now());
            let left = Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            };
            let mut fds = [PollFd::from_borrowed_fd(self.out.as_fd(), PollFlags::IN)];
            match poll(&mut fds, Some(&left)) {
                Ok(ready) => return Ok(ready > 0),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

fn end(child: &mut Child) {
    // Both fail only if it is gone, which is what they are for.
    child.kill().ok();
    child.wait().ok();
}

/// What the end of a process that did not say it itself means.
fn of_status(status: ExitStatus) -> Ended {
    match status.signal() {
        // Memory that the program itself could not get aborts it; the kernel kills what takes the
        // last there is.
        Some(libc::SIGABRT | libc::SIGKILL) => Ended::cut(Limit::Memory),
        Some(libc::SIGXCPU) => Ended::cut(Limit::Time),
        _ => Ended::failed(format!("the process of the query did not finish: {status}")),
    }
}
