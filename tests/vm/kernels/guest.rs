//! The machine's first process where a kernel is tried: a sensor at a time, something for it to
//! see, and what it made of that.

use std::ffi::CStr;
use std::fs;
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use cordon_agent::sensor::{Outlet, Report, Stopping};
use rustix::mount::MountFlags;
use tokio::runtime::Builder;
use tokio::sync::mpsc;

use super::{DONE, SEEN, SHELL, connections, files, processes};
use crate::guest::println;

/// In the kernel's command line: this machine is for this test.
pub(crate) const ARGUMENT: &str = "cordon.guest=kernels";

/// This program by that name runs many others and ends.
pub(crate) const STORM: &str = "/storm";

const GROUP: &str = "/sys/fs/cgroup/agent";

/// How long one sensor may take, emulated on a busy machine.
const WITHIN: Duration = Duration::from_secs(90);

pub(crate) fn run() -> Result<()> {
    std::os::unix::fs::symlink("/init", STORM)?;
    for (what, place) in [("cgroup2", "/sys/fs/cgroup"), ("tmpfs", "/mnt")] {
        rustix::mount::mount(what, place, what, MountFlags::empty(), None::<&CStr>)
            .with_context(|| format!("mounting {what}"))?;
    }
    // A group of its own, as a service has; the storm and all that it starts are in it, too.
    fs::create_dir(GROUP)?;
    fs::write(format!("{GROUP}/cgroup.procs"), "1").context("a control group of its own")?;
    // Loopback goes up.
    fs::write("/sys/class/net/lo/flags", "0x9").context("the loopback device")?;
    see("processes", processes::look()?);
    see("connections", connections::look()?);
    see("files", files::look()?);
    println(DONE);
    // The first process may not end before the machine is switched off.
    rustix::event::pause();
    Ok(())
}

fn see(what: &str, said: String) {
    println(&format!("{SEEN}{what}: {said}"));
}

/// Runs a sensor on a thread of its own and takes its reports until the closure is content. What
/// happens for the sensor to see is begun by the closure, on the first report, and not here.
pub(super) fn watch<S>(
    sensor: impl FnOnce(Outlet) -> S + Send + 'static,
    name: &'static str,
    mut take: impl FnMut(Report) -> Result<bool>,
) -> Result<()>
where
    S: Future<Output = Result<(), Stopping>>,
{
    let (sender, mut reports) = mpsc::channel(8);
    let thread = std::thread::spawn(move || -> Result<()> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        // It ends when nobody takes its reports any more.
        let _stopping = runtime.block_on(sensor(Outlet::new(name, sender)));
        Ok(())
    });
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let taken = runtime.block_on(async {
        tokio::time::timeout(WITHIN, async {
            while let Some((_, report)) = reports.recv().await {
                if take(report)? {
                    return Ok(());
                }
            }
            bail!("the sensor of {name} ended")
        })
        .await
    });
    drop(reports);
    drop(thread);
    taken.with_context(|| format!("the sensor of {name} did not see everything"))?
}

/// Plays the storm: so many shells in one file of four, each ending with a code of its own, each by
/// a user of its own, each with a long argument.
pub(crate) fn storm() -> ExitCode {
    let ran = (0..processes::COUNT).try_for_each(|number| {
        let expected = processes::Short::new(number);
        let mut command = Command::new(SHELL);
        std::os::unix::process::CommandExt::uid(&mut command, expected.uid);
        let status = command.env_clear().args(&expected.args).status()?;
        anyhow::ensure!(status.code() == Some(expected.code), "{number} ended with {status}");
        Ok(())
    });
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println(&format!("the guest failed: the storm: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
