//! Programs of others that tests try Cordon with: from the machine, or unpacked into the cache.
//!
//! Nothing is installed and no server of theirs starts by itself.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::need::{FOR_PROBING, Need, describe};
use crate::packages::{self, Unpacked};
use crate::run_command::find_program;
use crate::workspace::cache_folder;

/// Where packages put programs.
const FOLDERS: [&str; 4] = ["usr/bin", "usr/sbin", "bin", "sbin"];

/// A program and what it must be told to find what came with it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Tool {
    pub path: PathBuf,
    pub environment: Vec<(&'static str, OsString)>,
}

impl Tool {
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// One of [`FOR_PROBING`] by its name; the reason of a skipped test where it is not here.
pub fn find(program: &str) -> Result<Tool, String> {
    if let Some(path) = find_program(program) {
        return Ok(Tool { path, environment: Vec::new() });
    }
    let unpacked = folder().ok().and_then(|folder| Unpacked::find(&folder));
    let found = unpacked.and_then(|unpacked| unpacked_tool(&unpacked, program));
    found.ok_or_else(|| match FOR_PROBING.iter().find(|need| need.program == program) {
        Some(need) => format!("not here: {}; `cargo verify` fetches it", describe(need)),
        None => format!("the program {program} is not here"),
    })
}

/// Unpacks what this machine does not have; what is still missing comes back with its reason.
pub fn provide() -> Result<Vec<String>> {
    let missing = |need: &&Need| find(need.program).is_err();
    let wanted: Vec<&str> = FOR_PROBING.iter().filter(missing).map(|need| need.package).collect();
    if !wanted.is_empty() && packages::can_be_fetched() {
        let folder = folder()?;
        if Unpacked::find(&folder).is_some() {
            bail!("{} lacks {}: remove it to fetch all anew", folder.display(), wanted.join(", "));
        }
        Unpacked::fetch(&folder, &packages::with_dependencies(&wanted)?)?;
    }
    Ok(FOR_PROBING.iter().filter_map(|need| find(need.program).err()).collect())
}

fn folder() -> Result<PathBuf> {
    Ok(cache_folder()?.join("peers"))
}

fn unpacked_tool(unpacked: &Unpacked, program: &str) -> Option<Tool> {
    let places =
        FOLDERS.map(|folder| unpacked.path(&Path::new(folder).join(program).to_string_lossy()));
    let path = places.into_iter().find(|place| place.is_file())?;
    let environment = vec![
        ("LD_LIBRARY_PATH", unpacked.libraries().into()),
        // Where nmap finds its lists.
        ("NMAPDIR", unpacked.path("usr/share/nmap").into()),
    ];
    Some(Tool { path, environment })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_here_says_what_it_would_be_for() {
        let reason = find("no-such-program").unwrap_err();
        assert_eq!(reason, "the program no-such-program is not here");
    }

    #[test]
    fn an_unpacked_program_gets_what_came_with_it() {
        let root = std::env::temp_dir().join(format!("cordon-peers-{}", std::process::id()));
        std::fs::create_dir_all(root.join("usr/sbin")).unwrap();
        std::fs::write(root.join("usr/sbin/dnsmasq"), "").unwrap();
        let unpacked = Unpacked::find(&root).unwrap();
        let tool = unpacked_tool(&unpacked, "dnsmasq");
        let nmap = unpacked_tool(&unpacked, "nmap");
        std::fs::remove_dir_all(&root).unwrap();
        let tool = tool.unwrap();
        assert!(tool.path.ends_with("usr/sbin/dnsmasq") && nmap.is_none());
        assert!(tool.environment[0].1.to_string_lossy().contains("usr/lib/x86_64-linux-gnu/blas"));
    }
}
