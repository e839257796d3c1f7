//! Where qemu and a guest's kernel are, and getting them.
//!
//! They are unpacked into the cache, never installed: Debian's packages of both, without running
//! anything of them. qemu is taken from the machine where it is installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::run_command::{find_program, run};
use crate::workspace::cache_folder;

const QEMU: &str = "qemu-system-x86_64";
const QEMU_PACKAGE: &str = "qemu-system-x86";
/// Depends on the newest kernel of the release.
const KERNEL_PACKAGE: &str = "linux-image-amd64";

/// What a machine needs.
#[derive(Clone, Debug)]
pub struct Depot {
    qemu: PathBuf,
    /// Where qemu was unpacked, if it was.
    unpacked: Option<PathBuf>,
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
        let unpacked = folder.join("qemu");
        let here = unpacked.join("usr/bin").join(QEMU);
        let (qemu, unpacked) = match find_program(QEMU) {
            Some(qemu) => (qemu, None),
            None if here.is_file() => (here, Some(unpacked)),
            None => return Err(format!("{QEMU} is not here (package {QEMU_PACKAGE})")),
        };
        let kernel = first_below(&folder.join("kernel/boot"), "vmlinuz-");
        let modules = first_below(&folder.join("kernel/lib/modules"), "");
        match (kernel, modules) {
            (Some(kernel), Some(modules)) => Ok(Self { qemu, unpacked, kernel, modules }),
            (None, _) | (_, None) => Err(format!("no kernel for guests (from {KERNEL_PACKAGE})")),
        }
    }

    /// Gets what is not here; needs apt-get and a mirror, changes nothing of the machine.
    pub fn fetch(log_folder: &Path) -> Result<()> {
        let folder = folder()?;
        let packages = folder.join("packages");
        fs::create_dir_all(&packages).context("making a folder for packages")?;
        if find_program(QEMU).is_none() && !folder.join("qemu").exists() {
            let names = installed_by(QEMU_PACKAGE)?;
            for file in download(&names, &packages, log_folder)? {
                unpack(&file, &folder.join("qemu"), log_folder)?;
            }
        }
        if !folder.join("kernel").exists() {
            let name = kernel_package()?;
            for file in download(&[name], &packages, log_folder)? {
                unpack(&file, &folder.join("kernel"), log_folder)?;
            }
        }
        fs::remove_dir_all(&packages).context("removing packages that were unpacked")
    }

    /// A command that starts qemu, with nothing said yet.
    pub(super) fn qemu(&self) -> Command {
        let mut command = Command::new(&self.qemu);
        if let Some(unpacked) = &self.unpacked {
            let folders = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"];
            let paths = folders.map(|folder| unpacked.join(folder).display().to_string());
            command.env("LD_LIBRARY_PATH", paths.join(":"));
            for folder in ["usr/share/qemu", "usr/share/seabios", "usr/lib/ipxe/qemu"] {
                command.arg("-L").arg(unpacked.join(folder));
            }
            command.env("QEMU_MODULE_DIR", unpacked.join("usr/lib/x86_64-linux-gnu/qemu"));
        }
        command
    }
}

fn folder() -> Result<PathBuf> {
    Ok(cache_folder()?.join("vm"))
}

/// The last by name.
fn first_below(folder: &Path, prefix: &str) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    let is_wanted = |path: &PathBuf| {
        path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(prefix))
    };
    entries.filter(is_wanted).max()
}

/// The packages that installing this one would add.
fn installed_by(package: &str) -> Result<Vec<String>> {
    let arguments = ["install", "--simulate", "--no-install-recommends", package];
    let ran = Command::new("apt-get").args(arguments).output().context("starting apt-get")?;
    let text = String::from_utf8_lossy(&ran.stdout).into_owned();
    let names: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("Inst ")?.split(' ').next().map(str::to_owned))
        .collect();
    if names.is_empty() {
        bail!("apt-get does not know how to install {package}");
    }
    Ok(names)
}

fn kernel_package() -> Result<String> {
    let ran = Command::new("apt-cache").args(["depends", KERNEL_PACKAGE]).output();
    let text = String::from_utf8_lossy(&ran.context("starting apt-cache")?.stdout).into_owned();
    let depends = text.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
    let kernel = depends.map(str::trim).find(|name| name.starts_with("linux-image-"));
    Ok(kernel.with_context(|| format!("{KERNEL_PACKAGE} names no kernel"))?.to_owned())
}

/// Downloads into the folder; the files that are new there.
fn download(names: &[String], folder: &Path, log_folder: &Path) -> Result<Vec<PathBuf>> {
    let before = packages_in(folder)?;
    let mut command = Command::new("apt-get");
    command.args(["download", "-q"]).args(names).current_dir(folder);
    let ran = run("apt-get download", &mut command, &log_folder.join("vm-download.log"))?;
    if !ran.status.success() {
        bail!("apt-get download {}: {}", names.join(" "), ran.output.trim());
    }
    let mut files = packages_in(folder)?;
    files.retain(|file| !before.contains(file));
    Ok(files)
}

fn packages_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).context("listing packages")?.flatten();
    let is_package = |path: &PathBuf| path.extension().is_some_and(|end| end == "deb");
    Ok(entries.map(|entry| entry.path()).filter(is_package).collect())
}

fn unpack(package: &Path, folder: &Path, log_folder: &Path) -> Result<()> {
    let mut command = Command::new("dpkg");
    command.arg("--extract").arg(package).arg(folder);
    let ran = run("dpkg --extract", &mut command, &log_folder.join("vm-unpack.log"))?;
    if !ran.status.success() {
        bail!("unpacking {}: {}", package.display(), ran.output.trim());
    }
    Ok(())
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
