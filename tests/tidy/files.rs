//! How files are laid out: how they open, how long they are, where they lie, what is unsafe.

use crate::code;
use crate::tree::{Source, check, expect_none, rust_sources, sources};

const LINES_MAX: usize = 500;

/// Files that may be longer, each with its reason. None so far.
const LONGER: [(&str, &str); 0] = [];

#[test]
fn every_file_opens_by_saying_what_it_does() {
    expect_none(&opens_without_a_word(&rust_sources()));
}

#[test]
fn no_module_hides_in_a_file_called_mod() {
    expect_none(&called_mod(&rust_sources()));
}

#[test]
fn no_file_is_longer_than_500_lines() {
    let mut written = sources();
    written.retain(|source| ["rs", "ts", "tsx"].iter().any(|kind| source.is(kind)));
    expect_none(&too_long(&written));
}

#[test]
fn unsafe_code_stays_in_a_platform_folder() {
    expect_none(&unsafe_outside(&rust_sources()));
}

fn opens_without_a_word(sources: &[Source]) -> Vec<String> {
    let silent = |source: &&Source| {
        let first = source.text.lines().next().unwrap_or_default();
        first.strip_prefix("//!").is_none_or(|words| words.trim().is_empty())
    };
    let what = "does not open with `//!` and a sentence on what it does";
    sources.iter().filter(silent).map(|source| source.fault(0, what)).collect()
}

fn called_mod(sources: &[Source]) -> Vec<String> {
    let called = sources.iter().filter(|source| source.stem() == "mod");
    called.map(|source| source.fault(0, "write x.rs beside x/, not x/mod.rs")).collect()
}

fn too_long(sources: &[Source]) -> Vec<String> {
    let excused = |source: &&Source| !LONGER.iter().any(|(path, _)| *path == source.path);
    let faults = sources.iter().filter(excused).filter_map(|source| {
        let lines = source.text.lines().count();
        let what = format!("has {lines} lines, more than {LINES_MAX}: look for the second idea");
        (lines > LINES_MAX).then(|| source.fault(LINES_MAX, &what))
    });
    faults.collect()
}

fn unsafe_outside(sources: &[Source]) -> Vec<String> {
    let mut faults = Vec::new();
    for source in sources {
        let mut folders = source.path.split('/').map(|part| part.trim_end_matches(".rs"));
        if folders.any(|part| part == "platform") {
            continue;
        }
        for (index, line) in code::only(&source.text).lines().enumerate() {
            let mut words = line.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
            if words.any(|word| word == "unsafe" || word == "unsafe_code") {
                faults.push(source.fault(index, "unsafe code outside a `platform` folder"));
            }
        }
    }
    faults
}

#[test]
fn a_file_that_opens_with_code_is_found() {
    check(opens_without_a_word, "a/x.rs", "//! Adds.\n", None);
    check(opens_without_a_word, "a/x.rs", "//!\n//! Adds.\n", Some("a/x.rs:1"));
    check(opens_without_a_word, "a/x.rs", "use std::fs;\n//! Adds.\n", Some("a/x.rs:1"));
    check(opens_without_a_word, "a/x.rs", "", Some("a/x.rs:1"));
}

#[test]
fn a_file_called_mod_is_found() {
    check(called_mod, "a/x.rs", "", None);
    check(called_mod, "a/x/mod.rs", "", Some("a/x/mod.rs:1"));
}

#[test]
fn a_file_with_a_line_too_many_is_found() {
    check(too_long, "a/x.rs", &"line\n".repeat(500), None);
    check(too_long, "a/x.rs", &"line\n".repeat(501), Some("a/x.rs:501"));
}

#[test]
fn unsafe_code_in_the_wrong_place_is_found() {
    let text = "//! Never unsafe.\nlet x = unsafe { y() };\n";
    check(unsafe_outside, "agent/src/sensor.rs", text, Some("agent/src/sensor.rs:2"));
    check(unsafe_outside, "agent/src/platform/linux.rs", text, None);
    check(unsafe_outside, "agent/src/platform.rs", text, None);
    check(unsafe_outside, "a/x.rs", "// unsafe\nlet x = \"unsafe\";\n", None);
    check(unsafe_outside, "a/x.rs", "#![expect(unsafe_code)]\n", Some("a/x.rs:1"));
}
