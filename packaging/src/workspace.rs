//! What cargo says about this workspace: where it is, where it builds, which programs it has.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::run_command::{ask, cargo};

#[derive(Debug, Deserialize)]
pub struct Workspace {
    #[serde(rename = "workspace_root")]
    pub root: PathBuf,
    #[serde(rename = "target_directory")]
    pub build_folder: PathBuf,
    packages: Vec<Package>,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    targets: Vec<Target>,
}

#[derive(Debug, Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

/// A program of this workspace and the package that builds it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Program {
    pub package: String,
    pub name: String,
}

impl Workspace {
    pub fn read() -> Result<Self> {
        let arguments = ["metadata", "--no-deps", "--format-version", "1"];
        let answer = ask("reading the workspace with cargo metadata", &mut cargo(&arguments))?;
        Self::parse(&answer)
    }

    fn parse(json: &str) -> Result<Self> {
        serde_json::from_str(json).context("understanding cargo metadata")
    }

    /// The programs people run, not those that serve the project itself.
    pub fn programs(&self) -> Vec<Program> {
        let ours = ["cordon-packaging", "cordon-tests"];
        let products = self.packages.iter().filter(|package| !ours.contains(&&*package.name));
        products
            .flat_map(|package| {
                named(package, "bin").map(|name| Program { package: package.name.clone(), name })
            })
            .collect()
    }

    /// The benchmarks of tests/bench.
    pub fn benchmarks(&self) -> Vec<String> {
        let tests = self.packages.iter().filter(|package| package.name == "cordon-tests");
        tests.flat_map(|package| named(package, "bench")).collect()
    }

    /// Where the logs and products of this task runner go.
    pub fn task_folder(&self, task: &str) -> PathBuf {
        self.build_folder.join("cordon").join(task)
    }

    /// Where cargo puts the programs of a profile: `debug` or `release`.
    pub fn program_folder(&self, profile: &str) -> PathBuf {
        self.build_folder.join(profile)
    }
}

fn named<'a>(package: &'a Package, kind: &'a str) -> impl Iterator<Item = String> + 'a {
    let wanted = move |target: &&Target| target.kind.iter().any(|given| given == kind);
    package.targets.iter().filter(wanted).map(|target| target.name.clone())
}

/// Where things are kept between runs, outside every checkout.
pub fn cache_folder() -> Result<PathBuf> {
    let folder = match std::env::var_os("XDG_CACHE_HOME") {
        Some(folder) if Path::new(&folder).is_absolute() => PathBuf::from(folder),
        Some(_) | None => {
            let home =
                std::env::var_os("HOME").context("neither XDG_CACHE_HOME nor HOME is set")?;
            PathBuf::from(home).join(".cache")
        }
    };
    Ok(folder.join("cordon"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const METADATA: &str = r#"{
        "workspace_root": "/src", "target_directory": "/build", "packages": [
        {"name": "cordon-agent", "targets": [
            {"name": "cordon_agent", "kind": ["lib"]}, {"name": "cordon-agent", "kind": ["bin"]}]},
        {"name": "cordon-packaging", "targets": [{"name": "cordon-packaging", "kind": ["bin"]}]},
        {"name": "cordon-tests", "targets": [
            {"name": "footprint", "kind": ["bench"]}, {"name": "tidy", "kind": ["test"]}]}]}"#;

    #[test]
    fn products_and_benchmarks_are_told_from_the_rest() {
        let workspace = Workspace::parse(METADATA).unwrap();
        let agent = Program { package: "cordon-agent".into(), name: "cordon-agent".into() };
        assert_eq!(workspace.programs(), [agent]);
        assert_eq!(workspace.benchmarks(), ["footprint"]);
        assert_eq!(workspace.task_folder("verify"), Path::new("/build/cordon/verify"));
    }
}
