//! Timelines: how busy a disk is and how long requests wait, in steps of ten seconds; what is told.

use super::*;

const LIMITS: Limits = Limits {
    report_every: Duration::from_secs(3600),
    busy_permille: 950,
    wait: Duration::from_millis(200),
    lasting: Duration::from_secs(60),
};

/// Each step lasts 10 s: requests, their average wait in milliseconds, percent busy.
#[track_caller]
fn check(steps: &[(usize, u64, u64, u64)], expected: &[&str]) {
    let mut loads = Loads::new(LIMITS);
    let (mut requests, mut wait_ms, mut busy_ms, mut secs) = (1, 0, 0, 0);
    let mut told = Vec::new();
    let mut look = |requests: u64, wait_ms: u64, busy_ms: u64, secs: u64| {
        let text = format!("8 0 sda {requests} 0 0 {wait_ms} 0 0 0 0 0 {busy_ms} 0\n");
        let now = Duration::from_secs(secs);
        for (severity, load) in loads.handle_counters(text.as_bytes(), now, |_| true) {
            let Load { state, period_ms, reads, .. } = load;
            told.push(format!("{secs}: {state:?} {severity:?} {} s, {reads}", period_ms / 1000));
        }
    };
    look(requests, wait_ms, busy_ms, secs);
    for (times, new, wait, busy) in steps {
        for _ in 0..*times {
            (requests, wait_ms) = (requests + new, wait_ms + new * wait);
            (busy_ms, secs) = (busy_ms + busy * 100, secs + 10);
            look(requests, wait_ms, busy_ms, secs);
        }
    }
    assert_eq!(told, expected);
}

#[test]
fn a_disk_is_told_each_hour() {
    check(
        &[(720, 5, 1, 10)],
        &["3600: Regular Informational 3600 s, 1800", "7200: Regular Informational 3600 s, 1800"],
    );
}

#[test]
fn a_disk_that_nobody_uses_is_not_told() {
    check(&[(720, 0, 0, 0)], &[]);
}

#[test]
fn saturation_is_told_when_it_has_lasted_and_once() {
    check(
        &[(5, 9, 1, 100), (1, 9, 1, 50), (20, 9, 1, 97), (30, 9, 1, 20)],
        &["120: Saturated Low 60 s, 54", "320: Relieved Informational 60 s, 54"],
    );
}

#[test]
fn fluttering_at_the_edge_is_told_once() {
    let mut steps = vec![(6, 9, 1, 96)];
    steps.extend([(1, 9, 1, 94), (1, 9, 1, 96)].repeat(50));
    check(&steps, &["60: Saturated Low 60 s, 54"]);
}

#[test]
fn long_waits_are_told_when_they_last_and_there_are_enough_requests() {
    check(&[(60, 19, 900, 50)], &[]);
    check(
        &[(20, 100, 250, 50), (10, 100, 150, 50), (10, 100, 50, 50)],
        &["60: Slow Low 60 s, 600", "360: Recovered Informational 60 s, 600"],
    );
}

#[test]
fn a_disk_that_is_exchanged_begins_anew() {
    let mut loads = Loads::new(LIMITS);
    let text = |reads: u64| format!("8 0 sda {reads} 0 0 0 0 0 0 0 0 1 0\n");
    for (secs, reads) in [(0, 5000), (10, 1), (3610, 2)] {
        let now = Duration::from_secs(secs);
        let told = loads.handle_counters(text(reads).as_bytes(), now, |_| true);
        let reads: Vec<_> = told.iter().map(|(_, load)| load.reads).collect();
        assert_eq!(reads, if secs == 3610 { vec![1] } else { vec![] });
    }
}

#[test]
fn partitions_are_left_out_and_disks_are_bounded() {
    let mut loads = Loads::new(LIMITS);
    let lines = |at: usize| format!("8 {at} sd{at} 1 0 0 0 0 0 0 0 0 1 0\n");
    let text: String = (0..DISKS_MAX + 9).map(lines).collect();
    loads.handle_counters(text.as_bytes(), Duration::ZERO, |name| name != "sd0");
    assert_eq!(loads.disks.len(), DISKS_MAX);
    assert!(!loads.disks.contains_key("sd0"));
}
