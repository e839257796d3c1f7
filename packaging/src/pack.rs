//! `cargo pack`: the programs in release and what a machine needs to run them, in one archive, and
//! where dpkg-deb is as Debian packages.
//!
//! Their bytes depend on the commit and the compiler alone: order, owners and times in them are
//! fixed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::arguments::PackOptions;
use crate::console::Console;
use crate::run_command::{ask, cargo, find_program, run as run_command};
use crate::workspace::Workspace;
use crate::{deb, say};

/// True once the archive is there.
pub fn run(options: &PackOptions) -> Result<bool> {
    let workspace = Workspace::read()?;
    let folder = workspace.task_folder("pack");
    let into = options.into.clone().unwrap_or_else(|| folder.clone());
    let name = format!(
        "cordon-{}-{}-{}",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::OS,
        std::env::consts::ARCH
    );
    // Who installs the archive is to have a console.
    Console::find(&workspace).map_err(anyhow::Error::msg)?.build()?;
    let programs = build_programs(&workspace, &folder)?;
    if programs.is_empty() {
        bail!("this checkout builds no programs to pack");
    }
    let staged = folder.join(&name);
    stage(&staged, &programs, &workspace.root.join("packaging").join(std::env::consts::OS))?;
    fs::create_dir_all(&into).with_context(|| format!("making {}", into.display()))?;
    let archive = into.join(format!("{name}.tar.gz"));
    let time = commit_time(&workspace)?;
    archive_it(&folder, &name, &archive, &time)?;
    let sum = ask("summing the archive", Command::new("sha256sum").arg(&archive))?;
    say::line(sum.trim());
    debian(&workspace, &into, &time)?;
    Ok(true)
}

/// The same as Debian packages, where they can be made.
fn debian(workspace: &Workspace, into: &Path, time: &str) -> Result<()> {
    if find_program("dpkg-deb").is_none() {
        say::line("no Debian packages: dpkg-deb is not here");
        return Ok(());
    }
    let time_secs = time.trim_start_matches('@').parse().context("the commit's time")?;
    let linux = workspace.root.join("packaging/linux");
    let programs = workspace.program_folder("release");
    let sources = deb::Sources { programs: &programs, linux: &linux, time_secs };
    for name in deb::names() {
        let file = deb::build(name, sources, into)?;
        let sum = ask("summing a package", Command::new("sha256sum").arg(&file))?;
        say::line(sum.trim());
    }
    Ok(())
}

/// Builds every program in release, one package at a time, so that no package gets features that
/// only another one asked for, and as `.cargo/PROGRAM.toml` says where there is one; where they lie.
pub fn build_programs(workspace: &Workspace, logs: &Path) -> Result<Vec<PathBuf>> {
    let folder = workspace.program_folder("release");
    let mut built = Vec::new();
    for program in workspace.programs() {
        let what = format!("built {} in release", program.name);
        say::begin(&what);
        let arguments =
            ["build", "--release", "--package", &program.package, "--bin", &program.name];
        let mut command = cargo(&arguments);
        command.current_dir(&workspace.root);
        let own = workspace.root.join(format!(".cargo/{}.toml", program.name));
        if own.exists() {
            command.arg("--config").arg(own);
        }
        let log = logs.join(format!("build-{}.log", program.name));
        let ran = run_command(&what, &mut command, &log)?;
        if !ran.status.success() {
            say::step("FAIL", ran.took, &format!("building {} in release", program.name));
            say::output(&ran.output);
            bail!("building {} failed: {}", program.name, ran.status);
        }
        let path = folder.join(&program.name);
        let bytes =
            fs::metadata(&path).with_context(|| format!("reading {}", path.display()))?.len();
        say::step("ok", ran.took, &format!("{what}: {:.1} MiB", mebibytes(bytes)));
        built.push(path);
    }
    Ok(built)
}

#[expect(clippy::cast_precision_loss, reason = "shown with one digit after the point")]
fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// Lays the archive's content out: `bin/` with the programs, beside it what packaging holds for
/// this system.
fn stage(staged: &Path, programs: &[PathBuf], system_files: &Path) -> Result<()> {
    if staged.exists() {
        fs::remove_dir_all(staged).with_context(|| format!("emptying {}", staged.display()))?;
    }
    for program in programs {
        copy(program, &staged.join("bin"))?;
    }
    let listing = || format!("listing {}", system_files.display());
    for entry in fs::read_dir(system_files).with_context(listing)? {
        let path = entry.with_context(listing)?.path();
        if path.is_dir() {
            continue;
        }
        let extension = path.extension().and_then(|extension| extension.to_str());
        match extension {
            Some("service" | "path") => copy(&path, &staged.join("systemd"))?,
            Some("sysusers") => copy(&path, &staged.join("sysusers.d"))?,
            Some("toml") => copy(&path, &staged.join("etc"))?,
            Some(_) | None => copy(&path, staged)?,
        }
    }
    Ok(())
}

fn copy(file: &Path, folder: &Path) -> Result<()> {
    let name = file.file_name().with_context(|| format!("{} has no name", file.display()))?;
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    fs::copy(file, folder.join(name))
        .with_context(|| format!("copying {} to {}", file.display(), folder.display()))?;
    Ok(())
}

fn commit_time(workspace: &Workspace) -> Result<String> {
    let mut command = Command::new("git");
    command.current_dir(&workspace.root).args(["log", "-1", "--format=%ct"]);
    Ok(format!("@{}", ask("asking git for the commit's time", &mut command)?.trim()))
}

fn archive_it(folder: &Path, name: &str, archive: &Path, time: &str) -> Result<()> {
    let mut command = Command::new("tar");
    command.args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--mode=go-w"]);
    command.arg(format!("--mtime={time}")).args(["--use-compress-program", "gzip -9n"]);
    command.arg("-C").arg(folder).arg("-cf").arg(archive).arg(name);
    ask("making the archive", &mut command).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of the test's own, removed at its end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path =
                std::env::temp_dir().join(format!("cordon-pack-{}-{name}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn file(&self, path: &str) -> PathBuf {
            let file = self.0.join(path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, path).unwrap();
            file
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            drop(fs::remove_dir_all(&self.0));
        }
    }

    fn listing(folder: &Path) -> Vec<String> {
        let mut found = Vec::new();
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let name = entry.file_name().into_string().unwrap();
            if entry.file_type().unwrap().is_dir() {
                found.extend(listing(&entry.path()).iter().map(|below| format!("{name}/{below}")));
            } else {
                found.push(name);
            }
        }
        found.sort();
        found
    }

    #[test]
    fn every_file_has_its_place_and_nothing_old_stays() {
        let folder = Folder::new("places");
        let programs = [folder.file("release/cordon-agent"), folder.file("release/cordon")];
        folder.file("linux/cordon-agent.service");
        folder.file("linux/agent.toml");
        folder.file("linux/README");
        folder.file("staged/left-over");
        let staged = folder.0.join("staged");
        stage(&staged, &programs, &folder.0.join("linux")).unwrap();
        let expected = [
            "README",
            "bin/cordon",
            "bin/cordon-agent",
            "etc/agent.toml",
            "systemd/cordon-agent.service",
        ];
        assert_eq!(listing(&staged), expected);
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let folder = Folder::new("missing");
        let programs = [folder.0.join("cordon-agent")];
        let error = stage(&folder.0.join("staged"), &programs, &folder.0).unwrap_err();
        assert!(format!("{error:#}").contains("cordon-agent"), "{error:#}");
    }
}
