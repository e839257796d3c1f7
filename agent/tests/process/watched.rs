//! A process sensor on a thread of its own, and what it has reported.

use std::collections::HashMap;
use std::io;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use cordon_agent::clock;
use cordon_agent::sensor::process::{self, ProcessSettings};
use cordon_agent::sensor::{Condition, Outlet, Report, Sample};
use cordon_proto::event::process::{Exec, Exit, Fork, ImageHash, split_args};
use cordon_proto::event::{Body, GapReason, ProcessEvent};
use libtest_mimic::Failed;

use crate::ensure::ensure_eq;
use crate::watching::Watching;

/// The sensor at work.
pub(crate) struct Sensor {
    /// What it said of itself first.
    pub(crate) condition: Condition,
    /// What it has reported so far.
    pub(crate) found: Found,
    marker: String,
    watching: Watching,
}

/// What was reported; starts only of processes with the marker, by what follows it.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) execs: HashMap<String, Vec<Exec>>,
    pub(crate) forks: HashMap<u32, Fork>,
    pub(crate) exits: HashMap<u32, Vec<Exit>>,
    /// When processes ended, boot-time clock.
    pub(crate) ended_ns: HashMap<u32, u64>,
    pub(crate) hashes: Vec<ImageHash>,
    /// Ends of processes, by their parent.
    pub(crate) ends: HashMap<u32, usize>,
    pub(crate) lost_starts: usize,
    pub(crate) lost_ends: usize,
    /// The time of the last event.
    pub(crate) last_ns: u64,
    /// What the sensor said of itself last, if it said anything after the beginning.
    pub(crate) condition: Option<Condition>,
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
                ProcessEvent::Exec(exec) => self.take_exec(marker, *exec),
                ProcessEvent::ImageHash(hash) => self.hashes.push(hash),
                ProcessEvent::Fork(fork) => drop(self.forks.insert(fork.pid, fork)),
                ProcessEvent::Exit(exit) => {
                    self.ended_ns.insert(exit.pid, seen.boot_ns);
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
        let mut watching = Watching::start(prepare, async move |sender| {
            process::run(settings, clock::stamp, Outlet::new(process::NAME, sender)).await
        })?;
        let condition = watching.take(|name, report| match (name, report) {
            (process::NAME, Report::Condition(condition)) => Ok(ControlFlow::Break(condition)),
            _ => Err("the first report was not the sensor's condition".into()),
        })?;
        Ok(Self { condition, found: Found::default(), marker, watching })
    }

    /// What a process must have as its first argument in order to be found under this name.
    pub(crate) fn marker(&self, name: &str) -> String {
        format!("{}{name}", self.marker)
    }

    /// Takes reports until it is there.
    pub(crate) fn look(&mut self, is_there: impl Fn(&Found) -> bool) -> Result<(), Failed> {
        let tier = self.condition.tier;
        let Self { found, marker, watching, .. } = self;
        if is_there(found) {
            return Ok(());
        }
        watching.take(|_name, report| {
            match report {
                Report::Sample(sample) => found.take(marker, sample)?,
                Report::Condition(condition) if condition.tier == tier => {
                    found.condition = Some(condition);
                }
                Report::Proved => {}
                Report::Condition(condition) => {
                    return Err(format!("the sensor fares differently: {condition:?}").into());
                }
            }
            Ok(if is_there(found) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })
    }

    /// The processor time that the sensor's thread has taken, in user and kernel.
    pub(crate) fn processor_time(&self) -> Result<Duration, Failed> {
        self.watching.processor_time()
    }
}
