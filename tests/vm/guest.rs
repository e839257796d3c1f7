//! The machine's first process: loads modules, runs the agent's sensors of disks, devices and the
//! kernel's log, and prints each event as one line of JSON.

use std::ffi::CStr;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use cordon_agent::clock;
use cordon_agent::sensor::{Checkpoint, Outlet, Report, device, disk, kernel_log};
use cordon_proto::event::json::{Context as From, to_json};
use cordon_proto::event::{Body, DeviceEvent, Lane, Observation, SensorState};
use cordon_proto::id::EndpointId;
use rustix::mount::MountFlags;
use tokio::sync::mpsc;

use crate::{kernels, storage};

/// Lines of events begin with this, lines of conditions with the other.
pub(crate) const EVENT: &str = "EVENT ";
pub(crate) const SENSES: &str = "SENSES ";

/// A disk with this serial number is read when it appears or is found, so that it can fail.
pub(crate) const TO_BE_READ: &str = "READ-ME";

pub(crate) fn run() -> ExitCode {
    let done = prepare().and_then(|()| {
        let asked = std::fs::read_to_string("/proc/cmdline")?;
        if asked.contains(storage::ARGUMENT) {
            return storage::run();
        }
        if asked.contains(kernels::ARGUMENT) {
            return kernels::run();
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(sense())
    });
    if let Err(error) = done {
        println(&format!("the guest failed: {error:#}"));
    }
    ExitCode::FAILURE
}

/// Loads a module, where this program is started by the name of the one that does.
pub(crate) fn modprobe() -> ExitCode {
    match storage::modprobe() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println(&format!("modprobe: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// The console is all this process has.
#[expect(clippy::print_stdout, reason = "the machine around reads what is printed")]
pub(crate) fn println(line: &str) {
    println!("{line}");
}

fn prepare() -> Result<()> {
    for (what, place) in [("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev")] {
        rustix::mount::mount(what, place, what, MountFlags::empty(), None::<&CStr>)
            .with_context(|| format!("mounting {what}"))?;
    }
    let entries = std::fs::read_dir("/modules").context("listing modules")?;
    let mut modules: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    modules.sort();
    for module in modules {
        let file = File::open(&module)?;
        rustix::system::finit_module(&file, c"", 0)
            .with_context(|| format!("loading {}", module.display()))?;
    }
    Ok(())
}

async fn sense() -> Result<()> {
    let (reports, mut said) = mpsc::channel(64);
    let outlet = |name| Outlet::new(name, reports.clone());
    let disks = disk::DiskSettings { health_secs: 2, ..disk::DiskSettings::default() };
    // As if the agent had run before this boot: the whole log is read.
    let kept = Checkpoint { key: "kernel/place".to_owned(), value: Some(b"before 1".to_vec()) };
    let kernel = kernel_log::KernelSettings::default();
    let devices = device::DeviceSettings::default();
    let print = async {
        while let Some((sensor, report)) = said.recv().await {
            match report {
                Report::Condition(condition) => {
                    let state = matches!(condition.state, SensorState::Running);
                    let reason = condition.reason.unwrap_or_default();
                    println(&format!("{SENSES}{sensor} {state} {reason}"));
                }
                Report::Proved => {}
                Report::Sample(sample) => sample.observations.into_iter().for_each(tell),
            }
        }
    };
    tokio::select! {
        end = disk::run(disks, clock::stamp, outlet(disk::NAME)) => anyhow::bail!("disks: {end:?}"),
        end = device::run(devices, clock::stamp, outlet(device::NAME)) => {
            anyhow::bail!("devices: {end:?}")
        }
        end = kernel_log::run(kernel, clock::stamp, outlet(kernel_log::NAME), vec![kept]) => {
            anyhow::bail!("kernel: {end:?}")
        }
        () = print => Ok(()),
    }
}

fn tell(observation: Observation) {
    if let Body::Device(DeviceEvent::Attached(device)) = &observation.body
        && device.serial.as_ref().and_then(|serial| serial.as_str()) == Some(TO_BE_READ)
    {
        let path = Path::new("/dev").join(device.name.to_lossy().as_ref());
        std::thread::spawn(move || {
            let read = File::open(path).and_then(|mut disk| disk.read(&mut [0; 1 << 16]));
            println(&format!("reading ended: {read:?}"));
        });
    }
    let Ok(client) = "acme".parse() else { return };
    let from = From {
        client,
        endpoint: EndpointId::of(b"guest"),
        host_name: "guest".to_owned(),
        lane: Lane::Telemetry,
        epoch: 1,
        received_ns: 0,
        clock_offset_ns: None,
    };
    println(&format!("{EVENT}{}", to_json(&from, &observation.at(1))));
}
