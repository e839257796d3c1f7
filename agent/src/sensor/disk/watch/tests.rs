//! Timelines: tables and answers at their seconds on the left, what is reported and measured on the
//! right.

use super::*;
use crate::sensor::disk::mountinfo;

/// A table of `number:device:path:type:ro|rw`, separated by spaces.
fn table(words: &[&str]) -> Vec<Line> {
    let line = |word: &&str| {
        let fields: Vec<&str> = word.split(':').collect();
        let [number, device, path, fs_type, access] = fields[..] else { panic!("{word}") };
        format!("{number} 0 8:{device} / {path} {access} - {fs_type} dev{device} rw\n")
    };
    let text: String = words.iter().map(line).collect();
    let table = mountinfo::parse(text.as_bytes(), is_watched);
    assert_eq!(table.left_out, 0);
    table.lines
}

fn used(percent: u64) -> Facts {
    let free = 100 - percent;
    Facts { bytes_total: 100, bytes_free: free, bytes_available: free, ..Facts::default() }
}

fn show(effect: Effect) -> String {
    let at = |mount: &Mount| mount.path.to_lossy().into_owned();
    match effect {
        Effect::Measure { serial, path } => format!("measure {serial} {}", path.to_lossy()),
        Effect::Report(severity, event) => {
            let event = match event {
                DiskEvent::Space(space) => {
                    let crossed =
                        space.threshold_percent.map(|percent| format!(" crossed {percent}"));
                    let free = space.bytes_available;
                    format!("{} {free} free{}", at(&space.mount), crossed.unwrap_or_default())
                }
                DiskEvent::Mounted(mount) => format!("{} mounted", at(&mount)),
                DiskEvent::Unmounted(mount) => format!("{} unmounted", at(&mount)),
                DiskEvent::AccessChanged(mount) if mount.read_only => {
                    format!("{} read-only", at(&mount))
                }
                DiskEvent::AccessChanged(mount) => format!("{} writable", at(&mount)),
                DiskEvent::Unresponsive(mount) => format!("{} unresponsive", at(&mount)),
                DiskEvent::Forecast(Forecast { mount, within_secs, .. }) => {
                    let within = within_secs.map(|secs| format!("within {} h", secs / 3600));
                    format!("{} full {}", at(&mount), within.as_deref().unwrap_or("never"))
                }
                DiskEvent::IoError(_) | DiskEvent::Load(_) | DiskEvent::Health(_) => {
                    panic!("not of a file system: {event:?}")
                }
            };
            let is_grave = severity != Severity::Informational;
            if is_grave { format!("{event} ({severity:?})") } else { event }
        }
    }
}

/// Measured each 60 s, told each 3600 s.
#[track_caller]
fn check(timeline: &str, expected: &str) -> Watch {
    let mut watch = Watch::new(Duration::from_secs(60), Duration::from_secs(3600));
    let mut seen = Vec::new();
    for line in timeline.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (secs, act) = line.split_once(": ").unwrap();
        let now = Duration::from_secs(secs.parse().unwrap());
        match act.split_whitespace().collect::<Vec<_>>()[..] {
            ["mounts", ref words @ ..] => watch.handle_mounts(table(words), now),
            ["used", serial, percent] => {
                let facts = used(percent.parse().unwrap());
                watch.handle_answer(serial.parse().unwrap(), Ok(facts), now);
            }
            ["refused", serial] => {
                watch.handle_answer(serial.parse().unwrap(), Err("no".to_owned()), now);
            }
            ["wait"] => watch.handle_timeout(now),
            _ => panic!("{act}"),
        }
        seen.extend(
            std::iter::from_fn(|| watch.poll_effect()).map(|e| format!("{secs}: {}", show(e))),
        );
    }
    let expected: Vec<&str> = expected.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    assert_eq!(seen, expected);
    watch
}

#[test]
fn space_is_told_at_the_start_and_then_each_hour() {
    check(
        "0: mounts 1:1:/:ext4:rw
         0: used 0 50
         59: wait
         60: wait
         60: used 0 51
         3599: wait
         3599: used 0 52
         3659: wait
         3659: used 0 53",
        "0: measure 0 /
         0: / 50 free
         60: measure 0 /
         3599: measure 0 /
         3659: measure 0 /
         3659: / 47 free",
    );
}

#[test]
fn thresholds_are_told_when_they_are_crossed_and_gravely_on_the_way_up() {
    check(
        "0: mounts 1:1:/:ext4:rw
         0: used 0 85
         60: wait
         60: used 0 91
         120: wait
         120: used 0 89
         180: wait
         180: used 0 100
         240: wait
         240: used 0 10",
        "0: measure 0 /
         0: / 15 free crossed 80 (Low)
         60: measure 0 /
         60: / 9 free crossed 90 (Medium)
         120: measure 0 /
         180: measure 0 /
         180: / 0 free crossed 99 (High)
         240: measure 0 /
         240: / 90 free crossed 80",
    );
}

#[test]
fn mounts_that_come_and_go_are_told_once() {
    check(
        "0: mounts 1:1:/:ext4:rw
         0: used 0 1
         1: mounts 1:1:/:ext4:rw 2:2:/mnt:xfs:rw
         1: used 1 2
         2: mounts 1:1:/:ext4:rw 2:2:/mnt:xfs:rw
         3: mounts 1:1:/:ext4:rw",
        "0: measure 0 /
         0: / 99 free
         1: /mnt mounted
         1: measure 1 /mnt
         1: /mnt 98 free
         3: /mnt unmounted",
    );
}

#[test]
fn a_number_used_again_for_another_file_system_is_an_end_and_a_beginning() {
    check(
        "0: mounts 1:1:/a:ext4:rw
         1: mounts 1:2:/a:ext4:rw",
        "0: measure 0 /a
         1: /a unmounted
         1: /a mounted
         1: measure 1 /a",
    );
}

#[test]
fn a_file_system_that_refuses_writes_is_told_gravely() {
    check(
        "0: mounts 1:1:/:ext4:rw
         0: used 0 1
         1: mounts 1:1:/:ext4:ro
         2: mounts 1:1:/:ext4:ro
         3: mounts 1:1:/:ext4:rw",
        "0: measure 0 /
         0: / 99 free
         1: / read-only (High)
         3: / writable",
    );
}

#[test]
fn what_does_not_answer_is_told_once_and_left_alone_until_it_does() {
    let watch = check(
        "0: mounts 1:1:/:nfs:rw 2:2:/b:ext4:rw
         0: used 1 1
         1: wait
         2: wait
         60: wait
         60: used 1 1
         500: used 0 10
         500: wait",
        "0: measure 0 /
         0: measure 1 /b
         0: /b 99 free
         2: / unresponsive (High)
         60: measure 1 /b
         500: / 90 free
         500: measure 0 /
         500: measure 1 /b",
    );
    assert_eq!(watch.condition(), (SensorState::Running, None));
}

#[test]
fn an_answer_for_what_is_gone_is_nobodys() {
    check(
        "0: mounts 1:1:/a:nfs:rw
         1: mounts
         5: wait
         9: used 0 99",
        "0: measure 0 /a
         1: /a unmounted",
    );
}

#[test]
fn dead_file_systems_take_a_bounded_number_of_threads() {
    let mounts: Vec<String> =
        (0..10).map(|number| format!("{number}:{number}:/{number}:nfs:rw")).collect();
    let mut watch = Watch::new(Duration::from_secs(60), Duration::from_secs(3600));
    let words: Vec<&str> = mounts.iter().map(String::as_str).collect();
    watch.handle_mounts(table(&words), Duration::ZERO);
    let measures = |watch: &mut Watch| {
        std::iter::from_fn(|| watch.poll_effect())
            .filter(|effect| matches!(effect, Effect::Measure { .. }))
            .count()
    };
    assert_eq!(measures(&mut watch), MEASURES_MAX);
    for secs in [2, 60, 120] {
        watch.handle_timeout(Duration::from_secs(secs));
    }
    assert_eq!(measures(&mut watch), 0);
    assert_eq!(watch.poll_timeout(), None);
    let (state, reason) = watch.condition();
    assert_eq!(state, SensorState::Degraded);
    assert!(reason.unwrap().starts_with("8 measures never ended"));
    watch.handle_answer(3, Ok(used(1)), Duration::from_secs(121));
    watch.handle_timeout(Duration::from_secs(121));
    assert_eq!(measures(&mut watch), 1, "the ones that were never asked come first");
}

#[test]
fn a_refusal_is_said_in_the_condition_until_the_next_answer() {
    let mut watch = check("0: mounts 1:1:/a:fuse.x:rw\n 0: refused 0", "0: measure 0 /a");
    assert_eq!(watch.condition(), (SensorState::Degraded, Some("/a: no".to_owned())));
    watch.handle_answer(0, Ok(used(1)), Duration::ZERO);
    assert_eq!(watch.condition(), (SensorState::Running, None));
}

#[test]
fn each_file_system_is_measured_once_and_where_it_can_be_seen() {
    check(
        "0: mounts 1:1:/:ext4:rw 2:1:/bind:ext4:rw 3:3:/x:ext4:rw 4:4:/x:xfs:rw 5:5:/snap:squashfs:ro 6:6:/p:proc:rw 7:7:/c:overlay:rw",
        "0: measure 0 /
         0: measure 3 /x",
    );
}

#[test]
fn a_bind_mount_takes_over_when_the_first_is_gone() {
    check(
        "0: mounts 1:1:/a:ext4:rw 2:1:/b:ext4:rw
         0: used 0 1
         1: mounts 2:1:/b:ext4:rw",
        "0: measure 0 /a
         0: /a 99 free
         1: /a unmounted
         1: measure 1 /b",
    );
}

#[test]
fn the_next_timeout_is_the_deadline_and_then_the_next_measure() {
    let watch = check("7: mounts 1:1:/:ext4:rw", "7: measure 0 /");
    assert_eq!(watch.poll_timeout(), Some(Duration::from_secs(9)));
    let watch = check("7: mounts 1:1:/:ext4:rw\n 8: used 0 1", "7: measure 0 /\n 8: / 99 free");
    assert_eq!(watch.poll_timeout(), Some(Duration::from_secs(67)));
}

#[test]
fn a_file_system_that_fills_steadily_is_told_before_it_is_full() {
    let mut watch = Watch::new(Duration::from_secs(60), Duration::from_secs(36_000));
    watch.handle_mounts(table(&["1:1:/:ext4:rw"]), Duration::ZERO);
    let mut told = Vec::new();
    for minute in 0..12 * 60 {
        let left = 2_000_000 - minute * 1000;
        let facts = Facts { bytes_total: 9_000_000, bytes_available: left, ..Facts::default() };
        let facts = Facts { inodes_total: 0, bytes_free: left, ..facts };
        watch.handle_answer(0, Ok(facts), Duration::from_secs(minute * 60));
        for effect in std::iter::from_fn(|| watch.poll_effect()) {
            if let Effect::Report(_, DiskEvent::Space(space)) = &effect {
                told.push(format!("{minute}: full in {:?}", space.full_in_secs));
            } else if matches!(effect, Effect::Report(..)) {
                told.push(format!("{minute}: {}", show(effect)));
            }
        }
    }
    let expected = [
        "0: full in None",
        "111: full in None",
        "422: / full within 72 h (Low)",
        "562: / full within 24 h (Medium)",
        "711: full in Some(77340)",
    ];
    assert_eq!(told, expected);
}
