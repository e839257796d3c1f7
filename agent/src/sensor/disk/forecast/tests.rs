//! Timelines of what is left of a disk, minute by minute, and what is told of its end.

use super::*;

const GIB: u64 = 1 << 30;
const HOUR_MINUTES: u64 = 60;
const DAY_MINUTES: u64 = 24 * HOUR_MINUTES;

/// Measures each minute; what is told, as `hour: threshold in hours` or `hour: no end`.
#[track_caller]
fn check(minutes: u64, left: impl Fn(u64) -> u64, expected: &[&str]) -> Forecaster {
    let mut forecaster = Forecaster::default();
    let mut told = Vec::new();
    for minute in 0..=minutes {
        let severity = forecaster.step(left(minute), Duration::from_secs(minute * 60));
        if let Some(severity) = severity {
            let within = match forecaster.within_secs() {
                Some(secs) => format!("within {} h", secs / 3600),
                None => "no end".to_owned(),
            };
            told.push(format!("{} h: {within}, {severity:?}", minute / HOUR_MINUTES));
        }
    }
    assert_eq!(told, expected);
    forecaster
}

/// Numbers that look like noise, the same in every run: 0 to `below`.
fn noise(minute: u64, below: u64) -> u64 {
    let mixed = (minute + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) % below
}

#[test]
fn steady_growth_is_told_at_three_days_one_day_and_four_hours() {
    // 100 GiB at 1 GiB an hour: full after 100 hours. Three days off it is after 28 hours.
    let forecaster = check(
        99 * HOUR_MINUTES,
        |minute| 100 * GIB - minute * GIB / 60,
        &["28 h: within 72 h, Low", "76 h: within 24 h, Medium", "96 h: within 4 h, High"],
    );
    let end = forecaster.end().unwrap();
    assert!((3000..=4200).contains(&end.in_secs), "{end:?}");
    assert_eq!(end.confidence_percent, 100);
}

#[test]
fn growth_with_noise_on_it_is_told_too() {
    let left = |minute| 100 * GIB - minute * GIB / 60 - noise(minute, GIB / 4);
    check(
        97 * HOUR_MINUTES,
        left,
        &["28 h: within 72 h, Low", "75 h: within 24 h, Medium", "95 h: within 4 h, High"],
    );
}

#[test]
fn logs_rotated_each_hour_are_no_end() {
    let left = |minute: u64| 3 * GIB - (minute % HOUR_MINUTES) * GIB / 60;
    check(4 * DAY_MINUTES, left, &[]);
}

#[test]
fn logs_rotated_each_day_are_no_end_after_the_first() {
    // At its lowest it has two hours left to go on like this, and never does.
    let left = |minute: u64| 26 * GIB - (minute % DAY_MINUTES) * GIB / 60;
    // Half of what was seen must be rotation before that is known.
    let told = [
        "5 h: within 24 h, Medium",
        "22 h: within 4 h, High",
        "24 h: within 24 h, Informational",
        "27 h: no end, Informational",
    ];
    check(5 * DAY_MINUTES, left, &told);
}

#[test]
fn noise_is_no_end() {
    check(4 * DAY_MINUTES, |minute| 10 * GIB - noise(minute, 5 * GIB), &[]);
}

#[test]
fn one_sudden_dump_is_no_end() {
    let left = |minute| if minute < 2 * DAY_MINUTES { 100 * GIB } else { 4 * GIB };
    check(4 * DAY_MINUTES, left, &[]);
}

#[test]
fn a_disk_that_is_filled_at_once_is_told_within_the_hour() {
    // Quiet for two days; then 1 GiB a minute with 150 left.
    let begin = 2 * DAY_MINUTES;
    let left = |minute: u64| 150 * GIB - minute.saturating_sub(begin) * GIB;
    check(begin + 140, left, &["48 h: within 4 h, High"]);
}

#[test]
fn an_end_that_is_put_off_is_told_once() {
    // Full after ten hours, but cleaned after nine and quiet from then on.
    let left = |minute: u64| match minute {
        0..540 => 10 * GIB - minute * GIB / 60,
        _ => 9 * GIB,
    };
    let told = [
        "4 h: within 24 h, Medium",
        "6 h: within 4 h, High",
        "9 h: within 24 h, Informational",
        "10 h: no end, Informational",
    ];
    check(DAY_MINUTES, left, &told);
}

#[test]
fn a_file_system_that_stays_full_has_no_end_to_come() {
    check(DAY_MINUTES, |_minute| 0, &[]);
}

#[test]
fn a_pause_of_the_machine_is_a_longer_step_and_nothing_else() {
    let mut forecaster = Forecaster::default();
    for (minute, left) in (0..60_u64).map(|m| (m, 100 * GIB - m * GIB / 60)) {
        assert_eq!(forecaster.step(left, Duration::from_secs(minute * 60)), None);
    }
    let told = forecaster.step(50 * GIB, Duration::from_secs(50 * 3600));
    assert_eq!(told, None, "{forecaster:?}");
}

#[test]
fn what_is_measured_more_often_is_kept_once_a_minute() {
    let mut forecaster = Forecaster::default();
    for second in 0..3600 {
        forecaster.step(GIB, Duration::from_secs(second));
    }
    assert_eq!(format!("{forecaster:?}").matches("Point").count(), 60 + 2);
}
