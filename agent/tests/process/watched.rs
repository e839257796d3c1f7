//! A process sensor on a thread of its own, and what it has reported.

use std::collections::HashMap;
use std::fmt::Debug;
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use cordon_agent::clock;
use cordon_agent::sensor::process::{self, ProcessSettings};
use cordon_agent::sensor::{Condition, Outlet, Report, Sample};
use cordon_proto::event::process::{Exec, Exit, Fork, split_args};
use cordon_proto::event::{Body, GapReason, ProcessEvent};
use libtest_mimic::Failed;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, oneshot};

/// How long anything is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

type Reports = mpsc::Receiver<(&'static str, Report)>;

/// The sensor at work.
pub(crate) struct Sensor {
    /// What it said of itself first.
    pub(crate) condition: Condition,
    /// What it has reported so far.
    pub(crate) found: Found,
    marker: String,
    runtime: Runtime,
    reports: Reports,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<io::Result<()>>>,
    /// The number of the thread.
    task: i32,
}

/// What was reported; starts only of processes with the marker, by what follows it.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) execs: HashMap<String, Vec<Exec>>,
    pub(crate) forks: HashMap<u32, Fork>,
    pub(crate) exits: HashMap<u32, Vec<Exit>>,
    /// Ends of processes, by their parent.
    pub(crate) ends: HashMap<u32, usize>,
    pub(crate) lost_starts: usize,
    pub(crate) lost_ends: usize,
    /// The time of the last event.
    pub(crate) last_ns: u64,
}

impl Found {
    /// The only start with this name.
    pub(crate) fn exec(&self, name: &str) -> Option<&Exec> {
        match self.execs.get(name)?.as_slice() {
            [exec] => Some(exec),
            _ => None,
        }
    }

    fn take(&mut self, marker: &str, sample: Sample) -> Result<(), Failed> {
        for seen in sample.observations {
            self.last_ns = seen.time_ns;
            let Body::Process(event) = seen.body else {
                return Err("an event that is not of a process".into());
            };
            match event {
                ProcessEvent::Exec(exec) => self.take_exec(marker, exec),
                ProcessEvent::Fork(fork) => drop(self.forks.insert(fork.pid, fork)),
                ProcessEvent::Exit(exit) => {
                    *self.ends.entry(exit.parent_pid.unwrap_or(0)).or_default() += 1;
                    self.exits.entry(exit.pid).or_default().push(exit);
                }
            }
        }
        for loss in sample.losses {
            ensure_eq(&loss.reason, &GapReason::KernelRing)?;
            let detail = loss.detail.unwrap_or_default();
            let mut parts = detail.split(", ").filter_map(|part| part.split(' ').next());
            self.lost_starts += parts.next().ok_or("a number of starts")?.parse::<usize>()?;
            self.lost_ends += parts.nth(1).ok_or("a number of ends")?.parse::<usize>()?;
        }
        Ok(())
    }

    fn take_exec(&mut self, marker: &str, exec: Exec) {
        let second = exec.args.as_ref().and_then(|args| split_args(args).nth(1));
        let name = second.and_then(|arg| arg.strip_prefix(marker.as_bytes()));
        if let Some(name) = name.map(|name| String::from_utf8_lossy(name).into_owned()) {
            self.execs.entry(name).or_default().push(exec);
        }
    }
}

impl Sensor {
    /// Starts the sensor and waits for its condition.
    pub(crate) fn start(settings: ProcessSettings) -> Result<Self, Failed> {
        Self::start_after(|| Ok(()), settings)
    }

    /// The same on a thread that has done something before.
    pub(crate) fn start_after(
        prepare: impl FnOnce() -> io::Result<()> + Send + 'static,
        settings: ProcessSettings,
    ) -> Result<Self, Failed> {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let serial = STARTED.fetch_add(1, Ordering::Relaxed);
        let marker = format!("cordon-{}-{serial}-", std::process::id());
        let (sender, mut reports) = mpsc::channel(1);
        let (stop, stopped) = oneshot::channel();
        let (told_task, task) = std::sync::mpsc::sync_channel(1);
        let thread = std::thread::spawn(move || {
            told_task.send(rustix::thread::gettid()).map_err(io::Error::other)?;
            prepare()?;
            watch(settings, sender, stopped)
        });
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let first =
            runtime.block_on(async { tokio::time::timeout(PATIENCE, reports.recv()).await });
        let Some((process::NAME, Report::Condition(condition))) = first? else {
            return Err("the first report was not the sensor's condition".into());
        };
        let (stop, thread) = (Some(stop), Some(thread));
        let task = task.recv()?.as_raw_nonzero().get();
        let found = Found::default();
        Ok(Self { condition, found, marker, runtime, reports, stop, thread, task })
    }

    /// What a process must have as its first argument in order to be found under this name.
    pub(crate) fn marker(&self, name: &str) -> String {
        format!("{}{name}", self.marker)
    }

    /// Takes reports until it is there.
    pub(crate) fn look(&mut self, is_there: impl Fn(&Found) -> bool) -> Result<(), Failed> {
        let Self { found, marker, runtime, reports, .. } = self;
        let look = async {
            while !is_there(found) {
                match reports.recv().await {
                    Some((_, Report::Sample(sample))) => found.take(marker, sample)?,
                    Some((_, Report::Proved)) => {}
                    Some((_, Report::Condition(condition))) => {
                        return Err(format!("the sensor fares differently: {condition:?}").into());
                    }
                    None => return Err("the sensor has ended".into()),
                }
            }
            Ok(())
        };
        let looked = runtime.block_on(async { tokio::time::timeout(PATIENCE, look).await });
        looked.map_err(|_elapsed| "what was looked for was not reported")?
    }

    /// The processor time that the sensor's thread has taken, in user and kernel.
    pub(crate) fn processor_time(&self) -> Result<Duration, Failed> {
        let times = std::fs::read_to_string(format!("/proc/self/task/{}/schedstat", self.task))?;
        let running_ns = times.split(' ').next().ok_or("the time of a thread")?;
        Ok(Duration::from_nanos(running_ns.parse()?))
    }
}

impl Drop for Sensor {
    fn drop(&mut self) {
        self.reports.close();
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// Runs the sensor until it is told to stop.
fn watch(
    settings: ProcessSettings,
    sender: mpsc::Sender<(&'static str, Report)>,
    stopped: oneshot::Receiver<()>,
) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let outlet = Outlet::new(process::NAME, sender);
    runtime.block_on(async {
        tokio::select! {
            _ended = process::run(settings, clock::stamp, outlet) => {}
            _dropped = stopped => {}
        }
    });
    Ok(())
}

pub(crate) fn ensure(is_so: bool, what: &str) -> Result<(), Failed> {
    if is_so { Ok(()) } else { Err(format!("not so: {what}").into()) }
}

#[track_caller]
pub(crate) fn ensure_eq<T: Debug + PartialEq>(found: &T, expected: &T) -> Result<(), Failed> {
    let line = std::panic::Location::caller().line();
    let difference = || format!("line {line}: found {found:?}, expected {expected:?}");
    if found == expected { Ok(()) } else { Err(difference().into()) }
}
