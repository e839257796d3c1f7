//! Thousands of simulated agents in a few threads: enrolled through the collector's own door, started,
//! cut, and counted.

mod agent;

use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use cordon_agent::enrol;
use cordon_agent::identity::Identity;
use cordon_agent::roster_keeper::Held;
use cordon_packaging::clock::{Stopwatch, wait_until};
use cordon_packaging::fleet::{Fleet, Plan};
use cordon_proto::token::EnrolmentString;
use futures_util::{StreamExt, stream};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::watch;
use tokio::task::{JoinSet, LocalSet};

use agent::Agent;

/// Threads that agents live in: as many as the collector has CPUs here, so that neither side has more.
const THREADS: usize = 2;

/// Enrolments under way at once in one thread.
const ENROLMENTS: usize = 16;

/// Descriptors beside one for each connection.
const DESCRIPTORS_SPARE: u64 = 500;

/// What all agents are told.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Orders {
    /// How often all connections were cut.
    cuts: u32,
    stop: bool,
}

/// What has become of them.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Sessions that are live.
    pub live: usize,
    /// Sessions that ever began.
    pub begun: usize,
    /// Commands that arrived and were obeyed.
    pub commanded: usize,
    /// Answers to them that the collector has acknowledged.
    pub answered: usize,
    /// Dials that came to nothing.
    pub failed_dials: usize,
    /// Why, of the last one.
    pub failed_why: String,
    /// What went wrong with an agent, if anything did.
    fault: Option<String>,
}

/// Where agents count what happens to them.
#[derive(Clone, Debug, Default)]
struct Counts(Arc<Mutex<Seen>>);

impl Counts {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begun(&self) {
        let mut seen = self.seen();
        seen.live += 1;
        seen.begun += 1;
    }

    fn ended(&self) {
        self.seen().live -= 1;
    }

    fn commanded(&self) {
        self.seen().commanded += 1;
    }

    fn answered(&self) {
        self.seen().answered += 1;
    }

    fn failed_dial(&self, why: String) {
        let mut seen = self.seen();
        seen.failed_dials += 1;
        seen.failed_why = why;
    }
}

/// Endpoints that have enrolled, and the roster that all of them hold.
#[derive(Debug)]
pub struct Enrolled {
    pub identities: Vec<(u32, Identity)>,
    pub roster: Held,
}

/// A collector that so many endpoints have enrolled at, and how long they took. None is connected yet,
/// and what enrolment left behind in the collector's memory is gone.
pub fn fleet(count: u32) -> Result<(Fleet, Enrolled, Duration)> {
    raise_descriptor_limit(count)?;
    let mut fleet = Fleet::make(Plan {
        on_loopback: true,
        collector_settings: format!("agents_per_address_max = {}", count + 100),
        ..Plan::default()
    })?;
    let token = fleet.cordon(&["token", "create", "--uses", &count.to_string()])?;
    let token = token.lines().find(|line| line.starts_with("cordon1:")).context("no token")?;
    let watch = Stopwatch::start();
    let enrolled = enrol(token, count)?;
    let took = watch.elapsed();
    fleet.stop_collector()?;
    fleet.start_collector()?;
    Ok((fleet, enrolled, took))
}

/// Enrols so many, each as a machine would that has just got the agent.
fn enrol(string: &str, count: u32) -> Result<Enrolled> {
    let string = &EnrolmentString::from_text(string)?;
    let share = |thread: u32| (0..count).filter(move |number| number % threads() == thread);
    std::thread::scope(|scope| {
        let enrolling: Vec<_> = (0..threads())
            .map(|thread| scope.spawn(move || enrol_some(string, share(thread).collect())))
            .collect();
        let (mut identities, mut roster) = (Vec::new(), None);
        for enrolled in enrolling {
            let enrolled = enrolled.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            for (number, identity, held) in enrolled? {
                identities.push((number, identity));
                roster = Some(held);
            }
        }
        Ok(Enrolled { identities, roster: roster.context("nobody enrolled")? })
    })
}

fn threads() -> u32 {
    u32::try_from(THREADS).unwrap_or(1)
}

fn enrol_some(string: &EnrolmentString, numbers: Vec<u32>) -> Result<Vec<(u32, Identity, Held)>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let one = |number| async move {
            let enrolled = enrol::enrol(string, None).await;
            let (identity, held) = enrolled.with_context(|| format!("enrolling {number}"))?;
            anyhow::Ok((number, identity, held))
        };
        let enrolled = stream::iter(numbers).map(one).buffer_unordered(ENROLMENTS);
        let enrolled: Vec<Result<_>> = enrolled.collect().await;
        enrolled.into_iter().collect()
    })
}

/// Every connection is a descriptor here, too.
fn raise_descriptor_limit(connections: u32) -> Result<()> {
    let needed = u64::from(connections) + DESCRIPTORS_SPARE;
    let maximum = getrlimit(Resource::Nofile).maximum;
    if let Some(limit) = maximum.filter(|limit| *limit < needed) {
        bail!("{needed} descriptors are needed, and no more than {limit} are allowed here");
    }
    Ok(setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?)
}

/// Agents that live.
#[derive(Debug)]
pub struct Crowd {
    orders: watch::Sender<Orders>,
    counts: Counts,
    threads: Vec<JoinHandle<()>>,
}

impl Crowd {
    /// Starts them all; each dials at once.
    pub fn start(enrolled: Enrolled) -> Result<Self> {
        let (orders, ordered) = watch::channel(Orders::default());
        let counts = Counts::default();
        let mut shares: Vec<Vec<_>> = (0..THREADS).map(|_| Vec::new()).collect();
        for (at, identity) in enrolled.identities.into_iter().enumerate() {
            shares[at % THREADS].push(identity);
        }
        let mut threads = Vec::new();
        for share in shares {
            let (roster, ordered, counts) =
                (enrolled.roster.clone(), ordered.clone(), counts.clone());
            let thread = std::thread::Builder::new().name("agents".to_owned());
            threads.push(thread.spawn(move || {
                if let Err(error) = live(share, roster, &ordered, &counts) {
                    counts.seen().fault.get_or_insert(format!("{error:#}"));
                }
            })?);
        }
        Ok(Self { orders, counts, threads })
    }

    /// What has become of them so far.
    #[must_use]
    pub fn seen(&self) -> Seen {
        self.counts.seen().clone()
    }

    /// Cuts all connections at once; each agent dials again as real ones do.
    pub fn cut(&self) {
        self.orders.send_modify(|orders| orders.cuts += 1);
    }

    /// Waits until something is so; how long that took.
    pub fn wait(
        &self,
        what: &str,
        limit: Duration,
        is_so: impl Fn(&Seen) -> bool,
    ) -> Result<Duration> {
        let watch = Stopwatch::start();
        let look = || {
            let seen = self.seen();
            match &seen.fault {
                Some(fault) => bail!("{what}: {fault}"),
                None => Ok(is_so(&seen).then_some(())),
            }
        };
        match wait_until(limit, look)? {
            Some(()) => Ok(watch.elapsed()),
            None => bail!("{what}: not within {} s: {:?}", limit.as_secs(), self.seen()),
        }
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.orders.send_modify(|orders| orders.stop = true);
        for thread in self.threads.drain(..) {
            // A panic of theirs was told by the thread itself.
            drop(thread.join());
        }
    }
}

fn live(
    share: Vec<(u32, Identity)>,
    roster: Held,
    orders: &watch::Receiver<Orders>,
    counts: &Counts,
) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let roster = Rc::new(roster);
    LocalSet::new().block_on(&runtime, async {
        let mut agents = JoinSet::new();
        for (number, identity) in share {
            let agent = Agent::new(number, identity, Rc::clone(&roster));
            let (orders, counts) = (orders.clone(), counts.clone());
            agents.spawn_local(async move { agent.live(orders, &counts).await });
        }
        while let Some(ended) = agents.join_next().await {
            ended.context("a simulated agent panicked")??;
        }
        Ok(())
    })
}
