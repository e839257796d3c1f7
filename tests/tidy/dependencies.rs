//! Which member may use which: dependencies run one way, and agent and collector never meet.

use toml::{Table, Value};

use crate::tree::{Source, expect_none, manifests};

/// Each member and the members that it may use. What is not listed may use none.
const MAY_USE: [(&str, &[&str]); 6] = [
    ("cordon-proto", &[]),
    ("cordon-agent", &["cordon-proto"]),
    ("cordon-collector", &["cordon-proto"]),
    ("cordon", &["cordon-proto"]),
    ("cordon-packaging", &[]),
    ("cordon-tests", &["cordon-proto", "cordon-agent", "cordon-collector", "cordon-packaging"]),
];

#[test]
fn dependencies_between_members_run_one_way() {
    expect_none(&manifests().iter().flat_map(wrong_way).collect::<Vec<_>>());
}

fn wrong_way(member: &Source) -> Vec<String> {
    let manifest: Table = member.text.parse().unwrap();
    let name = manifest["package"]["name"].as_str().unwrap_or_default();
    let Some((_, allowed)) = MAY_USE.iter().find(|(listed, _)| *listed == name) else {
        return vec![member.fault(0, &format!("say in {} what {name} may use", file!()))];
    };
    let kinds = ["dependencies", "dev-dependencies", "build-dependencies"];
    let tables = kinds.iter().filter_map(|kind| manifest.get(*kind).and_then(Value::as_table));
    let used = tables.flat_map(Table::keys).filter(|used| used.starts_with("cordon"));
    let forbidden = used.filter(|used| !allowed.contains(&used.as_str()));
    let faults = forbidden.map(|used| {
        let line = member.text.lines().position(|line| line.starts_with(used.as_str()));
        member.fault(line.unwrap_or(0), &format!("{name} must not use {used}"))
    });
    faults.collect()
}

#[track_caller]
fn check(name: &str, dependencies: &str, faults: &[&str]) {
    let text = format!("[package]\nname = \"{name}\"\n{dependencies}");
    assert_eq!(wrong_way(&Source::new("a/Cargo.toml", &text)), faults);
}

#[test]
fn a_dependency_that_runs_the_wrong_way_is_found() {
    check("cordon-agent", "[dependencies]\ncordon-proto.workspace = true", &[]);
    check(
        "cordon-proto",
        "[dev-dependencies]\ncordon-agent.workspace = true",
        &["a/Cargo.toml:4: cordon-proto must not use cordon-agent"],
    );
    check(
        "cordon-agent",
        "[dependencies]\ncordon-collector.workspace = true",
        &["a/Cargo.toml:4: cordon-agent must not use cordon-collector"],
    );
}
