//! Builds the web console before the collector that takes it in: packages by their lock file, types,
//! lints, units, files. Where node is missing it says so, and the collector is built without.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::run_command::{ask, find_program, run};
use crate::say;
use crate::workspace::Workspace;

/// The oldest node that its tools run on.
const NODE_MAJOR_MIN: u32 = 20;

/// What is made from the rest and is no source.
const MADE: [&str; 2] = ["node_modules", "dist"];

/// The console's checkout, on a machine where it can be built.
#[derive(Debug)]
pub struct Console {
    folder: PathBuf,
    /// The signing page, which describes commands for the console, too.
    signer: PathBuf,
    logs: PathBuf,
}

impl Console {
    /// Where it is; an error that says what is missing if it cannot be built here.
    pub fn find(workspace: &Workspace) -> Result<Self, String> {
        for program in ["node", "npm"] {
            if find_program(program).is_none() {
                return Err(format!("{program} is not here: the web console is left out"));
            }
        }
        let version = ask("asking node for its version", Command::new("node").arg("--version"));
        let version = version.map_err(|error| format!("{error:#}"))?;
        let major = version.trim().trim_start_matches('v').split('.').next();
        if major
            .and_then(|major| major.parse().ok())
            .is_none_or(|major: u32| major < NODE_MAJOR_MIN)
        {
            return Err(format!("node {} is older than {NODE_MAJOR_MIN}", version.trim()));
        }
        let folder = workspace.root.join("collector/console/web");
        let signer = workspace.root.join("collector/console/signer");
        Ok(Self { folder, signer, logs: workspace.task_folder("console") })
    }

    /// Builds what the collector takes in, unless it was built from these sources before.
    pub fn build(&self) -> Result<()> {
        let sources = self.sources()?;
        let stamp = self.folder.join("dist/built-from");
        if is(&stamp, &sources) && self.folder.join("dist/console/index.html").is_file() {
            return Ok(());
        }
        self.install()?;
        say::begin("built the web console");
        let took = self.npm("build", &["run", "--silent", "build"])?;
        say::step("ok", took, "built the web console");
        fs::write(&stamp, sources).with_context(|| format!("writing {}", stamp.display()))
    }

    /// Looks through its types, its lints and its units, and through those of the signing page.
    pub fn check(&self) -> Result<()> {
        self.install()?;
        for script in ["typecheck", "lint", "test"] {
            self.npm(script, &["run", "--silent", script])?;
        }
        let mut command = Command::new("node");
        command.args(["--test", "signer.test.mjs"]).current_dir(&self.signer);
        let ran = run("the signing page's tests", &mut command, &self.logs.join("signer.log"))?;
        ensure!(ran.status.success(), "the signing page's tests: {}\n{}", ran.status, ran.output);
        Ok(())
    }

    /// Where its packages and its browser tests lie.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Installs its packages by the lock file, unless these are there.
    fn install(&self) -> Result<()> {
        let lock = self.folder.join("package-lock.json");
        let lock = fs::read_to_string(&lock).with_context(|| format!("reading {lock:?}"))?;
        let stamp = self.folder.join("node_modules/.cordon-lock");
        if is(&stamp, &lock) {
            return Ok(());
        }
        say::begin("installed the web console's packages");
        let took = self.npm("install", &["ci", "--no-audit", "--no-fund"])?;
        say::step("ok", took, "installed the web console's packages");
        fs::write(&stamp, lock).with_context(|| format!("writing {}", stamp.display()))
    }

    fn npm(&self, name: &str, arguments: &[&str]) -> Result<std::time::Duration> {
        let mut command = Command::new("npm");
        command.args(arguments).current_dir(&self.folder);
        let what = format!("npm {}", arguments.join(" "));
        let ran = run(&what, &mut command, &self.logs.join(format!("{name}.log")))?;
        ensure!(ran.status.success(), "{what}: {}\n{}", ran.status, ran.output);
        Ok(ran.took)
    }

    /// Names and hashes of all it is built from.
    fn sources(&self) -> Result<String> {
        let mut found = BTreeMap::new();
        gather(&self.folder, &self.folder, &mut found)?;
        let beside = self.signer.parent().unwrap_or(&self.signer);
        gather(beside, &self.signer, &mut found)?;
        let lines = found.iter().map(|(name, hash)| format!("{hash:016x} {name}\n"));
        Ok(lines.collect())
    }
}

/// Builds the console if that can be done here; says so if not.
pub fn build_if_possible(workspace: &Workspace) -> Result<()> {
    match Console::find(workspace) {
        Ok(console) => console.build(),
        Err(reason) => {
            say::line(&reason);
            Ok(())
        }
    }
}

fn is(file: &Path, text: &str) -> bool {
    fs::read_to_string(file).is_ok_and(|there| there == text)
}

fn gather(top: &Path, folder: &Path, found: &mut BTreeMap<String, u64>) -> Result<()> {
    let reading = || format!("reading {}", folder.display());
    for entry in fs::read_dir(folder).with_context(reading)? {
        let path = entry.with_context(reading)?.path();
        let name = path.strip_prefix(top).unwrap_or(&path).display().to_string();
        if MADE.contains(&name.as_str()) {
            continue;
        }
        if path.is_dir() {
            gather(top, &path, found)?;
        } else {
            let bytes = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
            let mut hasher = DefaultHasher::new();
            bytes.hash(&mut hasher);
            found.insert(name, hasher.finish());
        }
    }
    Ok(())
}
