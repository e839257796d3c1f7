//! The network and name sensors on a thread of their own, and what they have reported.

use std::collections::HashMap;
use std::fmt::Debug;
use std::io;
use std::thread::JoinHandle;
use std::time::Duration;

use cordon_agent::clock;
use cordon_agent::sensor::dns::{self, Names};
use cordon_agent::sensor::network::{self, NetworkSettings};
use cordon_agent::sensor::{Condition, Outlet, Report, Sample};
use cordon_proto::event::network::{Connection, Ended, Listener, Opened, Traffic};
use cordon_proto::event::{Body, Class, DnsEvent, NetworkEvent};
use libtest_mimic::Failed;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, oneshot};

use crate::lab;

/// How long anything is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

type Reports = mpsc::Receiver<(&'static str, Report)>;

/// The sensors at work.
pub(crate) struct Sensors {
    /// What the network sensor said of itself first.
    pub(crate) condition: Condition,
    /// What was reported so far.
    pub(crate) found: Found,
    runtime: Runtime,
    reports: Reports,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<io::Result<()>>>,
    /// The number of the thread.
    task: i32,
}

/// What was reported.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) opened: Vec<Opened>,
    pub(crate) closed: Vec<Ended>,
    pub(crate) failed: Vec<Ended>,
    pub(crate) listening: Vec<Listener>,
    pub(crate) listening_ended: Vec<Listener>,
    pub(crate) traffic: Vec<Traffic>,
    pub(crate) answers: Vec<DnsEvent>,
    /// How often a sensor was shown to see.
    pub(crate) proved: usize,
    /// Events of connections that are counted as lost.
    pub(crate) lost: usize,
}

impl Found {
    fn take(&mut self, sample: Sample) -> Result<(), Failed> {
        for seen in sample.observations {
            if let Body::Network(event) = seen.body {
                match *event {
                    NetworkEvent::Opened(opened) => self.opened.push(opened),
                    NetworkEvent::Closed(ended) => self.closed.push(ended),
                    NetworkEvent::Failed(ended) => self.failed.push(ended),
                    NetworkEvent::Listening(listener) => self.listening.push(listener),
                    NetworkEvent::ListeningEnded(ended) => self.listening_ended.push(ended),
                    NetworkEvent::Traffic(traffic) => self.traffic.push(traffic),
                }
            } else if let Body::Dns(event) = seen.body {
                self.answers.push(*event);
            } else {
                return Err("an event that is of neither sensor".into());
            }
        }
        let counts = sample.losses.iter().flat_map(|loss| &loss.counts);
        for count in counts.filter(|count| count.class == Class::Network) {
            self.lost += usize::try_from(count.count)?;
        }
        Ok(())
    }

    /// Opened connections of a process.
    pub(crate) fn opened_by(&self, pid: u32) -> impl Iterator<Item = &Connection> {
        let opened = self.opened.iter().map(|opened| &opened.connection);
        opened.filter(move |connection| is_of(connection, pid))
    }

    pub(crate) fn closed_by(&self, pid: u32) -> impl Iterator<Item = &Ended> {
        self.closed.iter().filter(move |ended| is_of(&ended.connection, pid))
    }
}

fn is_of(connection: &Connection, pid: u32) -> bool {
    connection.owner.as_ref().is_some_and(|owner| owner.pid == pid)
}

impl Sensors {
    /// Starts both in a namespace and waits for their conditions.
    pub(crate) fn start(namespace: &str, settings: NetworkSettings) -> Result<Self, Failed> {
        let (sender, mut reports) = mpsc::channel(1);
        let (stop, stopped) = oneshot::channel();
        let (told_task, task) = std::sync::mpsc::sync_channel(1);
        let namespace = namespace.to_owned();
        let thread = std::thread::spawn(move || {
            told_task.send(rustix::thread::gettid()).map_err(io::Error::other)?;
            lab::enter(&namespace)?;
            watch(settings, sender, stopped)
        });
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let mut found = Found::default();
        let mut conditions = HashMap::new();
        let started = async {
            while conditions.len() < 2 {
                match reports.recv().await {
                    Some((name, Report::Condition(condition))) => {
                        conditions.insert(name, condition);
                    }
                    Some((_, Report::Sample(sample))) => found.take(sample)?,
                    Some((_, Report::Proved)) => found.proved += 1,
                    None => return Err(Failed::from("the sensors have ended")),
                }
            }
            Ok(())
        };
        runtime.block_on(async { tokio::time::timeout(PATIENCE, started).await })??;
        let condition = conditions.remove(network::NAME).ok_or("the network sensor's condition")?;
        let (stop, thread) = (Some(stop), Some(thread));
        let task = task.recv()?.as_raw_nonzero().get();
        Ok(Self { condition, found, runtime, reports, stop, thread, task })
    }

    /// Takes reports until it is there.
    pub(crate) fn look(&mut self, is_there: impl Fn(&Found) -> bool) -> Result<(), Failed> {
        let Self { found, runtime, reports, .. } = self;
        let look = async {
            while !is_there(found) {
                match reports.recv().await {
                    Some((_, Report::Sample(sample))) => found.take(sample)?,
                    Some((_, Report::Proved)) => found.proved += 1,
                    Some((_, Report::Condition(condition))) => {
                        return Err(format!("a sensor fares differently: {condition:?}").into());
                    }
                    None => return Err("the sensors have ended".into()),
                }
            }
            Ok(())
        };
        let looked = runtime.block_on(async { tokio::time::timeout(PATIENCE, look).await });
        looked.map_err(|_elapsed| "what was looked for was not reported")?
    }

    /// The processor time that the sensors' thread has taken, in user and kernel.
    pub(crate) fn processor_time(&self) -> Result<Duration, Failed> {
        let times = std::fs::read_to_string(format!("/proc/self/task/{}/schedstat", self.task))?;
        let running_ns = times.split(' ').next().ok_or("the time of a thread")?;
        Ok(Duration::from_nanos(running_ns.parse()?))
    }
}

impl Drop for Sensors {
    fn drop(&mut self) {
        self.reports.close();
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// Runs the sensors until they are told to stop.
fn watch(
    settings: NetworkSettings,
    sender: mpsc::Sender<(&'static str, Report)>,
    stopped: oneshot::Receiver<()>,
) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let names = Names::default();
    let dns_outlet = Outlet::new(dns::NAME, sender.clone());
    let outlet = Outlet::new(network::NAME, sender);
    runtime.block_on(async {
        let both = async {
            tokio::join!(
                dns::run(clock::stamp, names.clone(), dns_outlet),
                network::run(settings, clock::stamp, names.clone(), outlet),
            )
        };
        tokio::select! {
            _ended = both => {}
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
