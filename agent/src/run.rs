//! The event loop: one enum of all that can wake the agent, one place that spawns, one way to stop.
//!
//! An arm is one call. Whatever may take long (the disk, the kernel's netlink, the collector) is a
//! job beside the loop whose answer wakes it; jobs of one kind run one after the other, so that
//! their order is that of their asking.

mod break_glass;
mod budget;
mod canary;
mod collect;
mod command;
mod contain;
mod deeds;
mod deliver;
mod door;
mod jobs;
mod lookout;
mod patience;
mod query;
mod respond;
mod sensors;
mod snapshot;
mod start;
mod stop;
mod upkeep;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cordon_proto::event::{Body, Notice, Observation, Receipt, Severity};
use cordon_proto::policy::Policy;
use cordon_proto::sign::SigningKey;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};

use crate::action::deed::Tools;
use crate::action::isolate::shell::Shell;
use crate::canary::Canaries;
use crate::clock::{self, Clock};
use crate::config::Config;
use crate::containment::Containment;
use crate::endpoint_time::EndpointTime;
use crate::guard::Refusals;
use crate::identity::{Identity, StateDir};
use crate::kept::GuardMemory;
use crate::ledger::Ledger;
use crate::link::{Link, LinkEvent};
use crate::machine::Machine;
use crate::nonce::{Moment, Nonces};
use crate::platform::linux::heap;
use crate::platform::linux::ticks::Ticks;
use crate::roster_keeper::RosterKeeper;
use crate::sensor::{Checkpoint, Report, Sample};
use crate::spool::keeper::{Progress, SpoolHandle};

use deliver::Delivery;
use jobs::{Done, Jobs};
use sensors::{Ended, Sensors};

pub use start::StartError;
pub(crate) use start::dialer;

/// Under which the spool keeps which commands were answered, in one with the answers.
const ANSWERED: &str = "answered";

/// How often the loop looks after what has its times: leases, receipts, health.
const TICK: Duration = Duration::from_secs(1);

/// Everything that can wake the agent.
enum Wake {
    /// The system wants something.
    Signal(Asked),
    /// A second has passed.
    Tick,
    /// A sensor says something.
    Report(&'static str, Report),
    /// A sensor has ended.
    SensorEnded(Ended),
    /// The link wants something.
    Link(LinkEvent),
    /// The spool has sealed more, or fares differently.
    Progress,
    /// Somebody may have touched the wall.
    Stirred,
    /// A job is done.
    Done(Done),
    /// Somebody on this machine asks for something.
    Asked(std::os::unix::net::UnixStream),
}

/// The running agent.
struct Agent {
    config: Config,
    clock: Clock,
    machine: Machine,
    identity: Identity,
    signing: Arc<SigningKey>,
    /// What outlives the identity.
    dir: StateDir,
    /// What does not.
    own: StateDir,
    time: EndpointTime,
    nonces: Nonces,
    memory: GuardMemory,
    roster: RosterKeeper,
    policy: Option<Policy>,
    refusals: Refusals,
    containment: Containment,
    shell: Arc<Mutex<Shell>>,
    acting: contain::Acting,
    lookout: lookout::Lookout,
    ledger: Ledger,
    tools: Arc<Tools>,
    deeds_under_way: usize,
    reacting: respond::Reacting,
    spool: SpoolHandle,
    progress: watch::Receiver<Progress>,
    known_progress: Progress,
    delivery: Delivery,
    queries: query::Queries,
    way_out: break_glass::WayOut,
    collecting: collect::Collecting,
    link: Link,
    /// Addresses at which the collector, or the proxy on the way, was reached.
    reached: Vec<SocketAddr>,
    sensors: Sensors,
    canaries: Canaries,
    thrift: budget::Thrift,
    reports: mpsc::Receiver<(&'static str, Report)>,
    jobs: Jobs,
    door: door::Door,
    upkeep: upkeep::Upkeep,
    spool_thread: Option<std::thread::JoinHandle<()>>,
    /// Keeps a second agent off the state directory.
    _lock: std::fs::File,
}

/// Runs the agent until the system wants it to end.
pub fn run(config: Config) -> Result<(), StartError> {
    heap::keep_small();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(HELPERS_MAX)
        .build()
        .map_err(StartError::Runtime)?;
    let ended = runtime.block_on(async {
        match patience::start(&config).await? {
            Some(agent) => agent.run().await,
            None => Ok(()),
        }
    });
    // Helper threads that hang in the kernel must not keep the process from ending.
    runtime.shutdown_timeout(Duration::from_secs(1));
    ended
}

/// Helper threads for what may block: one isolation, one file, one name, and room for a stuck one.
const HELPERS_MAX: usize = 8;

impl Agent {
    async fn run(mut self) -> Result<(), StartError> {
        let mut signals = Signals::new().map_err(StartError::Runtime)?;
        let ticks = Ticks::each(TICK).map_err(StartError::Runtime)?;
        loop {
            let wake = tokio::select! {
                signal = signals.next() => Wake::Signal(signal),
                () = tick(&ticks) => Wake::Tick,
                wake = self.wake() => wake,
            };
            if let Wake::Signal(Asked::Stop(signal)) = wake {
                tracing::info!(signal, "stopping");
                break;
            }
            self.handle(wake);
        }
        self.say_goodbye().await;
        self.stop().await;
        Ok(())
    }

    /// What wakes the agent from within, or from the collector. Nothing is lost if the wait is
    /// given up half-way.
    async fn wake(&mut self) -> Wake {
        tokio::select! {
            Some((name, report)) = self.reports.recv(), if self.delivery.is_idle() => {
                Wake::Report(name, report)
            }
            ended = self.sensors.ended() => Wake::SensorEnded(ended),
            event = self.link.next() => Wake::Link(event),
            Ok(()) = self.progress.changed() => Wake::Progress,
            () = self.lookout.stirred() => Wake::Stirred,
            done = self.jobs.next() => Wake::Done(done),
            asked = self.door.next() => Wake::Asked(asked),
        }
    }

    fn handle(&mut self, wake: Wake) {
        match wake {
            Wake::Signal(Asked::Stop(_)) => {}
            Wake::Signal(Asked::Sleep) => {
                tracing::info!("the machine is about to sleep");
                self.tell(Severity::Informational, Body::Notice(Notice::Sleeping));
            }
            Wake::Tick => self.tick(),
            Wake::Report(name, report) => self.report(name, report),
            Wake::SensorEnded(ended) => self.sensor_ended(ended),
            Wake::Link(event) => self.link_event(event),
            Wake::Progress => self.note_progress(),
            Wake::Stirred => self.stirred(),
            Wake::Done(done) => self.done(done),
            Wake::Asked(stream) => self.asked(stream),
        }
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::Delivered => self.delivered(),
            Done::Spooled(answer) => self.spooled(answer),
            Done::Acted(outcome) => self.acted(outcome),
            Done::Deed(done) => self.deed_done(*done),
            Done::Noted(noted) => self.noted(*noted),
            Done::Reacted(reacted) => self.reacted(*reacted),
            Done::PolicyKept(kept) => self.policy_kept(*kept),
            Done::TimeKept(kept) => self.time_kept(kept),
            Done::MayAsk(effect) => self.ask_effect(effect),
            Done::Depths(depths) => self.tell_health(depths),
            Done::Renewed(renewed) => self.renewed(*renewed),
            Done::CanarySent => {}
            Done::Looked(drift) => self.looked(drift),
            Done::Around(around) => self.looked_around(around),
            Done::Queried(read) => self.queried(*read),
            Done::Collect(done) => self.collect_done(*done),
            Done::Sockets(command, early) => self.sockets_taken(command, early),
            Done::WaitedEnough(command) => self.go_on(command, false),
            Done::Swept | Done::Followed => {}
            Done::WayOut(turn) => self.way_out_turn(*turn),
            Done::Heard(heard) => self.heard(*heard),
        }
    }

    /// Endpoint time now.
    fn secs(&self) -> u64 {
        self.time.secs(clock::boot_ns())
    }

    fn moment(&self) -> Moment {
        Moment { boot_count: self.time.boot_count(), endpoint_secs: self.secs() }
    }

    /// Signs something that the agent itself has to say.
    fn tell(&mut self, severity: Severity, body: Body) {
        let clock::Stamp { time_ns, boot_ns } = clock::stamp();
        let observations = vec![Observation { time_ns, boot_ns, severity, body }];
        self.deliver(Sample { observations, ..Sample::default() });
    }

    fn tell_receipt(&mut self, receipt: Receipt) {
        self.answer_door(&receipt);
        let answers = self.memory.begun.handle_receipt(&receipt);
        let answers =
            answers.map(|value| Checkpoint { key: ANSWERED.to_owned(), value: Some(value) });
        let checkpoints = self.receipt_of_reaction(&receipt).into_iter().chain(answers).collect();
        let clock::Stamp { time_ns, boot_ns } = clock::stamp();
        let (severity, body) = (Severity::Informational, Body::Receipt(Box::new(receipt)));
        let observations = vec![Observation { time_ns, boot_ns, severity, body }];
        self.deliver(Sample { observations, checkpoints, ..Sample::default() });
    }
}

/// What the system asks for.
enum Asked {
    /// To end.
    Stop(&'static str),
    /// To tell that the machine is about to sleep.
    Sleep,
}

/// The ways in which the system asks.
struct Signals {
    term: Signal,
    int: Signal,
    sleep: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        let [term, int, sleep] =
            [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::user_defined1()]
                .map(signal);
        Ok(Self { term: term?, int: int?, sleep: sleep? })
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.term.recv() => Asked::Stop("SIGTERM"),
            _ = self.int.recv() => Asked::Stop("SIGINT"),
            _ = self.sleep.recv() => Asked::Sleep,
        }
    }
}

/// Waits for a tick, come what may: without one no lease would end.
async fn tick(ticks: &Ticks) {
    if let Err(error) = ticks.next().await {
        tracing::error!(%error, "the kernel's timer does not tick");
        tokio::time::sleep(TICK).await;
    }
}
