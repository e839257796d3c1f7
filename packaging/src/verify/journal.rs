//! Who writes journal files for the agent's tests: `systemd-journal-remote`, taken from the machine
//! or unpacked into the cache.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::packages::{self, Unpacked};
use crate::run_command::find_program;
use crate::workspace::cache_folder;

/// By this the tests find it.
pub(super) const VARIABLE: &str = "CORDON_JOURNAL_REMOTE";

const PACKAGE: &str = "systemd-journal-remote";
const PROGRAM: &str = "lib/systemd/systemd-journal-remote";

/// The program to name to the tests; none where they find it themselves, or where there is nobody
/// to read what it writes.
pub(super) fn provide() -> Result<Option<PathBuf>> {
    let is_named = std::env::var_os(VARIABLE).is_some();
    let is_installed = ["/", "/usr"].iter().any(|root| Path::new(root).join(PROGRAM).is_file());
    if is_named || is_installed || find_program("journalctl").is_none() {
        return Ok(None);
    }
    let folder = cache_folder()?.join("journal");
    let unpacked = match Unpacked::find(&folder) {
        Some(unpacked) => unpacked,
        None if packages::can_be_fetched() => {
            Unpacked::fetch(&folder, &packages::with_dependencies(&[PACKAGE])?)?
        }
        None => return Ok(None),
    };
    write_starter(&unpacked).map(Some)
}

/// A program that starts the unpacked one with the libraries that came with it.
fn write_starter(unpacked: &Unpacked) -> Result<PathBuf> {
    let places = [unpacked.path(PROGRAM), unpacked.path("usr").join(PROGRAM)];
    let program = places.into_iter().find(|place| place.is_file());
    let program = program.with_context(|| format!("{PACKAGE} brought no {PROGRAM}"))?;
    let starter = unpacked.path("journal-remote");
    let text = starter_text(&unpacked.libraries(), &program.display().to_string());
    if fs::read_to_string(&starter).is_ok_and(|there| there == text) {
        return Ok(starter);
    }
    let writing = || format!("writing {}", starter.display());
    fs::write(&starter, text).with_context(writing)?;
    fs::set_permissions(&starter, fs::Permissions::from_mode(0o755)).with_context(writing)?;
    Ok(starter)
}

fn starter_text(libraries: &str, program: &str) -> String {
    let quote = |text: &str| format!("'{}'", text.replace('\'', r"'\''"));
    let (libraries, program) = (quote(libraries), quote(program));
    format!("#!/bin/sh\nLD_LIBRARY_PATH={libraries} exec {program} \"$@\"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_starter_names_libraries_and_program_as_they_are() {
        let text = "#!/bin/sh\nLD_LIBRARY_PATH='/a b/lib' exec '/it'\\''s/remote' \"$@\"\n";
        assert_eq!(starter_text("/a b/lib", "/it's/remote"), text);
    }
}
