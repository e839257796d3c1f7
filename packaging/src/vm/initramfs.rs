//! Builds what a guest runs from: one program as its first process, the libraries it needs, and
//! kernel modules, numbered in the order in which they are to be loaded.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::cpio::Archive;

/// Where the guest finds its modules: `/modules/00-usb_common.ko`, `/modules/01-…`.
pub const MODULES: &str = "modules";

/// Numbers of the device file that the first process prints to.
const CONSOLE: (u32, u32) = (5, 1);

/// The archive. More programs lie where they lie here.
pub fn build(first: &Path, modules: &[PathBuf], programs: &[PathBuf]) -> Result<Vec<u8>> {
    let mut archive = Archive::default();
    for folder in ["dev", "proc", "sys", "tmp", "mnt", MODULES] {
        archive.folder(folder);
    }
    archive.device("dev/console", CONSOLE);
    archive.program("init", &read(first)?);
    let mut needed = libraries(first)?;
    for program in programs {
        needed.extend(libraries(program)?);
    }
    let files: BTreeSet<&PathBuf> = needed.iter().chain(programs).collect();
    let mut folders: BTreeSet<PathBuf> = BTreeSet::new();
    for file in &files {
        folders.extend(file.ancestors().skip(1).map(Path::to_owned));
    }
    for folder in folders.iter().filter(|folder| *folder != Path::new("/")) {
        archive.folder(in_archive(folder)?);
    }
    for file in files {
        archive.program(in_archive(file)?, &read(file)?);
    }
    for (number, module) in modules.iter().enumerate() {
        let name = module.file_name().and_then(|name| name.to_str()).unwrap_or("module.ko");
        archive.program(&format!("{MODULES}/{number:02}-{name}"), &read(module)?);
    }
    Ok(archive.finish())
}

/// The libraries that a program is linked with, and the one that loads them.
fn libraries(program: &Path) -> Result<BTreeSet<PathBuf>> {
    let ran = Command::new("ldd").arg(program).output().context("starting ldd")?;
    let text = String::from_utf8_lossy(&ran.stdout).into_owned();
    if let Some(line) = text.lines().find(|line| line.contains("not found")) {
        bail!("{} needs a library that is not here: {}", program.display(), line.trim());
    }
    Ok(paths(&text))
}

/// `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x7f…)` or `/lib64/ld-linux-x86-64.so.2 (0x7f…)`.
pub(super) fn paths(text: &str) -> BTreeSet<PathBuf> {
    let path = |line: &str| {
        let word = line.split_whitespace().find(|word| word.starts_with('/'))?;
        Some(PathBuf::from(word))
    };
    text.lines().filter_map(path).collect()
}

fn in_archive(path: &Path) -> Result<&str> {
    let path = path.strip_prefix("/").with_context(|| format!("{} is relative", path.display()))?;
    path.to_str().context("a path that is no text")
}

fn read(file: &Path) -> Result<Vec<u8>> {
    std::fs::read(file).with_context(|| format!("reading {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_read_from_what_ldd_prints() {
        let text = "\tlinux-vdso.so.1 (0x00007ffd)\n\
                    \tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n";
        let expected = ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"];
        assert_eq!(paths(text), expected.map(PathBuf::from).into());
        assert!(paths("\tstatically linked\n").is_empty());
    }
}
