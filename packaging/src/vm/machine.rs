//! A machine under way: its console, its hardware, its power.

use std::io;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::depot::Depot;
use super::qmp::Qmp;
use crate::clock::wait_until;
use crate::lines::Lines;
use crate::process::Process;

/// How long qemu takes until its socket is there.
const SOCKET_WITHIN: Duration = Duration::from_secs(20);

/// Lines of the console that are kept, to be looked through and shown when something goes wrong.
const CONSOLE_LINES_MAX: usize = 4000;

/// Of these, so many are shown.
const SHOWN_LINES_MAX: usize = 60;

/// What a machine is made of.
#[derive(Clone, Debug)]
pub struct Plan {
    /// A folder for its socket and archive, of its own.
    pub folder: PathBuf,
    /// What it runs from.
    pub initramfs: Vec<u8>,
    pub memory_mib: u32,
    /// More of the kernel's command line.
    pub kernel_arguments: String,
    /// More of qemu's arguments: disks, controllers.
    pub hardware: Vec<String>,
    /// Whether it goes on after a reboot; otherwise a reboot ends it.
    pub reboots: bool,
}

/// Ended when dropped.
#[derive(Debug)]
pub struct Machine {
    process: Process,
    console: Lines,
    heard: Vec<String>,
    qmp: Qmp,
}

impl Machine {
    /// Switches it on. Emulated, so that it runs the same everywhere; where KVM works,
    /// `CORDON_VM_ACCEL=kvm` is faster (a KVM inside a virtual machine may be there and not work).
    pub fn start(depot: &Depot, plan: &Plan) -> Result<Self> {
        let archive = plan.folder.join("initramfs");
        std::fs::write(&archive, &plan.initramfs).context("writing what the machine runs from")?;
        let socket = plan.folder.join("qmp");
        let mut command = depot.qemu();
        let accelerator = std::env::var("CORDON_VM_ACCEL").unwrap_or_else(|_unset| "tcg".into());
        command.args(["-machine", "q35", "-accel", &accelerator, "-cpu", "max"]);
        command.args(["-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio"]);
        command.args(["-m", &plan.memory_mib.to_string()]);
        command.arg("-kernel").arg(&depot.kernel).arg("-initrd").arg(&archive);
        let more = &plan.kernel_arguments;
        command.args(["-append", &format!("console=ttyS0 quiet panic=-1 {more}")]);
        command.arg("-qmp").arg(format!("unix:{},server=on,wait=off", socket.display()));
        if !plan.reboots {
            command.arg("-no-reboot");
        }
        command.args(&plan.hardware);
        Self::launch(&mut command, &socket)
    }

    fn launch(command: &mut Command, socket: &std::path::Path) -> Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut process = Process::start("qemu", command)?;
        let console = process.pipes().stdout.take().context("qemu has no console")?;
        let connected = wait_until(SOCKET_WITHIN, || {
            if process.wait_at_most(Duration::ZERO)?.is_some() {
                bail!("qemu has ended before it began");
            }
            Ok(if socket.exists() { Qmp::connect(socket).ok() } else { None })
        })?;
        let qmp = connected.context("qemu does not open its socket")?;
        Ok(Self { process, console: Lines::new(console), heard: Vec::new(), qmp })
    }

    /// The first line of the console that the closure makes something of, since the machine was
    /// started or reset: what came before it was asked for counts too.
    pub fn hear<T>(
        &mut self,
        what: &str,
        limit: Duration,
        mut wanted: impl FnMut(&str) -> Option<T>,
    ) -> Result<T> {
        if let Some(found) = self.heard.iter().find_map(|line| wanted(line)) {
            return Ok(found);
        }
        let heard = &mut self.heard;
        let found = self.console.find_within(limit, |line| {
            if heard.len() >= CONSOLE_LINES_MAX {
                heard.remove(0);
            }
            heard.push(line.to_owned());
            wanted(line)
        });
        let shown = self.heard.len().saturating_sub(SHOWN_LINES_MAX);
        let shown = || self.heard.get(shown..).unwrap_or_default().join("\n");
        match found {
            Ok(Some(found)) => Ok(found),
            Ok(None) => bail!("the machine ended without {what}:\n{}", shown()),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                bail!("no {what} within {} s:\n{}", limit.as_secs(), shown())
            }
            Err(error) => Err(error).context("reading the machine's console"),
        }
    }

    /// Gives qemu a command, such as `device_add`.
    pub fn command(&mut self, name: &str, arguments: Value) -> Result<Value> {
        Ok(self.qmp.command(name, arguments)?)
    }

    /// The last lines of the console, as far as somebody has read them or they are there now.
    pub fn console_so_far(&mut self) -> &[String] {
        while let Ok(Some(line)) = self.console.next_within(Duration::ZERO) {
            if self.heard.len() >= CONSOLE_LINES_MAX {
                self.heard.remove(0);
            }
            self.heard.push(line);
        }
        let shown = self.heard.len().saturating_sub(SHOWN_LINES_MAX);
        self.heard.get(shown..).unwrap_or_default()
    }

    /// As if somebody had pressed the button: nothing is written, nobody is asked.
    pub fn hard_reset(&mut self) -> Result<()> {
        self.qmp.command("system_reset", json!({}))?;
        self.heard.clear();
        Ok(())
    }

    /// As if somebody had pulled the plug.
    pub fn power_off(self) -> Result<()> {
        self.process.stop().context("ending qemu")?;
        Ok(())
    }
}
