//! Takes the web console into the collector, if it was built before: one table of its files. Without it
//! the table is empty, and the collector says on its page how the console is built.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// Where `npm run build` puts it, and the folder above that is always there.
const BUILT: &str = "console/web/dist/console";
const ABOVE: &str = "console/web/dist";

fn main() -> io::Result<()> {
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let built = here.join(BUILT);
    // A path that is not there would make every build begin anew.
    let watched = if built.is_dir() { BUILT } else { ABOVE };
    writeln!(io::stdout(), "cargo::rerun-if-changed={watched}")?;
    let mut files = Vec::new();
    if built.is_dir() {
        find(&built, &mut files)?;
    }
    files.sort();
    let into = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("console.rs");
    fs::write(into, table(&built, &files))
}

/// Every file below a folder but the compressed twins.
fn find(folder: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            find(&path, found)?;
        } else if path.extension().is_none_or(|extension| extension != "br") {
            found.push(path);
        }
    }
    Ok(())
}

fn table(built: &Path, files: &[PathBuf]) -> String {
    let mut rust = String::from("&[\n");
    for file in files {
        let path = format!("/{}", file.strip_prefix(built).unwrap_or(file).display());
        let twin = PathBuf::from(format!("{}.br", file.display()));
        let brotli = match twin.is_file() {
            true => format!("Some(include_bytes!({twin:?}))"),
            false => "None".to_owned(),
        };
        let bytes = format!("plain: include_bytes!({file:?}), brotli: {brotli}");
        // Writing into a string cannot fail.
        writeln!(rust, "    File {{ path: {path:?}, {bytes} }},").unwrap_or_default();
    }
    rust.push(']');
    rust
}
