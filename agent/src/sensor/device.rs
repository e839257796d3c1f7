//! Tells which devices come and go: on the USB, disks and their partitions, keyboards and other
//! input, network interfaces.
//!
//! The kernel says so itself, also when a device is there for a moment only. What it made up
//! itself (loops, bridges, interfaces of containers) is left out. Devices outside this machine's
//! initial user namespace's view cannot be heard: a container with user ids of its own hears none,
//! and a network namespace of its own hears no network interfaces but its own.

mod identity;
mod table;
pub mod uevent;

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use cordon_proto::Text;
use cordon_proto::event::device::{Device, DeviceKind};
use cordon_proto::event::{
    Body, Class, ClassCount, DeviceEvent, GapReason, Observation, SensorState, Severity,
};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use tokio::io::unix::AsyncFd;
use tokio::task::JoinHandle;

use self::table::{DEVICES_MAX, Effect, Table};
use self::uevent::Uevent;
use super::{Loss, Outlet, SAMPLE_EVENTS_MAX, Sample, Stopping, disk};
use crate::clock::Stamp;
use crate::platform::linux::netns::Netns;
use crate::platform::linux::{uevent as socket, wait};

/// The sensor's name in health.
pub const NAME: &str = "devices";

const SYS: &str = "/sys";

/// The socket is looked at so often though nothing was heard, to show that it is.
const LOOK_PERIOD: Duration = Duration::from_secs(60);

/// Messages read at a time.
const MESSAGES_MAX: usize = 256;

/// What the sensor does.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeviceSettings {
    /// Whether devices are watched at all.
    pub enabled: bool,
}

impl Default for DeviceSettings {
    fn default() -> Self {
        Self { enabled: true }
    }
}

/// What was found on another thread, because a device may hold it up.
#[derive(Default)]
struct Found {
    looked: Vec<(String, Option<Device>)>,
    present: Vec<(String, Device)>,
    reports: Vec<(Severity, DeviceEvent)>,
}

/// All that wakes the sensor.
enum Wake {
    Heard(io::Result<()>),
    Found(Found),
    TimedOut,
}

/// Runs until the agent stops. Must be called on a thread of the namespaces to watch.
pub async fn run(
    settings: DeviceSettings,
    clock: fn() -> Stamp,
    outlet: Outlet,
) -> Result<(), Stopping> {
    if !settings.enabled {
        return outlet.condition(SensorState::Off, None, None).await;
    }
    let socket = match socket::open().and_then(wait::readable) {
        Ok(socket) => socket,
        Err(error) => {
            let reason = Some(format!("opening the kernel's messages on devices: {error}"));
            return outlet.condition(SensorState::Blind, reason, None).await;
        }
    };
    let (state, reason) = condition();
    outlet.condition(state, reason, None).await?;
    let sensor = Sensor {
        clock,
        socket,
        table: Table::default(),
        finding: None,
        look_due: Duration::ZERO,
        missed: false,
    };
    sensor.run(&outlet).await
}

/// How well devices can be heard here.
#[must_use]
pub fn condition() -> (SensorState, Option<String>) {
    if matches!(socket::is_told(), Ok(false)) {
        let reason = "the kernel does not tell devices to user namespaces but the initial one";
        return (SensorState::Degraded, Some(reason.to_owned()));
    }
    match Netns::own().and_then(Netns::is_initial) {
        Ok(false) => {
            let reason =
                "in a network namespace of its own: network interfaces of others are not heard";
            (SensorState::Degraded, Some(reason.to_owned()))
        }
        Ok(true) | Err(_) => (SensorState::Running, None),
    }
}

struct Sensor {
    clock: fn() -> Stamp,
    socket: AsyncFd<OwnedFd>,
    table: Table,
    finding: Option<JoinHandle<Found>>,
    /// When the socket is looked at though nothing was heard.
    look_due: Duration,
    /// Whether the kernel had more to say than there was room for.
    missed: bool,
}

impl Sensor {
    async fn run(mut self, outlet: &Outlet) -> Result<(), Stopping> {
        self.finding = Some(tokio::task::spawn_blocking(present));
        loop {
            match self.wake().await {
                Wake::Heard(Ok(())) => self.hear(),
                Wake::Heard(Err(error)) => {
                    let reason = Some(format!("hearing of devices: {error}"));
                    return outlet.condition(SensorState::Blind, reason, None).await;
                }
                Wake::Found(found) => {
                    for (path, device) in found.present {
                        self.table.handle_present(path, device);
                    }
                    for (path, device) in found.looked {
                        self.table.handle_look(&path, device);
                    }
                    self.report(outlet, found.reports).await?;
                }
                Wake::TimedOut => {}
            }
            let now = self.now();
            self.table.handle_timeout(now);
            if now >= self.look_due {
                self.look_due = now.saturating_add(LOOK_PERIOD);
                self.hear();
                outlet.proved().await?;
            }
            // One round of looking at a time; what is to be done next waits in the table.
            if self.finding.is_none() {
                let effects: Vec<_> = std::iter::from_fn(|| self.table.poll_effect()).collect();
                if !effects.is_empty() {
                    self.finding = Some(tokio::task::spawn_blocking(|| find(effects)));
                }
            }
        }
    }

    async fn wake(&mut self) -> Wake {
        let due = self.table.poll_timeout().map_or(self.look_due, |due| due.min(self.look_due));
        let wait = due.saturating_sub(self.now());
        let found = async {
            match &mut self.finding {
                Some(finding) => finding.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            ready = self.socket.readable() => Wake::Heard(ready.map(drop)),
            found = found => {
                self.finding = None;
                match found {
                    Ok(found) => Wake::Found(found),
                    // The run loop restarts a sensor that failed.
                    Err(failure) => match failure.try_into_panic() {
                        Ok(panic) => std::panic::resume_unwind(panic),
                        Err(_stopping) => Wake::Found(Found::default()),
                    },
                }
            }
            () = tokio::time::sleep(wait) => Wake::TimedOut,
        }
    }

    /// Reads what the kernel has said.
    fn hear(&mut self) {
        let now = self.now();
        for _ in 0..MESSAGES_MAX {
            match self.socket.try_io(tokio::io::Interest::READABLE, |socket| {
                socket::receive(socket).map_err(io::Error::from)
            }) {
                Ok(message) => {
                    let uevent = message.and_then(|message| Uevent::parse(&message));
                    uevent.into_iter().for_each(|uevent| self.table.handle_uevent(uevent, now));
                }
                Err(error) if error.raw_os_error() == Some(Errno::NOBUFS.raw_os_error()) => {
                    self.missed = true;
                }
                Err(_nothing_more) => break,
            }
        }
    }

    async fn report(
        &mut self,
        outlet: &Outlet,
        reports: Vec<(Severity, DeviceEvent)>,
    ) -> Result<(), Stopping> {
        let Stamp { time_ns, boot_ns } = (self.clock)();
        let observation = |(severity, event)| {
            let body = Body::Device(event);
            Observation { time_ns, boot_ns, severity, body }
        };
        let observations: Vec<_> = reports.into_iter().map(observation).collect();
        let mut losses = Vec::new();
        if std::mem::take(&mut self.missed) {
            losses.push(Loss {
                reason: GapReason::KernelRing,
                counts: vec![ClassCount { class: Class::Device, count: 0 }],
                from_ns: time_ns,
                to_ns: time_ns,
                detail: Some("more devices came and went at once than could be heard".to_owned()),
            });
        }
        for observations in observations.chunks(SAMPLE_EVENTS_MAX) {
            let observations = observations.to_vec();
            let losses = std::mem::take(&mut losses);
            outlet.sample(Sample { observations, losses, ..Sample::default() }).await?;
        }
        if losses.is_empty() {
            return Ok(());
        }
        outlet.sample(Sample { losses, ..Sample::default() }).await
    }

    fn now(&self) -> Duration {
        Duration::from_nanos((self.clock)().boot_ns)
    }
}

/// The devices that are there.
fn present() -> Found {
    let sys = Path::new(SYS);
    let look = |(kind, path): (DeviceKind, String)| {
        let mut device = identity::look(sys, kind, &path)?;
        device.mounted = mounted_by_path(sys, &path);
        Some((path, device))
    };
    let present = identity::list(sys, DEVICES_MAX).into_iter().filter_map(look).collect();
    Found { present, ..Found::default() }
}

fn find(effects: Vec<Effect>) -> Found {
    let mut found = Found::default();
    for effect in effects {
        match effect {
            Effect::Look(kind, path) => {
                let device = identity::look(Path::new(SYS), kind, &path);
                found.looked.push((path, device));
            }
            Effect::Report(severity, event, numbers) => {
                found.reports.push(with_mounts(severity, event, numbers));
            }
        }
    }
    found
}

/// Fills in where the device is mounted at this moment; one that went while it was is grave.
fn with_mounts(
    severity: Severity,
    mut event: DeviceEvent,
    numbers: Option<(u32, u32)>,
) -> (Severity, DeviceEvent) {
    let mounted = numbers.map(disk::mounts_of).unwrap_or_default();
    match &mut event {
        DeviceEvent::Attached(device) => device.mounted = mounted,
        DeviceEvent::Removed(device) => {
            device.mounted = mounted;
            if !device.mounted.is_empty() {
                return (Severity::Medium, event);
            }
        }
        DeviceEvent::Present(_) => {}
    }
    (severity, event)
}

fn mounted_by_path(sys: &Path, path: &str) -> Vec<Text> {
    let text = std::fs::read_to_string(sys.join(path.trim_start_matches('/')).join("dev"));
    let numbers = text.ok().and_then(|text| {
        let (major, minor) = text.trim().split_once(':')?;
        Some((major.parse().ok()?, minor.parse().ok()?))
    });
    numbers.map(disk::mounts_of).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_have_defaults_and_refuse_what_they_do_not_know() {
        assert_eq!(toml::from_str::<DeviceSettings>("").unwrap(), DeviceSettings::default());
        assert!(toml::from_str::<DeviceSettings>("usb = true").is_err());
    }

    #[test]
    fn a_disk_that_goes_while_it_is_mounted_is_grave() {
        let root = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let line = root.lines().find(|line| line.split(' ').nth(4) == Some("/")).unwrap();
        let (major, minor) = line.split(' ').nth(2).unwrap().split_once(':').unwrap();
        let numbers = Some((major.parse().unwrap(), minor.parse().unwrap()));
        let device = || {
            let nothing = uevent::Variables::default();
            let device = identity::told(DeviceKind::Disk, "/devices/x/sdb", &nothing);
            DeviceEvent::Removed(Box::new(device))
        };
        let (severity, event) = with_mounts(Severity::Informational, device(), numbers);
        assert_eq!(severity, Severity::Medium);
        assert!(event.device().mounted.contains(&Text::from("/")));
        let (severity, _) = with_mounts(Severity::Informational, device(), None);
        assert_eq!(severity, Severity::Informational);
    }
}
