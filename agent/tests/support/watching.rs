//! Sensors on a thread of their own, and the reports that come from there.

use std::io;
use std::ops::ControlFlow;
use std::thread::JoinHandle;
use std::time::Duration;

use cordon_agent::sensor::Report;
use libtest_mimic::Failed;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, oneshot};

use crate::ensure::PATIENCE;

pub(crate) type Sender = mpsc::Sender<(&'static str, Report)>;

/// Sensors at work; they end with this.
pub(crate) struct Watching {
    runtime: Runtime,
    reports: mpsc::Receiver<(&'static str, Report)>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<io::Result<()>>>,
    /// The number of the thread.
    task: i32,
}

impl Watching {
    /// Runs what `watch` makes, on a thread that has prepared itself.
    pub(crate) fn start<F: Future>(
        prepare: impl FnOnce() -> io::Result<()> + Send + 'static,
        watch: impl FnOnce(Sender) -> F + Send + 'static,
    ) -> Result<Self, Failed> {
        let (sender, reports) = mpsc::channel(1);
        let (stop, stopped) = oneshot::channel::<()>();
        let (told_task, task) = std::sync::mpsc::sync_channel(1);
        let thread = std::thread::spawn(move || {
            told_task.send(rustix::thread::gettid()).map_err(io::Error::other)?;
            prepare()?;
            let runtime = Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                tokio::select! {
                    _ended = watch(sender) => {}
                    _dropped = stopped => {}
                }
            });
            Ok(())
        });
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let task = task.recv()?.as_raw_nonzero().get();
        Ok(Self { runtime, reports, stop: Some(stop), thread: Some(thread), task })
    }

    /// Takes reports until one of them was what is waited for.
    pub(crate) fn take<T>(
        &mut self,
        mut take: impl FnMut(&'static str, Report) -> Result<ControlFlow<T>, Failed>,
    ) -> Result<T, Failed> {
        let Self { runtime, reports, .. } = self;
        let taking = async {
            while let Some((name, report)) = reports.recv().await {
                if let ControlFlow::Break(found) = take(name, report)? {
                    return Ok(found);
                }
            }
            Err(Failed::from("the sensors have ended"))
        };
        let taken = runtime.block_on(async { tokio::time::timeout(PATIENCE, taking).await });
        taken.map_err(|_elapsed| "what was looked for was not reported")?
    }

    /// The processor time that the sensors' thread has taken, in user and kernel.
    pub(crate) fn processor_time(&self) -> Result<Duration, Failed> {
        let times = std::fs::read_to_string(format!("/proc/self/task/{}/schedstat", self.task))?;
        let running_ns = times.split(' ').next().ok_or("the time of a thread")?;
        Ok(Duration::from_nanos(running_ns.parse()?))
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.reports.close();
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}
