//! A whole machine in qemu as an endpoint: the real package, installed, enrolled and started.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cordon_packaging::clock::wait_until;
use cordon_packaging::deb::{self, Sources};
use cordon_packaging::fleet::Fleet;
use cordon_packaging::programs;
use cordon_packaging::vm::system::System;

/// What anything takes in an emulated machine on a busy one.
pub const WITHIN: Duration = Duration::from_secs(180);

/// An emulated processor is a tenth of one: what the agent may cost of it would be used up.
const SPARE: &str = "sed -i 's/^cpu_percent = .*/cpu_percent = 400/' /etc/cordon/agent.toml";

/// A folder for [`cordon_packaging::vm::system::SystemPlan::files`]: the package, made from the
/// program as it is built, and more programs; without what only a debugger reads.
pub fn files(folder: &Path, programs: &[&Path]) -> Result<PathBuf> {
    let (files, stripped) = (folder.join("files"), folder.join("stripped"));
    std::fs::create_dir_all(&files)?;
    std::fs::create_dir_all(&stripped)?;
    strip(&programs::find("cordon-agent")?, &stripped.join("cordon-agent"))?;
    for program in programs {
        strip(program, &files.join(program.file_name().context("a program without a name")?))?;
    }
    let linux = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/linux");
    let sources = Sources { programs: &stripped, linux: &linux, time_secs: 0 };
    deb::build("cordon-agent", sources, &files)?;
    Ok(files)
}

fn strip(program: &Path, into: &Path) -> Result<()> {
    let status = Command::new("strip").arg("-o").arg(into).arg(program).status();
    ensure!(status.context("starting strip")?.success(), "strip failed");
    Ok(())
}

/// Installs the package, enrols the machine under this host name, and starts its agent.
pub fn install(system: &mut System, fleet: &Fleet, name: &str) -> Result<()> {
    system.await_success("systemctl is-active systemd-networkd.service")?;
    system.run(System::MOUNT_FILES)?;
    system.run(&format!("echo {name} >/proc/sys/kernel/hostname"))?;
    system.run("dpkg --install /mnt/cordon-agent_*.deb")?;
    system.run(SPARE)?;
    let token = fleet.cordon(&["token", "create", "--uses", "1", "--for", "1h"])?;
    let token = token.lines().find(|line| line.starts_with("cordon1:")).context("no string")?;
    system.await_success(&format!("cordon-agent enroll '{token}'"))?;
    system.run("systemctl start cordon-agent.service")?;
    fleet.wait_for_state(name, "online", WITHIN).map(drop)
}

/// Waits until commands reach the machine: its first health brings what they prove their freshness
/// with.
pub fn await_obedience(fleet: &Fleet, name: &str) -> Result<()> {
    let try_it = ["isolate", name, "--reason", "vm", "--dry-run"];
    let told = wait_until(WITHIN, || Ok::<_, ()>(fleet.cordon(&try_it).ok())).ok().flatten();
    told.map(drop).context("the machine does not tell its health")
}
