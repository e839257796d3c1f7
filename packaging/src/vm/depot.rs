//! Where qemu and a guest's kernel are, and getting them.
//!
//! They are Debian's packages of both, unpacked into the cache; qemu is taken from the machine where
//! it is installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::release::first_kernel;
use crate::packages::{Unpacked, with_dependencies};
use crate::run_command::{ask, find_program};
use crate::workspace::cache_folder;

const QEMU: &str = "qemu-system-x86_64";
const QEMU_PACKAGE: &str = "qemu-system-x86";
/// Depends on the newest kernel of the release.
const KERNEL_PACKAGE: &str = "linux-image-amd64";

/// What a machine needs.
#[derive(Clone, Debug)]
pub struct Depot {
    qemu: PathBuf,
    /// What came with qemu, if it was unpacked.
    unpacked: Option<Unpacked>,
    pub kernel: PathBuf,
    pub modules: PathBuf,
}

impl Depot {
    /// What is here; the reason where something is not.
    pub fn find() -> Result<Self, String> {
        let folder = folder().map_err(|error| format!("{error:#}"))?;
        Self::find_in(&folder)
    }

    fn find_in(folder: &Path) -> Result<Self, String> {
        let here = Unpacked::find(&folder.join("qemu"));
        let (qemu, unpacked) = match (find_program(QEMU), here) {
            (Some(qemu), _) => (qemu, None),
            (None, Some(here)) => (here.path("usr/bin").join(QEMU), Some(here)),
            (None, None) => return Err(format!("{QEMU} is not here (package {QEMU_PACKAGE})")),
        };
        let kernel = first_below(&folder.join("kernel/boot"), "vmlinuz-");
        let modules = first_below(&folder.join("kernel/lib/modules"), "");
        match (kernel, modules) {
            (Some(kernel), Some(modules)) => Ok(Self { qemu, unpacked, kernel, modules }),
            (None, _) | (_, None) => Err(format!("no kernel for guests (from {KERNEL_PACKAGE})")),
        }
    }

    /// Gets what is not here; needs apt-get and a mirror, changes nothing of the machine.
    pub fn fetch() -> Result<()> {
        let folder = folder()?;
        let (qemu, kernel) = (folder.join("qemu"), folder.join("kernel"));
        if find_program(QEMU).is_none() && Unpacked::find(&qemu).is_none() {
            Unpacked::fetch(&qemu, &with_dependencies(&[QEMU_PACKAGE])?)?;
        }
        if Unpacked::find(&kernel).is_none() {
            Unpacked::fetch(&kernel, &[kernel_package()?])?;
        }
        Ok(())
    }

    /// As in its file's name; empty where that has another form.
    #[must_use]
    pub fn kernel_version(&self) -> &str {
        let name = self.kernel.file_name().and_then(|name| name.to_str());
        name.and_then(|name| name.strip_prefix("vmlinuz-")).unwrap_or_default()
    }

    /// The same with another kernel.
    pub(super) fn with_kernel(&self, kernel: PathBuf, modules: PathBuf) -> Self {
        Self { kernel, modules, ..self.clone() }
    }

    /// A command that starts qemu, with nothing said yet.
    pub(super) fn qemu(&self) -> Command {
        let mut command = Command::new(&self.qemu);
        if let Some(unpacked) = &self.unpacked {
            command.env("LD_LIBRARY_PATH", unpacked.libraries());
            for folder in ["usr/share/qemu", "usr/share/seabios", "usr/lib/ipxe/qemu"] {
                command.arg("-L").arg(unpacked.path(folder));
            }
            command.env("QEMU_MODULE_DIR", unpacked.path("usr/lib/x86_64-linux-gnu/qemu"));
        }
        command
    }
}

fn folder() -> Result<PathBuf> {
    Ok(cache_folder()?.join("vm"))
}

/// The last by name.
pub(super) fn first_below(folder: &Path, prefix: &str) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    let is_wanted = |path: &PathBuf| {
        path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(prefix))
    };
    entries.filter(is_wanted).max()
}

fn kernel_package() -> Result<String> {
    let mut command = Command::new("apt-cache");
    let text = ask("asking for the newest kernel", command.args(["depends", KERNEL_PACKAGE]))?;
    first_kernel(&text).with_context(|| format!("{KERNEL_PACKAGE} names no kernel"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_its_package() {
        let folder = std::env::temp_dir().join("cordon-no-such-depot");
        let reason = Depot::find_in(&folder).unwrap_err();
        assert!(reason.contains("package") || reason.contains(KERNEL_PACKAGE), "{reason}");
    }
}
