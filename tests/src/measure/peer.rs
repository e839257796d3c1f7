//! Programs of others to measure against, unpacked from Debian's packages into a cache: nothing is
//! installed, and no service of theirs is started on this machine.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Where shared libraries of a package lie on the machines that this runs on.
const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";

/// Packages unpacked beside each other.
#[derive(Clone, Debug)]
pub struct Peer {
    root: PathBuf,
}

impl Peer {
    /// Fetches packages by `apt-get download` and unpacks them, unless that was done before.
    pub fn unpack(cache: &Path, packages: &[&str]) -> Result<Self> {
        let name = packages.first().context("no package is named")?;
        let folder = cache.join(name);
        let root = folder.join("root");
        let done = folder.join("done");
        if done.is_file() {
            return Ok(Self { root });
        }
        std::fs::create_dir_all(&folder)?;
        succeed(
            Command::new("apt-get").current_dir(&folder).args(["download", "-q"]).args(packages),
        )?;
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "deb") {
                succeed(Command::new("dpkg").arg("-x").arg(&path).arg(&root))?;
            }
        }
        std::fs::write(&done, "")?;
        Ok(Self { root })
    }

    /// Something that the packages brought.
    #[must_use]
    pub fn path(&self, inside: &str) -> PathBuf {
        self.root.join(inside)
    }

    /// The folder of shared libraries that the packages brought.
    #[must_use]
    pub fn libraries(&self) -> PathBuf {
        self.path(LIBRARIES)
    }

    /// One of its programs, with the libraries that came along.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.path(program));
        command.env("LD_LIBRARY_PATH", self.libraries());
        command
    }
}

fn succeed(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("running {command:?}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {}: {}", output.status, said.trim());
    Ok(())
}
