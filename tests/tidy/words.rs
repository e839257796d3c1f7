//! Which words are used: none that says nothing, none about the place where somebody builds this.

use crate::code;
use crate::tree::{Source, check, expect_none, rust_sources, sources};

/// Words that hide what a thing is.
const EMPTY_WORDS: [&str; 6] = ["manager", "helper", "helpers", "util", "utils", "misc"];

/// Places and people of a build, which the repository does not know. Written in two parts, so that
/// this file does not break its own rule.
const FOREIGN: [&str; 10] = [
    concat!("/wo", "rk/"),
    concat!("/tmp/", "wt"),
    concat!("/tmp/", "target-"),
    concat!("sub", "agent"),
    concat!("arti", "factory"),
    concat!("chat", "gpt"),
    concat!("language ", "model"),
    concat!("this ", "session's task"),
    concat!("/root/", ".cargo"),
    concat!("/root/", ".rustup"),
];

#[test]
fn no_type_or_file_has_a_name_that_says_nothing() {
    expect_none(&empty_names(&rust_sources()));
}

#[test]
fn nothing_speaks_of_the_machine_it_was_built_on() {
    expect_none(&foreign_words(&sources()));
}

fn empty_names(sources: &[Source]) -> Vec<String> {
    let mut faults = Vec::new();
    for source in sources {
        if let Some(word) = empty_word(source.stem()) {
            faults.push(source.fault(0, &format!("a file called \"{word}\": say what it does")));
        }
        for (index, line) in code::only(&source.text).lines().enumerate() {
            for name in named_types(line) {
                if let Some(word) = empty_word(name) {
                    let what = format!("{name}: \"{word}\" does not say what it is");
                    faults.push(source.fault(index, &what));
                }
            }
        }
    }
    faults
}

/// The names that a line gives to types, traits and modules.
fn named_types(line: &str) -> Vec<&str> {
    let is_part = |letter: char| letter.is_alphanumeric() || letter == '_';
    let words: Vec<&str> =
        line.split(|letter| !is_part(letter)).filter(|w| !w.is_empty()).collect();
    let keywords = ["struct", "enum", "trait", "type", "union", "mod"];
    let pairs = words.windows(2).filter(|pair| keywords.contains(&pair[0]));
    pairs.map(|pair| pair[1]).collect()
}

fn empty_word(name: &str) -> Option<String> {
    split_name(name).into_iter().find(|word| EMPTY_WORDS.contains(&&**word))
}

/// `SpoolManager`, `spool_manager` and `spool-manager` all give `spool`, `manager`.
fn split_name(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for letter in name.chars() {
        if letter.is_uppercase() || !letter.is_alphanumeric() {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| letter.is_alphanumeric()) {
            word.extend(letter.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

fn foreign_words(sources: &[Source]) -> Vec<String> {
    let mut faults = Vec::new();
    for source in sources {
        for (index, line) in source.text.lines().enumerate() {
            let line = line.to_lowercase();
            if let Some(word) = FOREIGN.iter().find(|word| line.contains(*word)) {
                faults.push(source.fault(index, &format!("speaks of {word:?}")));
            }
        }
    }
    faults
}

#[test]
fn a_name_that_says_nothing_is_found() {
    check(empty_names, "a/x.rs", "\npub struct SpoolManager;", Some("a/x.rs:2"));
    check(empty_names, "a/x.rs", "enum Managed { Helper }", None);
    check(empty_names, "a/x.rs", "// struct SpoolManager", None);
    check(empty_names, "a/net_utils.rs", "", Some("a/net_utils.rs:1"));
    check(empty_names, "a/utilisation.rs", "", None);
}

#[test]
fn a_word_about_the_builder_is_found() {
    let line = format!("# x\nrun {}main/x\n", FOREIGN[0]);
    check(foreign_words, "README.md", &line, Some("README.md:2"));
    check(foreign_words, "README.md", "the network, at work\n", None);
}
