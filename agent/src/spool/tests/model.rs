//! Random lives of a spool.

use cordon_proto::sign::batch::EpochCause;
use proptest::prelude::*;

use super::*;
use crate::spool::forgets::Forgets;

#[derive(Clone, Debug)]
enum Deed {
    Append {
        lines: usize,
        control: bool,
        bytes: usize,
    },
    /// The collector takes some batches; the acknowledgement may be lost.
    Deliver {
        batches: usize,
        acknowledged: bool,
        /// What was acknowledged is deleted now, and not with what is written next.
        at_once: bool,
    },
    Sync,
    Reopen(End),
    BeginEpoch(Lane),
}

#[derive(Clone, Copy, Debug)]
enum End {
    Closed,
    Killed,
    KilledThenBooted,
}

fn deed() -> impl Strategy<Value = Deed> {
    let lane = prop_oneof![Just(Lane::Control), Just(Lane::Telemetry)];
    let end = prop_oneof![Just(End::Closed), Just(End::Killed), Just(End::KilledThenBooted)];
    prop_oneof![
        6 => (0_usize..40, any::<bool>(), 1_usize..600)
            .prop_map(|(lines, control, bytes)| Deed::Append { lines, control, bytes }),
        3 => (1_usize..5, any::<bool>(), any::<bool>()).prop_map(
            |(batches, acknowledged, at_once)| Deed::Deliver { batches, acknowledged, at_once }
        ),
        1 => Just(Deed::Sync),
        1 => end.prop_map(Deed::Reopen),
        1 => lane.prop_map(Deed::BeginEpoch),
    ]
}

/// One life: everything taken arrives once, or is told of.
fn live(deeds: &[Deed], limits: SpoolLimits) -> Collector {
    let bench = Bench::with(limits);
    let mut collector = Collector::default();
    let (mut lines, mut starts, mut boots) = (0, 0, 0);
    let mut spool = bench.open("boot 0", 0);
    for (step, deed) in deeds.iter().enumerate() {
        let now = at(u64::try_from(step).unwrap());
        match deed {
            Deed::Append { lines: count, control, bytes } => {
                let mut observations = Vec::new();
                for _ in 0..*count {
                    lines += 1;
                    observations.push(line(lines, *bytes));
                }
                if *control {
                    starts += 1;
                    observations.push(started(starts));
                }
                let checkpoints = vec![mark("line", lines)];
                let sample = Sample { observations, checkpoints, ..Sample::default() };
                stored(spool.append([sample], now));
            }
            Deed::Deliver { batches, acknowledged, at_once } => {
                while collector.fetch(&mut spool, Lane::Control, *batches) {}
                collector.fetch(&mut spool, Lane::Telemetry, *batches);
                for lane in Lane::ALL {
                    if *acknowledged {
                        acknowledge(&mut spool, lane, collector.cursor(lane), *at_once);
                    }
                }
            }
            Deed::Sync => spool.sync(now).unwrap(),
            Deed::Reopen(end) => {
                match end {
                    End::Closed => spool.close(now).unwrap(),
                    End::Killed => drop(spool),
                    End::KilledThenBooted => {
                        drop(spool);
                        boots += 1;
                    }
                }
                spool = bench.open(&format!("boot {boots}"), u64::try_from(step).unwrap());
                let kept = spool.checkpoints("line").unwrap();
                let expected = mark("line", lines);
                assert_eq!(
                    kept.first().map(|kept| &kept.1),
                    (lines > 0 || !kept.is_empty()).then_some(expected.value.as_ref()).flatten()
                );
            }
            Deed::BeginEpoch(lane) => {
                let stored = collector.cursor(*lane);
                let cause = EpochCause::Refused;
                spool.begin_epoch(*lane, stored.epoch, cause, Some(stored), now).unwrap();
            }
        }
        check_depths(&mut spool);
    }
    collector.drain(&mut spool);
    once_each(&collector.starts, 1..=starts);
    let mut seen = collector.lines.clone();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), collector.lines.len(), "a line arrived twice");
    let missing = lines - u64::try_from(seen.len()).unwrap();
    assert!(missing <= collector.told(Class::Log), "{missing} lines are missing untold");
    collector
}

fn acknowledge(spool: &mut Spool, lane: Lane, upto: Cursor, at_once: bool) {
    if at_once {
        return spool.forget(lane, upto).unwrap();
    }
    let mut forgets = Forgets::default();
    forgets.note(lane, upto);
    spool.forget_later(forgets);
}

/// What the spool believes to hold is what it holds.
fn check_depths(spool: &mut Spool) {
    for depth in spool.depths() {
        let all =
            spool.sealed_after(depth.lane, Cursor::default(), usize::MAX, usize::MAX).unwrap();
        let events: u64 = all.iter().map(|sealed| sealed.last - sealed.first + 1).sum();
        assert_eq!(events, depth.events);
        let sizes = all.iter().map(|sealed| sealed.batch.header.len() + sealed.batch.events.len());
        assert_eq!(
            u64::try_from(sizes.map(|bytes| bytes + 128).sum::<usize>()).unwrap(),
            depth.bytes
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn with_room_everything_taken_arrives_exactly_once(deeds in prop::collection::vec(deed(), 1..40)) {
        let collector = live(&deeds, SpoolLimits::of(64 << 20));
        prop_assert_eq!(collector.told(Class::Log), 0);
    }

    #[test]
    fn in_a_tight_spool_what_does_not_arrive_is_told_of(deeds in prop::collection::vec(deed(), 1..60)) {
        live(&deeds, SpoolLimits::of(100 << 10));
    }
}
