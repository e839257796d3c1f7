//! A running collector: opens what it keeps, opens both doors, and ends them in order.
//! The one place that spawns.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use tokio::net::TcpListener;
use tokio::runtime::{Handle, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::answers::Answers;
use crate::authority::Authority;
use crate::bus::Bus;
use crate::ca::Ca;
use crate::clock::Clock;
use crate::collections::Collections;
use crate::collector::Collector;
use crate::config::{Config, Patience};
use crate::door::{self, Admission};
use crate::handover::hand_over_on_connect;
use crate::links::Links;
use crate::listen::Listeners;
use crate::setup::{authority_file, ca_folder, seal_file};
use crate::signin::seal::Seal;
use crate::store::{LogOptions, LogWriter, SqliteLog, State};
use crate::tenant::Tenants;
use crate::tls::{self, Identity};
use crate::{api, derive, link, people};

/// What the agents' door does with the disk at once: more would only wait for each other, with a
/// stack each.
const BLOCKING_MAX: usize = 16;

/// What people, and what is derived for them, do with the disk at once.
const BLOCKING_PEOPLE_MAX: usize = 64;

/// How often the collector looks whether its certificate must be renewed.
const RENEWAL_PERIOD: Duration = Duration::from_secs(12 * 3600);

/// A collector that is set up and has no door open yet.
#[derive(Debug)]
pub struct Opened {
    /// What both doors stand on.
    pub collector: Arc<Collector>,
    /// The log's writer: nothing is stored until it runs.
    pub writer: LogWriter,
    /// The collector's own certificate.
    pub identity: Arc<Identity>,
}

/// Opens everything that is kept.
pub fn open(config: Config, clock: Clock) -> anyhow::Result<Opened> {
    let options = LogOptions { free_bytes_min: config.free_bytes_min, pages_max: None };
    open_with(config, clock, options)
}

/// Opens everything that is kept, the log with options of its own.
pub fn open_with(config: Config, clock: Clock, options: LogOptions) -> anyhow::Result<Opened> {
    let ca = Ca::open(&ca_folder(&config))
        .context("this collector is not set up yet; run `cordon-collector init`")?;
    let ca = Arc::new(ca);
    let authority = Authority::read(&authority_file(&config))?;
    let identity = Arc::new(Identity::new(&ca, &config.names, clock.wall_secs())?);
    let bus = Bus::default();
    let (log, writer) = SqliteLog::open(&config.file(&config.log), options, bus.clone())?;
    let state = Arc::new(State::open(&config.file(&config.state))?);
    let seal = Seal::open(&seal_file(&config))?;
    let (bytes_max, free) = (config.collections_bytes_max, config.free_bytes_min);
    let collections = Collections::new(config.state_dir.join("collections"), bytes_max, free);
    let collector = Collector {
        config,
        clock,
        log: Arc::new(log),
        state,
        bus,
        links: Arc::new(Links::default()),
        answers: Arc::new(Answers::default()),
        collections: Arc::new(collections),
        authority,
        seal,
        ca_pin: ca.pin(),
        ca,
    };
    Ok(Opened { collector: Arc::new(collector), writer, identity })
}

/// Runs until told to stop by SIGTERM or SIGINT. Call it before any thread is started.
pub fn serve(config: Config) -> anyhow::Result<()> {
    let listeners = Listeners::open(&config)?;
    raise_descriptor_limit();
    let Opened { collector, writer, identity } = open(config, Clock::system())?;
    let writing = std::thread::Builder::new()
        .name("log-writer".to_owned())
        .spawn(move || writer.run())
        .context("cannot start the log's writer")?;
    let runtime = start_runtime("agents", BLOCKING_MAX)?;
    // People have threads of their own: however many agents come at once, who looks is not last.
    let people_runtime = start_runtime("people", BLOCKING_PEOPLE_MAX)?;
    let served = runtime.block_on(async {
        // Before the doors open: whoever sees them open may tell us to stop.
        let terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
        let interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
        let (stop, stopping) = watch::channel(false);
        let agents = TcpListener::from_std(listeners.agents)?;
        let people = {
            let _entered = people_runtime.enter();
            TcpListener::from_std(listeners.people)?
        };
        let (mut tasks, doors) = (JoinSet::new(), (agents, people));
        let apart = people_runtime.handle();
        spawn_doors(&mut tasks, apart, &collector, &identity, doors, &stopping)?;
        wait_for_end(&mut tasks, terminate, interrupt).await?;
        tracing::info!("stopping");
        stop.send_replace(true);
        while tasks.join_next().await.is_some() {}
        anyhow::Ok(())
    });
    // Dropping the last handle of the log ends its writer once everything queued is stored.
    drop(runtime);
    drop(people_runtime);
    drop(collector);
    if writing.join().is_err() {
        anyhow::bail!("the log's writer failed");
    }
    served
}

fn start_runtime(name: &str, blocking_max: usize) -> anyhow::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name(name)
        .max_blocking_threads(blocking_max)
        .build()
        .context("cannot start a runtime")
}

/// Starts everything that runs until `stopping` turns true. Needs a runtime; what people wait for runs
/// in `apart`, in which their listener was made.
pub fn spawn_doors(
    tasks: &mut JoinSet<()>,
    apart: &Handle,
    collector: &Arc<Collector>,
    identity: &Arc<Identity>,
    (agents, people): (TcpListener, TcpListener),
    stopping: &watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let Config { agents_max, agents_per_address_max, people_max, people_per_address_max, .. } =
        collector.config;
    let Patience { handshake, head, .. } = collector.config.patience;
    let clock = &collector.clock;
    tracing::info!(
        agents = %agents.local_addr()?,
        people = %people.local_addr()?,
        pin = %collector.ca_pin,
        "the doors are open"
    );

    let (state, log) = (Arc::clone(&collector.state), Arc::clone(&collector.log));
    let follow = derive::follow(state, log, collector.bus.listen(), stopping.clone());
    tasks.spawn_on(follow, apart);
    hand_over_on_connect(collector);

    let tls = tls::agents(Arc::clone(&collector.ca), Arc::clone(identity), clock.clone())?;
    let admission = Admission::new(agents_max, agents_per_address_max);
    let (theirs, stop) = (Arc::clone(collector), stopping.clone());
    let serve =
        move |stream, address| link::serve(Arc::clone(&theirs), stream, address, stop.clone());
    tasks.spawn(door::serve(agents, Arc::new(tls), admission, handshake, stopping.clone(), serve));

    let tls = tls::people(Arc::clone(identity), clock.clone())?;
    let admission = Admission::new(people_max, people_per_address_max);
    let router = router(collector, stopping)?;
    let stop = stopping.clone();
    let serve =
        move |stream, address| people::serve(router.clone(), stream, address, head, stop.clone());
    let people = door::serve(people, Arc::new(tls), admission, handshake, stopping.clone(), serve);
    tasks.spawn_on(people, apart);

    let (collector, identity) = (Arc::clone(collector), Arc::clone(identity));
    tasks.spawn(renew(collector, identity, stopping.clone()));
    Ok(())
}

/// What people reach.
fn router(collector: &Arc<Collector>, stopping: &watch::Receiver<bool>) -> anyhow::Result<Router> {
    let tenants = Arc::new(Tenants::load(&collector.state)?);
    let router = api::router(Arc::clone(collector), tenants, stopping.clone()).ok();
    router.context("the operating system gave no random numbers")
}

async fn renew(
    collector: Arc<Collector>,
    identity: Arc<Identity>,
    mut stop: watch::Receiver<bool>,
) {
    let mut period = tokio::time::interval(RENEWAL_PERIOD);
    loop {
        tokio::select! {
            _ = period.tick() => (),
            _ = stop.wait_for(|stop| *stop) => return,
        }
        if let Err(error) = identity.renew(&collector.ca, collector.clock.wall_secs()) {
            tracing::error!(%error, "the collector's certificate was not renewed");
        }
    }
}

async fn wait_for_end(
    tasks: &mut JoinSet<()>,
    mut terminate: Signal,
    mut interrupt: Signal,
) -> anyhow::Result<()> {
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
        ended = tasks.join_next() => match ended {
            Some(Err(error)) => Err(error).context("a part of the collector failed"),
            Some(Ok(())) | None => anyhow::bail!("a part of the collector ended by itself"),
        },
    }
}

/// Every connection is a descriptor; the soft limit is often 1024.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!(%error, "the limit on open descriptors was not raised");
    }
}
