//! Records at their milliseconds, and what is told of them.

use super::*;

fn stamp(ms: u64) -> Stamp {
    Stamp { time_ns: 1_000_000_000_000 + ms * 1_000_000, boot_ns: ms * 1_000_000 }
}

fn follow(kept: Option<&str>) -> Follow {
    Follow::new(Place::restore("b".to_owned(), kept.map(str::as_bytes)), 100, Duration::ZERO)
}

fn record(sequence: u64, text: &str) -> Record {
    let (level, facility, age_us, text) = (6, 0, 0, text.as_bytes().to_vec());
    Record { level, facility, sequence, age_us, text }
}

fn show(sample: &Sample) -> Vec<String> {
    let observed = sample.observations.iter().map(|observation| {
        if let Body::Log(line) = &observation.body {
            return format!("{} {}", line.offset, line.line.to_lossy());
        }
        let Body::Disk(DiskEvent::IoError(error)) = &observation.body else {
            panic!("{observation:?}")
        };
        format!("{:?} {} {}x", error.kind, error.device.to_lossy(), error.count)
    });
    let lost = sample.losses.iter().map(|loss| {
        format!("{:?} {}", loss.reason, loss.counts.iter().map(|count| count.count).sum::<u64>())
    });
    observed.chain(lost).collect()
}

#[test]
fn a_line_is_told_with_its_number_and_the_place_behind_it() {
    let mut follow = follow(None);
    assert!(follow.take_sample().is_none());
    follow.handle_record(record(7, "usb 1-1: new device"), false, stamp(5));
    let sample = follow.take_sample().unwrap();
    assert_eq!(show(&sample), ["7 usb 1-1: new device"]);
    assert_eq!(sample.checkpoints[0].value.as_deref(), Some(&b"b 8"[..]));
    assert!(follow.take_sample().is_none());
}

#[test]
fn lines_that_were_written_over_are_a_gap() {
    let mut follow = follow(Some("b 7"));
    follow.handle_record(record(6, "read before"), false, stamp(1));
    follow.handle_record(record(9, "next"), false, stamp(1));
    assert_eq!(show(&follow.take_sample().unwrap()), ["9 next", "KernelRing 2"]);
}

#[test]
fn errors_of_a_disk_are_told_once_a_second_beside_their_lines() {
    let mut follow = follow(None);
    for (at, sector) in [(0, 8), (1, 16), (2, 24)] {
        let line = format!("I/O error, dev sda, sector {sector} op 0x0:(READ)");
        follow.handle_record(record(at, &line), false, stamp(at));
    }
    assert_eq!(show(&follow.take_sample().unwrap()).len(), 3);
    assert_eq!(follow.poll_timeout(), Some(Duration::from_secs(1)));
    follow.handle_timeout(stamp(1000));
    assert_eq!(show(&follow.take_sample().unwrap()), ["Io sda 3x"]);
    assert_eq!(follow.poll_timeout(), None);
}

#[test]
fn a_program_cannot_make_up_errors_of_a_disk() {
    let mut follow = follow(None);
    let mut forged = record(1, "I/O error, dev sda, sector 8");
    (forged.facility, forged.level) = (1, 0);
    follow.handle_record(forged, false, stamp(0));
    let sample = follow.take_sample().unwrap();
    assert_eq!(sample.observations[0].severity, Severity::Informational);
    assert_eq!(follow.poll_timeout(), None);
}

#[test]
fn a_flood_is_cut_and_counted_and_its_faults_are_not_forgotten() {
    let mut follow = follow(None);
    for sequence in 0..2000 {
        follow.handle_record(record(sequence, "I/O error, dev sdb, sector 1"), false, stamp(0));
    }
    assert_eq!(follow.take_sample().unwrap().observations.len(), 500);
    follow.handle_timeout(stamp(10_000));
    let told = show(&follow.take_sample().unwrap());
    assert_eq!(told, ["Io sdb 2000x", "RateLimit 1500"]);
    // A second later there is room for a hundred lines.
    for sequence in 2000..2500 {
        follow.handle_record(record(sequence, "x"), false, stamp(1000));
    }
    assert_eq!(follow.take_sample().unwrap().observations.len(), 100);
}

#[test]
fn a_line_from_before_the_start_has_the_kernels_time() {
    let mut follow = follow(Some("a 1"));
    let mut early = record(0, "Linux version");
    early.age_us = 2_000_000;
    follow.handle_record(early, true, stamp(60_000));
    let sample = follow.take_sample().unwrap();
    assert_eq!(sample.observations[0].boot_ns, 2_000_000_000);
    assert_eq!(sample.observations[0].time_ns, stamp(2000).time_ns);
}
