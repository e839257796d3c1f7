//! Where the programs lie that the demo, the tests of the whole and the benchmarks start.

use std::path::{Path, PathBuf};

/// Set by the task runner for what it starts: the folder with the programs of the right profile.
pub const FOLDER_VARIABLE: &str = "CORDON_PROGRAMS";

#[derive(Debug, thiserror::Error)]
#[error("{} is not built: run `cargo build --workspace --bins`, or `cargo verify`", path.display())]
pub struct NotBuilt {
    pub path: PathBuf,
}

/// The program of this name: in the folder that the task runner set, or where cargo put it when it
/// built the test that asks.
pub fn find(name: &str) -> Result<PathBuf, NotBuilt> {
    let set = std::env::var_os(FOLDER_VARIABLE).map(PathBuf::from);
    let asker = std::env::current_exe().unwrap_or_default();
    let path = folder(set, &asker).join(name);
    if path.is_file() { Ok(path) } else { Err(NotBuilt { path }) }
}

fn folder(set: Option<PathBuf>, asker: &Path) -> PathBuf {
    let beside = asker.parent().unwrap_or(Path::new("."));
    // Tests and benchmarks lie one folder below the programs.
    let built = if beside.ends_with("deps") { beside.parent().unwrap_or(beside) } else { beside };
    set.unwrap_or_else(|| built.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(set: Option<&str>, asker: &str, expected: &str) {
        assert_eq!(folder(set.map(PathBuf::from), Path::new(asker)), Path::new(expected));
    }

    #[test]
    fn programs_lie_above_the_tests_that_ask_for_them() {
        check(None, "/build/debug/deps/e2e-1f", "/build/debug");
        check(None, "/build/debug/cordon-packaging", "/build/debug");
    }

    #[test]
    fn the_folder_that_was_set_comes_first() {
        check(Some("/build/release"), "/build/debug/deps/e2e-1f", "/build/release");
    }

    #[test]
    fn a_program_that_is_not_built_says_how_to_build_it() {
        let text = find("no-such-program").unwrap_err().to_string();
        assert!(text.contains("no-such-program is not built: run `cargo build"), "{text}");
    }
}
