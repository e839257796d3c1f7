//! Debian's packages unpacked into folders of the cache: nothing is installed, nothing of the
//! machine is changed, and no program in them is run but those that a task starts itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::need;
use crate::run_command::{ask, find_program};

/// Where packages put shared libraries, on the machines that this runs on.
const LIBRARIES: [&str; 4] = [
    "usr/lib/x86_64-linux-gnu",
    "lib/x86_64-linux-gnu",
    "usr/lib/x86_64-linux-gnu/systemd",
    // Chosen among several by a link that only installing makes.
    "usr/lib/x86_64-linux-gnu/blas",
];

/// Packages unpacked over each other.
#[derive(Clone, Debug)]
pub struct Unpacked {
    root: PathBuf,
}

impl Unpacked {
    /// What was unpacked here before. The folder appears when all of it is there, never earlier.
    #[must_use]
    pub fn find(folder: &Path) -> Option<Self> {
        folder.is_dir().then(|| Self { root: folder.to_owned() })
    }

    /// Downloads packages and unpacks them, unless that was done before.
    pub fn fetch<S: AsRef<str>>(folder: &Path, packages: &[S]) -> Result<Self> {
        Self::fetch_with(folder, packages, &[])
    }

    /// The same with options for apt-get.
    pub fn fetch_with<S: AsRef<str>>(
        folder: &Path,
        packages: &[S],
        apt: &[String],
    ) -> Result<Self> {
        if let Some(done) = Self::find(folder) {
            return Ok(done);
        }
        // Its own, should two tasks fetch the same at once.
        let part = folder.with_extension(format!("part-{}", std::process::id()));
        let fetched = fetch_into(&part, packages, apt).and_then(|root| {
            let moved = fs::rename(&root, folder);
            moved.with_context(|| format!("putting {} in its place", folder.display()))
        });
        if part.exists() {
            let removed = fs::remove_dir_all(&part);
            removed.with_context(|| format!("removing {}", part.display()))?;
        }
        match (fetched, Self::find(folder)) {
            (_, Some(done)) => Ok(done),
            (Err(error), None) => Err(error),
            (Ok(()), None) => bail!("{} is gone again", folder.display()),
        }
    }

    /// Something that the packages brought.
    #[must_use]
    pub fn path(&self, inside: &str) -> PathBuf {
        self.root.join(inside)
    }

    /// `LD_LIBRARY_PATH` for a program that came with its libraries.
    #[must_use]
    pub fn libraries(&self) -> String {
        LIBRARIES.map(|folder| self.path(folder).display().to_string()).join(":")
    }

    /// One of its programs, with the libraries that came along.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.path(program));
        command.env("LD_LIBRARY_PATH", self.libraries());
        command
    }
}

/// Whether packages can be fetched here: as root only, like all that is fetched.
#[must_use]
pub fn can_be_fetched() -> bool {
    need::is_root() && find_program("apt-get").is_some() && find_program("dpkg").is_some()
}

/// The packages that installing these would add, themselves among them.
pub fn with_dependencies(packages: &[&str]) -> Result<Vec<String>> {
    let named = packages.join(" ");
    let mut simulate = Command::new("apt-get");
    simulate.args(["install", "--simulate", "--no-install-recommends"]).args(packages);
    let names = added(&ask(&format!("asking apt-get what {named} needs"), &mut simulate)?);
    if names.is_empty() {
        bail!("{named} is installed already, and what is sought of it is not there");
    }
    Ok(names)
}

/// The names in what apt-get would do.
fn added(simulated: &str) -> Vec<String> {
    let name = |line: &str| line.strip_prefix("Inst ")?.split(' ').next().map(str::to_owned);
    simulated.lines().filter_map(name).collect()
}

/// Answers the folder in which everything was unpacked.
fn fetch_into<S: AsRef<str>>(part: &Path, packages: &[S], apt: &[String]) -> Result<PathBuf> {
    let (files, root) = (part.join("packages"), part.join("root"));
    for folder in [&files, &root] {
        let made = fs::create_dir_all(folder);
        made.with_context(|| format!("making {}", folder.display()))?;
    }
    let names: Vec<&str> = packages.iter().map(AsRef::as_ref).collect();
    let mut download = Command::new("apt-get");
    download.args(apt).args(["download", "-q"]).args(&names).current_dir(&files);
    ask(&format!("downloading {}", names.join(" ")), &mut download)?;
    for entry in fs::read_dir(&files).context("listing packages")? {
        let file = entry.context("listing packages")?.path();
        let mut unpack = Command::new("dpkg");
        unpack.arg("--extract").arg(&file).arg(&root);
        ask(&format!("unpacking {}", file.display()), &mut unpack)?;
    }
    Ok(root)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_apt_would_add_is_read_by_name() {
        let simulated = "Reading package lists...\n\
            Inst libmicrohttpd12 (0.9.75-6 Debian:12.5/stable [amd64])\n\
            Inst systemd [252.1] (252.39 Debian:12.11/stable [amd64])\n\
            Conf systemd (252.39 Debian:12.11/stable [amd64])\n";
        assert_eq!(added(simulated), ["libmicrohttpd12", "systemd"]);
        assert!(added("Reading package lists...\n").is_empty());
    }

    #[test]
    fn what_is_not_unpacked_whole_is_not_there() {
        let folder = std::env::temp_dir().join(format!("cordon-packages-{}", std::process::id()));
        assert!(Unpacked::find(&folder).is_none());
        // No package has such a name, and without apt-get nothing is downloaded either.
        assert!(Unpacked::fetch(&folder, &["no such package"]).is_err());
        assert!(Unpacked::find(&folder).is_none());
        let left = fs::read_dir(std::env::temp_dir()).unwrap().flatten();
        let name = format!("cordon-packages-{}", std::process::id());
        assert_eq!(
            left.filter(|it| it.file_name().to_string_lossy().starts_with(&name)).count(),
            0
        );
    }
}
