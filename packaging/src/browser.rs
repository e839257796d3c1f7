//! A Chromium for the console's browser tests: the machine's own, or Debian's unpacked into the cache.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::packages::{self, Unpacked};
use crate::run_command::find_program;
use crate::workspace::cache_folder;

const PACKAGE: &str = "chromium";
const PROGRAM: &str = "usr/lib/chromium/chromium";

/// Libraries of its that lie in a folder of their own.
const ALSO: &str = "usr/lib/x86_64-linux-gnu/pulseaudio";

/// The program; the reason of a skipped test where there is none.
pub fn find() -> Result<PathBuf, String> {
    let installed = ["chromium", "chromium-browser", "google-chrome"].into_iter();
    if let Some(program) = installed.filter_map(find_program).next() {
        return Ok(program);
    }
    let starter = folder().map(|folder| folder.join("start"));
    let found = starter.ok().filter(|starter| starter.is_file());
    found.ok_or_else(|| "there is no chromium here; `cargo verify` fetches it".to_owned())
}

/// Fetches it, unless there is one; the reason where that cannot be done.
pub fn provide() -> Result<Option<String>> {
    if find().is_ok() {
        return Ok(None);
    }
    if !packages::can_be_fetched() {
        return Ok(Some("chromium is not here: no browser looks at the console".to_owned()));
    }
    let unpacked = Unpacked::fetch(&folder()?, &packages::with_dependencies(&[PACKAGE])?)?;
    write_starter(&unpacked)?;
    Ok(None)
}

fn folder() -> Result<PathBuf> {
    Ok(cache_folder()?.join(PACKAGE))
}

/// A program that starts the unpacked one with the libraries that came with it.
fn write_starter(unpacked: &Unpacked) -> Result<()> {
    let libraries = format!("{}:{}", unpacked.libraries(), unpacked.path(ALSO).display());
    let starter = unpacked.path("start");
    let text = starter_text(&libraries, &unpacked.path(PROGRAM));
    let writing = || format!("writing {}", starter.display());
    fs::write(&starter, text).with_context(writing)?;
    fs::set_permissions(&starter, fs::Permissions::from_mode(0o755)).with_context(writing)
}

fn starter_text(libraries: &str, program: &Path) -> String {
    let quote = |text: &str| format!("'{}'", text.replace('\'', r"'\''"));
    let (libraries, program) = (quote(libraries), quote(&program.display().to_string()));
    format!("#!/bin/sh\nLD_LIBRARY_PATH={libraries} exec {program} \"$@\"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_starter_names_libraries_and_program_as_they_are() {
        let text = "#!/bin/sh\nLD_LIBRARY_PATH='/a b/lib' exec '/it'\\''s/chromium' \"$@\"\n";
        assert_eq!(starter_text("/a b/lib", Path::new("/it's/chromium")), text);
    }
}
