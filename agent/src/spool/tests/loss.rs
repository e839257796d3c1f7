//! Lost power, lost files, full spools, full disks.

use std::fs;

use cordon_proto::event::GapReason;
use cordon_proto::event::log::Run;
use cordon_proto::sign::batch::EpochCause;

use super::*;
use crate::spool::store;

fn append(spool: &mut Spool, ids: std::ops::RangeInclusive<u64>, bytes: usize) {
    for id in ids {
        stored(spool.append([sample(vec![line(id, bytes)])], at(id)));
    }
}

/// How far back a gap reaches over what never came as far as the spool.
const IN_HAND_NS: u64 = 2_000_000_000;

#[test]
fn power_lost_before_a_sync_begins_a_new_epoch_that_the_collector_accepts() {
    let bench = Bench::new();
    let mut collector = Collector::default();
    let mut spool = bench.open("boot 1", 0);
    append(&mut spool, 1..=5, 10);
    spool.sync(at(6)).unwrap();
    assert!(!spool.is_unsynced());
    // What the disk holds if nothing after the sync reaches it.
    let disk: Vec<_> =
        store::files(&bench.path()).map(|file| (fs::read(&file).unwrap(), file)).into();
    append(&mut spool, 6..=8, 10);
    assert!(spool.is_unsynced());
    collector.drain(&mut spool);
    drop(spool);
    for (content, file) in disk {
        fs::write(file, content).unwrap();
    }
    let mut spool = bench.open("boot 2", 20);
    assert!(spool.start().unclean);
    assert_eq!(spool.start().epochs, [(Lane::Telemetry, EpochCause::SpoolLost)]);
    append(&mut spool, 9..=12, 10);
    collector.drain(&mut spool);
    once_each(&collector.lines, 1..=12);
    assert_eq!(collector.cursor(Lane::Telemetry), Cursor { epoch: 2, last: 4 });
    let gap = collector.gaps.iter().find(|gap| gap.reason == GapReason::AgentStopped).unwrap();
    let known_ns = at(4).time_ns; // Each two seconds while much is written.
    assert_eq!((gap.from_ns, gap.to_ns), (known_ns - IN_HAND_NS, at(20).time_ns));
}

#[test]
fn control_events_are_synced_when_they_are_taken_and_take_telemetry_along() {
    let bench = Bench::new();
    let mut spool = bench.open("boot 1", 0);
    append(&mut spool, 1..=2, 10);
    assert!(spool.is_unsynced());
    stored(spool.append([sample(vec![started(1)])], at(3)));
    assert!(!spool.is_unsynced());
}

#[test]
fn a_new_spool_begins_both_lanes_because_the_endpoint_enrolled() {
    let bench = Bench::new();
    let mut spool = bench.open("boot 1", 0);
    let epochs = &spool.start().epochs;
    assert_eq!(*epochs, Lane::ALL.map(|lane| (lane, EpochCause::Enrolled)));
    assert!(!spool.start().unclean);
    assert_eq!(spool.depths().map(|depth| (depth.epoch, depth.next_seq)), [(1, 1), (1, 1)]);
    let mut collector = Collector::default();
    collector.drain(&mut spool);
    assert_eq!(collector.gaps, []);
}

#[test]
fn a_clean_stop_goes_on_where_it_was_and_tells_how_long_it_was_away() {
    let bench = Bench::new();
    let mut collector = Collector::default();
    let mut spool = bench.open("boot 1", 0);
    append(&mut spool, 1..=3, 10);
    spool.close(at(10)).unwrap();
    let mut spool = bench.open("boot 2", 50);
    assert_eq!(*spool.start(), crate::spool::Start::default());
    append(&mut spool, 4..=6, 10);
    collector.drain(&mut spool);
    once_each(&collector.lines, 1..=6);
    assert_eq!(collector.cursor(Lane::Telemetry), Cursor { epoch: 1, last: 6 });
    let gap = &collector.gaps[0];
    assert_eq!((gap.from_ns, gap.to_ns), (at(10).time_ns - IN_HAND_NS, at(50).time_ns));
    assert!(gap.counts.iter().all(|count| count.count == 0), "nobody knows how many");
}

/// Does something to the files of a spool that holds three delivered lines and three more.
#[track_caller]
fn check_lost(harm: impl Fn(&Path)) {
    let bench = Bench::new();
    let mut collector = Collector::default();
    let mut spool = bench.open("boot 1", 0);
    append(&mut spool, 1..=3, 10);
    collector.drain(&mut spool);
    append(&mut spool, 4..=6, 10);
    spool.close(at(7)).unwrap();
    harm(&bench.path());
    let mut spool = bench.open("boot 1", 9);
    assert_eq!(spool.start().epochs, Lane::ALL.map(|lane| (lane, EpochCause::SpoolLost)));
    append(&mut spool, 7..=9, 10);
    collector.drain(&mut spool);
    once_each(&collector.lines, [1, 2, 3, 7, 8, 9].into_iter());
    assert_eq!(collector.cursor(Lane::Telemetry).epoch, 2);
    assert_eq!(collector.gaps[0].reason, GapReason::SpoolLost);
}

#[test]
fn a_spool_that_has_gone_is_begun_anew_above_its_epochs() {
    check_lost(|path| fs::remove_file(path).unwrap());
}

#[test]
fn a_spool_that_is_no_database_is_set_aside() {
    check_lost(|path| {
        fs::write(path, vec![7; 20_000]).unwrap();
    });
}

#[test]
fn a_spool_with_tables_of_another_version_is_set_aside() {
    check_lost(|path| {
        let db = rusqlite::Connection::open(path).unwrap();
        db.execute_batch("PRAGMA user_version = 99").unwrap();
    });
}

#[test]
fn a_spool_without_a_lane_is_set_aside() {
    check_lost(|path| {
        rusqlite::Connection::open(path).unwrap().execute_batch("DELETE FROM lane").unwrap();
    });
}

#[test]
fn a_spool_damaged_while_running_is_begun_anew_and_says_so() {
    let bench = Bench::new();
    let mut collector = Collector::default();
    let mut spool = bench.open("boot 1", 0);
    append(&mut spool, 1..=3, 10);
    collector.drain(&mut spool);
    spool.put_note("key", Some(b"value")).unwrap();
    spool.harm("DROP TABLE batch");
    stored(spool.append([sample(vec![line(4, 10), started(1)])], at(5)));
    assert_eq!(spool.times_lost(), 1);
    assert_eq!(spool.note("key").unwrap(), None, "gone with the spool");
    assert!(bench.path().with_extension("db.damaged").exists());
    collector.drain(&mut spool);
    once_each(&collector.lines, 1..=4);
    assert_eq!(collector.gaps[0].reason, GapReason::SpoolLost);
    spool.harm("DROP TABLE batch");
    assert_eq!(spool.sealed_after(Lane::Control, Cursor::default(), 9, 9).unwrap(), []);
    spool.harm("DROP TABLE note");
    spool.put_note("key", Some(b"value")).unwrap();
    assert_eq!(spool.note("key").unwrap().unwrap(), b"value");
    assert_eq!(spool.times_lost(), 3);
    collector.drain(&mut spool);
    assert_eq!(collector.cursor(Lane::Telemetry).epoch, 2, "4 has nothing after it yet");
}

#[test]
fn a_full_spool_drops_its_oldest_telemetry_and_names_what_it_dropped() {
    let bench = Bench::with(SpoolLimits::of(256 << 10));
    let mut collector = Collector::default();
    let mut spool = bench.open("boot 1", 0);
    append(&mut spool, 1..=600, 1000);
    let [_, telemetry] = spool.depths();
    assert!(telemetry.bytes <= 240 << 10, "{telemetry:?}");
    collector.drain(&mut spool);
    let missing = 600 - u64::try_from(collector.lines.len()).unwrap();
    assert!(missing > 300, "{missing}");
    assert_eq!(collector.told(Class::Log), missing);
    once_each(&collector.lines, missing + 1..=600);
    let gap = &collector.gaps[0];
    assert_eq!((gap.reason, gap.from_ns), (GapReason::SpoolFull, at(1).time_ns));
    assert!(collector.gaps.len() < 30, "{} gaps for {missing} lines", collector.gaps.len());
}

#[test]
fn a_spool_that_may_take_less_drops_its_oldest_telemetry_and_signs_what_it_dropped() {
    let bench = Bench::with(SpoolLimits::of(1 << 20));
    let mut collector = Collector::default();
    let mut spool = bench.open("boot 1", 0);
    append(&mut spool, 1..=600, 1000);
    stored(spool.append([sample(vec![started(1)])], at(600)));
    assert!(spool.depths()[1].bytes > 600_000, "all of it fits");
    spool.set_limits(SpoolLimits::of(256 << 10));
    assert!(spool.depths()[1].bytes > 600_000, "until something is stored");
    append(&mut spool, 601..=601, 1000);
    assert!(spool.depths()[1].bytes <= 240 << 10, "{:?}", spool.depths());
    // What was dropped is told for good before anything that follows it is.
    assert!(!spool.is_unsynced());
    drop(spool);
    let mut spool = open(&bench.path(), SpoolLimits::of(256 << 10), "boot 1", 602);
    collector.drain(&mut spool);
    let missing = 601 - u64::try_from(collector.lines.len()).unwrap();
    once_each(&collector.lines, missing + 1..=601);
    once_each(&collector.starts, 1..=1);
    let is_full = |gap: &&Gap| gap.reason == GapReason::SpoolFull;
    let full: Vec<_> = collector.gaps.iter().filter(is_full).collect();
    let [gap] = full[..] else { panic!("one gap: {:?}", collector.gaps) };
    let range = gap.sealed.as_ref().unwrap();
    assert_eq!((range.lane, range.first, range.last), (Lane::Telemetry, 1, missing));
    assert_eq!((gap.from_ns, gap.to_ns), (at(1).time_ns, at(missing).time_ns));
    assert_eq!(collector.told(Class::Log), missing);
    // And it may take as much again.
    spool.set_limits(SpoolLimits::of(1 << 20));
    append(&mut spool, 603..=1000, 1000);
    assert!(spool.depths()[1].bytes > 600_000, "{:?}", spool.depths());
}

#[test]
fn a_sample_larger_than_the_spool_is_counted_before_it_has_numbers() {
    let bench = Bench::with(SpoolLimits::of(64 << 10));
    let mut collector = Collector::default();
    let mut spool = bench.open("boot 1", 0);
    append(&mut spool, 1..=1, 10);
    stored(spool.append([sample((2..=100).map(|id| line(id, 1000)).collect())], at(2)));
    append(&mut spool, 101..=101, 10);
    collector.drain(&mut spool);
    once_each(&collector.lines, [1, 101].into_iter());
    assert_eq!(collector.told(Class::Log), 99);
    assert_eq!(collector.cursor(Lane::Telemetry).last, 2, "numbers have no hole");
}

#[test]
fn lines_that_travel_together_are_counted_one_by_one_when_they_are_dropped() {
    let run = |id| {
        let mut seen = line(id, 1000);
        let Body::Log(line) = &mut seen.body else { unreachable!("a line") };
        (line.lines, line.run) = (Some(100), Some(Run::default()));
        seen
    };
    let bench = Bench::with(SpoolLimits::of(64 << 10));
    let mut collector = Collector::default();
    let mut spool = bench.open("boot 1", 0);
    stored(spool.append([sample((1..=100).map(run).collect())], at(1)));
    collector.drain(&mut spool);
    assert_eq!(collector.told(Class::Log), 100 * 100, "before they had numbers");
    for id in 101..=200 {
        stored(spool.append([sample(vec![run(id)])], at(id)));
    }
    collector.drain(&mut spool);
    let came = u64::try_from(collector.lines.len()).unwrap();
    assert!(came < 100, "{came}");
    assert_eq!(collector.told(Class::Log), 100 * (200 - came), "after they were sealed");
}

#[test]
fn a_control_lane_that_fills_the_spool_stays_and_new_events_are_counted() {
    let bench = Bench::with(SpoolLimits::of(64 << 10));
    let mut collector = Collector::default();
    let mut spool = bench.open("boot 1", 0);
    for id in 1..=400 {
        stored(spool.append([sample(vec![started(id)])], at(1)));
    }
    let [control, _] = spool.depths();
    assert!(control.bytes < 66 << 10, "{control:?}");
    spool.close(at(2)).unwrap();
    let mut spool = bench.open("boot 1", 3);
    collector.drain(&mut spool);
    let kept = u64::try_from(collector.starts.len()).unwrap();
    once_each(&collector.starts, 1..=kept);
    assert_eq!(collector.told(Class::Lifecycle), 400 - kept);
}

#[test]
fn a_file_that_may_not_grow_drops_its_oldest_telemetry_for_the_newest() {
    let limits = SpoolLimits { file_bytes_max: 400 << 10, ..SpoolLimits::of(64 << 20) };
    let bench = Bench::with(limits);
    let mut collector = Collector::default();
    let mut spool = bench.open("boot 1", 0);
    append(&mut spool, 1..=600, 1000);
    collector.drain(&mut spool);
    assert_eq!(collector.gaps[0].reason, GapReason::DiskFull);
    let missing = 600 - u64::try_from(collector.lines.len()).unwrap();
    assert_eq!(collector.told(Class::Log), missing);
    assert!(collector.lines.contains(&600));
}

#[test]
fn without_any_room_telemetry_is_counted_and_control_kept_until_there_is_some() {
    let limits = SpoolLimits { file_bytes_max: 200 << 10, ..SpoolLimits::of(64 << 20) };
    let bench = Bench::with(limits);
    let mut collector = Collector::default();
    let mut spool = bench.open("boot 1", 0);
    let mut last = 0;
    while spool.append([sample(vec![started(last + 1)])], at(1)) == Taken::Stored {
        last += 1;
        assert!(last < 10_000, "the file grows beyond its limit");
    }
    let lines = (1..=5).map(|id| line(id, 3000)).collect();
    let observations =
        Sample { observations: lines, checkpoints: vec![mark("line", 5)], ..Sample::default() };
    let taken = spool.append([observations], at(2));
    let Taken::Waiting(why) = taken else { panic!("there was room") };
    assert!(why.starts_with("cannot append to the spool") && why.contains("full"), "{why}");
    assert_eq!(spool.checkpoints("line").unwrap(), [], "held back with the count");
    while collector.fetch(&mut spool, Lane::Control, 9) {}
    spool.forget(Lane::Control, collector.cursor(Lane::Control)).unwrap();
    stored(spool.retry(at(3)));
    assert_eq!(spool.checkpoints("line").unwrap().len(), 1);
    append(&mut spool, 6..=6, 10);
    collector.drain(&mut spool);
    once_each(&collector.starts, 1..=last + 1);
    once_each(&collector.lines, [6].into_iter());
    assert_eq!(collector.told(Class::Log), 5);
    assert_eq!(collector.gaps[0].reason, GapReason::DiskFull);
}

#[test]
fn room_that_is_no_longer_needed_is_given_back_to_the_file_system() {
    let bench = Bench::with(SpoolLimits::of(64 << 20));
    let mut spool = bench.open("boot 1", 0);
    for id in 0..16 {
        stored(spool.append([sample(vec![line(id, 60_000); 20])], at(id)));
    }
    let [_, telemetry] = spool.positions();
    spool.forget(Lane::Telemetry, Cursor { epoch: 1, last: telemetry.last }).unwrap();
    for secs in 0..4 {
        spool.alive(at(secs)).unwrap();
    }
    spool.close(at(20)).unwrap();
    let bytes = fs::metadata(bench.path()).unwrap().len();
    assert!(bytes < 10 << 20, "{bytes} bytes are left of 19 MB");
}

#[test]
fn notes_read_back_and_can_be_forgotten() {
    let bench = Bench::new();
    let mut spool = bench.open("boot 1", 0);
    assert_eq!(spool.note("a").unwrap(), None);
    spool.put_note("a", Some(b"1")).unwrap();
    spool.put_note("a", Some(b"2")).unwrap();
    drop(spool);
    let mut spool = bench.open("boot 1", 1);
    assert_eq!(spool.note("a").unwrap().unwrap(), b"2");
    spool.put_note("a", None).unwrap();
    assert_eq!(spool.note("a").unwrap(), None);
}

#[test]
fn checkpoints_are_found_by_how_they_begin_and_can_be_forgotten() {
    let bench = Bench::new();
    let mut spool = bench.open("boot 1", 0);
    let checkpoints = vec![mark("log/2", 2), mark("log/1", 1), mark("journal", 3), mark("log_", 4)];
    stored(spool.append([Sample { checkpoints, ..Sample::default() }], at(1)));
    let keys = |spool: &mut Spool| -> Vec<String> {
        spool.checkpoints("log/").unwrap().into_iter().map(|kept| kept.0).collect()
    };
    assert_eq!(keys(&mut spool), ["log/1", "log/2"]);
    let checkpoints = vec![Checkpoint { key: "log/1".to_owned(), value: None }];
    stored(spool.append([Sample { checkpoints, ..Sample::default() }], at(2)));
    assert_eq!(keys(&mut spool), ["log/2"]);
}

#[test]
fn two_agents_cannot_have_one_spool_open() {
    let bench = Bench::new();
    let _first = bench.open("boot 1", 0);
    let second = Spool::open(&bench.path(), identity(), bench.limits, "boot 1", at(1));
    let error = second.unwrap_err().to_string();
    assert!(error.contains("locked"), "{error}");
}
