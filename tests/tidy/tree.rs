//! The checkout as the rules see it: every file that people write, with its text.

use std::fs;
use std::path::{Path, PathBuf};

/// A text file: its path from the top of the checkout, and what is in it.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    pub(crate) fn is(&self, extension: &str) -> bool {
        Path::new(&self.path).extension().is_some_and(|found| found == extension)
    }

    pub(crate) fn stem(&self) -> &str {
        Path::new(&self.path).file_stem().and_then(|stem| stem.to_str()).unwrap_or_default()
    }

    /// `path:line: what`, the line counted from one.
    pub(crate) fn fault(&self, line_index: usize, what: &str) -> String {
        format!("{}:{}: {what}", self.path, line_index + 1)
    }
}

/// Folders that hold nothing people write here; in a second worktree `.git` is a file.
const PASSED_OVER: [&str; 5] = [".git", "target", "node_modules", "dist", "proptest-regressions"];

/// The top of the checkout.
pub(crate) fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every file of the checkout that is text.
pub(crate) fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    walk(&top(), "", &mut found);
    assert!(found.len() > 20, "only {} files were found: not the checkout", found.len());
    found
}

pub(crate) fn rust_sources() -> Vec<Source> {
    let mut sources = sources();
    sources.retain(|source| source.is("rs"));
    sources
}

pub(crate) fn manifests() -> Vec<Source> {
    let mut sources = sources();
    sources.retain(|source| source.path.ends_with("/Cargo.toml"));
    sources
}

/// Fails with one line a fault.
#[track_caller]
pub(crate) fn expect_none(faults: &[String]) {
    assert!(faults.is_empty(), "{} faults:\n{}\n", faults.len(), faults.join("\n"));
}

/// A rule over one file: where it finds its one fault (`path:line`), or that it finds none.
#[track_caller]
pub(crate) fn check(
    rule: fn(&[Source]) -> Vec<String>,
    path: &str,
    text: &str,
    fault_at: Option<&str>,
) {
    let faults = rule(&[Source::new(path, text)]);
    let places: Vec<_> = faults.iter().map(|fault| fault.split(": ").next().unwrap()).collect();
    assert_eq!(places, fault_at.into_iter().collect::<Vec<_>>(), "{faults:?}");
}

fn walk(folder: &Path, prefix: &str, found: &mut Vec<Source>) {
    let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(Result::unwrap).collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name().into_string().expect("a file's name is text");
        let path = format!("{prefix}{name}");
        let kind = entry.file_type().unwrap();
        if kind.is_dir() && !PASSED_OVER.contains(&&*name) {
            walk(&entry.path(), &format!("{path}/"), found);
        } else if kind.is_file()
            && !PASSED_OVER.contains(&&*name)
            && let Ok(text) = fs::read_to_string(entry.path())
        {
            found.push(Source { path, text });
        }
    }
}
