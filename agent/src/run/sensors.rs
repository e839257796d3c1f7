//! Starts sensors, and starts again those that end: a bad sensor loses its samples, never the
//! agent.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cordon_proto::event::process::Tier;
use cordon_proto::event::{Class, ClassCount, GapReason, SensorHealth, SensorState};
use tokio::sync::{mpsc, watch};
use tokio::task::{Id, JoinSet};

use super::Agent;
use crate::clock;
use crate::config;
use crate::redact::Redactor;
use crate::sensor::journal::{self, Follows};
use crate::sensor::process::{self, ProcessSettings};
use crate::sensor::{
    Checkpoint, Condition, Loss, Outlet, Report, Sample, Stopping, Tally, device, disk, dns, file,
    inventory, kernel_log, log, login, network,
};
use crate::spool::keeper::SpoolHandle;

/// The first wait before a sensor is started again; doubles with each failure.
const WAIT_FIRST: Duration = Duration::from_secs(1);
/// The longest.
const WAIT_MAX: Duration = Duration::from_secs(300);
/// A sensor that ran for so long has not failed at once.
const HEALTHY: Duration = Duration::from_secs(60);

/// A sensor as the loop knows it: one line in [`Sensors::new`].
struct Sensor {
    name: &'static str,
    class: Class,
    enabled: bool,
    tally: Tally,
    task: Option<Id>,
    started: Duration,
    wait: Duration,
    /// When it is started again, and since when it is blind.
    again: Option<(Duration, u64)>,
    /// While it starts: since when it sees nothing, and why.
    starting: Option<(GapReason, u64)>,
}

/// A sensor has ended.
pub(super) struct Ended {
    task: Id,
    /// None where it gave up by itself: then it has said why.
    failure: Option<String>,
}

pub(super) struct Sensors {
    settings: config::Sensors,
    sensors: Vec<Sensor>,
    tasks: JoinSet<Result<(), Stopping>>,
    reports: mpsc::Sender<(&'static str, Report)>,
    spool: SpoolHandle,
    brake: watch::Receiver<Duration>,
    /// Answers that one sensor hears and another uses.
    names: dns::Names,
    redactor: watch::Sender<Arc<Redactor>>,
}

impl Sensors {
    pub(super) fn new(
        mut settings: config::Sensors,
        canary_log: &Path,
        reports: mpsc::Sender<(&'static str, Report)>,
        spool: SpoolHandle,
        brake: watch::Receiver<Duration>,
    ) -> Self {
        settings.logs.paths.push(canary_log.to_string_lossy().into_owned());
        let list = [
            (process::NAME, Class::Process, settings.process.enabled),
            (log::NAME, Class::Log, settings.logs.enabled),
            (disk::NAME, Class::Disk, settings.disks.enabled),
            (dns::NAME, Class::Dns, settings.dns.enabled),
            (network::NAME, Class::Network, settings.network.enabled),
            (journal::NAME, Class::Log, settings.journal.enabled != Follows::Never),
            (file::NAME, Class::File, settings.files.enabled),
            (kernel_log::NAME, Class::Log, settings.kernel.enabled),
            (device::NAME, Class::Device, settings.devices.enabled),
            (login::NAME, Class::Authentication, settings.logins.enabled),
            (inventory::NAME, Class::Inventory, settings.inventory.enabled),
        ];
        let sensors = list.map(|(name, class, enabled)| Sensor {
            name,
            class,
            enabled,
            tally: Tally::new(name),
            task: None,
            started: Duration::ZERO,
            wait: WAIT_FIRST,
            again: None,
            starting: None,
        });
        let (sensors, tasks, names) = (sensors.into(), JoinSet::new(), dns::Names::default());
        let redactor = watch::Sender::default();
        Self { settings, sensors, tasks, reports, spool, brake, names, redactor }
    }

    /// What answers told of names.
    pub(super) fn names(&self) -> dns::Names {
        self.names.clone()
    }

    /// What takes secrets out of all that sensors see, before anything else is done with it. Those
    /// that must do it themselves have it too.
    pub(super) fn redactor(&self) -> Arc<Redactor> {
        self.redactor.borrow().clone()
    }

    /// From now on.
    pub(super) fn redact_by(&self, redactor: Redactor) {
        self.redactor.send_replace(Arc::new(redactor));
    }

    /// Starts all that are switched on; the gap that the spool told ends at `since_ns`.
    pub(super) fn start(&mut self, now: Duration, since_ns: u64) {
        for at in 0..self.sensors.len() {
            if self.sensors[at].enabled {
                self.start_one(at, now);
                self.sensors[at].blind_from(GapReason::AgentStopped, since_ns);
            } else {
                let (state, reason) = (SensorState::Off, Some("switched off".to_owned()));
                self.condition(at, state, reason, now);
            }
        }
    }

    fn start_one(&mut self, at: usize, now: Duration) {
        let sensor = &mut self.sensors[at];
        let outlet = Outlet::new(sensor.name, self.reports.clone());
        let task = match sensor.name {
            process::NAME => {
                let config::ProcessSensor {
                    forks, ring_bytes, reconcile_secs, hash_bytes_max, ..
                } = self.settings.process;
                let settings = ProcessSettings {
                    forks,
                    ring_bytes,
                    reconcile_secs,
                    hash_bytes_max,
                    tier: None,
                };
                self.tasks.spawn(process::run(settings, clock::stamp, outlet))
            }
            log::NAME => {
                let (settings, spool) = (self.settings.logs.clone(), self.spool.clone());
                let outlet = outlet.braked(self.brake.clone());
                self.tasks.spawn(run_logs(settings, spool, outlet))
            }
            disk::NAME => self.tasks.spawn(disk::run(self.settings.disks, clock::stamp, outlet)),
            dns::NAME => {
                let names = self.names.clone();
                self.tasks.spawn(dns::run(clock::stamp, names, outlet))
            }
            network::NAME => {
                let (settings, names) = (self.settings.network, self.names.clone());
                self.tasks.spawn(network::run(settings, clock::stamp, names, outlet))
            }
            journal::NAME => {
                let (settings, spool) = (self.settings.clone(), self.spool.clone());
                let outlet = outlet.braked(self.brake.clone());
                self.tasks.spawn(run_journal(settings, spool, outlet))
            }
            file::NAME => {
                let (settings, spool) = (self.settings.files.clone(), self.spool.clone());
                self.tasks.spawn(run_files(settings, spool, outlet))
            }
            kernel_log::NAME => {
                let (settings, spool) = (self.settings.kernel, self.spool.clone());
                self.tasks.spawn(run_kernel_log(settings, spool, outlet))
            }
            device::NAME => {
                self.tasks.spawn(device::run(self.settings.devices, clock::stamp, outlet))
            }
            login::NAME => {
                let (settings, spool) = (self.settings.logins, self.spool.clone());
                self.tasks.spawn(run_logins(settings, spool, outlet))
            }
            inventory::NAME => {
                let means =
                    inventory::Means::of_machine(self.spool.clone(), self.redactor.subscribe());
                let settings = self.settings.inventory;
                self.tasks.spawn(inventory::run(settings, means, clock::stamp, outlet))
            }
            unlisted => unreachable!("sensor {unlisted} is in the list and cannot be started"),
        };
        sensor.task = Some(task.id());
        sensor.started = now;
        sensor.again = None;
    }

    /// Waits for a sensor to end; for ever, while none runs.
    pub(super) async fn ended(&mut self) -> Ended {
        match self.tasks.join_next_with_id().await {
            None => std::future::pending().await,
            Some(Ok((task, Ok(()) | Err(Stopping)))) => Ended { task, failure: None },
            Some(Err(error)) => Ended { task: error.id(), failure: Some(panic_sentence(error)) },
        }
    }

    /// Takes note of what a sensor says; answers what it missed until it first said that it sees.
    pub(super) fn note(
        &mut self,
        name: &str,
        report: &Report,
        now: Duration,
        time_ns: u64,
    ) -> Option<Sample> {
        let sensor = self.sensors.iter_mut().find(|sensor| sensor.name == name)?;
        sensor.tally.note(report, now);
        let sees = matches!(report, Report::Condition(_)) && sensor.tally.sees().is_some();
        if sees { sensor.sees_from(time_ns) } else { None }
    }

    /// By which means a sensor sees processes, if it says that it sees.
    pub(super) fn sees(&self, name: &str) -> Option<Option<Tier>> {
        self.sensors.iter().find(|sensor| sensor.name == name)?.tally.sees()
    }

    /// What health says.
    pub(super) fn health(&self, now: Duration) -> Vec<SensorHealth> {
        self.sensors.iter().map(|sensor| sensor.tally.health(now)).collect()
    }

    /// Whether each has said how it fares.
    pub(super) fn have_begun(&self) -> bool {
        self.sensors.iter().all(|sensor| sensor.tally.has_begun())
    }

    /// Ends all of them.
    pub(super) async fn stop(&mut self) {
        self.tasks.shutdown().await;
    }

    fn condition(&mut self, at: usize, state: SensorState, reason: Option<String>, now: Duration) {
        let sensor = self.sensors[at].name;
        let condition = Condition { sensor, state, reason, tier: None };
        self.sensors[at].tally.note(&Report::Condition(condition), now);
    }

    fn handle_ended(&mut self, ended: &Ended, now: Duration, time_ns: u64) {
        let Some(at) = self.sensors.iter().position(|s| s.task == Some(ended.task)) else { return };
        let sensor = &mut self.sensors[at];
        sensor.wait = next_wait(sensor.wait, now.saturating_sub(sensor.started));
        sensor.again = Some((now.saturating_add(sensor.wait), time_ns));
        sensor.task = None;
        let (name, wait_secs) = (sensor.name, sensor.wait.as_secs());
        let reason = ended.failure.clone().or_else(|| sensor.tally.health(now).reason);
        tracing::error!(sensor = name, reason, wait_secs, "a sensor has ended");
        self.condition(at, SensorState::Blind, reason, now);
    }

    /// Starts those again whose wait is over; answers what was missed meanwhile.
    fn handle_timeout(&mut self, now: Duration, time_ns: u64) -> Vec<Sample> {
        let mut missed = Vec::new();
        for at in 0..self.sensors.len() {
            let Sensor { again, class, name, .. } = self.sensors[at];
            let Some((_, from_ns)) = again.filter(|(due, _)| *due <= now) else { continue };
            let counts = vec![ClassCount { class, count: 0 }];
            let detail = Some(format!("the {name} sensor was started again"));
            let reason = GapReason::SensorRestarted;
            let loss = Loss { reason, counts, from_ns, to_ns: time_ns, detail };
            missed.push(Sample { losses: vec![loss], ..Sample::default() });
            self.start_one(at, now);
            self.sensors[at].blind_from(GapReason::SensorRestarted, time_ns);
        }
        missed
    }
}

impl Sensor {
    /// It is starting. Logs and records of logins are read on from where they were left, and an
    /// inventory is compared with the one before, so that nothing is missed.
    fn blind_from(&mut self, reason: GapReason, from_ns: u64) {
        let reads_on = matches!(self.class, Class::Log | Class::Authentication | Class::Inventory);
        self.starting = (!reads_on).then_some((reason, from_ns));
    }

    fn sees_from(&mut self, to_ns: u64) -> Option<Sample> {
        let (reason, from_ns) = self.starting.take()?;
        let counts = vec![ClassCount { class: self.class, count: 0 }];
        let detail = Some(format!("the {} sensor was starting", self.name));
        let loss = Loss { reason, counts, from_ns, to_ns, detail };
        Some(Sample { losses: vec![loss], ..Sample::default() })
    }
}

impl Agent {
    pub(super) fn sensor_ended(&mut self, ended: Ended) {
        self.sensors.handle_ended(&ended, self.clock.now(), clock::stamp().time_ns);
    }

    pub(super) fn restart_sensors(&mut self) {
        let missed = self.sensors.handle_timeout(self.clock.now(), clock::stamp().time_ns);
        missed.into_iter().for_each(|sample| self.deliver(sample));
    }
}

/// Reads logs on from where the spool has them.
async fn run_logs(
    settings: log::LogSettings,
    spool: SpoolHandle,
    outlet: Outlet,
) -> Result<(), Stopping> {
    match restored(&spool, &outlet, "log/").await? {
        Some(restored) => log::run(settings, clock::stamp, outlet, restored).await,
        None => Ok(()),
    }
}

/// The same for the journal, which tells the kernel's lines where nobody else does.
async fn run_journal(
    mut settings: config::Sensors,
    spool: SpoolHandle,
    outlet: Outlet,
) -> Result<(), Stopping> {
    settings.journal.kernel |= !settings.kernel.enabled;
    let Some(restored) = restored(&spool, &outlet, "journal/").await? else { return Ok(()) };
    let files = if settings.logs.enabled { settings.logs.paths } else { Vec::new() };
    journal::run(settings.journal, files, clock::stamp, outlet, restored).await
}

/// The same for the kernel's log.
async fn run_kernel_log(
    settings: kernel_log::KernelSettings,
    spool: SpoolHandle,
    outlet: Outlet,
) -> Result<(), Stopping> {
    match restored(&spool, &outlet, "kernel/").await? {
        Some(restored) => kernel_log::run(settings, clock::stamp, outlet, restored).await,
        None => Ok(()),
    }
}

/// The same for records of logins.
async fn run_logins(
    settings: login::LoginSettings,
    spool: SpoolHandle,
    outlet: Outlet,
) -> Result<(), Stopping> {
    match restored(&spool, &outlet, login::prefix()).await? {
        Some(restored) => login::run(settings, "/".into(), clock::stamp, outlet, restored).await,
        None => Ok(()),
    }
}

/// Compares files with what the spool has of them.
async fn run_files(
    settings: file::FileSettings,
    spool: SpoolHandle,
    outlet: Outlet,
) -> Result<(), Stopping> {
    match restored(&spool, &outlet, file::KEPT).await? {
        Some(restored) => file::run(settings, clock::stamp, outlet, restored).await,
        None => Ok(()),
    }
}

/// What a sensor kept over a restart, under keys that begin so; none, and the sensor has said so,
/// where nobody can tell.
async fn restored(
    spool: &SpoolHandle,
    outlet: &Outlet,
    prefix: &str,
) -> Result<Option<Vec<Checkpoint>>, Stopping> {
    match spool.checkpoints(prefix).await {
        Ok(kept) => {
            let kept = kept.into_iter();
            let kept = kept.map(|(key, value)| Checkpoint { key, value: Some(value) });
            Ok(Some(kept.collect()))
        }
        Err(error) => {
            let reason = Some(format!("what it kept over the restart cannot be told: {error}"));
            outlet.condition(SensorState::Blind, reason, None).await?;
            Ok(None)
        }
    }
}

fn next_wait(wait: Duration, ran: Duration) -> Duration {
    if ran >= HEALTHY { WAIT_FIRST } else { wait.saturating_mul(2).min(WAIT_MAX) }
}

/// What a panic said, as far as it is text.
fn panic_sentence(error: tokio::task::JoinError) -> String {
    let Ok(panic) = error.try_into_panic() else { return "it was ended".to_owned() };
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    format!("it failed: {}", text.unwrap_or("without a word"))
}

#[cfg(test)]
mod tests {
    use cordon_proto::id::EndpointId;
    use cordon_proto::sign::SigningKey;

    use super::*;
    use crate::spool;

    type Received = mpsc::Receiver<(&'static str, Report)>;

    fn sensors() -> (Sensors, Received, tempfile::TempDir) {
        let (reports, received) = mpsc::channel(4);
        let mut settings = config::Sensors::default();
        settings.process.enabled = false;
        settings.logs.enabled = false;
        settings.disks.enabled = false;
        settings.network.enabled = false;
        settings.dns.enabled = false;
        settings.journal.enabled = Follows::Never;
        settings.files.enabled = false;
        settings.kernel.enabled = false;
        settings.devices.enabled = false;
        settings.logins.enabled = false;
        settings.inventory.enabled = false;
        let temp = tempfile::tempdir().unwrap();
        let key = SigningKey::from_seed(&[5; 32]).unwrap();
        let identity = spool::Identity { endpoint: EndpointId(key.id().0), key };
        let path = temp.path().join("spool.db");
        let limits = spool::SpoolLimits::default();
        let opened = spool::Spool::open(&path, identity, limits, "boot", clock::stamp()).unwrap();
        let (spool, ..) = spool::keeper::start(opened, clock::Clock::start()).unwrap();
        let canary_log = temp.path().join("canary.log");
        let (_brake, braked) = watch::channel(Duration::ZERO);
        (Sensors::new(settings, &canary_log, reports, spool, braked), received, temp)
    }

    #[tokio::test]
    async fn a_sensor_that_panics_is_blind_with_its_reason_and_starts_again_with_a_gap() {
        let (mut sensors, _received, _temp) = sensors();
        let task = sensors.tasks.spawn(async { panic!("index out of bounds") });
        sensors.sensors[0].task = Some(task.id());
        let ended = sensors.ended().await;
        sensors.handle_ended(&ended, Duration::from_secs(10), 111);
        let health = &sensors.health(Duration::ZERO)[0];
        assert_eq!(health.state, SensorState::Blind);
        assert_eq!(health.reason.as_deref(), Some("it failed: index out of bounds"));
        assert!(sensors.handle_timeout(Duration::from_secs(11), 222).is_empty());
        let missed = sensors.handle_timeout(Duration::from_secs(12), 333);
        let loss = &missed[0].losses[0];
        assert_eq!((loss.reason, loss.from_ns, loss.to_ns), (GapReason::SensorRestarted, 111, 333));
        assert!(sensors.sensors[0].task.is_some());
        sensors.stop().await;
    }

    #[tokio::test]
    async fn what_is_missed_until_a_sensor_sees_is_a_gap_told_once() {
        let (mut sensors, _received, _temp) = sensors();
        for at in 0..3 {
            sensors.sensors[at].blind_from(GapReason::AgentStopped, 111);
        }
        let mut sees = |sensor, state, time_ns| {
            let condition = Condition { sensor, state, reason: None, tier: None };
            let missed =
                sensors.note(sensor, &Report::Condition(condition), Duration::ZERO, time_ns)?;
            let Loss { reason, from_ns, to_ns, .. } = missed.losses[0];
            Some((reason, from_ns, to_ns))
        };
        let gap = Some((GapReason::AgentStopped, 111, 222));
        assert_eq!(sees(process::NAME, SensorState::Blind, 200), None);
        assert_eq!(sees(process::NAME, SensorState::Degraded, 222), gap);
        assert_eq!(sees(process::NAME, SensorState::Running, 333), None);
        assert_eq!(sees(log::NAME, SensorState::Running, 222), None, "it reads on");
        assert_eq!(sees(disk::NAME, SensorState::Running, 222), gap);
    }

    #[test]
    fn a_sensor_that_keeps_failing_is_started_ever_more_seldom() {
        let (mut wait, short) = (WAIT_FIRST, Duration::from_secs(2));
        let mut waits = Vec::new();
        for _ in 0..10 {
            wait = next_wait(wait, short);
            waits.push(wait.as_secs());
        }
        assert_eq!(waits, [2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert_eq!(next_wait(wait, HEALTHY), WAIT_FIRST);
    }

    #[tokio::test]
    async fn a_sensor_that_is_switched_off_says_so() {
        let (mut sensors, _received, _temp) = sensors();
        sensors.start(Duration::ZERO, 0);
        assert_eq!(sensors.health(Duration::ZERO)[0].state, SensorState::Off);
        assert!(sensors.tasks.is_empty());
    }
}
