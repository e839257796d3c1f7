//! What the members' Cargo.toml say: lints, versions, and the commands that people are told to run.

use toml::{Table, Value};

use crate::tree::{Source, expect_none, manifests, sources, top};

/// What cargo itself knows and documents may tell people to run.
const CARGO_COMMANDS: [&str; 12] = [
    "add", "bench", "build", "check", "clippy", "deny", "doc", "fmt", "install", "run", "test",
    "tree",
];

#[test]
fn every_member_has_the_lints_of_the_workspace() {
    let workspace = workspace_manifest();
    let lints = &workspace["workspace"]["lints"];
    let faults: Vec<_> =
        manifests().iter().flat_map(|member| missing_lints(member, lints)).collect();
    expect_none(&faults);
}

#[test]
fn every_version_of_a_dependency_stands_in_the_workspace() {
    expect_none(&manifests().iter().flat_map(own_versions).collect::<Vec<_>>());
}

#[test]
fn every_command_in_the_documents_exists() {
    let aliases = aliases();
    let faults = sources()
        .into_iter()
        .filter(|source| source.is("md"))
        .flat_map(|document| unknown_commands(&document, &aliases));
    expect_none(&faults.collect::<Vec<_>>());
}

#[test]
fn the_task_runner_has_its_aliases() {
    let aliases = aliases();
    for task in ["demo", "verify", "measure", "pack"] {
        assert!(aliases.iter().any(|alias| alias == task), "no alias {task} in {aliases:?}");
    }
}

fn workspace_manifest() -> Table {
    std::fs::read_to_string(top().join("Cargo.toml")).unwrap().parse().unwrap()
}

fn aliases() -> Vec<String> {
    let text = std::fs::read_to_string(top().join(".cargo/config.toml")).unwrap();
    let config: Table = text.parse().unwrap();
    config["alias"].as_table().unwrap().keys().cloned().collect()
}

/// A member either takes the workspace's lints or writes out at least as many, none weaker.
fn missing_lints(member: &Source, workspace: &Value) -> Vec<String> {
    let manifest: Table = member.text.parse().unwrap();
    let Some(own) = manifest.get("lints") else {
        return vec![member.fault(0, "has no [lints]")];
    };
    if own.get("workspace").and_then(Value::as_bool) == Some(true) {
        return Vec::new();
    }
    let mut faults = Vec::new();
    for (tool, lints) in workspace.as_table().unwrap() {
        for (lint, level) in lints.as_table().unwrap() {
            let found = own.get(tool).and_then(|lints| lints.get(lint));
            if found.map_or(0, strength) < strength(level) {
                faults.push(member.fault(0, &format!("{tool}::{lint} is weaker than elsewhere")));
            }
        }
    }
    faults
}

fn strength(level: &Value) -> usize {
    let name = level.as_str().or_else(|| level.get("level")?.as_str()).unwrap_or_default();
    ["allow", "warn", "deny", "forbid"].iter().position(|known| *known == name).unwrap_or(0)
}

fn own_versions(member: &Source) -> Vec<String> {
    let manifest: Table = member.text.parse().unwrap();
    let mut faults = Vec::new();
    for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
        let Some(dependencies) = manifest.get(kind).and_then(Value::as_table) else { continue };
        for (name, dependency) in dependencies {
            if dependency.get("workspace").and_then(Value::as_bool) != Some(true) {
                let line = member.text.lines().position(|line| line.starts_with(&**name));
                let what = format!("{name}: write `workspace = true`");
                faults.push(member.fault(line.unwrap_or(0), &what));
            }
        }
    }
    faults
}

/// `cargo WORD` in code of a document, where WORD is neither cargo's nor an alias.
fn unknown_commands(document: &Source, aliases: &[String]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut in_block = false;
    for (index, line) in document.text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
            continue;
        }
        let pieces: Vec<&str> =
            if in_block { vec![line] } else { line.split('`').skip(1).step_by(2).collect() };
        for piece in pieces {
            for command in cargo_commands(piece) {
                let is_known = CARGO_COMMANDS.contains(&command)
                    || aliases.iter().any(|alias| alias == command);
                if !is_known {
                    faults.push(document.fault(index, &format!("there is no `cargo {command}`")));
                }
            }
        }
    }
    faults
}

fn cargo_commands(code: &str) -> Vec<&str> {
    let words: Vec<&str> = code.split_whitespace().collect();
    let pairs = words.windows(2).filter(|pair| pair[0] == "cargo");
    pairs.map(|pair| pair[1]).filter(|word| word.starts_with(char::is_lowercase)).collect()
}

#[track_caller]
fn check(faults: Vec<String>, expected: &[&str]) {
    assert_eq!(faults, expected);
}

#[test]
fn a_member_without_lints_or_with_weaker_ones_is_found() {
    let workspace: Table =
        "[clippy]\npanic = \"warn\"\n[rust]\nunsafe_code = \"deny\"".parse().unwrap();
    let found = |text: &str| {
        missing_lints(&Source::new("a/Cargo.toml", text), &Value::Table(workspace.clone()))
    };
    check(found("[package]"), &["a/Cargo.toml:1: has no [lints]"]);
    check(found("[lints]\nworkspace = true"), &[]);
    check(
        found("[lints.rust]\nunsafe_code = \"forbid\""),
        &["a/Cargo.toml:1: clippy::panic is weaker than elsewhere"],
    );
    check(
        found("[lints.rust]\nunsafe_code = \"warn\"\n[lints.clippy]\npanic = { level = \"deny\" }"),
        &["a/Cargo.toml:1: rust::unsafe_code is weaker than elsewhere"],
    );
}

#[test]
fn a_version_of_a_members_own_is_found() {
    let text = "[dependencies]\nring.workspace = true\nrand = \"0.9\"\n";
    let faults = own_versions(&Source::new("a/Cargo.toml", text));
    check(faults, &["a/Cargo.toml:3: rand: write `workspace = true`"]);
}

#[test]
fn a_command_that_does_not_exist_is_found() {
    let text = "Run `cargo demo`, then `cargo dance`.\n```\n$ cargo test\n$ cargo sing\n```\n\
        No cargo aboard.\n";
    let faults = unknown_commands(&Source::new("README.md", text), &["demo".into()]);
    check(
        faults,
        &["README.md:1: there is no `cargo dance`", "README.md:4: there is no `cargo sing`"],
    );
}
