//! Timelines of what journalctl writes, and what is made of it.

use super::super::reader::Reader;
use super::*;
use crate::sensor::Checkpoint;

const NOW: Stamp = Stamp { time_ns: 1_000_000_000_000, boot_ns: 500_000_000_000 };

/// An entry, numbered among those of `files`, made at a second.
fn entry(files: &str, number: u64, secs: u64, message: &str) -> Entry {
    let us = secs * 1_000_000;
    let line = serde_json::json!({
        "__CURSOR": format!("s={files};i={number:x};b=b0;m={us:x};t={us:x};x=ff{us:x}"),
        "__REALTIME_TIMESTAMP": us.to_string(),
        "_SYSTEMD_UNIT": "app.service",
        "SYSLOG_IDENTIFIER": "sshd",
        "_COMM": "sshd",
        "_PID": "7",
        "MESSAGE": message,
    });
    let mut entries = Vec::new();
    Reader::default().feed(format!("{line}\n").as_bytes(), &mut entries);
    entries.remove(0)
}

/// What a sample says, in words.
fn words(sample: Option<Sample>) -> Vec<String> {
    let Some(sample) = sample else { return Vec::new() };
    let loss = |loss: &Loss| {
        let (from, to) = (loss.from_ns / 1_000_000_000, loss.to_ns / 1_000_000_000);
        format!("{:?} {} from {from} to {to}", loss.reason, loss.counts[0].count)
    };
    let seen = |seen: &Observation| {
        if let Body::Log(line) = &seen.body {
            return line.line.to_lossy().into_owned();
        }
        format!("{:?}", seen.body.class())
    };
    let kept = |kept: &Checkpoint| format!("kept {}", kept.key);
    let losses = sample.losses.iter().map(loss);
    let all = losses.chain(sample.observations.iter().map(seen));
    all.chain(sample.checkpoints.iter().map(kept)).collect()
}

/// A reader whose place is the entry 5 of `a`, made at second 100.
fn restored() -> Follow {
    let mut follow = Follow::new(None, 100);
    follow.start(true, NOW);
    follow.entry(&entry("a", 5, 100, "five"), NOW);
    let kept = follow.take(NOW).unwrap().checkpoints;
    let mut follow = Follow::new(Place::restored(kept), 100);
    assert!(matches!(follow.start(false, NOW), From::Cursor(_)));
    follow
}

#[track_caller]
fn check(mut follow: Follow, entries: &[Entry], expected: &[&str]) {
    entries.iter().for_each(|entry| follow.entry(entry, NOW));
    assert_eq!(words(follow.take(NOW)), expected);
}

#[test]
fn reading_goes_on_behind_the_entry_that_was_read_last() {
    check(
        restored(),
        &[entry("a", 5, 100, "five"), entry("a", 6, 101, "six")],
        &["six", "kept journal/place"],
    );
    check(restored(), &[entry("b", 77, 100, "moved to disk")], &["kept journal/place"]);
}

#[test]
fn an_entry_that_was_vacuumed_is_a_gap_with_what_lay_between() {
    check(
        restored(),
        &[entry("a", 26, 120, "later")],
        &["SourceGone 20 from 100 to 120", "later", "kept journal/place"],
    );
    check(
        restored(),
        &[entry("b", 3, 120, "another journal")],
        &["SourceGone 0 from 100 to 120", "another journal", "kept journal/place"],
    );
}

#[test]
fn numbers_that_are_missing_on_the_way_are_a_gap() {
    let entries = [entry("a", 5, 100, "five"), entry("a", 6, 101, "x"), entry("a", 9, 102, "y")];
    let expected = ["SourceGone 2 from 101 to 102", "x", "y", "kept journal/place"];
    check(restored(), &entries, &expected);
}

#[test]
fn the_first_time_only_what_comes_from_now_on_is_told() {
    let begun = || {
        let mut follow = Follow::new(None, 100);
        assert_eq!(follow.start(false, NOW), From::Last);
        follow
    };
    check(begun(), &[entry("a", 1, 999, "before")], &["kept journal/place"]);
    check(begun(), &[entry("a", 1, 1001, "new")], &["new", "kept journal/place"]);
    let mut all = Follow::new(None, 100);
    assert_eq!(all.start(true, NOW), From::First);
    check(all, &[entry("a", 1, 999, "before")], &["before", "kept journal/place"]);
}

#[test]
fn a_login_is_told_beside_its_entry() {
    let said = "Accepted password for ann from 192.0.2.1 port 22 ssh2";
    let entries = [entry("a", 5, 100, "five"), entry("a", 6, 101, said)];
    check(restored(), &entries, &[said, "Authentication", "kept journal/place"]);
}

#[test]
fn a_place_that_journalctl_cannot_go_to_is_given_up_with_a_gap() {
    let mut follow = restored();
    follow.give_up_place("Failed to seek to cursor", NOW);
    assert_eq!(words(follow.take(NOW)), ["SourceGone 0 from 100 to 1000"]);
    assert_eq!(follow.start(false, NOW), From::Last);
}

#[test]
fn what_is_no_entry_is_a_gap() {
    let mut follow = restored();
    follow.entry(&Entry::default(), NOW);
    follow.unreadable(2, NOW);
    let told = words(follow.take(NOW));
    assert_eq!(told, ["SourceGone 1 from 1000 to 1000", "SourceGone 2 from 1000 to 1000"]);
}

#[test]
fn what_is_beyond_the_limit_is_kept_with_the_place_and_told_when_the_minute_is_over() {
    let mut follow = Follow::new(None, 2);
    follow.start(true, NOW);
    for number in 1..=5 {
        follow.entry(&entry("a", number, 100 + number, &format!("n{number}")), NOW);
    }
    let sample = follow.take(NOW).unwrap();
    let kept = sample.checkpoints.clone();
    assert_eq!(words(Some(sample)), ["n1", "n2", "kept journal/place"]);
    let over = Stamp { boot_ns: follow.due_ns().unwrap(), ..NOW };
    let told = ["RateLimit 3 from 1000 to 1000", "kept journal/place"];
    assert_eq!(words(follow.take(over)), told);
    assert_eq!((follow.due_ns(), follow.take(over).is_none()), (None, true));
    let mut again = Follow::new(Place::restored(kept), 2);
    assert_eq!(words(again.take(over)), told, "the agent was started again meanwhile");
}

#[test]
fn samples_are_full_before_they_are_more_than_a_batch_holds() {
    let mut follow = Follow::new(None, 10_000);
    follow.start(true, NOW);
    let said = "Accepted password for ann from 192.0.2.1 port 22 ssh2";
    let mut number = 0;
    while !follow.is_full() {
        number += 1;
        follow.entry(&entry("a", number, 100, said), NOW);
    }
    let sample = follow.take(NOW).unwrap();
    assert!(sample.observations.len() <= SAMPLE_EVENTS_MAX);
    assert_eq!(sample.observations.len() as u64, number * 2);
    assert!(!follow.is_full());
}

#[test]
fn the_kernels_lines_are_left_to_the_sensor_of_its_log_and_nobody_else_passes_for_it() {
    let of_kernel = |number: u64, more: &str| {
        let line = format!(
            r#"{{"__CURSOR":"s=a;i={number};b=b0;m=1;t=1;x=1","__REALTIME_TIMESTAMP":"1",
            "SYSLOG_IDENTIFIER":"kernel",{more}"MESSAGE":"line {number}"}}"#
        );
        let mut entries = Vec::new();
        Reader::default().feed(format!("{}\n", line.replace('\n', "")).as_bytes(), &mut entries);
        entries.remove(0)
    };
    let entries = [of_kernel(1, ""), of_kernel(2, r#""_PID":"7","_UID":"0","#)];
    for (leaves, expected) in [(true, vec!["line 2"]), (false, vec!["line 1", "line 2"])] {
        let mut follow = Follow::new(None, 100).leaving_kernel(leaves);
        follow.start(true, NOW);
        entries.iter().for_each(|entry| follow.entry(entry, NOW));
        let told = words(follow.take(NOW));
        let lines: Vec<_> = told.iter().filter(|told| told.starts_with("line")).collect();
        assert_eq!(lines, expected);
    }
}
