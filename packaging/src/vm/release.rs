//! The kernels of Debian's releases, whichever release this machine has, so that the agent meets
//! kernels older and newer than the one under it.
//!
//! Packages are looked up in lists of their own: the machine's, and what it installs from, stay as
//! they are.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::depot::{Depot, first_below};
use crate::packages::{self, Unpacked};
use crate::run_command::ask;
use crate::workspace::cache_folder;

/// Depends on the newest kernel of a release.
const KERNEL_PACKAGE: &str = "linux-image-amd64";

/// The archive's keys, from the package debian-archive-keyring.
const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Where the packages are, unless this machine names a place of its own.
const MIRROR: &str = "http://deb.debian.org/debian";

/// A release and the kernel that it came with.
#[derive(Clone, Copy, Debug)]
pub struct Release {
    pub name: &'static str,
    /// How its kernel's version begins.
    pub kernel: &'static str,
}

/// Debian 12.
pub const BOOKWORM: Release = Release { name: "bookworm", kernel: "6.1." };
/// Debian 13.
pub const TRIXIE: Release = Release { name: "trixie", kernel: "6.12." };

impl Release {
    /// The depot with this release's kernel instead of its own; the reason where it is not here.
    pub fn find(self, depot: &Depot) -> Result<Depot, String> {
        if depot.kernel_version().starts_with(self.kernel) {
            return Ok(depot.clone());
        }
        let folder = self.folder().map_err(|error| format!("{error:#}"))?;
        self.find_in(&folder, depot)
    }

    fn find_in(self, folder: &Path, depot: &Depot) -> Result<Depot, String> {
        let kernel = first_below(&folder.join("boot"), &format!("vmlinuz-{}", self.kernel));
        let modules = ["usr/lib/modules", "lib/modules"]
            .into_iter()
            .find_map(|inside| first_below(&folder.join(inside), self.kernel));
        match (kernel, modules) {
            (Some(kernel), Some(modules)) => Ok(depot.with_kernel(kernel, modules)),
            (None, _) | (_, None) => {
                Err(format!("no kernel {}* for guests (from Debian's {})", self.kernel, self.name))
            }
        }
    }

    /// Gets its kernel unless it is here; needs apt-get and a mirror of Debian.
    pub fn fetch(self, depot: &Depot) -> Result<()> {
        if self.find(depot).is_ok() {
            return Ok(());
        }
        let folder = self.folder()?;
        let lists = folder.with_extension(format!("lists-{}", std::process::id()));
        let fetched = self.fetch_with(&lists, &folder);
        if lists.exists() {
            let removed = fs::remove_dir_all(&lists);
            removed.with_context(|| format!("removing {}", lists.display()))?;
        }
        fetched
    }

    fn fetch_with(self, lists: &Path, folder: &Path) -> Result<()> {
        let apt = self.apt(lists)?;
        let said = format!("asking for the packages of {}", self.name);
        ask(&said, Command::new("apt-get").args(&apt).args(["update", "-q"]))?;
        let depends =
            ask(&said, Command::new("apt-cache").args(&apt).args(["depends", KERNEL_PACKAGE]))?;
        let kernel = first_kernel(&depends).context("the release names no kernel")?;
        Unpacked::fetch_with(folder, &[kernel], &apt).map(drop)
    }

    /// What makes apt look here and nowhere else.
    fn apt(self, lists: &Path) -> Result<Vec<String>> {
        for inside in ["lists/partial", "cache/archives/partial"] {
            let made = fs::create_dir_all(lists.join(inside));
            made.with_context(|| format!("making {}", lists.display()))?;
        }
        let sources = lists.join("sources.list");
        let line = format!("deb [signed-by={KEYS}] {MIRROR} {} main\n", self.name);
        fs::write(&sources, line).context("writing where packages are")?;
        let place = |name: &str, path: PathBuf| format!("Dir::{name}={}", path.display());
        let options = [
            place("Etc::SourceList", sources),
            place("Etc::SourceParts", lists.join("none")),
            place("State::Lists", lists.join("lists")),
            place("Cache", lists.join("cache")),
            "Acquire::Languages=none".to_owned(),
        ];
        Ok(options.into_iter().flat_map(|option| ["-o".to_owned(), option]).collect())
    }

    fn folder(self) -> Result<PathBuf> {
        Ok(cache_folder()?.join("vm").join(format!("kernel-{}", self.name)))
    }
}

/// Gets the kernels of all releases that guests are tried on.
pub fn fetch_all(depot: &Depot) -> Result<()> {
    if packages::can_be_fetched() {
        [BOOKWORM, TRIXIE].into_iter().try_for_each(|release| release.fetch(depot))?;
    }
    Ok(())
}

/// In what `apt-cache depends` says.
pub(super) fn first_kernel(depends: &str) -> Option<String> {
    let named = depends.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
    named.map(str::trim).find(|name| name.starts_with("linux-image-")).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_read_from_what_the_package_depends_on() {
        let depends = "linux-image-amd64\n  Depends: linux-image-6.12.107+deb13-amd64\n";
        assert_eq!(first_kernel(depends), Some("linux-image-6.12.107+deb13-amd64".to_owned()));
        assert_eq!(first_kernel("linux-image-amd64\n"), None);
    }
}
