//! What the sensor of devices and the sensor of the kernel's log hear on this kernel. Needs root;
//! without it every test is skipped by name. Nothing is plugged in: the kernel is asked to say again
//! that a device of memory is there, and a line is written to its log.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "every line of this program is a test; clippy knows only #[test]"
)]

#[path = "device/platform.rs"]
mod platform;

use std::io::Write;
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::Duration;

use cordon_agent::clock;
use cordon_agent::platform::linux::uevent;
use cordon_agent::sensor::kernel_log::{self, KernelSettings};
use cordon_agent::sensor::{Checkpoint, Outlet, Report, device};
use cordon_proto::event::{Body, SensorState};
use libtest_mimic::{Arguments, Completion, Trial};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Longer than any test needs; what takes so long is not coming.
const PATIENCE: Duration = Duration::from_secs(20);

const TESTS: [(&str, fn()); 4] = [
    ("devices_are_heard_in_the_initial_namespaces", heard),
    ("devices_are_heard_in_a_network_namespace_of_its_own", heard_in_namespace),
    ("a_sensor_in_a_network_namespace_says_what_it_cannot_hear", degraded),
    ("a_line_of_the_kernels_log_is_told_once_over_a_restart", line_is_told_once),
];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let trials = TESTS.map(|(name, test)| {
        Trial::ignorable_test(name, move || {
            if !rustix::process::geteuid().is_root() {
                return Ok(Completion::ignored_with("needs root"));
            }
            // Namespaces are left on a thread that ends with the test.
            match std::thread::spawn(test).join() {
                Ok(()) => Ok(Completion::Completed),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    });
    libtest_mimic::run(&arguments, trials.into()).exit_code()
}

/// Asks the kernel to tell of `/dev/null` again, and hears it say so.
fn heard() {
    let socket = uevent::open().unwrap();
    let mut ask = std::fs::OpenOptions::new();
    let mut ask = ask.write(true).open("/sys/devices/virtual/mem/null/uevent").unwrap();
    ask.write_all(b"change").unwrap();
    let timeout = Timespec::try_from(PATIENCE).unwrap();
    loop {
        let mut watched = [PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::IN)];
        assert!(poll(&mut watched, Some(&timeout)).unwrap() > 0, "the kernel says nothing");
        let message = uevent::receive(&socket).unwrap().unwrap_or_default();
        if message.starts_with(b"change@/devices/virtual/mem/null\0") {
            return;
        }
    }
}

fn heard_in_namespace() {
    platform::leave_network_namespace().unwrap();
    heard();
}

fn degraded() {
    platform::leave_network_namespace().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (reports, mut said) = mpsc::channel(64);
        let outlet = Outlet::new(device::NAME, reports);
        let sensor = device::run(device::DeviceSettings::default(), clock::stamp, outlet);
        let (_, report) = tokio::select! {
            end = sensor => panic!("the sensor ended: {end:?}"),
            said = timeout(PATIENCE, said.recv()) => said.unwrap().unwrap(),
        };
        let Report::Condition(condition) = report else { panic!("{report:?}") };
        assert_eq!(condition.state, SensorState::Degraded);
        assert!(condition.reason.unwrap().contains("network interfaces"));
    });
}

/// Reads until a line with these words was told; all such lines, and the place behind them.
fn read_until(words: &str, kept: Vec<Checkpoint>, begin: impl FnOnce()) -> (usize, Checkpoint) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (reports, mut said) = mpsc::channel(64);
        let outlet = Outlet::new(kernel_log::NAME, reports);
        let sensor = kernel_log::run(KernelSettings::default(), clock::stamp, outlet, kept);
        let listen = async {
            let mut begin = Some(begin);
            let mut count = 0;
            while let Some((_, report)) = said.recv().await {
                let sample = match report {
                    Report::Condition(condition) => {
                        assert_eq!(condition.state, SensorState::Running, "{condition:?}");
                        if let Some(begin) = begin.take() {
                            begin();
                        }
                        continue;
                    }
                    Report::Proved => continue,
                    Report::Sample(sample) => sample,
                };
                count += sample.observations.iter().filter(|seen| says(&seen.body, words)).count();
                if sample.observations.iter().any(|seen| says(&seen.body, "the end of it")) {
                    return (count, sample.checkpoints[0].clone());
                }
            }
            panic!("the sensor said nothing more");
        };
        tokio::select! {
            end = sensor => panic!("the sensor ended: {end:?}"),
            read = timeout(PATIENCE, listen) => read.unwrap(),
        }
    })
}

fn says(body: &Body, words: &str) -> bool {
    let Body::Log(line) = body else { return false };
    line.line.to_lossy().contains(words)
}

/// A line without its end would stay invisible until the next: it could still be continued.
fn write(line: &str) {
    std::fs::write("/dev/kmsg", format!("{line}\n")).unwrap();
}

fn line_is_told_once() {
    let words = format!("cordon test {}", std::process::id());
    let (count, place) = read_until(&words, Vec::new(), || {
        write(&format!("{words} one"));
        write("the end of it");
    });
    assert_eq!(count, 1);
    // Written while nobody reads; what was told before is not told again.
    write(&format!("{words} two"));
    let (count, _) = read_until(&words, vec![place], || write("the end of it"));
    assert_eq!(count, 1);
}
